"""Issue access tokens and describe the credentials of a client."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import lms, oauth, oauth_server
from edx_api_provisioning.adapters.database import translate_errors
from edx_api_provisioning.adapters.rights import may_view_users
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.results import Credentials, Status
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import registry


def describe(name: str) -> Credentials:
    """Return the credentials of a client without secrets; raise ClientNotFound or NearMatch if there is none."""
    with translate_errors():
        return current_credentials(registry.get(name, lock_it=False), Status.UNCHANGED)


def without_address(credentials: Credentials, authority: Authority) -> Credentials:
    """Return credentials without the address of an account that existed, unless ``authority`` may view users."""
    if credentials.status is Status.CREATED or may_view_users(authority):
        return credentials
    return replace(credentials, email="")


def current_credentials(
    client: ApiClient,
    status: Status,
    *,
    client_secret: oauth.NewSecret | None = None,
    access_token: Secret | None = None,
    changes: tuple[str, ...] = (),
) -> Credentials:
    """Return what a client's credentials are now, with the secrets that were issued just now."""
    token: Any = client.access_token
    return Credentials(
        name=client.name,
        status=status,
        username=client.user.get_username() if client.user else "",
        email=client.user.email if client.user else "",
        client_id=client.application.client_id if client.application else "",
        client_secret=client_secret.secret if client_secret else None,
        stored_secret=client_secret.stored if client_secret else None,
        access_token=access_token,
        expires_at=token.expires if token else None,
        scopes=tuple(token.scope.split()) if token else requestable_scopes(client.application),
        profile=client.profile,
        restricted=client.application is not None and lms.is_restricted(client.application_id),
        changes=changes,
        issues=client.issues,
    )


def requestable_scopes(application: Any) -> tuple[str, ...]:
    """Return the scopes that a restricted application may request: the default ones and its own; none for another."""
    if application is None or not lms.is_restricted(application.pk):
        return ()
    return tuple(dict.fromkeys((*oauth_server.default_scopes(), *lms.access(application).scopes)))


class NewToken(NamedTuple):
    """A token that is wanted for a client."""

    client: ApiClient
    scopes: tuple[str, ...]
    expires_at: datetime
    token: Secret | None = None


def issue_tokens(wanted: Sequence[NewToken], now: datetime) -> list[Secret]:
    """Make tokens the current ones of their clients; saving the clients is the caller's.

    Raises:
        UnusableToken: if the site would not let one work.
        InvalidSpec: if the site's scopes backend does not grant a scope to an application.
    """
    for each in wanted if not lms.is_lms() else ():
        if refused := set(each.scopes) - set(oauth_server.available_scopes(each.client.application)):
            problem = _("the site's scopes backend does not grant %(scopes)s to %(name)s.")
            raise InvalidSpec(
                problem % {"scopes": ", ".join(sorted(refused)), "name": each.client.name}, field="scopes"
            )
    new = [
        oauth.NewAccessToken(
            each.client.application, each.client.user, each.token or _new_token(each, now), each.scopes, each.expires_at
        )
        for each in wanted
    ]
    for each, pk in zip(wanted, oauth.create_access_tokens(new), strict=True):
        each.client.access_token_id = pk
        each.client.token_issued, each.client.noticed_days = now, None
        each.client.token_issue = new_issue_id()
    return [each.token for each in new]


def new_issue_id() -> str:
    """Return the id of a secret or token that is issued now."""
    return secrets.token_hex(8)


def _new_token(wanted: NewToken, now: datetime) -> Secret:
    return oauth_server.generate_access_token(
        conf.get("TOKEN_PREFIX"),
        user=wanted.client.user,
        client=wanted.client.application,
        scopes=list(wanted.scopes),
        expires_in=int((wanted.expires_at - now).total_seconds()),
    )
