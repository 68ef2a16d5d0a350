"""API clients in the admin: to be looked at. What changes them are the pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
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
from edx_api_provisioning.admin.extensions import lead
from edx_api_provisioning.admin.pages import (
    PAGES,
    AdoptPage,
    ProvisionPage,
    RetirePage,
    RevokePage,
    RotatePage,
    address,
    may,
)
from edx_api_provisioning.data import ISSUE_MEANINGS, ClientSummary, Issue
from edx_api_provisioning.models import ApiClient, ApiClientEvent

if TYPE_CHECKING:
    _EventBase = admin.ModelAdmin[ApiClientEvent]
else:
    _EventBase = admin.ModelAdmin


class ApiClientEventAdmin(ReadOnly, _EventBase):
    """The history of all clients, those that were deleted too."""

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

    # No event is selected for anything.
    actions = None

    @admin.display(description=gettext_lazy("details"))
    def particulars(self, event: Any) -> Any:
        """What there is of them, by the names that they are kept under."""
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
    """By the end of the current access token.

    There is none for tokens that were never used: no django-oauth-toolkit keeps when a token was used.
    """

    title = gettext_lazy("next expiry")
    parameter_name = "expires"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("soon", _("expires within 30 days")),
            ("expired", _("expired")),
            ("later", _("expires later")),
            ("none", _("no access token")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
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
        return lead(request, page, "client", queryset)

    act.__name__ = f"api_client_{page.slug}"  # type: ignore[attr-defined]
    return act


class ApiClientAdmin(ReadOnly, _ClientBase):
    # What may ask for something to be done comes first: what is too much for the window is beyond its end.
    list_display = ("name", "username", "rights", "state", "expires", "findings", "contact", "issued")
    list_filter = ("state", ExpiryFilter)
    search_fields = ("name", "contact", "user__username")

    show_full_result_count = False
    list_per_page = 50
    actions = tuple(_action(page, page.permission) for page in (RotatePage, RevokePage, RetirePage))
    change_list_template = f"{TEMPLATES}/client_list.html"
    change_form_template = f"{TEMPLATES}/client.html"
    object_history_template = f"{TEMPLATES}/history.html"
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("name", "state", "findings", "contact", "about", "declared_in")}),
        (
            gettext_lazy("Service user"),
            {"fields": ("user_link", "all_rights", "excess", "access_profile", "user_made")},
        ),
        (gettext_lazy("Application"), {"fields": ("application_link", "client_id", "secret_issued", "grace")}),
        (gettext_lazy("Access token"), {"fields": ("ends", "scopes", "token_issued", "rotates_itself", "tokens")}),
        (gettext_lazy("Dates"), {"fields": ("created", "updated")}),
    )
    # All of them: without the permission to change, Django shows every field so.
    readonly_fields = (
        "findings", "contact", "about", "user_link", "all_rights", "excess", "access_profile", "application_link",
        "client_id", "grace", "ends", "scopes", "tokens", "declared_in", "rotates_itself",
    )  # fmt: skip

    class Media:
        css: ClassVar[Any] = {"all": ("edx_api_provisioning/admin.css",)}
        js = ("edx_api_provisioning/admin.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return api.with_facts(super().get_queryset(request))

    def get_urls(self) -> list[URLPattern]:
        ours = [
            path(
                f"{page.slug}/",
                self.admin_site.admin_view(page.view(self)),
                name=f"edx_api_provisioning_apiclient_{page.slug}",
            )
            for page in PAGES
        ]
        return [*ours, *super().get_urls()]

    # The permissions that the actions name.
    def has_rotate_permission(self, request: HttpRequest) -> bool:
        return may(request, "rotate")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return may(request, "revoke")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        tools = [(address(ProvisionPage), ProvisionPage.title)] if may(request, "provision") else []
        return super().changelist_view(request, {**(extra_context or {}), "api_client_tools": tools})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        client = context["original"]
        context["api_client_tools"] = [
            (address(page, f"client={client.pk}"), title)
            for page, title in self._tools(client)
            if may(request, page.permission)
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def _tools(self, client: Any) -> list[tuple[Any, Any]]:
        if client.state == ApiClient.State.RETIRED:
            return []
        again = {Issue.USER_PROMOTED, Issue.USER_DEMOTED} & set(_summary(client).troubles)
        return [
            (RotatePage, _("Rotate")),
            (RevokePage, _("Revoke all tokens")),
            (RetirePage, _("Retire")),
            (ProvisionPage, _("Change or complete")),
            *([(AdoptPage, _("Adopt again"))] if again else []),
        ]

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        number = int(object_id) if object_id.isdecimal() else None
        events = ApiClientEvent.objects.filter(client=number)[:_EVENTS]
        context = {"events": events, **(extra_context or {})}
        return super().history_view(request, object_id, context)

    # Django 4.2's boxes have no labels.
    @admin.display(description=_labelled(_TOGGLE, gettext_lazy("Select all")))
    def action_checkbox(self, client: Any) -> Any:
        box = CheckboxInput({"class": "action-select", "aria-label": _("Select %s") % client}, lambda _value: False)
        return box.render(ACTION_CHECKBOX_NAME, str(client.pk))

    @admin.display(description=gettext_lazy("username"), ordering="user__username")
    def username(self, client: Any) -> str:
        return client.user.get_username() if client.user else "-"

    @admin.display(description=gettext_lazy("rights"))
    def rights(self, client: Any) -> Any:
        """What the list can tell without asking for every client: whether it is staff, and what was declared."""
        summary = _summary(client)
        flags = [_("superuser")] if summary.is_superuser else [_("staff")] if summary.is_staff else []
        declared = [_("profile %s") % client.profile] if client.profile else client.declared_rights
        return lines([*flags, *declared[:_FEW], *(["…"] if len(declared) > _FEW else [])])

    @admin.display(description=gettext_lazy("rights"))
    def all_rights(self, client: Any) -> Any:
        return lines(api.rights_of_account(client.user, client.application))

    @admin.display(description=gettext_lazy("beyond what was declared"))
    def excess(self, client: Any) -> Any:
        found = [summary.excess for summary in api.list_clients(name=client.name, overprivileged=True)]
        return lines(found[0] if found else ())

    @admin.display(description=gettext_lazy("contact"), ordering="contact")
    def contact(self, client: Any) -> str:
        return client.contact or "-"

    @admin.display(description=gettext_lazy("purpose"))
    def about(self, client: Any) -> str:
        return client.purpose or "-"

    @admin.display(description=gettext_lazy("manifest"))
    def declared_in(self, client: Any) -> str:
        return client.manifest or "-"

    @admin.display(description=gettext_lazy("may rotate itself"), boolean=True)
    def rotates_itself(self, client: Any) -> bool:
        return bool(client.self_rotation)

    @admin.display(description=gettext_lazy("access profile"))
    def access_profile(self, client: Any) -> str:
        return client.profile or "-"

    @admin.display(description=gettext_lazy("last issued"), ordering="token_issued")
    def issued(self, client: Any) -> str:
        return _day(_summary(client).last_issued)

    @admin.display(description=gettext_lazy("next expiry"), ordering="access_token__expires")
    def expires(self, client: Any) -> str:
        return _day(_summary(client).expires_at)

    @admin.display(description=gettext_lazy("expires"))
    def ends(self, client: Any) -> str:
        return _moment(_summary(client).expires_at)

    @admin.display(description=gettext_lazy("troubles"))
    def findings(self, client: Any) -> Any:
        return lines(ISSUE_MEANINGS[Issue(trouble)] for trouble in _summary(client).troubles)

    @admin.display(description=gettext_lazy("user"))
    def user_link(self, client: Any) -> Any:
        return _link(client.user)

    @admin.display(description=gettext_lazy("application"))
    def application_link(self, client: Any) -> Any:
        return _link(client.application)

    @admin.display(description=gettext_lazy("client id"))
    def client_id(self, client: Any) -> str:
        return _summary(client).client_id or "-"

    @admin.display(description=gettext_lazy("grace"))
    def grace(self, client: Any) -> Any:
        if client.predecessor_id is None:
            return "-"
        return _("the application before the last rotation works until %s") % _moment(client.predecessor_ends)

    @admin.display(description=gettext_lazy("scopes"))
    def scopes(self, client: Any) -> str:
        return " ".join(_summary(client).scopes) or "-"

    @admin.display(description=gettext_lazy("tokens in the database"))
    def tokens(self, client: Any) -> int:
        return _summary(client).tokens


def _summary(client: Any) -> ClientSummary:
    """Worked out once for each row."""
    if not hasattr(client, "_summary"):
        client._summary = api.summary(client, datetime.now(UTC))
    summary: ClientSummary = client._summary
    return summary


def _day(instant: datetime | None) -> str:
    return date_format(localtime(instant), "DATE_FORMAT") if instant else "-"


def _moment(instant: datetime | None) -> str:
    return date_format(localtime(instant), "DATETIME_FORMAT") if instant else "-"


def _link(row: Any) -> Any:
    """The row by its name, which leads to its page in the admin if there is one."""
    if row is None:
        return "-"
    if row._meta.model not in admin.site._registry:
        return str(row)
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, row)
