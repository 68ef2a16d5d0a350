"""What there is: managed clients and what became of them, and what nobody manages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet, Subquery, Value

from edx_api_provisioning import lms, privileges, registry, toolkit
from edx_api_provisioning.condition import troubles
from edx_api_provisioning.data import ClientSummary, Unmanaged
from edx_api_provisioning.database import explained
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.planning import same_spelling


def list_clients(
    *,
    name: str | None = None,
    expiring_within: timedelta | None = None,
    expired: bool = False,
    overprivileged: bool = False,
) -> Iterator[ClientSummary]:
    """Every client, by name; in one statement, however many there are.

    Args:
        name: this one only.
        expiring_within: only clients whose current token ends within this time, or has ended.
        expired: only clients whose current token has ended.
        overprivileged: only clients with more rights than were declared for them; five statements more for each.
    """
    now = datetime.now(UTC)
    with explained():
        clients = with_facts(ApiClient.objects.all())
        if name is not None:
            clients = clients.filter(name=name)
            for client in clients:
                same_spelling("name", name, client.name)
        if expired or expiring_within is not None:
            limit = now if expired else now + (expiring_within or timedelta(0))
            clients = clients.filter(state=ApiClient.State.ACTIVE, ends__lte=limit)
        for client in clients.iterator(chunk_size=1000):
            shown = summary(client, now)
            if not overprivileged:
                yield shown
            elif excess := _excess(client):
                yield replace(shown, excess=excess)


def with_facts(clients: QuerySet[ApiClient]) -> QuerySet[Any]:
    """Clients with all that a summary tells, in one statement that stays small in a token table that does not."""
    all_tokens = toolkit.get_access_token_model()._default_manager
    tokens = all_tokens.filter(application=OuterRef("application_id"))
    count = tokens.order_by().values("application").annotate(number=Count("pk")).values("number")
    restrictions = lms.restrictions()
    restricted = (
        Exists(restrictions.filter(application=OuterRef("application_id")))
        if restrictions is not None
        else Value(False)
    )
    loaded = clients.select_related("user", "application", "access_token")
    # To filter by. By the joined table's own column, a database may begin there, or read all of it for a filter.
    ends = Subquery(all_tokens.filter(pk=OuterRef("access_token_id")).values("expires")[:1])
    # What is not read cannot leak.
    return (
        loaded.defer("application__client_secret", "access_token__token")
        .annotate(token_count=count[:1], restricted=restricted)
        .alias(ends=ends)
    )


def _excess(client: Any) -> tuple[str, ...]:
    """The rights of a client beyond those that were declared for it."""
    if client.user is None:
        return ()
    declared = privileges.rights_wanted(
        client.user.get_username(),
        staff=client.is_staff,
        superuser=False,  # Whatever a superuser may do, what is beyond the declared is to be named.
        others=frozenset(client.declared_rights)
        | privileges.group_permissions(
            right.partition(":")[2] for right in client.declared_rights if right.startswith("group:")
        ),
    )
    has = privileges.rights_of(client.user, client.application)
    excess = has.exceeds(declared)
    return excess[1:] if has.superuser and client.is_superuser else excess


def may_be_client(application: Any) -> bool:
    """Whether an application is one for the client credentials grant, as API clients have them."""
    return toolkit.is_client_credentials(application)


def summary(client: Any, now: datetime) -> ClientSummary:
    """What is to be known about a client that comes from :func:`with_facts`."""
    token = client.access_token
    return ClientSummary(
        name=client.name,
        state=client.state,
        username=client.user.get_username() if client.user else None,
        is_staff=bool(client.user and client.user.is_staff),
        is_superuser=bool(client.user and client.user.is_superuser),
        contact=client.contact_email,
        purpose=client.purpose,
        client_id=client.application.client_id if client.application else None,
        scopes=tuple(token.scope.split()) if token else (),
        tokens=client.token_count or 0,
        expires_at=token.expires if token else None,
        last_issued=max(filter(None, (client.token_issued, client.secret_issued)), default=None),
        profile=client.profile,
        troubles=tuple(
            troubles(client, restricted=client.restricted, now=now, oldest_secret=registry.oldest_secret(now))
        ),
    )


def list_unmanaged() -> Iterator[Unmanaged]:
    """Applications for the client credentials grant, and tokens that outlive what the grant gives, of no client.

    The sign of manual work. Tokens are looked for where such work leaves them, by index: with these applications, and
    with no application at all.
    """
    known = ApiClient.objects.values("application").exclude(application=None)
    before = ApiClient.objects.values("predecessor").exclude(predecessor=None)
    with explained():
        for application in toolkit.client_credentials_applications().exclude(pk__in=known).exclude(pk__in=before):
            token = toolkit.longest_token(application)
            yield Unmanaged(
                kind="application",
                name=application.name,
                client_id=application.client_id,
                username=application.user.get_username() if application.user else None,
                expires_at=token.expires if token else None,
            )
        for token in toolkit.long_lived_tokens_without_application():
            yield Unmanaged(
                kind="access_token",
                name="",
                client_id=None,
                username=token.user.get_username() if token.user else None,
                expires_at=token.expires,
            )
