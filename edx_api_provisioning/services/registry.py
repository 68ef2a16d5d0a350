"""Find and lock the rows of the registry, and write its history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from edx_api_provisioning import signals
from edx_api_provisioning.adapters.database import (
    bulk_insert,
    bulk_update,
    connection,
    translate_errors,
)
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import AlreadyDone, ClientNotFound, Conflict, RequestReused
from edx_api_provisioning.core.options import NAME_MAX_LENGTH, STORED
from edx_api_provisioning.core.policy import same_spelling
from edx_api_provisioning.core.results import RequestId
from edx_api_provisioning.core.spec import check_line
from edx_api_provisioning.core.text import printable
from edx_api_provisioning.models import ApiClient, ApiClientEvent


def refuse_retired(client: ApiClient) -> None:
    if client.state == ApiClient.State.RETIRED:
        raise Conflict(_("%s is retired; choose another name.") % client.name, field="name")


Kind = ApiClientEvent.Kind

NewEvent = tuple[ApiClient | None, str, str, dict[str, Any]]
"""The client, its name, what was done, and the details."""


def stored(client: ApiClient) -> dict[str, Any]:
    """Return the fields that a row stores as they are."""
    return {name: getattr(client, name) for name in STORED}


_DIGEST = "request"

_SIGNALS = {
    Kind.CREATED: signals.api_client_provisioned,
    Kind.UPDATED: signals.api_client_provisioned,
    Kind.ADOPTED: signals.api_client_provisioned,
    Kind.ROTATED: signals.api_client_rotated,
    Kind.REVOKED: signals.api_client_revoked,
    Kind.RETIRED: signals.api_client_revoked,
    Kind.DELETED: signals.api_client_revoked,
}


def find(name: str, *, lock_it: bool) -> ApiClient | None:
    """Return the client that the database finds by this name; on MySQL its spelling may differ."""
    return next(iter(find_all([name], lock_them=lock_it)), None)


def find_all(names: Collection[str], *, lock_them: bool) -> list[ApiClient]:
    """Return the clients that the database finds by these names; on MySQL their spelling may differ."""
    return list(_locked(named(names)) if lock_them else _loaded(named(names)))


def named(names: Iterable[str]) -> QuerySet[ApiClient]:
    """Return the rows that the database finds by these names; on MySQL their spelling may differ."""
    # What cannot be printed is no name, and may be what no database takes.
    return ApiClient.objects.filter(name__in=[name for name in names if name.isprintable()])


def reserve(names: Iterable[str]) -> dict[str, ApiClient]:
    """Insert new rows with these names, so that no other run can create them."""
    rows = [ApiClient(name=name) for name in names]
    bulk_insert(rows, key="name")
    return {row.name: row for row in rows}


def save(clients: Sequence[ApiClient]) -> None:
    """Write what was changed of some clients that were found or reserved."""
    bulk_update(clients, but="created")


def lock(clients: QuerySet[ApiClient], *, skip_locked: bool = False) -> ApiClient | None:
    """Return the only client of a queryset, locked until commit; None if there is none.

    Args:
        skip_locked: None also if somebody else has it locked, where the database can tell.
    """
    return _locked(clients, skip_locked=skip_locked).first()


def _locked(clients: QuerySet[ApiClient], *, skip_locked: bool = False) -> QuerySet[ApiClient]:
    features = connection().features
    # SQLite locks all of itself when a transaction of ours begins.
    if features.has_select_for_update:
        skip = skip_locked and features.has_select_for_update_skip_locked
        if not clients.order_by("pk").select_for_update(skip_locked=skip).values_list("pk"):
            return clients.none()
    return _loaded(clients)


def _loaded(clients: QuerySet[ApiClient]) -> QuerySet[ApiClient]:
    return clients.select_related("user", "application", "access_token", "predecessor")


def get(name: str, *, lock_it: bool) -> ApiClient:
    """Return the client with exactly this name, locked until commit if requested.

    Raises:
        ClientNotFound, NearMatch: if there is none, or only one in another spelling.
    """
    client = find(name, lock_it=lock_it)
    if client is None:
        raise not_found()
    same_spelling("name", name, client.name)
    return client


def not_found() -> ClientNotFound:
    """Return the error for an unknown client."""
    return ClientNotFound(_("there is no API client of this name; see list_api_clients."), field="name")


def end_predecessor(client: ApiClient, now: datetime | None, *, authority: Authority) -> bool:
    """Delete the application before the last rotation with all its tokens, if its grace is over (or ``now`` is None).

    Returns:
        Whether there was one to end; saving the client is the caller's.
    """
    if client.predecessor_ends is None or (now is not None and client.predecessor_ends > now):
        return False
    predecessor: Any = client.predecessor
    details = {"client_id": predecessor.client_id if predecessor is not None else None}
    if predecessor is not None:  # Somebody may have deleted it.
        predecessor.delete()
    client.predecessor = client.predecessor_ends = None
    record(client, client.name, Kind.PREDECESSOR_ENDED, authority=authority, details=details)
    return True


def require_new(request_id: str | RequestId | None) -> None:
    """Raise AlreadyDone if this request was executed before; the unique id in the history decides concurrent requests.

    Raises:
        AlreadyDone: if it has.
        RequestReused: if something else was, under the same key.
    """
    if request_id is None:
        return
    done = ApiClientEvent.objects.filter(request_id=_key(request_id)).values_list("details", flat=True).first()
    if done is None:
        return
    if isinstance(request_id, RequestId) and done.get(_DIGEST) != request_id.digest:
        raise RequestReused(_("this key came with another request before; use a new key for what is new."))
    raise AlreadyDone(_("this was done already; what it issued is not shown again."))


def _key(request_id: str | RequestId | None) -> str | None:
    return request_id.key if isinstance(request_id, RequestId) else request_id


def _digest(request_id: str | RequestId | None) -> dict[str, str]:
    return {_DIGEST: request_id.digest} if isinstance(request_id, RequestId) else {}


def was_deleted(name: str) -> bool:
    """Return True if the latest event of a name is the deletion of its client."""
    last = ApiClientEvent.objects.filter(client_name=name).first() if name.isprintable() else None
    return last is not None and last.kind == Kind.DELETED


def record(client: ApiClient | None, name: str, kind: str, *, request_id: Any = None, **event: Any) -> None:
    """Add one event to the history, as :func:`record_all` does.

    Args:
        name: of the client, which may be gone.
    """
    record_all([(client, name, kind, event.pop("details"))], request_ids={name: request_id}, **event)


def lock_others(client: ApiClient) -> list[ApiClient]:
    """Return the other clients of the same user that are not retired, locked until commit."""
    others = ApiClient.objects.filter(user=client.user_id, state=ApiClient.State.ACTIVE).exclude(pk=client.pk)
    return list(_locked(others))


def sharing(client: ApiClient) -> list[NewEvent]:
    """Return the events for other clients of the same user that it is shared with this one."""
    user: Any = client.user
    others = ApiClient.objects.filter(user=user).exclude(pk=client.pk)
    details = {"with": client.name, "username": user.get_username()}
    return [(other, other.name, Kind.SHARED, details) for other in others]


def record_refusal(name: str, says: str, *, authority: Authority) -> None:
    """Add to the history that something was refused because ``authority`` lacks the rights.

    Args:
        name: of the client that was asked for, as it was typed; may be empty.
        says: the message that was answered.
    """
    name = printable(name)[:NAME_MAX_LENGTH]
    with translate_errors():
        client = find(name, lock_it=False) if name else None
        record(client, name or "-", Kind.REFUSED, details={"says": says}, authority=authority)


def record_all(
    events: Sequence[tuple[ApiClient | None, str, str, dict[str, Any]]],
    *,
    authority: Authority,
    reason: str = "",
    request_ids: Mapping[str, str | RequestId | None] | None = None,
) -> None:
    """Add to the history, and send the signals once it is committed.

    Args:
        events: of each the client, its name, what was done, and the details.
        authority: on whose authority; its label is recorded.
        reason: why, in the words of who did it; may be empty.
        request_ids: of requests, by the name of the client that each is about.

    Raises:
        InvalidSpec: for a reason that is not one line.
    """
    check_line("reason", reason)
    label = printable(authority.label)[:255]
    ids = request_ids or {}
    rows = [
        ApiClientEvent(
            client=client,
            client_name=name,
            kind=kind,
            actor=label,
            reason=reason,
            request_id=_key(ids.get(name)),
            details=details | _digest(ids.get(name)),
        )
        for client, name, kind, details in events
    ]
    bulk_insert(rows, saved_by=ApiClientEvent.save)
    for _client, name, kind, details in events:
        if (signal := _SIGNALS.get(Kind(kind))) is not None:
            send = partial(signal.send_robust, sender=ApiClient, name=name, actor=label, details=details)
            transaction.on_commit(send, using=connection().alias)
