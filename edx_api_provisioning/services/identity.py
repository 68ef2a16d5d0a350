"""Identify the caller of a request, and rotate its own credential."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q
from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import lms, oauth
from edx_api_provisioning.adapters.database import in_transaction, translate_errors
from edx_api_provisioning.adapters.rights import beyond, rights_of
from edx_api_provisioning.core.authority import RESTRICTED_WRITE_SCOPE, WRITE_SCOPE, Authority
from edx_api_provisioning.core.exceptions import Conflict, InvalidSpec, NotAllowed
from edx_api_provisioning.core.results import Credentials, Identity, RequestId
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import registry
from edx_api_provisioning.services.rotation import rotate

_SELF_GRACE = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Credential that authenticated a request."""

    scheme: str
    """``bearer``, ``jwt`` or ``session``."""
    token: Any = None
    """The row of an opaque access token."""
    application: Any = None
    scopes: tuple[str, ...] | None = None
    filters: tuple[str, ...] = ()
    restricted: bool = False
    issued_at: datetime | None = None
    expires_at: datetime | None = None


def credential_of(user: Any, auth: Any, authenticator: Any) -> Credential:
    """Return the credential that authenticated a request, from DRF's attributes of the request.

    Args:
        auth: ``request.auth``.
        authenticator: ``request.successful_authenticator``.
    """
    with translate_errors():
        if (claims := lms.jwt_claims(auth, authenticator)) is not None:
            of_grant = claims.get("grant_type") == "client-credentials"
            return Credential(
                scheme="jwt",
                # No claim names the application. If the user has only one, it is that one.
                application=oauth.only_application(user) if of_grant else None,
                scopes=tuple(claims.get("scopes") or ()),
                filters=tuple(claims.get("filters") or ()),
                restricted=bool(claims.get("is_restricted")),
                # A JWT states its time of issue in whole seconds: one of the same second may be older.
                issued_at=datetime.fromtimestamp(claims["iat"], UTC) if "iat" in claims else None,
                expires_at=datetime.fromtimestamp(claims["exp"], UTC) if "exp" in claims else None,
            )
        if oauth.is_access_token(auth):
            return Credential(
                scheme="bearer",
                token=auth,
                application=auth.application,
                scopes=tuple(auth.scope.split()),
                restricted=lms.is_restricted(auth.application_id),
                issued_at=auth.created,
                expires_at=auth.expires,
            )
        return Credential(scheme="session" if auth is None else "bearer")


def person_of(request: Any, entry: str) -> Authority:
    """Return the authority of the logged-in user, labelled with an entry point such as ``admin``.

    If the user was impersonated with django-hijack or django-impersonate, the label names the real user too.
    """
    label = f"{entry}: {request.user.get_username()}"
    real = getattr(request, "impersonator", None)
    if history := getattr(request, "session", {}).get("hijack_history"):
        # django-hijack keeps the primary keys of the accounts that somebody came from, the own one first.
        users = get_user_model()
        real = users._default_manager.filter(pk=users._meta.pk.to_python(history[0])).first() or history[0]
    return Authority.person(request.user, label if real is None else f"{label} (used by {real})")


def authority_of(request: Any, credential: Credential) -> Authority:
    """Return the authority of a request at the REST API."""
    if credential.scheme == "session":
        return person_of(request, "REST API")
    user = request.user
    client = _client_of(credential.application)
    return Authority(
        f"REST API: {user.get_username()}",
        user,
        restricted=credential.restricted,
        scopes=credential.scopes or (),
        filters=credential.filters,
        client=client.name if client is not None else None,
    )


def require_may_change(user: Any, credential: Credential) -> None:
    """Raise NotAllowed unless the credential may make changes at the REST API.

    It may if it is a session, or a token of the confidential client credentials application of an active API client,
    with the scope to write, that was issued after the client's last rotation, revocation or change of rights.
    """
    if credential.scheme == "session":
        return
    application, scope = credential.application, RESTRICTED_WRITE_SCOPE if credential.restricted else WRITE_SCOPE
    with translate_errors():
        client = _client_of(application)
    if application is None:
        raise NotAllowed(_("a JWT can make changes only if its user has exactly one application."))
    if (
        client is None
        or client.state != ApiClient.State.ACTIVE
        or not oauth.is_client_credentials(application)
        or not user.pk == application.user_id == client.user_id
    ):
        raise NotAllowed(_("only the credentials of an active API client can make changes."))
    if scope not in (credential.scopes or ()):
        raise NotAllowed(_("a credential needs the scope %s to make changes.") % scope)
    if client.application_id != application.pk or _is_stale(credential, client):
        raise NotAllowed(
            _(
                "this credential was issued before the last rotation, revocation or change of rights of its client; "
                "use the newest one."
            )
        )


