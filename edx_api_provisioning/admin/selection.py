"""Select the API clients, applications and accounts that a page acts on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.options import NAME_MAX_LENGTH
from edx_api_provisioning.models import ApiClient

# Each takes some dozen queries in one transaction.
MAX_SELECTED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One selected client, application or account; ``client`` is None for an unmanaged one."""

    key: str
    """Unique on the page; part of the names of form fields."""
    label: str
    client: ApiClient | None = None
    application: Any = None
    user: Any = None
    shows_rights: bool = True
    """False if the person may not view users, and this is no API client."""

    @property
    def rights(self) -> tuple[str, ...]:
        """Return the rights of user and application that exceed those of an ordinary account."""
        return api.rights_of_account(self.user, self.application)

    @property
    def proposed_name(self) -> str:
        """Return a client name derived from the name of the application or user."""
        source = self.application.name if self.application is not None else self.user.get_username()
        return re.sub(r"[^A-Za-z0-9._-]+", "-", source).strip("._-")[:NAME_MAX_LENGTH]


def selected(request: HttpRequest) -> list[Subject]:
    """Return what the query string names: ``client=``, ``application=`` and ``user=``, by primary key.

    Raises:
        PermissionDenied: if the person may not view applications or users.
        Http404: if something does not exist, or too much is named.
    """
    managed = ApiClient.objects.select_related("user", "application")
    clients = _rows(managed, request.GET.getlist("client"))
    applications = _related(request, "application")
    users = _related(request, "user")
    if len(clients) + len(applications) + len(users) > MAX_SELECTED:
        raise Http404
    owners = {
        pk: client
        for client in managed.filter(Q(application__in=applications) | Q(predecessor__in=applications))
        for pk in (client.application_id, client.predecessor_id)
    }
    subjects = [
        *(_of_client(client) for client in clients),
        *(
            _of_client(owners[application.pk])
            if application.pk in owners
            else _of_application(application, shows_rights=_may_see(request, "user"))
            for application in applications
        ),
        *(Subject(key=f"user_{user.pk}", label=user.get_username(), user=user) for user in users),
    ]
    # A client may be named twice: by itself and by its application.
    return list({subject.key: subject for subject in subjects}.values())


def _of_client(client: ApiClient) -> Subject:
    return Subject(
        key=f"client_{client.pk}",
        label=client.name,
        client=client,
        application=client.application,
        user=client.user,
    )


def _of_application(application: Any, *, shows_rights: bool) -> Subject:
    return Subject(
        key=f"application_{application.pk}",
        label=_("application %s") % (application.name or application.client_id),
        application=application,
        user=application.user,
        shows_rights=shows_rights,
    )


def _related(request: HttpRequest, field: str) -> list[Any]:
    """Return the selected users or applications, for people who may view such rows in the admin."""
    keys = request.GET.getlist(field)
    if keys and not _may_see(request, field):
        raise PermissionDenied
    return _rows(model_of(field)._default_manager.all(), keys)


def _may_see(request: HttpRequest, field: str) -> bool:
    meta = model_of(field)._meta
    names = (f"{meta.app_label}.{get_permission_codename(right, meta)}" for right in ("view", "change"))
    return any(request.user.has_perm(name) for name in names)


def model_of(kind: str) -> Any:
    """Return the model of subjects of a kind: ``client``, ``application`` or ``user``."""
    return ApiClient if kind == "client" else ApiClient._meta.get_field(kind).related_model


def _rows(rows: Any, keys: Sequence[str]) -> list[Any]:
    if not all(key.isascii() and key.isdigit() and len(key) < 19 for key in keys):
        raise Http404
    found = list(rows.filter(pk__in=keys).order_by("pk"))
    if len(found) != len(set(keys)):
        raise Http404
    return found
