"""List and show API clients and their events, read-only. The pages change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.forms import CheckboxInput
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.formats import date_format
from django.utils.functional import lazy
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from edx_api_provisioning import api
from edx_api_provisioning.admin import pages
from edx_api_provisioning.admin.extensions import extend, provision_tool
from edx_api_provisioning.admin.overview import FILTERS, overview
from edx_api_provisioning.core.options import FLAG, STORED
from edx_api_provisioning.data import ISSUE_MEANINGS, ClientSummary, Issue
from edx_api_provisioning.models import ApiClient, ApiClientEvent

_EVENTS = 200
_FEW = 3
_USERNAME = f"user__{get_user_model().USERNAME_FIELD}"


def _lines(texts: Iterable[Any]) -> Any:
    """Return texts as HTML, one per line, or a dash."""
    return format_html_join("\n", "<div>{}</div>", ((text,) for text in texts)) or "-"


def _no(*_arguments: Any) -> bool:
    return False


class _ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    has_add_permission = has_change_permission = has_delete_permission = _no  # type: ignore[assignment]
    show_full_result_count = False
    change_list_template = f"{pages.TEMPLATES}/client_list.html"

    class Media:
        css: ClassVar[Any] = {"all": ("edx_api_provisioning/admin.css",)}
        js = ("edx_api_provisioning/admin.js",)


class ApiClientEventAdmin(_ReadOnly):
    """The history of all clients, deleted ones included."""

    list_display = ("created", "client_name", "kind", "actor", "reason")
    list_filter = ("kind",)
    search_fields = ("client_name", "actor")
    change_form_template = f"{pages.TEMPLATES}/event.html"
    fields = ("created", "client_name", "kind", "actor", "reason", "particulars")
    actions = None

    @admin.display(description=gettext_lazy("details"))
    def particulars(self, event: Any) -> Any:
        """Return the details, one per line."""
        return _lines(f"{key}: {_plain(value)}" for key, value in event.details.items() if value)


def _plain(value: Any) -> str:
    return _("yes") if value is True else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


_labelled = lazy(format_html, SafeString)
_TOGGLE = '<input type="checkbox" id="action-toggle" aria-label="{}">'


def _column(
    name: str,
    description: Any,
    value: Callable[[Any], Any],
    ordering: str | None = None,
    *,
    boolean: bool | None = None,
) -> Callable[[Any], Any]:
    """Return a function that shows a value of a client, or a dash for None and empty text."""

    @admin.display(description=description, ordering=ordering, boolean=boolean)
    def shown(client: Any) -> Any:
        found = value(client)
        return "-" if found in (None, "") else found

    shown.__name__ = name
    return shown


def _summary(client: Any) -> ClientSummary:
    """Return the summary of a row, computed once."""
    if not hasattr(client, "_summary"):
        client._summary = api.summary(client, datetime.now(UTC))
    summary: ClientSummary = client._summary
    return summary


def _date(instant: datetime | None, format: str = "DATE_FORMAT") -> str:
    return date_format(localtime(instant), format) if instant else "-"


def _few_rights(client: Any) -> Any:
    """Return flags and declared rights, which need no query for each client."""
    summary = _summary(client)
    flags = [_("superuser")] if summary.is_superuser else [_("staff")] if summary.is_staff else []
    declared = [_("profile %s") % client.profile] if client.profile else client.declared_rights
    return _lines([*flags, *declared[:_FEW], *(["…"] if len(declared) > _FEW else [])])


def _excess(client: Any) -> Any:
    return _lines(right for each in api.list_clients(name=client.name, overprivileged=True) for right in each.excess)


def _grace_period(client: Any) -> str | None:
    if client.predecessor_id is None:
        return None
    return _("the previous application works until %s") % _date(client.predecessor_ends, "DATETIME_FORMAT")


_USER_COLUMN = _column(
    "username", gettext_lazy("username"), lambda client: client.user and client.user.get_username(), _USERNAME
)
_RIGHTS = _column("rights", gettext_lazy("rights"), _few_rights)
_ALL_RIGHTS = _column(
    "all_rights",
    gettext_lazy("rights"),
    lambda client: _lines(api.rights_of_account(client.user, client.application)),
)
_EXCESS = _column("excess", gettext_lazy("rights beyond the declared ones"), _excess)
_ISSUED = _column(
    "issued", gettext_lazy("last issued"), lambda client: _date(_summary(client).last_issued), "token_issued"
)
_USED = _column("used", gettext_lazy("last used"), lambda client: _date(_summary(client).last_used), "last_used")
_EXPIRES = _column(
    "expires", gettext_lazy("next expiry"), lambda client: _date(_summary(client).expires_at), "access_token__expires"
)
_ENDS = _column("ends", gettext_lazy("expires"), lambda client: _date(_summary(client).expires_at, "DATETIME_FORMAT"))
_ISSUES = _column(
    "issues",
    gettext_lazy("issues"),
    lambda client: _lines(ISSUE_MEANINGS[Issue(issue)] for issue in _summary(client).issues),
)
_CLIENT_ID = _column("client_id", gettext_lazy("client id"), lambda client: _summary(client).client_id)
_GRACE = _column("grace", gettext_lazy("grace period"), _grace_period)
_SCOPES = _column("scopes", gettext_lazy("scopes"), lambda client: " ".join(_summary(client).scopes))
_TOKENS = _column("tokens", gettext_lazy("tokens in the database"), lambda client: _summary(client).tokens)
_STORED = {
    name: _column(name, gettext_lazy(option.label), attrgetter(name), name, boolean=option.kind == FLAG or None)
    for name, option in STORED.items()
}


class ApiClientAdmin(_ReadOnly):
    """List and show API clients; the pages change them."""

    # The columns that may call for action come first, as a narrow window cuts off the last ones.
    list_display = (
        "name", _USER_COLUMN, _RIGHTS, "state", _EXPIRES, _ISSUES, _USED, _STORED["contact"], _ISSUED,
    )  # fmt: skip
    list_filter = ("state", *FILTERS)
    search_fields = ("name", "contact", _USERNAME)
    list_per_page = 50
    change_form_template = f"{pages.TEMPLATES}/client.html"
    object_history_template = f"{pages.TEMPLATES}/history.html"
    # Without the permission to change, Django shows every field read-only.
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("name", "state", _ISSUES, *_STORED.values())}),
        (gettext_lazy("Service user"), {"fields": ("user_link", _ALL_RIGHTS, _EXCESS, "user_made")}),
        (gettext_lazy("Application"), {"fields": ("application_link", _CLIENT_ID, "secret_issued", _GRACE, _USED)}),
        (gettext_lazy("Access token"), {"fields": (_ENDS, _SCOPES, "token_issued", _TOKENS)}),
        (gettext_lazy("Dates"), {"fields": ("created", "updated")}),
    )

    def __init__(self, model: Any, admin_site: admin.AdminSite) -> None:
        """Extend the other admin classes of the site."""
        super().__init__(model, admin_site)
        extend(admin_site)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the clients with the facts that the list shows."""
        return api.with_facts(super().get_queryset(request))

    def get_urls(self) -> list[URLPattern]:
        """Add the URLs of the pages."""
        ours = [
            path(
                f"{page.slug}/",
                self.admin_site.admin_view(page.view(self)),
                name=f"edx_api_provisioning_apiclient_{page.slug}",
            )
            for page in pages.PAGES
        ]
        return [*ours, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Add a button and an overview to the list."""
        shown: dict[str, Any] = {"api_client_tools": provision_tool(self.admin_site, request)}
        if self.has_view_permission(request):
            shown["overview"] = overview(self.admin_site, request)
        return super().changelist_view(request, {**(extra_context or {}), **shown})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the buttons of a client."""
        client = context["original"]
        context["api_client_tools"] = [
            (pages.page_url(self.admin_site, page, client=client.pk), title)
            for page, title in _tools(client)
            if pages.may(request, page.permission)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        """Add the events of the client."""
        number = int(object_id) if object_id.isdecimal() else None
        events = ApiClientEvent.objects.filter(client=number)[:_EVENTS]
        return super().history_view(request, object_id, {"events": events, **(extra_context or {})})

    # The check boxes of Django 4.2 have no labels.
    @admin.display(description=_labelled(_TOGGLE, gettext_lazy("Select all")))
    def action_checkbox(self, client: Any) -> Any:
        """Return a check box with a label."""
        box = CheckboxInput({"class": "action-select", "aria-label": _("Select %s") % client}, lambda _value: False)
        return box.render(ACTION_CHECKBOX_NAME, str(client.pk))

    @admin.display(description=gettext_lazy("user"))
    def user_link(self, client: Any) -> Any:
        """Return the service user, linked to its page."""
        return self._link(client.user)

    @admin.display(description=gettext_lazy("application"))
    def application_link(self, client: Any) -> Any:
        """Return the application, linked to its page."""
        return self._link(client.application)

    def _link(self, row: Any) -> Any:
        if row is None or row._meta.model not in self.admin_site._registry:
            return "-" if row is None else str(row)
        url = pages.admin_url(self.admin_site, f"{row._meta.app_label}_{row._meta.model_name}_change", row.pk)
        return format_html('<a href="{}">{}</a>', url, row)


def _tools(client: Any) -> list[tuple[Any, Any]]:
    """Return the pages that act on a client, with the labels of their buttons."""
    if client.state == ApiClient.State.RETIRED:
        return []
    again = {Issue.USER_PROMOTED, Issue.USER_DEMOTED} & set(_summary(client).issues)
    return [
        (pages.RotatePage, _("Rotate")),
        (pages.RevokePage, _("Revoke all tokens")),
        (pages.RetirePage, _("Retire")),
        (pages.ProvisionPage, _("Change or complete")),
        *([(pages.AdoptPage, _("Adopt again"))] if again else []),
    ]
