"""Serve the pages that change API clients: a form, a preview, and a POST that runs in one transaction.

Their URLs are below the admin of API clients. Buttons and actions elsewhere link to them.
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
from django.views.decorators.debug import sensitive_variables

from edx_api_provisioning import api
from edx_api_provisioning.admin import credentials_page, forms
from edx_api_provisioning.admin.base import TEMPLATES
from edx_api_provisioning.admin.selection import Subject, selected
from edx_api_provisioning.core.error_reports import hide_credentials
from edx_api_provisioning.core.exceptions import AlreadyDone, Conflict, NotAllowed, NotTold, ProvisioningError
from edx_api_provisioning.core.secrets import scrub_tracebacks
from edx_api_provisioning.data import Authority, Credentials, Status
from edx_api_provisioning.models import ApiClient


def page_url(page: type[Page], query: str = "") -> str:
    """Return the URL of a page; ``query`` names its subjects."""
    return reverse(f"admin:edx_api_provisioning_apiclient_{page.slug}") + (f"?{query}" if query else "")


def may(request: HttpRequest, permission: str) -> bool:
    """Return True if the person has this permission for API clients."""
    return request.user.has_perm(f"edx_api_provisioning.{permission}_apiclient")


class _Refused(Exception):
    """A service rejected the request for one subject."""

    def __init__(self, error: ProvisioningError, subject: Subject | None) -> None:
        self.error, self.subject = error, subject


class Page:
    """A request for a page; subclasses call one service function."""

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
        return api.person_of(self.request, "admin")

    @classmethod
    def view(cls, model_admin: ModelAdmin[Any]) -> Callable[[HttpRequest], HttpResponse]:
        """Return the view function of the page."""

        @xframe_options_deny
        @sensitive_variables()
        def respond(request: HttpRequest) -> HttpResponse:
            hide_credentials(request)
            return cls(model_admin, request).respond()

        return respond

    def respond(self) -> HttpResponse:
        """Check permissions and answer the request."""
        if not may(self.request, self.permission):
            raise PermissionDenied
        self.subjects = selected(self.request)
        if not all(self.suits(subject) for subject in self.subjects):
            raise Http404
        if any(subject.client is None for subject in self.subjects) and not may(self.request, "provision"):
            raise PermissionDenied  # It has to be adopted first.
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
            return self.render("done.html", {"title": _("Already done")}, status=409)
        except _Refused as refused:
            named = form.cleaned_data.get("name") if refused.subject is None else form.name_for(refused.subject)
            self.record(refused.error, named or "")
            form.explain(refused.error, refused.subject)
        except ProvisioningError as error:
            form.explain(error)
        return self.ask(form)

    def record(self, error: ProvisioningError, name: str) -> None:
        """Add to the history that something was refused for lack of rights."""
        if isinstance(error, (NotAllowed, NotTold)):
            api.record_refusal(name, str(error), authority=self.authority)

    def suits(self, subject: Subject) -> bool:
        """Return True if the page can act on a subject."""
        return subject.client is not None or subject.application is not None

    def initial(self) -> dict[str, Any]:
        """Return the initial values of the form."""
        return {}

    def form(self, *args: Any, **kwargs: Any) -> Any:
        """Return the form, bound or unbound."""
        return self.form_class(*args, subjects=self.subjects, **kwargs)

    def ask(self, form: forms.PageForm) -> HttpResponse:
        """Show the form."""
        context = {"form": form, "adminform": form.in_admin_dress(), "button": self.button, "says": self.says}
        return self.render("form.html", {**context, "dangerous": self.dangerous})

    def answer(self, form: Any) -> HttpResponse:
        """Carry out a valid form and show the result."""
        with transaction.atomic(using=router.db_for_write(ApiClient)):
            api.require_new(f"{form.cleaned_data['request_id'].hex}-0")
            if form.cleaned_data["version"] != forms.versions(self.subjects, lock=True):
                raise Conflict(_("the client or its user has changed since you opened this page. Open it again."))
            done = self.each(lambda subject, number: self._recorded(form, subject, number))
            # Render inside the transaction: credentials that cannot be shown are rolled back.
            return self.show(done) if any(credentials.issued for credentials in done) else self.leave(done)

    def each(self, do: Callable[[Any, int], Any]) -> list[Any]:
        """Call ``do`` with each subject and its number, and return the results.

        Raises:
            _Refused: if a call was rejected.
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
        """Add an entry to Django's admin log. The service has recorded the event."""
        client = ApiClient.objects.filter(name=credentials.name).first()
        if client is None or not credentials.changes:
            return
        log = self.model_admin.log_addition if credentials.status is Status.CREATED else self.model_admin.log_change
        log(self.request, client, " ".join([*credentials.changes, *([_("Reason: %s") % reason] if reason else [])]))

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        """Call the service function for one subject.

        Args:
            form: the valid form.
            subject: a Subject, or None.
            request: keyword arguments for the service: authority, reason, request id.
        """
        raise NotImplementedError

    def adopt(self, form: forms.PageForm, subject: Subject, request: dict[str, Any]) -> str:
        """Return the name of a subject's client, after adopting an unmanaged application."""
        name = form.name_for(subject)
        if subject.client is None:
            # The request id is for the operation that follows.
            first = {**request, "request_id": None}
            self.log(api.adopt(name, client_id=subject.application.client_id, **first), request["reason"])
        return name

    @scrub_tracebacks()
    def show(self, done: list[Credentials]) -> HttpResponse:
        """Show the credentials, once."""
        way_back = self.way_back([credentials.name for credentials in done])
        response = self.render("credentials.html", {**credentials_page.context(done), "way_back": way_back})
        return credentials_page.protect(response)

    def leave(self, done: list[Credentials]) -> HttpResponse:
        """Redirect to the client with a message, as there is no secret to show."""
        for credentials in done:
            text = " ".join(credentials.changes) or _("No changes.")
            level = messages.SUCCESS if credentials.changes else messages.INFO
            self.model_admin.message_user(self.request, f"{credentials.name}: {text}", level)
        return redirect(self.way_back([credentials.name for credentials in done]))

    def way_back(self, names: list[str]) -> str:
        """Return the URL of the one client, of the list, or of the index if the person may view neither."""
        if not self.model_admin.has_view_permission(self.request):
            return reverse("admin:index")
        clients = ApiClient.objects.filter(name__in=names)
        if len(clients) == 1:
            return reverse("admin:edx_api_provisioning_apiclient_change", args=[clients[0].pk])
        return reverse("admin:edx_api_provisioning_apiclient_changelist")

    def context(self) -> dict[str, Any]:
        """Return the template context of every page."""
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
        """Render a template of the page."""
        self.request.current_app = self.model_admin.admin_site.name
        context = {**self.context(), **context}
        return TemplateResponse(self.request, f"{TEMPLATES}/{template}", context, status=status).render()


