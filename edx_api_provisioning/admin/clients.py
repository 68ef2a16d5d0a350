"""List and show API clients and their events, read-only. The pages change them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.forms import CheckboxInput
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from edx_api_provisioning import api
from edx_api_provisioning.admin.base import TEMPLATES, ReadOnly, lines
from edx_api_provisioning.admin.extensions import redirect_to
from edx_api_provisioning.admin.pages import (
    PAGES,
    AdoptPage,
    ProvisionPage,
    RetirePage,
    RevokePage,
    RotatePage,
    may,
    page_url,
)
from edx_api_provisioning.core.options import FLAG, STORED, Option
from edx_api_provisioning.data import ISSUE_MEANINGS, ClientSummary, Issue
from edx_api_provisioning.models import ApiClient, ApiClientEvent

if TYPE_CHECKING:
    _EventBase = admin.ModelAdmin[ApiClientEvent]
else:
    _EventBase = admin.ModelAdmin


_USERNAME = f"user__{get_user_model().USERNAME_FIELD}"


class ApiClientEventAdmin(ReadOnly, _EventBase):
    """The history of all clients, deleted ones included."""

    list_display = ("created", "client_name", "kind", "actor", "reason")
    list_filter = ("kind",)
    search_fields = ("client_name", "actor")
    date_hierarchy = None
    show_full_result_count = False
    change_list_template = f"{TEMPLATES}/client_list.html"
    change_form_template = f"{TEMPLATES}/event.html"
    fields = ("created", "client_name", "kind", "actor", "reason", "particulars")
    readonly_fields = ("particulars",)

    class Media:
        css: ClassVar[Any] = {"all": ("edx_api_provisioning/admin.css",)}

    actions = None

    @admin.display(description=gettext_lazy("details"))
    def particulars(self, event: Any) -> Any:
        """Return the details, one per line."""
        return lines(f"{key}: {_plain(value)}" for key, value in event.details.items() if value)


def _plain(value: Any) -> str:
    return _("yes") if value is True else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


if TYPE_CHECKING:
    _ClientBase = admin.ModelAdmin[ApiClient]
else:
    _ClientBase = admin.ModelAdmin

_SOON = timedelta(days=30)
_EVENTS = 200
_FEW = 3


_labelled = lazy(format_html, SafeString)
_TOGGLE = '<input type="checkbox" id="action-toggle" aria-label="{}">'


class ExpiryFilter(admin.SimpleListFilter):
    """Filter by the expiry of the current access token.

    There is no filter for unused tokens: django-oauth-toolkit does not store when a token was used.
    """

    title = gettext_lazy("next expiry")
    parameter_name = "expires"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Return the choices of the filter."""
        return [
            ("soon", _("expires within 30 days")),
            ("expired", _("expired")),
            ("later", _("expires later")),
            ("none", _("no access token")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the clients of the chosen period."""
        now = datetime.now(UTC)
        wanted: dict[str | None, dict[str, Any]] = {
            "soon": {"ends__gt": now, "ends__lte": now + _SOON},
            "expired": {"ends__lte": now},
            "later": {"ends__gt": now + _SOON},
            "none": {"ends__isnull": True},
        }
        return queryset.filter(**wanted.get(self.value(), {}))


def _action(page: type, permission: str) -> Any:
    @admin.action(description=page.title, permissions=[permission])  # type: ignore[attr-defined]
    def act(_model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        return redirect_to(request, page, "client", queryset)

    act.__name__ = f"api_client_{page.slug}"  # type: ignore[attr-defined]
    return act


def _column(description: Any, value: Callable[[Any], Any], ordering: str | None = None) -> Callable[[Any, Any], Any]:
    """Return a method that shows a value of a client, or a dash for None and empty text."""

    @admin.display(description=description, ordering=ordering)
    def shown(_model_admin: Any, client: Any) -> Any:
        found = value(client)
        return "-" if found in (None, "") else found

    return shown


def _stored(option: Option) -> Callable[[Any], Any]:
    """Return a function that shows a field which the registry stores as it is, or a dash for empty text."""

    @admin.display(description=gettext_lazy(option.label), ordering=option.name, boolean=option.kind == FLAG or None)
    def shown(client: Any) -> Any:
        found = getattr(client, option.name)
        return "-" if found == "" else found

    shown.__name__ = option.name
    return shown


_STORED = tuple(_stored(option) for option in STORED.values())


class ApiClientAdmin(ReadOnly, _ClientBase):
    """List and show API clients; the pages change them."""

    # The columns that may call for action come first, as a narrow window cuts off the last ones.
    list_display = ("name", "username", "rights", "state", "expires", "issues", _stored(STORED["contact"]), "issued")
    list_filter = ("state", ExpiryFilter)
    search_fields = ("name", "contact", _USERNAME)

    show_full_result_count = False
    list_per_page = 50
    actions = tuple(_action(page, page.permission) for page in (RotatePage, RevokePage, RetirePage))
    change_list_template = f"{TEMPLATES}/client_list.html"
    change_form_template = f"{TEMPLATES}/client.html"
    object_history_template = f"{TEMPLATES}/history.html"
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("name", "state", "issues", *_STORED)}),
        (
            gettext_lazy("Service user"),
            {"fields": ("user_link", "all_rights", "excess", "user_made")},
        ),
        (gettext_lazy("Application"), {"fields": ("application_link", "client_id", "secret_issued", "grace")}),
        (gettext_lazy("Access token"), {"fields": ("ends", "scopes", "token_issued", "tokens")}),
        (gettext_lazy("Dates"), {"fields": ("created", "updated")}),
    )
    # Without the permission to change, Django shows every field read-only.
    readonly_fields: ClassVar[Any] = (
        "issues", *_STORED, "user_link", "all_rights", "excess", "application_link",
        "client_id", "grace", "ends", "scopes", "tokens",
    )  # fmt: skip

    class Media:
        css: ClassVar[Any] = {"all": ("edx_api_provisioning/admin.css",)}
        js = ("edx_api_provisioning/admin.js",)

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
            for page in PAGES
        ]
        return [*ours, *super().get_urls()]

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        """Return True if the person may rotate clients."""
        return may(request, "rotate")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Return True if the person may revoke clients."""
        return may(request, "revoke")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Add a button to the list."""
        tools = [(page_url(ProvisionPage), ProvisionPage.title)] if may(request, "provision") else []
        return super().changelist_view(request, {**(extra_context or {}), "api_client_tools": tools})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the buttons of a client."""
        client = context["original"]
        context["api_client_tools"] = [
            (page_url(page, f"client={client.pk}"), title)
            for page, title in self._tools(client)
            if may(request, page.permission)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def _tools(self, client: Any) -> list[tuple[Any, Any]]:
        if client.state == ApiClient.State.RETIRED:
            return []
        again = {Issue.USER_PROMOTED, Issue.USER_DEMOTED} & set(_summary(client).issues)
        return [
            (RotatePage, _("Rotate")),
            (RevokePage, _("Revoke all tokens")),
            (RetirePage, _("Retire")),
            (ProvisionPage, _("Change or complete")),
            *([(AdoptPage, _("Adopt again"))] if again else []),
        ]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        """Add the events of the client."""
        number = int(object_id) if object_id.isdecimal() else None
        events = ApiClientEvent.objects.filter(client=number)[:_EVENTS]
        context = {"events": events, **(extra_context or {})}
        return super().history_view(request, object_id, context)

    # The check boxes of Django 4.2 have no labels.
    @admin.display(description=_labelled(_TOGGLE, gettext_lazy("Select all")))
    def action_checkbox(self, client: Any) -> Any:
        """Return a check box with a label."""
        box = CheckboxInput({"class": "action-select", "aria-label": _("Select %s") % client}, lambda _value: False)
        return box.render(ACTION_CHECKBOX_NAME, str(client.pk))

    username = _column(
        gettext_lazy("username"), lambda client: client.user and client.user.get_username(), ordering=_USERNAME
    )
    rights = _column(gettext_lazy("rights"), lambda client: _few_rights(client))
    all_rights = _column(gettext_lazy("rights"), lambda client: _all_rights(client))
    excess = _column(gettext_lazy("rights beyond the declared ones"), lambda client: _excess(client))
    issued = _column(
        gettext_lazy("last issued"), lambda client: _day(_summary(client).last_issued), ordering="token_issued"
    )
    expires = _column(
        gettext_lazy("next expiry"),
        lambda client: _day(_summary(client).expires_at),
        ordering="access_token__expires",
    )
    ends = _column(gettext_lazy("expires"), lambda client: _moment(_summary(client).expires_at))
    issues = _column(gettext_lazy("issues"), lambda client: _issues(client))
    user_link = _column(gettext_lazy("user"), lambda client: _link(client.user))
    application_link = _column(gettext_lazy("application"), lambda client: _link(client.application))
    client_id = _column(gettext_lazy("client id"), lambda client: _summary(client).client_id)
    grace = _column(gettext_lazy("grace period"), lambda client: _grace_period(client))
    scopes = _column(gettext_lazy("scopes"), lambda client: " ".join(_summary(client).scopes))
    tokens = _column(gettext_lazy("tokens in the database"), lambda client: _summary(client).tokens)


def _summary(client: Any) -> ClientSummary:
    """Return the summary of a row, computed once."""
    if not hasattr(client, "_summary"):
        client._summary = api.summary(client, datetime.now(UTC))
    summary: ClientSummary = client._summary
    return summary


def _day(instant: datetime | None) -> str:
    return date_format(localtime(instant), "DATE_FORMAT") if instant else "-"


def _moment(instant: datetime | None) -> str:
    return date_format(localtime(instant), "DATETIME_FORMAT") if instant else "-"


def _link(row: Any) -> Any:
    """Return the name of a row, linked to its admin page if it has one."""
    if row is None:
        return "-"
    if row._meta.model not in admin.site._registry:
        return str(row)
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, row)


def _few_rights(client: Any) -> Any:
    """Return flags and declared rights, which need no query for each client."""
    summary = _summary(client)
    flags = [_("superuser")] if summary.is_superuser else [_("staff")] if summary.is_staff else []
    declared = [_("profile %s") % client.profile] if client.profile else client.declared_rights
    return lines([*flags, *declared[:_FEW], *(["…"] if len(declared) > _FEW else [])])


def _all_rights(client: Any) -> Any:
    return lines(api.rights_of_account(client.user, client.application))


def _excess(client: Any) -> Any:
    found = [summary.excess for summary in api.list_clients(name=client.name, overprivileged=True)]
    return lines(found[0] if found else ())


def _issues(client: Any) -> Any:
    return lines(ISSUE_MEANINGS[Issue(issue)] for issue in _summary(client).issues)


def _grace_period(client: Any) -> str | None:
    if client.predecessor_id is None:
        return None
    return _("the previous application works until %s") % _moment(client.predecessor_ends)
