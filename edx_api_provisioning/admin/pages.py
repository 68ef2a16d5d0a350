"""Serve the pages that change API clients: a form, a preview, and a POST that runs in one transaction.

Their URLs are below the admin of API clients. Buttons and actions elsewhere link to them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.clickjacking import xframe_options_deny
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from edx_api_provisioning import api
from edx_api_provisioning.admin import credentials_page, forms
from edx_api_provisioning.admin.selection import Subject, selected
from edx_api_provisioning.core.error_reports import hide_credentials
from edx_api_provisioning.core.exceptions import AlreadyDone, Conflict, NotAllowed, NotTold, ProvisioningError
from edx_api_provisioning.core.secrets import scrub_tracebacks
from edx_api_provisioning.data import Credentials, Plan, Status
from edx_api_provisioning.models import ApiClient

TEMPLATES = "edx_api_provisioning/admin"


def admin_url(site: AdminSite, name: str, *arguments: Any, **query: Any) -> str:
    """Return the URL of an admin page on this site, of several; ``name`` is a URL name such as ``index``."""
    url = reverse(f"admin:{name}", args=arguments, current_app=site.name)
    return url + (f"?{urlencode(query, doseq=True)}" if query else "")


def page_url(site: AdminSite, page: type[Page], **query: Any) -> str:
    """Return the URL of a page; ``query`` names its subjects."""
    return admin_url(site, f"edx_api_provisioning_apiclient_{page.slug}", **query)


def may(request: HttpRequest, permission: str) -> bool:
    """Return True if the person has this permission for API clients."""
    return request.user.has_perm(f"edx_api_provisioning.{permission}_apiclient")


class Page:
    """A request for a page; subclasses call one service function."""

    slug: ClassVar[str]
    title: Any
    button: ClassVar[Any]
    says: Any
    permission: ClassVar[str]
    form_class: ClassVar[type[forms.PageForm]]
    takes: ClassVar[tuple[str, ...]] = ("client", "application")
    """The parts of a subject of which one is enough for the page to act on it."""
    needs_subjects = True
    dangerous = False

    def __init__(self, model_admin: ModelAdmin[Any], request: HttpRequest) -> None:
        self.model_admin, self.request, self.site = model_admin, request, model_admin.admin_site
        self.authority = api.person_of(request, "admin")
        self.subjects = selected(request)
        # The subject at fault when a service function raises.
        self.subject: Subject | None = None

    @classmethod
    def view(cls, model_admin: ModelAdmin[Any]) -> Callable[[HttpRequest], HttpResponse]:
        """Return the view function of the page."""

        @require_http_methods(["GET", "HEAD", "POST"])
        @xframe_options_deny
        @sensitive_variables()
        def respond(request: HttpRequest) -> HttpResponse:
            hide_credentials(request)
            if not may(request, cls.permission):
                raise PermissionDenied
            return cls(model_admin, request).respond()

        return respond

    def respond(self) -> HttpResponse:
        """Answer the request of a person who has the permission of the page."""
        if not all(any(getattr(subject, part) is not None for part in self.takes) for subject in self.subjects):
            raise Http404
        if any(subject.client is None for subject in self.subjects) and not may(self.request, "provision"):
            raise PermissionDenied  # It has to be adopted first.
        if any(subject.client is not None for subject in self.subjects) and not may(self.request, "view"):
            raise PermissionDenied
        if self.needs_subjects and not self.subjects:
            return redirect(self.way_back([]))
        if self.request.method != "POST":
            return self.ask(self.form(initial=self.initial()))
        form = self.form(self.request.POST)
        try:
            return self.answer(form)
        except AlreadyDone:
            return self.render("done.html", title=_("Already done"), status=409)
        except ProvisioningError as error:
            if isinstance(error, (NotAllowed, NotTold)):
                api.record_refusal(form.name_for(self.subject), str(error), authority=self.authority)
            form.explain(error, self.subject)
            return self.ask(form)

    def initial(self) -> dict[str, Any]:
        """Return the initial values of the form."""
        return {}

    def form(self, *args: Any, **kwargs: Any) -> Any:
        """Return the form, bound or unbound."""
        return self.form_class(*args, subjects=self.subjects, **kwargs)

    def ask(self, form: forms.PageForm) -> HttpResponse:
        """Show the form."""
        return self.render("form.html", form=form, adminform=form.in_admin_dress(), page=self)

    def answer(self, form: Any) -> HttpResponse:
        """Carry out the form if it is valid, and show the result."""
        if not form.is_valid():
            return self.ask(form)
        with transaction.atomic(using=router.db_for_write(ApiClient)):
            api.require_new(f"{form.cleaned_data['request_id'].hex}-0")
            if form.cleaned_data["version"] != forms.versions(self.subjects, lock=True) or not self.is_as_planned(form):
                raise Conflict(_("the client or its user has changed since you opened this page. Open it again."))
            # Render inside the transaction: credentials that cannot be shown are rolled back.
            return self.finish(self.each(lambda subject, number: self.change(form, subject, number)))

    def is_as_planned(self, form: Any) -> bool:
        """Return True if the clients that are named in the form are those of the preview."""
        return True

    def each(self, do: Callable[[Any, int], Any]) -> list[Any]:
        """Call ``do`` with each subject and its number, and return the results."""
        results = []
        for number, subject in enumerate(self.subjects or [None]):
            self.subject = subject
            results.append(do(subject, number))
        self.subject = None
        return results

    def change(self, form: forms.PageForm, subject: Any, number: int) -> Credentials:
        """Carry out the form for one subject, and add it to Django's admin log."""
        reason = form.cleaned_data["reason"]
        request_id = f"{form.cleaned_data['request_id'].hex}-{number}"
        credentials = self.carry_out(
            form, subject, {"authority": self.authority, "reason": reason, "request_id": request_id}
        )
        self.log(credentials, reason)
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
    def finish(self, done: list[Credentials]) -> HttpResponse:
        """Show the credentials, once; without any, go back with a message."""
        way_back = self.way_back([credentials.name for credentials in done])
        if any(credentials.issued for credentials in done):
            shown = [api.without_address(credentials, self.authority) for credentials in done]
            response = self.render("credentials.html", **credentials_page.context(shown), way_back=way_back)
            return credentials_page.protect(response)
        for credentials in done:
            # Django capitalizes the first letter of a message, which must not be that of a name.
            words = {"name": credentials.name, "changes": " ".join(credentials.changes) or _("No changes.")}
            level = messages.SUCCESS if credentials.changes else messages.INFO
            self.model_admin.message_user(self.request, _("API client %(name)s: %(changes)s") % words, level)
        return redirect(way_back)

    def way_back(self, names: list[str]) -> str:
        """Return the URL of the one client, of the list, or of the index if the person may view neither."""
        if not self.model_admin.has_view_permission(self.request):
            return admin_url(self.site, "index")
        clients = ApiClient.objects.filter(name__in=names)
        if len(clients) == 1:
            return admin_url(self.site, "edx_api_provisioning_apiclient_change", clients[0].pk)
        return admin_url(self.site, "edx_api_provisioning_apiclient_changelist")

    def render(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """Render a template of the page."""
        self.request.current_app = self.site.name
        context = {
            **self.site.each_context(self.request),
            "opts": ApiClient._meta,
            "title": self.title,
            "subjects": self.subjects,
            "client": self.subjects[0].client if len(self.subjects) == 1 else None,
            "has_view_permission": self.model_admin.has_view_permission(self.request),
            "way_back": self.way_back([subject.client.name for subject in self.subjects if subject.client]),
            "media": self.model_admin.media,
            **context,
        }
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
    takes = ("client", "user")
    needs_subjects = False

    def form(self, *args: Any, **kwargs: Any) -> Any:
        """Return the form for a new client, an existing one, or users."""
        form_class: type[forms.PageForm] = forms.AccountsForm if self.subjects else forms.NewClientForm
        if any(subject.client is not None for subject in self.subjects):
            if len(self.subjects) > 1:
                raise Http404  # The form shows the values of one client.
            form_class = forms.AgainForm
            self.title = _("Change or complete API client")
            self.says = _("Creates what the client lacks and changes the values that you enter. A preview comes first.")
        return form_class(*args, subjects=self.subjects, **kwargs)

    def answer(self, form: Any) -> HttpResponse:
        """Show the preview, or carry out the confirmed form."""
        if "_confirm" in self.request.POST:
            return super().answer(form)
        form.full_clean()
        plans = [] if "_edit" in self.request.POST else self.each(lambda subject, _number: self.plan(form, subject))
        if form.errors or not plans:
            return self.ask(form)
        return self.render(
            "preview.html",
            title=_("Preview"),
            confirm=_("Carry out") if isinstance(form, forms.AgainForm) else _("Provision"),
            form=form,
            previews=[(plan, api.excess_rights(plan)) for plan in plans],
            # Another one than the form's, which a person may go back to for another client.
            request_id=uuid.uuid4(),
            planned=self.planned(form),
            nothing=not any(plan.steps for plan in plans),
        )

    def plan(self, form: Any, subject: Subject | None) -> Plan:
        """Return the plan. A wrong field is left out and explained, so that the form shows all wrong fields at once."""
        while True:
            try:
                return api.plan_client(form.spec(subject), authority=self.authority, new=self.only_new(subject))
            except ProvisioningError as error:
                if error.field not in form.cleaned_data:
                    raise
                form.explain(error, subject)

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        """Provision the client."""
        return api.provision(form.spec(subject), new=self.only_new(subject), **request)

    def is_as_planned(self, form: Any) -> bool:
        """Return True if nobody made or changed a client of a typed name since the preview."""
        return self.request.POST.get("planned", "") == self.planned(form, lock=True)

    def planned(self, form: Any, *, lock: bool = False) -> str:
        """Return the versions of the clients whose names are typed into the form, and may be those of existing ones."""
        subjects: list[Any] = [*self.subjects] or [None]
        typed = [subject for subject in subjects if subject is None or subject.client is None]
        named = [form.name_for(subject) for subject in typed if not self.only_new(subject)]
        found = api.versions(named, lock=lock)
        return " ".join(f"{name}={found[name]}" for name in sorted(found))

    def only_new(self, subject: Subject | None) -> bool:
        """Return True if the name may not be that of a client that exists: its values would be shown."""
        return (subject is None or subject.client is None) and not may(self.request, "view")


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
        return api.rotate(name, **form.given("token", "secret", "expires_in", "expires_at", "grace"), **request)


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
    takes = ("application",)

    def carry_out(self, form: Any, subject: Any, request: dict[str, Any]) -> Credentials:
        """Adopt the application."""
        values = form.given("contact", "purpose")
        return api.adopt(form.name_for(subject), client_id=subject.application.client_id, **values, **request)


PAGES: tuple[type[Page], ...] = (ProvisionPage, RotatePage, RevokePage, RetirePage, AdoptPage)
