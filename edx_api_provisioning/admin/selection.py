"""What a page is about: API clients, and the applications and accounts that are to become some."""

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

# Each is done with some dozen statements, all in one transaction: no more than a person reads on one page.
MOST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One of the things that were chosen; ``client`` is None where there is none yet."""

    key: str
    """Tells it from the others of the page, in the name of a form field."""
    label: str
    client: ApiClient | None = None
    application: Any = None
    user: Any = None

    @property
    def rights(self) -> tuple[str, ...]:
        """What the service user and the application have that no ordinary account has, in words."""
        return api.rights_of_account(self.user, self.application)

    @property
    def proposed_name(self) -> str:
        """A client's name made of what the thing is called."""
        called = self.application.name if self.application is not None else self.user.get_username()
        return re.sub(r"[^A-Za-z0-9._-]+", "-", called).strip("._-")[:NAME_MAX_LENGTH]


def chosen(request: HttpRequest) -> list[Subject]:
    """What the address of the page names: ``client=``, ``application=`` and ``user=``, by primary key.

    Raises:
        PermissionDenied: if who asks may not see applications or users.
        Http404: if something of it does not exist, or it is too much.
    """
    clients = _rows(ApiClient.objects.select_related("user", "application"), request.GET.getlist("client"))
    applications = _related(request, "application")
    users = _related(request, "user")
    if len(clients) + len(applications) + len(users) > MOST:
        raise Http404
    owners = {
        pk: client
        for client in ApiClient.objects.select_related("user", "application").filter(
            Q(application__in=applications) | Q(predecessor__in=applications)
        )
        for pk in (client.application_id, client.predecessor_id)
    }
    subjects = [
        *(_of_client(client) for client in clients),
        *(
            _of_client(owners[application.pk]) if application.pk in owners else _of_application(application)
            for application in applications
        ),
        *(Subject(key=f"user_{user.pk}", label=user.get_username(), user=user) for user in users),
    ]
    # A client may have been named twice, by itself and by its application.
    return list({subject.key: subject for subject in subjects}.values())


def _of_client(client: ApiClient) -> Subject:
    return Subject(
        key=f"client_{client.pk}",
        label=client.name,
        client=client,
        application=client.application,
        user=client.user,
    )


def _of_application(application: Any) -> Subject:
    label = _("application %s") % (application.name or application.client_id)
    return Subject(key=f"application_{application.pk}", label=label, application=application, user=application.user)


def _related(request: HttpRequest, field: str) -> list[Any]:
    """The chosen rows of a model that an API client refers to, for those who see such rows elsewhere in the admin."""
    model: Any = ApiClient._meta.get_field(field).related_model
    keys = request.GET.getlist(field)
    names = [f"{model._meta.app_label}.{get_permission_codename(right, model._meta)}" for right in ("view", "change")]
    if keys and not any(request.user.has_perm(name) for name in names):
        raise PermissionDenied
    return _rows(model._default_manager.all(), keys)


def _rows(rows: Any, keys: Sequence[str]) -> list[Any]:
    if not all(key.isascii() and key.isdigit() and len(key) < 19 for key in keys):
        raise Http404
    found = list(rows.filter(pk__in=keys).order_by("pk"))
    if len(found) != len(set(keys)):
        raise Http404
    return found