def _is_stale(credential: Credential, client: ApiClient) -> bool:
    issued, cut = credential.issued_at, client.last_cut
    if credential.scheme != "jwt" or issued is None:
        return cut is not None and (issued is None or issued < cut)
    before = cut is not None and issued <= cut.replace(microsecond=0)
    # A JWT names no application: it may be that of another one, which has ended since.
    return before or client.predecessor_ends is not None or registry.has_ended_application(client, since=issued)


def identify(user: Any, credential: Credential) -> Identity:
    """Return the identity of the caller. Nothing is written."""
    application = credential.application
    with translate_errors():
        # With a JWT, a restricted application has only its scopes and filters, not the rights of its user.
        rights = lms.access(application).rights if credential.restricted else rights_of(user, application)
        client = _client_of(application)
        return Identity(
            username=user.get_username(),
            is_staff=user.is_staff,
            is_superuser=user.is_superuser,
            scheme=credential.scheme,
            client=client.name if client else None,
            client_id=application.client_id if application is not None else None,
            scopes=credential.scopes,
            restricted=credential.restricted,
            rights=beyond(rights),
            self_rotation=bool(client and _may_rotate_itself(client, credential)),
            expires_at=credential.expires_at,
        )


def _client_of(application: Any) -> ApiClient | None:
    if application is None:
        return None
    return ApiClient.objects.filter(Q(application=application.pk) | Q(predecessor=application.pk)).first()


def _may_rotate_itself(client: ApiClient, credential: Credential) -> bool:
    token = credential.token
    return bool(
        client.self_rotation
        and token is not None
        and client.access_token_id == token.pk
        and client.application_id == token.application_id
        and client.user_id == token.user_id
    )


def _self_rotating(credential: Credential) -> ApiClient:
    """Return the client, locked, whose current token this is; raise NotAllowed or Conflict if it may not rotate."""
    found = _client_of(credential.application) if credential.token else None
    client = registry.find(found.name, lock_it=True) if found else None
    if client is None or not client.self_rotation:
        message = _("only a client with self_rotation can rotate itself, with its current opaque access token.")
        raise NotAllowed(message)
    if not _may_rotate_itself(client, credential):
        raise Conflict(_("this is no longer the client's current access token; use the newest one."))
    return client


def rotate_self(
    credential: Credential,
    *,
    expires_in: timedelta | None = None,
    grace: timedelta | None = None,
    request_id: RequestId | None = None,
) -> Credentials:
    """Issue a client its next access token in exchange for the presented one.

    Args:
        expires_in: lifetime of the new token: at most that of the presented token, which is the default.
        grace: how long the presented token keeps working, at most until it expires; the default is one day.

    Raises:
        NotAllowed: it is not the opaque access token of a client that may rotate itself.
        Conflict: it is no longer the current token, or the state of the client does not allow new credentials.
        InvalidSpec: the lifetime is too long.
    """

    def work() -> Credentials:
        registry.require_new(request_id)
        client = _self_rotating(credential)
        life = _lifetime(client, credential.token)
        if expires_in is not None and expires_in > life:
            raise InvalidSpec(_("the maximum is %s, the lifetime of your current token.") % life, field="expires_in")
        return rotate(
            client.name,
            authority=Authority.operator(f"itself: {client.name}"),
            expires_in=expires_in,
            longest=life,
            grace=grace or _SELF_GRACE,
            request_id=request_id,
        )

    return in_transaction(work)


def _lifetime(client: ApiClient, token: Any) -> timedelta:
    """Return the lifetime that a client's token was given. The expiry is in whole seconds."""
    return timedelta(seconds=math.ceil((token.expires - (client.token_issued or token.created)).total_seconds()))
