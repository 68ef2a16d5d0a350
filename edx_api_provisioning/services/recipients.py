"""Know who received the credentials of a client: new rights come with new credentials.

Somebody who received a secret or token has whatever rights the client is given later. So a client gets no rights that
the recipients could not have granted, unless all its credentials are reissued.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model

from edx_api_provisioning.adapters.rights import beyond, rights_of
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.models import ApiClient

_OPERATOR = "operator"


def receive(
    client: ApiClient, authority: Authority, *, secret: bool, token: bool, ended: bool, grace: bool = False
) -> None:
    """Record that ``authority`` receives a new secret, a new token or both.

    Args:
        ended: True if all older credentials of the application have ended.
        grace: True if they keep working for a while.
    """
    who, known = _key(authority), client.recipients
    older = set(known.get("older", ()))
    if secret and not ended:
        older.add(known.get("secret", ""))  # Tokens of the old secret may still work.
    if token and grace:
        older.add(known.get("token", ""))
    if ended and client.predecessor_id is None:
        older = set()
    new = {**({"secret": who} if secret else {}), **({"token": who} if token else {})}
    client.recipients = {**known, **new, "older": sorted(older)}


def forget_tokens(client: ApiClient) -> None:
    """Record that all tokens and older applications of a client have ended."""
    client.recipients = {name: who for name, who in client.recipients.items() if name == "secret"}


def _key(authority: Authority) -> str:
    """Return the key of an account, or "" for nobody: whoever holds a credential has no rights of their own."""
    if authority.trusted:
        return _OPERATOR
    return "" if authority.restricted or authority.client is not None else str(authority.user.pk)


def beyond_recipients(client: ApiClient, growth: frozenset[str], *, token: bool) -> tuple[str, ...]:
    """Return the new rights that a recipient of the credentials could not have granted.

    Args:
        token: whether there is a current token, and it stays.
    """
    if not growth:
        return ()
    known = client.recipients
    holders = {*known.get("older", ()), known.get("secret", "")} | ({known.get("token", "")} if token else set())
    excess = {right for holder in holders - {_OPERATOR} for right in beyond(growth, _limit(holder))}
    return tuple(sorted(excess))


def _limit(holder: str) -> frozenset[str]:
    users: Any = get_user_model()._default_manager
    user = users.filter(pk=holder, is_active=True).first() if holder else None
    return rights_of(user, foreign=True) if user is not None else frozenset()
