"""Find the existing objects that concern some specs, with a number of queries that does not grow with the specs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.db import IntegrityError
from django.db.models.functions import Lower

from edx_api_provisioning.adapters import lms, oauth, oauth_server
from edx_api_provisioning.adapters.database import connection
from edx_api_provisioning.adapters.rights import rights_of_users
from edx_api_provisioning.core.exceptions import Conflict
from edx_api_provisioning.core.planning import email_wanted, username_wanted
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import (
    Access,
    CurrentApplication,
    CurrentClient,
    CurrentState,
    CurrentToken,
    CurrentUser,
    Site,
)
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import registry


class Ambiguous(Conflict):
    """The database matched a differently spelled value in a batch; each spec must be looked up separately."""


class Rows(NamedTuple):
    """Existing objects of one spec: as values for planning, and as rows to change."""

    found: CurrentState
    client: ApiClient | None
    user: Any


def find(specs: Sequence[ClientSpec], site: Site, *, lock: bool = False) -> list[Rows]:
    """Return the existing objects of each spec; raise Ambiguous if for one of several the spelling differs.

    Args:
        lock: lock what is found until commit, and register the clients that are not there.
    """
    names = [spec.name for spec in specs]
    clients = matched(registry.find_all(names, lock_them=lock), names, lambda client: client.name)
    restricted = lms.restricted_among([each.application_id for each in clients.values() if each.application_id])
    found_clients = {spec.name: _found_client(spec, clients.get(spec.name), restricted) for spec in specs}
    if lock:
        # Before any other row is locked: the unique name decides between runs that create the same client. Runs that
        # find the client lock it first too, so there is no deadlock.
        clients |= registry.reserve(name for name in names if name not in clients)
    usernames = {spec.name: username_wanted(spec, found_clients[spec.name], site) for spec in specs}
    users = _users(clients, usernames, lock)
    found_users = _found_users(specs, clients, users)
    new = {spec.name: email_wanted(spec, usernames[spec.name], site.host) for spec in specs if spec.name not in users}
    email_owners = _email_owners(new, usernames)
    namesakes = _namesakes(specs, clients)
    unknown = lms.unknown_courses({key for spec in specs for key in spec.courses})
    return [
        Rows(
            CurrentState(
                client=found_clients[spec.name],
                user=found_users.get(spec.name),
                username_problem=None if spec.name in users else lms.username_problem(usernames[spec.name]),
                email_owner=email_owners.get(spec.name),
                client_id_owner=namesakes.get(spec.client_id or ""),
                client_secret_matches=_secret_matches(spec, clients.get(spec.name)),
                access_token_pk=_token_pk(spec),
                unknown_courses=unknown & spec.courses,
            ),
            clients.get(spec.name),
            users.get(spec.name),
        )
        for spec in specs
    ]


def matched(rows: Iterable[Any], wanted: Collection[str], value: Callable[[Any], str]) -> dict[str, Any]:
    """Return the rows by requested value; if one of several is spelled differently, raise Ambiguous."""
    by_value = {value(row): row for row in rows}
    strays = by_value.keys() - set(wanted)
    if strays and len(wanted) > 1:
        raise Ambiguous("another spelling among many")
    return {each: by_value[stray] for each, stray in zip(wanted, strays, strict=False)} if strays else by_value


def _users(clients: Mapping[str, ApiClient], usernames: Mapping[str, str], lock: bool) -> dict[str, Any]:
    """Return the service users by client name: the client's own user, or the account with the wanted username."""
    linked = {name: client.user for name, client in clients.items() if client.user is not None}
    wanted = {name: username for name, username in usernames.items() if name not in linked}
    if lock and linked:
        rows = {user.pk: user for user in _locked(pk__in=[user.pk for user in linked.values()])}
        linked = {name: rows[user.pk] for name, user in linked.items() if user.pk in rows}
    found: dict[str, Any] = {}
    if wanted:
        which = {f"{get_user_model().USERNAME_FIELD}__in": [*wanted.values()]}
        accounts = _locked(**which) if lock else _accounts(**which)
        found = matched(accounts, [*wanted.values()], lambda user: str(user.get_username()))
    return linked | {name: found[username] for name, username in wanted.items() if username in found}


def _accounts(**which: Any) -> Any:
    return get_user_model()._default_manager.filter(**which)


def _locked(**which: Any) -> Any:
    # No account may be given more rights between the check and the use.
    return _accounts(**which).order_by("pk").select_for_update()


