"""Summarize all API clients above their list: counts that link to the filtered list, and a calendar of expiry dates."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.contrib.admin import AdminSite, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from edx_api_provisioning import api
from edx_api_provisioning.admin.pages import admin_url
from edx_api_provisioning.data import ClientSummary
from edx_api_provisioning.models import ApiClient

_SOON = timedelta(days=30)
_YEAR = timedelta(days=365)
_UNUSED = timedelta(days=90)


def _now() -> datetime:
    return datetime.now(UTC)


class _Filter(SimpleListFilter):
    options: ClassVar[dict[str, tuple[Any, Callable[[QuerySet[Any], HttpRequest], QuerySet[Any]]]]]
    """By value: the words of the choice, and a function that filters clients for a request."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(value, words) for value, (words, _filter) in self.options.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return self.options[value][1](queryset, request) if value in self.options else queryset


class _ExpiryFilter(_Filter):
    title = gettext_lazy("next expiry")
    parameter_name = "expires"
    options: ClassVar[Any] = {
        "soon": (
            gettext_lazy("expires within 30 days"),
            lambda clients, _request: clients.filter(ends__gt=_now(), ends__lte=_now() + _SOON),
        ),
        "expired": (gettext_lazy("expired"), lambda clients, _request: clients.filter(ends__lte=_now())),
        "later": (gettext_lazy("expires later"), lambda clients, _request: clients.filter(ends__gt=_now() + _SOON)),
        "none": (gettext_lazy("no access token"), lambda clients, _request: clients.filter(ends=None)),
    }


class _UseFilter(_Filter):
    title = gettext_lazy("last use")
    parameter_name = "used"
    options: ClassVar[Any] = {
        "no": (gettext_lazy("not used for 90 days"), lambda clients, _request: api.unused(clients, _UNUSED))
    }


class _RightsFilter(_Filter):
    title = gettext_lazy("rights")
    parameter_name = "rights"
    options: ClassVar[Any] = {
        "excess": (
            gettext_lazy("more than declared"),
            lambda clients, request: clients.filter(name__in=_overprivileged(request)),
        )
    }


FILTERS = (_ExpiryFilter, _UseFilter, _RightsFilter)


def _overprivileged(request: Any) -> Any:
    """Return the names of the clients with more rights than declared, determined once for each request."""
    if not hasattr(request, "_overprivileged_api_clients"):
        request._overprivileged_api_clients = [client.name for client in api.list_clients(overprivileged=True)]
    return request._overprivileged_api_clients


def overview(site: AdminSite, request: HttpRequest) -> dict[str, Any]:
    """Return the counts and the calendar; the number of statements does not depend on that of the clients."""
    now = _now()
    rows = api.with_facts(ApiClient.objects.filter(state=ApiClient.State.ACTIVE))
    clients = [(row.pk, api.summary(row, now)) for row in rows]
    ends = [client.expires_at for _pk, client in clients if client.expires_at is not None]
    counts: list[tuple[int, str, dict[str, str]]] = [
        (len(clients), _("active"), {}),
        (sum(now < end <= now + _SOON for end in ends), _("expire within 30 days"), {"expires": "soon"}),
        (sum(end <= now for end in ends), _("expired"), {"expires": "expired"}),
        (api.unused(ApiClient.objects.all(), _UNUSED).count(), _("not used for 90 days"), {"used": "no"}),
        (len(_overprivileged(request)), _("have more rights than declared"), {"rights": "excess"}),
    ]
    list_url = "edx_api_provisioning_apiclient_changelist"
    return {
        "counts": [
            (number, words, admin_url(site, list_url, state__exact=ApiClient.State.ACTIVE, **query))
            for number, words, query in counts
        ],
        "calendar": _calendar(site, clients, now),
    }


# In units of the SVG's coordinates: 13 months, each with two boxes in a row.
_MONTH, _BOX, _ROW, _MOST = 72, 36, 32, 16


def _calendar(site: AdminSite, clients: list[tuple[int, ClientSummary]], now: datetime) -> dict[str, Any] | None:
    """Return the months up to a year from now, each with a box for each client that expires in it; None without any.

    The template draws it as an SVG, because strict policies forbid inline styles and scripts.
    """
    months: list[list[dict[str, Any]]] = [[] for _month in range(13)]
    first = localtime(now).replace(day=1)
    for pk, client in sorted(clients, key=lambda each: each[1].expires_at or now):
        if client.expires_at is not None and now < client.expires_at <= now + _YEAR:
            end = localtime(client.expires_at)
            url = admin_url(site, "edx_api_provisioning_apiclient_change", pk)
            months[(end.year - first.year) * 12 + end.month - first.month].append(_box(client, end, url))
    height = max(-(-min(len(month), _MOST) // 2) for month in months) * _ROW + 24
    if not any(months):
        return None
    columns = []
    for number, boxes in enumerate(months):
        for each, box in enumerate(boxes[:_MOST]):
            box |= {"x": number * _MONTH + each % 2 * _BOX, "y": height - (each // 2 + 1) * _ROW}
        year, month = divmod(first.year * 12 + first.month - 1 + number, 12)
        day = first.replace(year=year, month=month + 1)
        columns.append(
            {
                "middle": number * _MONTH + _MONTH // 2 - 2,
                "name": date_format(day, "M"),
                "year": date_format(day, "Y") if number == 0 or month == 0 else "",
                "boxes": boxes[:_MOST],
                "more": max(0, len(boxes) - _MOST),
            }
        )
    return {"width": 13 * _MONTH, "height": height + 44, "base": height, "columns": columns}


def _box(client: ClientSummary, end: datetime, url: str) -> dict[str, Any]:
    label = _("%(name)s expires on %(date)s") % {"name": client.name, "date": date_format(end, "DATE_FORMAT")}
    if client.issues:
        label += ", " + ngettext("%d issue", "%d issues", len(client.issues)) % len(client.issues)
    return {"day": end.day, "label": label, "url": url, "marked": bool(client.issues)}
