"""Find and lock the rows of the registry, and write its history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from edx_api_provisioning import signals
from edx_api_provisioning.adapters.database import bulk_insert, connection, translate_errors
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import AlreadyDone, ClientNotFound, Conflict, RequestReused
from edx_api_provisioning.core.options import NAME_MAX_LENGTH, STORED
from edx_api_provisioning.core.policy import same_spelling
from edx_api_provisioning.core.results import RequestId
from edx_api_provisioning.core.spec import check_line
from edx_api_provisioning.core.text import printable
from edx_api_provisioning.models import ApiClient, ApiClientEvent


def refuse_retired(client: ApiClient) -> None:
    """Raise Conflict if the client is retired."""
    if client.state == ApiClient.State.RETIRED:
        raise Conflict(_("%s is retired; provision a new client with another name.") % client.name, field="name")


Kind = ApiClientEvent.Kind

NewEvent = tuple[ApiClient, str, dict[str, Any]]
"""The client, what was done, and the details."""


def stored(client: ApiClient) -> dict[str, Any]:
    """Return the fields that a row stores as they are."""
    return {name: getattr(client, name) for name in STORED}


_DIGEST = "request"

# Planning needs none of them; most are dates, which cost more than the rest of a row to convert.
_NOT_PLANNED = (
    *("created", "token_issued", "secret_issued", "last_cut", "last_used", "bearer_used", "predecessor_ends"),
    *("user__password", "user__last_login", "application__created", "application__updated"),
    *("application__redirect_uris", "access_token__created", "access_token__updated"),
)


def find(name: str, *, lock_it: bool) -> ApiClient | None:
    """Return the client that the database finds by this name; on MySQL its spelling may differ."""
    return next(iter(find_all([name], lock_them=lock_it)), None)


def find_all(names: Collection[str], *, lock_them: bool) -> list[ApiClient]:
    """Return the clients that the database finds by these names; on MySQL their spelling may differ."""
    return list(_locked(named(names)) if lock_them else _loaded(named(names)).defer(*_NOT_PLANNED))


def named(names: Iterable[str]) -> QuerySet[ApiClient]:
    """Return the rows that the database finds by these names; on MySQL their spelling may differ."""
    # A name with unprintable characters is not valid, and a database may refuse it.
    return ApiClient.objects.filter(name__in=[name for name in names if name.isprintable()])


def reserve(names: Iterable[str]) -> dict[str, ApiClient]:
    """Insert new rows with these names, so that no other run can create them."""
    rows = [ApiClient(name=name) for name in names]
    bulk_insert(rows, key="name")
    return {row.name: row for row in rows}


def lock(clients: QuerySet[ApiClient], *, skip_locked: bool = False) -> ApiClient | None:
    """Return the only client of a queryset, locked until commit; None if there is none.

    Args:
        skip_locked: return None also if another transaction has locked it, if the database supports that.
    """
    return next(iter(_locked(clients, skip_locked=skip_locked)), None)


def _locked(clients: QuerySet[ApiClient], *, skip_locked: bool = False) -> QuerySet[ApiClient]:
    features = connection().features
    # On SQLite the transaction locks the whole database when it begins.
    if features.has_select_for_update:
        skip = skip_locked and features.has_select_for_update_skip_locked
        if not clients.order_by("pk").select_for_update(skip_locked=skip).values_list("pk"):
            return clients.none()
    return _loaded(clients)


def _loaded(clients: QuerySet[ApiClient]) -> QuerySet[ApiClient]:
    # Without an order, which would take Django longer than the rest: it hashes each of the columns.
    loaded = clients.order_by().select_related("user", "application", "access_token", "predecessor")
    # Secrets that are not read cannot leak.
    return loaded.defer("application__client_secret", "predecessor__client_secret", "access_token__token")


def get(name: str, *, lock_it: bool) -> ApiClient:
    """Return the client with exactly this name; raise ClientNotFound, or NearMatch if only another spelling exists."""
    client = find(name, lock_it=lock_it)
    if client is None:
        raise not_found()
    same_spelling("name", name, client.name)
    return client


def not_found() -> ClientNotFound:
    """Return the error for an unknown client."""
    return ClientNotFound(_("no API client has this name; see list_api_clients."), field="name")


def end_predecessor(client: ApiClient, now: datetime | None, *, authority: Authority) -> bool:
    """Delete the application before the last rotation and its tokens, if its grace period is over (or now is None).

    Returns:
        True if there was one; the caller saves the client.
    """
    if client.predecessor_ends is None or (now is not None and client.predecessor_ends > now):
        return False
    predecessor: Any = client.predecessor
    details = {"client_id": predecessor.client_id if predecessor is not None else None}
    if predecessor is not None:  # Somebody may have deleted it.
        predecessor.delete()
    client.predecessor = client.predecessor_ends = None
    record([(client, Kind.PREDECESSOR_ENDED, details)], authority=authority)
    return True


def require_new(request_id: str | RequestId | None) -> None:
    """Raise AlreadyDone if this request was executed before, or RequestReused if another one had the same key.

    The unique id in the history decides between concurrent requests.
    """
    if request_id is None:
        return
    done = ApiClientEvent.objects.filter(request_id=_key(request_id)).values_list("details", flat=True).first()
    if done is None:
        return
    if isinstance(request_id, RequestId) and done.get(_DIGEST) != request_id.digest:
        raise RequestReused(_("this key was used for another request; use a new key."))
    raise AlreadyDone(_("this request was already executed; its credentials are not shown again."))


def _key(request_id: str | RequestId | None) -> str | None:
    return request_id.key if isinstance(request_id, RequestId) else request_id


def _digest(request_id: str | RequestId | None) -> dict[str, str]:
    return {_DIGEST: request_id.digest} if isinstance(request_id, RequestId) else {}


def was_deleted(name: str) -> bool:
    """Return True if the latest event of a name is the deletion of its client."""
    last = ApiClientEvent.objects.filter(client_name=name).first() if name.isprintable() else None
    return last is not None and last.kind == Kind.DELETED


def last_scopes(client: ApiClient) -> tuple[str, ...]:
    """Return the scopes that a client's tokens had last, as the history says; none if it had no token."""
    said = ApiClientEvent.objects.filter(client=client, details__has_key="scope").exclude(details__scope="")
    last = said.values_list("details", flat=True).first()
    return tuple(last["scope"].split()) if last is not None else ()


