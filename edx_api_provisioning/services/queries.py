"""Query managed clients, their history, and unmanaged applications and tokens."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from django.contrib.auth import get_user_model
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery, Value
from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import lms, oauth, rights
from edx_api_provisioning.adapters.database import translate_errors
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.policy import same_spelling
from edx_api_provisioning.core.results import ClientSummary, Event, Unmanaged
from edx_api_provisioning.core.secrets import scrub_tracebacks
from edx_api_provisioning.core.spec import MAX_GRACE, check_line
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.services import registry
from edx_api_provisioning.services.health import find_issues
from edx_api_provisioning.services.last_use import unused, with_last_grant


def rights_of_account(user: Any, application: Any) -> tuple[str, ...]:
    """Return the rights of a user that an ordinary account does not have, and those of the application."""
    return rights.beyond(rights.rights_of(user, application)) if user is not None else ()


def client_rights(name: str) -> frozenset[str]:
    """Return the rights of a client, found as by :func:`get_client`, in the words of the access catalogue."""
    with translate_errors():
        client = registry.get(name, lock_it=False)
        if client.user is None or client.application is None:
            return frozenset()
        found = rights.rights_of(client.user, client.application, foreign=True)
        return found | {"restricted"} if lms.is_restricted(client.application.pk) else found


# With at most this many keys a database uses the index, whatever the size of the table.
_AT_ONCE = 100

Row = TypeVar("Row")

_FOREVER = timedelta(days=36500)

ORDERINGS = ("name", "expires_at", "created", "updated")


class Rows(Generic[Row]):
    """Rows that are read when they are counted, sliced or iterated over, as a paginator does."""

    def __init__(self, found: QuerySet[Any], show: Callable[[Iterable[Any]], Iterator[Row]]) -> None:
        self._found, self._show = found, show

    def count(self) -> int:
        """Return the number of rows."""
        with translate_errors():
            return self._found.count()

    def __getitem__(self, page: slice) -> list[Row]:
        with translate_errors():
            return list(self._show(self._found[page]))

    def __iter__(self) -> Iterator[Row]:
        with translate_errors():
            yield from self._show(self._found.iterator(chunk_size=1000))


def list_clients(
    *,
    expiring_within: timedelta | None = None,
    expired: bool = False,
    unused_for: timedelta | None = None,
    overprivileged: bool = False,
    ordering: str = "expires_at",
    **equal: str,
) -> Rows[ClientSummary]:
    """Return the clients that match all filters.

    Args:
        expiring_within: only clients whose current token expires within this time, or has expired.
        expired: only clients whose current token has expired.
        unused_for: only active clients that were not used in this time.
        overprivileged: only clients with more rights than were declared for them; six statements more. These clients
            can be iterated over only.
        ordering: one of ``ORDERINGS``, with ``-`` before it for the descending order.
        equal: values of ``name``, ``state``, ``username``, ``contact``, ``profile`` and ``manifest``.

    Raises:
        InvalidSpec: if a filter or the ordering cannot be used.
    """
    for name, value in equal.items():
        check_line(name, value)
    if equal.get("state", ApiClient.State.ACTIVE) not in ApiClient.State.values:
        raise InvalidSpec(_("use one of %s.") % ", ".join(ApiClient.State.values), field="state")
    columns = {"username": f"user__{get_user_model().USERNAME_FIELD}"}
    rows = clients = ApiClient.objects.filter(**{columns.get(name, name): value for name, value in equal.items()})
    if expired or expiring_within is not None:
        span = timedelta(0) if expired else min(expiring_within or timedelta(0), _FOREVER)
        clients = _with_end(clients).filter(state=ApiClient.State.ACTIVE, ends__lte=datetime.now(UTC) + span)
    if unused_for is not None:
        clients = unused(clients, min(unused_for, _FOREVER))
    column = ordering.removeprefix("-")
    if column not in ORDERINGS:
        raise InvalidSpec(_("unknown order; available: %s.") % ", ".join(ORDERINGS), field="ordering")
    order = F("access_token__expires" if column == "expires_at" else column)
    # Databases differ in where they sort rows without a value.
    directed = order.desc(nulls_last=True) if ordering.startswith("-") else order.asc(nulls_last=True)
    show = partial(_overprivileged, rows=rows) if overprivileged else _summaries
    return Rows(with_facts(clients).order_by(directed, "name"), show)


def _summaries(clients: Iterable[Any]) -> Iterator[ClientSummary]:
    now = datetime.now(UTC)
    return (summary(client, now) for client in clients)


def _overprivileged(clients: Iterable[Any], *, rows: QuerySet[ApiClient]) -> Iterator[ClientSummary]:
    now = datetime.now(UTC)
    keys = rows.exclude(user=None).values("user"), rows.exclude(application=None).values("application")
    loaded = rights.load_rights(*keys)
    for client in clients:
        if excess := _excess(client, loaded):
            yield replace(summary(client, now), excess=excess)


def get_client(name: str) -> ClientSummary:
    """Return the client with exactly this name; raise ClientNotFound, or NearMatch if only another spelling exists."""
    with translate_errors():
        found = [*_summaries(with_facts(registry.named([name])))]
    if not found:
        raise registry.not_found()
    same_spelling("name", name, found[0].name)
    return found[0]


def list_events(name: str) -> Rows[Event]:
    """Return the history of a client, found as by :func:`get_client`, newest first."""
    get_client(name)
    return Rows(ApiClientEvent.objects.filter(client__name=name).order_by("-pk"), _events)


def _events(events: Iterable[ApiClientEvent]) -> Iterator[Event]:
    for row in events:
        yield Event(kind=row.kind, actor=row.actor, reason=row.reason, details=row.details, created=row.created)


def _with_end(clients: QuerySet[Any]) -> QuerySet[Any]:
    """Add the column ``ends`` to filter by; a filter on the joined column lets a database scan that whole table."""
    tokens = oauth.get_access_token_model()._default_manager.filter(pk=OuterRef("access_token_id"))
    aliased: QuerySet[Any] = clients.alias(ends=Subquery(tokens.values("expires")[:1]))
    return aliased


def with_facts(clients: QuerySet[ApiClient]) -> QuerySet[Any]:
    """Return clients with all values of a summary, in one query that does not read the whole token table."""
    tokens = oauth.get_access_token_model()._default_manager.filter(application=OuterRef("application_id"))
    count = tokens.order_by().values("application").annotate(number=Count("pk")).values("number")
    restrictions = lms.restrictions()
    restricted = (
        Exists(restrictions.filter(application=OuterRef("application_id")))
        if restrictions is not None
        else Value(False)
    )
    loaded = clients.select_related("user", "application", "access_token")
    # Secrets that are not read cannot leak.
    facts = loaded.defer("application__client_secret", "access_token__token")
    live = Exists(tokens.filter(expires__gt=datetime.now(UTC)))
    return with_last_grant(_with_end(facts.annotate(token_count=count[:1], restricted=restricted, live_tokens=live)))


def _excess(client: Any, loaded: rights.LoadedRights) -> tuple[str, ...]:
    """Return the rights of a client beyond those that were declared for it."""
    if client.user is None:
        return ()
    given = frozenset(client.declared_rights)
    declared = given | loaded.of_groups(given) | rights.implied_rights(client.user.get_username(), client)
    # Name the rights of a superuser beyond the declared ones too.
    return rights.beyond(loaded.of(client.user, client.application) - declared)


def summary(client: Any, now: datetime) -> ClientSummary:
    """Return the summary of a client from :func:`with_facts`."""
    user, token = client.user, client.access_token
    flags = {"superuser": bool(user and user.is_superuser), "staff": bool(user and user.is_staff)}
    return ClientSummary(
        name=client.name,
        **registry.stored(client),
        state=client.state,
        username=user.get_username() if user else None,
        is_staff=flags["staff"],
        is_superuser=flags["superuser"],
        client_id=client.application.client_id if client.application else None,
        scopes=tuple(token.scope.split()) if token else (),
        tokens=client.token_count or 0,
        expires_at=token.expires if token else None,
        last_issued=max(filter(None, (client.token_issued, client.secret_issued)), default=None),
        last_used=max(filter(None, (client.last_used, client.last_grant)), default=None),
        bearer_used=client.bearer_used,
        rights=(*(flag for flag, has in flags.items() if has), *client.declared_rights),
        restricted=client.restricted,
        declared=tuple(client.declared_rights),
        created=client.created,
        updated=client.updated,
        issues=find_issues(client, restricted=client.restricted, now=now, live_tokens=client.live_tokens),
    )


def list_unmanaged() -> Iterator[Unmanaged]:
    """Yield client credentials applications, and tokens that live longer than the grant's, that belong to no client.

    They were created by hand. The tokens are looked up by index: those of these applications, those of the clients'
    applications, and those of no application.
    """
    known = ApiClient.objects.values("application").exclude(application=None)
    before = ApiClient.objects.values("predecessor").exclude(predecessor=None)
    with translate_errors():
        for application in oauth.client_credentials_applications().exclude(pk__in=known).exclude(pk__in=before):
            yield Unmanaged(
                kind="application",
                name=application.name,
                client_id=application.client_id,
                username=application.user.get_username() if application.user else None,
                expires_at=_end(application),
            )
        for token in itertools.chain(_beside_clients(), oauth.long_lived_tokens(None)):
            yield Unmanaged(
                kind="access_token",
                name=token.application__name or "",
                client_id=token.application__client_id,
                username=token.username,
                expires_at=token.expires,
            )


@scrub_tracebacks()
def _end(application: Any) -> datetime | None:
    token = oauth.longest_token(application)
    return token.expires if token is not None else None


def _beside_clients() -> Iterator[Any]:
    """Yield long-lived tokens of clients' applications that this package did not issue."""
    fields = ("application", "access_token", "token_issued")
    clients = {row[0]: row[1:] for row in ApiClient.objects.exclude(application=None).values_list(*fields)}
    keys = list(clients)
    for start in range(0, len(keys), _AT_ONCE):
        for token in oauth.long_lived_tokens(keys[start : start + _AT_ONCE]):
            current, issued = clients[token.application]
            # Tokens from before a rotation expire with its grace period; they were not created by hand.
            if token.pk != current and (issued is None or token.expires > issued + MAX_GRACE):
                yield token
