"""The pages: each asks, says what will be done, and does it by POST, in one transaction with its record.

They live below the admin of API clients; buttons and actions elsewhere only lead here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.clickjacking import xframe_options_deny

from edx_api_provisioning import api
from edx_api_provisioning.admin import credentials_page, forms
from edx_api_provisioning.admin.base import TEMPLATES
from edx_api_provisioning.admin.selection import Subject, chosen
from edx_api_provisioning.core.exceptions import AlreadyDone, ProvisioningError
from edx_api_provisioning.core.secrets import scrub_tracebacks
from edx_api_provisioning.data import Authority, Credentials, Status
from edx_api_provisioning.models import ApiClient


def address(page: type[Page], query: str = "") -> str:
    """Where a page is; ``query`` names its subjects."""
    return reverse(f"admin:edx_api_provisioning_apiclient_{page.slug}") + (f"?{query}" if query else "")


def may(request: HttpRequest, permission: str) -> bool:
    """Whether who is logged in has one of the permissions of API clients."""
    return request.user.has_perm(f"edx_api_provisioning.{permission}_apiclient")


class _Refused(Exception):
    """What a service function refused, and for which subject."""

    def __init__(self, error: ProvisioningError, subject: Subject | None) -> None:
        self.error, self.subject = error, subject


class Page:
    """One request for one page."""

    slug: ClassVar[str]
    title: Any
    button: ClassVar[Any]
    says: Any = ""
    permission: ClassVar[str]
    form_class: ClassVar[type[forms.PageForm]]
    needs_subjects = True
    dangerous = False

    def __init__(self, model_admin: ModelAdmin[Any], request: HttpRequest) -> None:
        self.model_admin, self.request = model_admin, request
        self.subjects: list[Subject] = []

    @property
    def authority(self) -> Authority:
        """Return the authority of the person who is logged in."""
        user = self.request.user
        return Authority.person(user, f"admin: {user.get_username()}")

    @classmethod
    def view(cls, model_admin: ModelAdmin[Any]) -> Callable[[HttpRequest], HttpResponse]:
        @xframe_options_deny
        def respond(request: HttpRequest) -> HttpResponse:
            return cls(model_admin, request).respond()

        return respond

    def respond(self) -> HttpResponse:
        if not may(self.request, self.permission):
            raise PermissionDenied
        self.subjects = chosen(self.request)
        if not all(self.suits(subject) for subject in self.subjects):
            raise Http404
        if any(subject.client is None for subject in self.subjects) and not may(self.request, "provision"):
            raise PermissionDenied  # It would have to be made an API client first.
        if self.needs_subjects and not self.subjects:
            return redirect("admin:edx_api_provisioning_apiclient_changelist")
        if self.request.method in ("GET", "HEAD"):
            return self.ask(self.form(initial=self.initial()))
        if self.request.method != "POST":
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        form = self.form(self.request.POST)
        try:
            return self.answer(form) if form.is_valid() else self.ask(form)
        except AlreadyDone:
            return self.render("done.html", {"title": _("This was done already")}, status=409)
        except _Refused as refused:
            form.explain(refused.error, refused.subject)
        except ProvisioningError as error:
            form.explain(error)
        return self.ask(form)

    def suits(self, subject: Subject) -> bool:
        """Whether what the page does can be done with it."""
        return subject.client is not None or subject.application is not None

    def initial(self) -> dict[str, Any]:
        """The answers that are filled in already."""
        return {}

    def form(self, *args: Any, **kwargs: Any) -> Any:
        return self.form_class(*args, subjects=self.subjects, **kwargs)

    def ask(self, form: forms.PageForm) -> HttpResponse:
        """The page with the form."""
        context = {"form": form, "adminform": form.in_admin_dress(), "button": self.button, "says": self.says}
        return self.render("form.html", {**context, "dangerous": self.dangerous})

    def answer(self, form: Any) -> HttpResponse:
        """Do what a valid form asks, and show what came of it."""
        with transaction.atomic(using=router.db_for_write(ApiClient)):
            done = self.each(lambda subject, number: self._recorded(form, subject, number))
            # Here, and not once the view has returned: credentials that cannot be shown are not to be made.
            return self.show(done) if any(credentials.issued for credentials in done) else self.leave(done)

    def each(self, do: Callable[[Any, int], Any]) -> list[Any]:
        """What ``do`` returns for every subject and its number.

        Raises:
            _Refused: if one was refused.
        """
        results = []
        for number, subject in enumerate(self.subjects or [None]):
            try:
                results.append(do(subject, number))
            except AlreadyDone:
                raise
            except ProvisioningError as error:
                raise _Refused(error, subject) from None
        return results

    def _recorded(self, form: forms.PageForm, subject: Any, number: int) -> Credentials:
        request: dict[str, Any] = {
            "authority": self.authority,
            "reason": form.cleaned_data["reason"],
            "request_id": f"{form.cleaned_data['request_id'].hex}-{number}",
        }
        credentials = self.carry_out(form, subject, request)
        self.log(credentials, request["reason"])
        return credentials

    def log(self, credentials: Credentials, reason: str) -> None:
        """Add to Django's own record; the service function has added to ours."""
        client = ApiClient.objects.filter(name=credentials.name).first()
        if client is None or not credentials.changes:
            return
        log = self.model_admin.log_addition if credentials.status is Status.CREATED else self.model_admin.log_change
        log(self.request, client, "; ".join([*credentials.changes, *([_("Reason: %s") % reason] if reason else [])]))

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        """Call the service function for one subject.

        Args:
            request: what every service function wants to know of who asks.
        """
        raise NotImplementedError

    def adopt(self, form: forms.PageForm, subject: Subject, request: dict[str, Any]) -> str:
        """The name of the subject's client, which an application is made first."""
        name = form.name_for(subject)
        if subject.client is None:
            # The id of the request is kept for what comes after.
            first = {**request, "request_id": None}
            self.log(api.adopt(name, client_id=subject.application.client_id, **first), request["reason"])
        return name

    @scrub_tracebacks()
    def show(self, done: list[Credentials]) -> HttpResponse:
        """The credentials, once."""
        way_back = self.way_back([credentials.name for credentials in done])
        response = self.render("credentials.html", {**credentials_page.context(done), "way_back": way_back})
        return credentials_page.protect(response)

    def leave(self, done: list[Credentials]) -> HttpResponse:
        """Where there is no secret to show: say what was done, on the page of the client."""
        for credentials in done:
            text = "; ".join(credentials.changes) or _("there was nothing to do")
            level = messages.SUCCESS if credentials.changes else messages.INFO
            self.model_admin.message_user(self.request, f"{credentials.name}: {text}.", level)
        return redirect(self.way_back([credentials.name for credentials in done]))

    def way_back(self, names: list[str]) -> str:
        """The page of the one client, the list of them, or what else may be seen."""
        if not self.model_admin.has_view_permission(self.request):
            return reverse("admin:index")
        clients = ApiClient.objects.filter(name__in=names)
        if len(clients) == 1:
            return reverse("admin:edx_api_provisioning_apiclient_change", args=[clients[0].pk])
        return reverse("admin:edx_api_provisioning_apiclient_changelist")

    def context(self) -> dict[str, Any]:
        """What every page of ours shows around it."""
        return {
            **self.model_admin.admin_site.each_context(self.request),
            "opts": ApiClient._meta,
            "title": self.title,
            "subjects": self.subjects,
            "client": self.subjects[0].client if len(self.subjects) == 1 else None,
            "has_view_permission": self.model_admin.has_view_permission(self.request),
            "way_back": self.way_back([subject.client.name for subject in self.subjects if subject.client]),
            "media": self.model_admin.media,
        }

    def render(self, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
        self.request.current_app = self.model_admin.admin_site.name
        context = {**self.context(), **context}
        return TemplateResponse(self.request, f"{TEMPLATES}/{template}", context, status=status).render()


class ProvisionPage(Page):
    """Asks for a client, or for one for each of some accounts; shows the plan; makes them."""

    slug = "provision"
    title: Any = gettext_lazy("Provision API client")
    button = gettext_lazy("Preview")
    says: Any = gettext_lazy(
        "An API client is a service user, an application with client id and secret, and an access token. "
        "Nothing is made before you have seen what will be."
    )
    permission = "provision"
    needs_subjects = False

    def ask(self, form: forms.PageForm) -> HttpResponse:
        if isinstance(form, forms.AgainForm):
            self.title = _("Change or complete API client")
            self.says = _(
                "What the client lacks is made, and what is said about it is changed. Nothing is done before you have "
                "seen what will be."
            )
        return super().ask(form)

    def suits(self, subject: Subject) -> bool:
        return subject.client is not None or subject.user is not None

    def form(self, *args: Any, **kwargs: Any) -> Any:
        clients = [subject for subject in self.subjects if subject.client is not None]
        if clients and len(self.subjects) > 1:
            raise Http404  # The form shows what is said about one.
        form_class = forms.AgainForm if clients else forms.AccountsForm if self.subjects else forms.NewClientForm
        return form_class(*args, subjects=self.subjects, **kwargs)

    def answer(self, form: Any) -> HttpResponse:
        if "_edit" in self.request.POST:
            return self.ask(form)
        if "_confirm" in self.request.POST:
            return super().answer(form)
        previews = self.each(lambda subject, _number: self._preview(form.spec(subject)))
        return self.render(
            "preview.html",
            {
                "title": _("What will be done"),
                "confirm": _("Carry out") if isinstance(form, forms.AgainForm) else _("Provision"),
                "form": form,
                "previews": previews,
                "request_id": forms.PageForm().fields["request_id"].initial(),
                "nothing": not any(preview["steps"] for preview in previews),
            },
        )

    def _preview(self, spec: Any) -> dict[str, Any]:
        plan = api.plan_client(spec, authority=self.authority)
        return {
            "name": spec.name,
            "username": plan.username,
            "steps": [step.says for step in plan.steps],
            "warnings": plan.warnings,
            "rights": api.excess_rights(plan),
        }

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        return api.provision(form.spec(subject), **request)


class RotatePage(Page):
    slug = "rotate"
    title = gettext_lazy("Rotate credentials")
    button = gettext_lazy("Rotate")
    says = gettext_lazy(
        "New credentials are issued and shown once. The old ones end at once, or when the time of grace is over."
    )
    permission = "rotate"
    form_class = forms.RotateForm

    def initial(self) -> dict[str, Any]:
        """A button that says what it rotates comes with ``what=token`` or ``what=secret``."""
        what = self.request.GET.get("what")
        return {"token": what != "secret", "secret": what == "secret"}

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        name = self.adopt(form, subject, request)
        wanted = form.given("token", "secret", "expires_in", "expires_at", "grace")
        return api.rotate(name, **wanted, **request)


class RevokePage(Page):
    slug = "revoke"
    title = gettext_lazy("Revoke all tokens")
    button = gettext_lazy("Revoke")
    says = gettext_lazy(
        "All access tokens of the client end now. With its client id and secret it can get new ones; "
        "retire it if it is not to."
    )
    permission = "revoke"
    form_class = forms.EndForm
    dangerous = True
    retire = False

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        return api.revoke(self.adopt(form, subject, request), retire=self.retire, **request)


class RetirePage(RevokePage):
    slug = "retire"
    title = gettext_lazy("Retire API client")
    button = gettext_lazy("Retire")
    says = gettext_lazy(
        "All access tokens and the client secret end now, for good. The service user is deactivated if it was made "
        "for this client and nothing else uses it."
    )
    retire = True


class AdoptPage(Page):
    slug = "adopt"
    title = gettext_lazy("Adopt as API client")
    button = gettext_lazy("Adopt")
    says = gettext_lazy(
        "The application comes under management as it is, with its user and the token that lives longest. "
        "What is adopted again has the rights that its user has by now agreed to."
    )
    permission = "provision"
    form_class = forms.AdoptForm

    def suits(self, subject: Subject) -> bool:
        return subject.application is not None

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        return api.adopt(
            form.name_for(subject),
            client_id=subject.application.client_id,
            **form.given("contact", "purpose"),
            **request,
        )


PAGES: tuple[type[Page], ...] = (ProvisionPage, RotatePage, RevokePage, RetirePage, AdoptPage)