def has_ended_application(client: ApiClient, *, since: datetime) -> bool:
    """Return True if another application of the client's user has ended: its predecessor, or that of another client."""
    username = client.user.get_username() if client.user is not None else ""
    ended = Q(client=client, kind=Kind.PREDECESSOR_ENDED) | Q(kind=Kind.DELETED, details__username=username)
    return ApiClientEvent.objects.filter(ended, created__gte=since).exists()


def lock_others(client: ApiClient) -> list[ApiClient]:
    """Return the other clients of the same user that are not retired, locked until commit."""
    if client.user_id is None:  # Others without a user have nothing in common with it.
        return []
    others = ApiClient.objects.filter(user=client.user_id, state=ApiClient.State.ACTIVE).exclude(pk=client.pk)
    return list(_locked(others))


def sharing(client: ApiClient) -> list[NewEvent]:
    """Return the events for other clients of the same user that it is shared with this one."""
    user: Any = client.user
    details = {"with": client.name, "username": user.get_username()}
    others = ApiClient.objects.filter(user=user).exclude(pk=client.pk)
    return [(other, Kind.SHARED, details) for other in others]


def record_refusal(name: str, says: str, *, authority: Authority) -> None:
    """Add a refusal to the history: ``authority`` lacks the rights for the request, which may name no client."""
    name = printable(name)[:NAME_MAX_LENGTH] or "-"
    with translate_errors():
        ApiClientEvent(client_name=name, kind=Kind.REFUSED, actor=_actor(authority), details={"says": says}).save()


def remember(name: str, request_id: str | RequestId | None, *, authority: Authority) -> None:
    """Keep the id of a request that found nothing to change: it is not to be executed later, on another state."""
    if request_id is None or ApiClientEvent.objects.filter(request_id=_key(request_id)).exists():
        return
    client = get(name, lock_it=True)
    details = {"steps": [], **_digest(request_id)}
    event = {"client": client, "client_name": client.name, "kind": Kind.UPDATED, "actor": _actor(authority)}
    ApiClientEvent(**event, request_id=_key(request_id), details=details).save()


def record(
    events: Sequence[NewEvent],
    *,
    authority: Authority,
    reason: str = "",
    request_ids: Mapping[str, str | RequestId | None] | None = None,
) -> None:
    """Add to the history, and send the signals after the commit; raise InvalidSpec if the reason is not one line."""
    check_line("reason", reason)
    actor, ids = _actor(authority), request_ids or {}
    rows = [
        ApiClientEvent(
            client=client,
            client_name=client.name,
            kind=kind,
            actor=actor,
            reason=reason,
            request_id=_key(ids.get(client.name)),
            details=details | _digest(ids.get(client.name)),
        )
        for client, kind, details in events
    ]
    bulk_insert(rows, saved_by=ApiClientEvent.save)
    for client, kind, details in events:
        event: dict[str, Any] = {"name": client.name, "actor": actor, "details": details, "reason": reason}
        send = partial(signals.send, kind, sender=ApiClient, **event)
        transaction.on_commit(send, using=connection().alias, robust=True)


def _actor(authority: Authority) -> str:
    return printable(authority.label)[:255]