class ProvisionPage(Page):
    """Provision one client, or one for each selected account, after a preview."""

    slug = "provision"
    title: Any = gettext_lazy("Provision API client")
    button = gettext_lazy("Preview")
    says: Any = gettext_lazy(
        "An API client is a service user, an application with client id and secret, and an access token. "
        "A preview shows the changes first."
    )
    permission = "provision"
    needs_subjects = False

    def ask(self, form: forms.PageForm) -> HttpResponse:
        """Show the form, titled for a new or an existing client."""
        if isinstance(form, forms.AgainForm):
            self.title = _("Change or complete API client")
            self.says = _("Creates what the client lacks and changes the values that you enter. A preview comes first.")
        return super().ask(form)

    def suits(self, subject: Subject) -> bool:
        """Return True for clients and users."""
        return subject.client is not None or subject.user is not None

    def form(self, *args: Any, **kwargs: Any) -> Any:
        """Return the form for a new client, an existing one, or users."""
        clients = [subject for subject in self.subjects if subject.client is not None]
        if clients and len(self.subjects) > 1:
            raise Http404  # The form shows the values of one client.
        form_class = forms.AgainForm if clients else forms.AccountsForm if self.subjects else forms.NewClientForm
        return form_class(*args, subjects=self.subjects, **kwargs)

    def answer(self, form: Any) -> HttpResponse:
        """Show the preview, or carry out the confirmed form."""
        if "_edit" in self.request.POST:
            return self.ask(form)
        if "_confirm" in self.request.POST:
            return super().answer(form)
        previews = self.each(lambda subject, _number: self._preview(form.spec(subject)))
        return self.render(
            "preview.html",
            {
                "title": _("Preview"),
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
            "steps": [step.planned for step in plan.steps],
            "warnings": plan.warnings,
            "rights": api.excess_rights(plan),
        }

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        """Provision the client."""
        return api.provision(form.spec(subject), **request)


class RotatePage(Page):
    """Rotate the credentials of each subject."""

    slug = "rotate"
    title = gettext_lazy("Rotate credentials")
    button = gettext_lazy("Rotate")
    says = gettext_lazy(
        "Issues new credentials and shows them once. The old ones stop working at once, or after the grace period."
    )
    permission = "rotate"
    form_class = forms.RotateForm

    def initial(self) -> dict[str, Any]:
        """Preselect the token or the secret, as named by ``what=`` in the query string."""
        what = self.request.GET.get("what")
        return {"token": what != "secret", "secret": what == "secret"}

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        """Rotate the credentials."""
        name = self.adopt(form, subject, request)
        wanted = form.given("token", "secret", "expires_in", "expires_at", "grace")
        return api.rotate(name, **wanted, **request)


class RevokePage(Page):
    """Revoke the tokens of each subject."""

    slug = "revoke"
    title = gettext_lazy("Revoke all tokens")
    button = gettext_lazy("Revoke")
    says = gettext_lazy(
        "Revokes all access tokens of the client now. With its client id and secret it can still get new ones. "
        "To prevent that, retire it."
    )
    permission = "revoke"
    form_class = forms.EndForm
    dangerous = True
    retire = False

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        """Revoke the tokens, and retire the client if the page says so."""
        return api.revoke(self.adopt(form, subject, request), retire=self.retire, **request)


class RetirePage(RevokePage):
    """Retire each subject."""

    slug = "retire"
    title = gettext_lazy("Retire API client")
    button = gettext_lazy("Retire")
    says = gettext_lazy(
        "Revokes all access tokens and the client secret now and permanently. Deactivates the service user if it was "
        "created for this client and has no other application."
    )
    retire = True


class AdoptPage(Page):
    """Adopt each selected application."""

    slug = "adopt"
    title = gettext_lazy("Adopt as API client")
    button = gettext_lazy("Adopt")
    says = gettext_lazy(
        "Adds the application as it is to the API clients, with its user and the token that expires last. "
        "Adopting a client again accepts the current rights of its user."
    )
    permission = "provision"
    form_class = forms.AdoptForm

    def suits(self, subject: Subject) -> bool:
        """Return True for applications."""
        return subject.application is not None

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        """Adopt the application."""
        return api.adopt(
            form.name_for(subject),
            client_id=subject.application.client_id,
            **form.given("contact", "purpose"),
            **request,
        )


PAGES: tuple[type[Page], ...] = (ProvisionPage, RotatePage, RevokePage, RetirePage, AdoptPage)
