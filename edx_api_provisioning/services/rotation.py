"""The life of a client after it was made: rotate, revoke, retire, delete, adopt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import lms, oauth
from edx_api_provisioning.adapters.database import in_transaction
from edx_api_provisioning.adapters.rights import require_no_more, rights_of
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import Conflict, InvalidSpec
from edx_api_provisioning.core.policy import check_policy, check_rights_policy, token_end
from edx_api_provisioning.core.results import ISSUE_MEANINGS, Credentials, Issue, RequestId, Status
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import MAX_GRACE, ClientSpec
from edx_api_provisioning.core.state import Site
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import credentials, registry
from edx_api_provisioning.services.credentials import current_credentials
from edx_api_provisioning.services.health import BLOCKING, find_issues
from edx_api_provisioning.services.registry import Kind, refuse_retired
from edx_api_provisioning.services.site import current_site


def rotate(
    name: str,
    *,
    authority: Authority,
    token: bool = True,
    secret: bool = False,
    expires_in: timedelta | None = None,
    expires_at: datetime | None = None,
    grace: timedelta | None = None,
    reason: str = "",
    request_id: str | RequestId | None = None,
    longest: timedelta | None = None,
) -> Credentials:
    """Give a client a new access token, a new secret, or both.

    The user stays. The application stays too, but for a secret with ``grace``: an application has one secret, so the
    client gets a successor application, with the same access, and the old one is deleted when its grace is over.

    Args:
        token: issue a new access token; every older one ends now, or at the end of ``grace`` if it is not over before.
        secret: make a new secret; without ``grace`` the old one ends now.
        expires_in, expires_at: of the new access token, as in ``ClientSpec``; by default it gets the lifetime that the
            client was given. An ``expires_in`` is kept for the rotations that follow.
        grace: how long the old ones go on working.
        authority: on whose authority; the rights of its user are the limit.
        longest: the longest lifetime that a client may give itself; its own choice is not kept for later rotations.

    Raises:
        ClientNotFound, NearMatch: no such client.
        InvalidSpec: something wanted is not allowed.
        NotAllowed: the client's user has rights that ``authority`` does not have.
        Conflict: the client is in no state to be issued anything.
    """
    wanted = _Rotation(
        token,
        secret,
        grace,
        ClientSpec(name=name, token=token, expires_in=expires_in, expires_at=expires_at),
        longest=longest,
    )

    def work() -> Credentials:
        registry.require_new(request_id)
        site = current_site()
        client = registry.get(name, lock_it=True)
        return _rotate(client, wanted, site, authority, reason=reason, request_id=request_id)

    return in_transaction(work)


def rotate_due(
    name: str,
    *,
    within: timedelta,
    authority: Authority,
    token: bool = True,
    secret: bool = False,
    expires_in: timedelta | None = None,
    expires_at: datetime | None = None,
    grace: timedelta | None = None,
    reason: str = "",
    run_id: str = "",
) -> Credentials | None:
    """As :func:`rotate`, if the client's token ends within this time, or has ended.

    Args:
        run_id: of a run that may be started again: what it issued and did not hand over is due as well, and what it
            issues is marked as not handed over yet, for :func:`~edx_api_provisioning.api.hand_over`. It does not
            wait for a client that somebody else is at.

    Returns:
        None if it is not due any more: another run came first.
    """
    wanted = _Rotation(
        token, secret, grace, ClientSpec(name=name, token=token, expires_in=expires_in, expires_at=expires_at), run_id
    )

    def work() -> Credentials | None:
        site = current_site()
        active = ApiClient.objects.filter(name=name, state=ApiClient.State.ACTIVE)
        client = registry.lock(active, skip_locked=bool(run_id))
        if client is None or client.name != name:
            return None
        current: Any = client.access_token
        lost = client.not_handed_over(site.now, run_id=run_id) if run_id else frozenset()
        if not lost and (current is None or current.expires > site.now + within):
            return None
        due = replace(wanted, secret=secret or "secret" in lost)
        return _rotate(client, due, site, authority, reason=reason)

    return in_transaction(work)


@dataclass(frozen=True, slots=True)
class _Rotation:
    """What is to be rotated, and how."""

    token: bool
    secret: bool
    grace: timedelta | None
    spec: ClientSpec
    run_id: str = ""
    longest: timedelta | None = None

    def __post_init__(self) -> None:
        if not (self.token or self.secret):
            raise InvalidSpec(_("say what to rotate: the token, the secret, or both."), field="token")
        if self.grace is not None and not timedelta(0) < self.grace <= MAX_GRACE:
            raise InvalidSpec(_("at most %d days.") % MAX_GRACE.days, field="grace")


def _rotate(client: ApiClient, wanted: _Rotation, site: Site, authority: Authority, **request: Any) -> Credentials:
    """Within a transaction, with the client locked."""
    token, secret, grace = wanted.token, wanted.secret, wanted.grace
    ended = registry.end_predecessor(client, None if secret and grace is None else site.now, authority=authority)
    _check_fit(client, site, token=token)
    if not authority.trusted:
        rights = rights_of(client.user, client.application, foreign=not client.user_made)
        require_no_more(rights, authority=authority)
    scopes = tuple(client.access_token.scope.split()) if client.access_token else site.default_scopes
    check_policy(replace(wanted.spec, scopes=scopes), site)
    client_secret = _rotate_secret(client, grace, site, token=token) if secret else None
    access_token = None
    if token:
        old_ends = site.now + grace if grace is not None else None
        for application in filter(None, (client.application_id, client.predecessor_id)):
            oauth.end_tokens(application, at=old_ends, current=client.access_token_id)
        issue = credentials.NewToken(client=client, scopes=scopes, expires_at=_new_end(client, wanted, site))
        [access_token] = credentials.issue_tokens([issue], site.now)
    issued = [what for what, new in (("secret", secret), ("token", token)) if new]
    client.end_handover(issued)
    if wanted.run_id:
        client.begin_handover(issued, wanted.run_id)
    client.save()
    result = current_credentials(
        client,
        Status.ROTATED,
        client_secret=client_secret,
        access_token=access_token,
        changes=_rotated_says(client, token, secret, grace, ended),
    )
    details = {
        "token": token,
        "secret": secret,
        "client_id": result.client_id,
        "grace_seconds": int(grace.total_seconds()) if grace else 0,
    }
    registry.record(client, client.name, Kind.ROTATED, details=details, authority=authority, **request)
    return result


def _new_end(client: ApiClient, wanted: _Rotation, site: Site) -> datetime:
    """Return when the new token expires; keep a requested lifetime unless the client itself requests it."""
    if wanted.longest is not None:
        lifetime = min(client.token_lifetime or site.lifetime, wanted.longest)
        return token_end(wanted.spec, site, lifetime=lifetime)
    client.token_lifetime = wanted.spec.expires_in or client.token_lifetime
    return token_end(wanted.spec, site, lifetime=client.token_lifetime)


def _rotate_secret(client: ApiClient, grace: timedelta | None, site: Site, *, token: bool) -> Secret:
    secret = oauth.new_client_secret()
    client.secret_issued = site.now
    old: Any = client.application
    if grace is None:
        oauth.set_client_secret(old, secret)
        return secret
    if client.predecessor_id is not None:
        raise Conflict(
            _("the grace of its last rotation ends at %s; wait, or rotate without grace.")
            % f"{client.predecessor_ends:%Y-%m-%d %H:%M} UTC",
            field="grace",
        )
    if not token and client.access_token is not None:
        raise Conflict(
            _(
                "with grace the client moves to a new application, and its access token would end with the old; "
                "rotate the token too."
            ),
            field="grace",
        )
    client.application = oauth.create_application(
        name=client.name, user=client.user, client_id=oauth.new_client_id(), client_secret=secret
    )
    scopes, filters = lms.access(old.pk)
    lms.set_access(client.application, scopes=scopes, filters=filters, restricted=lms.is_restricted(old.pk))
    client.predecessor, client.predecessor_ends = old, site.now + grace
    return secret


def _rotated_says(
    client: ApiClient, token: bool, secret: bool, grace: timedelta | None, ended: bool
) -> tuple[str, ...]:
    until = _("until the grace is over") if grace else _("no longer")
    says = [_("end the application before the last rotation")] if ended else []
    if token:
        says.append(_("issue a new access token; older ones work %s") % until)
    if secret and grace is not None:
        says.append(_("make a successor application; the old client id and secret work %s") % until)
    elif secret:
        says.append(_("replace the client secret; the old one works no longer"))
        if not token:
            says.append(_("leave the access tokens that were issued with the old secret: they live on"))
    return tuple(says)


def _check_fit(client: ApiClient, site: Site, *, token: bool) -> None:
    """Whether the client may be issued anything now."""
    refuse_retired(client)
    if site.contact_required and not client.contact:
        raise InvalidSpec(_("the site wants somebody to answer for every client; name one first."), field="contact")
    check_rights_policy(staff=client.is_staff, superuser=client.is_superuser, site=site)
    restricted = client.application is not None and lms.is_restricted(client.application_id)
    for trouble in find_issues(client, restricted=restricted, now=site.now, oldest_secret=None):
        if trouble in BLOCKING:
            raise Conflict(f"{ISSUE_MEANINGS[trouble]}.", field="name")
    if token and restricted:
        raise Conflict(f"{ISSUE_MEANINGS[Issue.RESTRICTED]}.", field="name")