def _email_owners(emails: Mapping[str, str], usernames: Mapping[str, str]) -> dict[str, str]:
    """Return the usernames of accounts that have the address for the user of a new client, by its name."""
    wanted = {email.lower() for email in emails.values()}
    if len(wanted) == 1:
        rows = _accounts(email__iexact=next(iter(wanted)))[:1]
    elif connection().vendor == "mysql":  # Its collation ignores case, and LOWER() would not use its index.
        rows = _accounts(email__in=wanted)
    else:
        rows = get_user_model()._default_manager.annotate(lowered=Lower("email")).filter(lowered__in=wanted)
    owners = matched(rows, wanted, lambda user: str(user.email.lower()))
    found = {name: owners[email.lower()].get_username() for name, email in emails.items() if email.lower() in owners}
    if any(owner == usernames[name] for name, owner in found.items()):
        # Another run created this account since it was looked up: look again, as for a taken unique value.
        raise IntegrityError("the account was created meanwhile")
    return found


def _namesakes(specs: Sequence[ClientSpec], clients: Mapping[str, ApiClient]) -> dict[str, str]:
    """Return the requested client ids that other applications have, each with its spelling there."""
    new = [spec for spec in specs if spec.name not in clients or clients[spec.name].application is None]
    wanted = [spec.client_id for spec in new if spec.client_id is not None]
    if not wanted:
        return {}
    found = matched(oauth.find_applications(wanted), wanted, lambda application: str(application.client_id))
    return {client_id: str(application.client_id) for client_id, application in found.items()}


def _secret_matches(spec: ClientSpec, client: ApiClient | None) -> bool:
    application = client.application if client is not None else None
    return (
        application is None
        or spec.client_secret is None
        or oauth_server.client_user(application.client_id, spec.client_secret) is not None
    )


def _token_pk(spec: ClientSpec) -> Any:
    token = oauth.find_access_token(spec.access_token) if spec.access_token is not None else None
    return token.pk if token is not None else None


def _found_users(
    specs: Sequence[ClientSpec], clients: Mapping[str, ApiClient], users: Mapping[str, Any]
) -> dict[str, CurrentUser]:
    linked = {
        name: (client := clients.get(name)) is not None and client.user_id == user.pk for name, user in users.items()
    }
    asked = {spec.name for spec in specs if spec.name in users and (spec.rights is not None or not linked[spec.name])}
    others = _other_clients({users[name].pk for name in asked})
    if any(each.name == name for name in asked - clients.keys() for each in others.get(users[name].pk, ())):
        # Another run created this very client since it was looked up: look again, as for a taken unique value.
        raise IntegrityError("the client was created meanwhile")
    made = {
        name: clients[name].user_made if linked[name] else any(each.user_made for each in others.get(user.pk, ()))
        for name, user in users.items()
    }
    rights = rights_of_users([users[name].pk for name in asked]) if asked else {}
    return {
        name: CurrentUser(
            username=user.get_username(),
            email=user.email,
            is_staff=user.is_staff,
            is_superuser=user.is_superuser,
            active=user.is_active,
            linked=linked[name],
            owner=next((each.name for each in others.get(user.pk, ()) if each.user_made and each.name != name), ""),
            declared_elsewhere=frozenset(
                right
                for each in others.get(user.pk, ())
                if each.name != name and each.state == ApiClient.State.ACTIVE
                for right in each.declared_rights
            ),
            retired=lms.is_retired(user.get_username()),
            made=made[name],
            rights=rights.get(user.pk, frozenset()),
        )
        for name, user in users.items()
    }


def _other_clients(users: Collection[Any]) -> dict[Any, list[ApiClient]]:
    """Return the clients of some users by the primary key of the user, the own one included."""
    found: dict[Any, list[ApiClient]] = {}
    for client in ApiClient.objects.filter(user__in=users) if users else ():
        found.setdefault(client.user_id, []).append(client)
    return found


def _found_client(spec: ClientSpec, client: ApiClient | None, restricted: Collection[Any]) -> CurrentClient | None:
    if client is None:
        return None
    application: Any = client.application
    token: Any = client.access_token
    asks_access = application is not None and (spec.scopes is not None or spec.filters is not None or spec.restricted)
    return CurrentClient(
        name=client.name,
        user_pk=client.user_id,
        is_staff=client.is_staff,
        is_superuser=client.is_superuser,
        **registry.stored(client),
        username=client.user.get_username() if client.user else None,
        retired=client.state == ApiClient.State.RETIRED,
        declared=tuple(client.declared_rights),
        token_lifetime=client.token_lifetime,
        application=application
        and CurrentApplication(
            client_id=application.client_id,
            user_pk=application.user_id,
            client_credentials=oauth.is_client_credentials(application),
            restricted=application.pk in restricted,
            access=lms.access(application) if asks_access else Access(),
            live_tokens=spec.restricted
            and (client.predecessor_id is not None or oauth.has_live_tokens(application.pk)),
        ),
        token=token and CurrentToken(pk=token.pk, expires_at=token.expires, scopes=tuple(token.scope.split())),
        has_token=client.access_token_id is not None,
    )
