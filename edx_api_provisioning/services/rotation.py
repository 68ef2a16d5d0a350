"""Rotate the credentials of API clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import lms, oauth
from edx_api_provisioning.adapters.rights import lock_user, require_no_more, rights_of
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import Conflict, InvalidSpec
from edx_api_provisioning.core.policy import check_policy, check_rights_policy, token_end
from edx_api_provisioning.core.results import ISSUE_MEANINGS, Applied, Credentials, Issue, RequestId, Status
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import MAX_GRACE, ClientSpec
from edx_api_provisioning.core.state import Site
from edx_api_provisioning.formats.destinations import Destination
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import credentials, recipients, registry
from edx_api_provisioning.services.batch import BATCH, batches
from edx_api_provisioning.services.credentials import current_credentials
from edx_api_provisioning.services.delivery import Run
from edx_api_provisioning.services.health import BLOCKING, find_issues
from edx_api_provisioning.services.last_use import keep_last_use
from edx_api_provisioning.services.provisioning import Request
from edx_api_provisioning.services.registry import Kind, refuse_retired
from edx_api_provisioning.services.site import current_site


def rotate(
    name: str,
    *,
    authority: Authority,
    reason: str = "",
    request_id: str | RequestId | None = None,
    **options: Any,
) -> Credentials:
    """Rotate one client as :func:`rotate_many` does, and return its credentials: they are not stored anywhere else.

    Raises:
        ClientNotFound, NearMatch: no such client.
        InvalidSpec: an option is not allowed.
        NotAllowed: the client's user has rights that ``authority`` does not have.
        Conflict: the state of the client does not allow new credentials.
        UnusableToken, VerificationFailed: the credentials would not work; nothing was changed.
    """
    ids = {name: request_id}
    [applied] = rotate_many([name], authority=authority, reason=reason, request_ids=ids, **options)
    return applied.unwrap()


def rotate_many(
    names: Sequence[str],
    *,
    authority: Authority,
    destination: Destination | None = None,
    token: bool = True,
    secret: bool = False,
    expires_in: timedelta | None = None,
    expires_at: datetime | None = None,
    grace: timedelta | None = None,
    within: timedelta | None = None,
    reason: str = "",
    request_ids: Mapping[str, str | RequestId | None] | None = None,
    verify: bool = True,
    longest: timedelta | None = None,
) -> Iterator[Applied]:
    """Issue a new access token, a new secret, or both for each client; yield the results in order.

    The user stays. So does the application, except for a secret with ``grace``: an application has one secret, so the
    client gets a new application with the same access, and the old one is deleted after the grace period.

    Args:
        authority, destination, request_ids, verify: as for :func:`~edx_api_provisioning.api.apply`.
        token: issue a new access token; older ones are revoked, or expire at the end of ``grace`` at the latest.
        secret: issue a new secret; without ``grace`` the old one stops working.
        expires_in, expires_at: expiry of the new access token; by default as before. ``expires_in`` is stored.
        grace: how long the old credentials keep working.
        within: skip clients whose token does not expire within this time, or is in the first half of its lifetime.
        longest: the longest lifetime that a client may give itself; it is not stored for later rotations.

    Raises:
        InvalidSpec: an option is not allowed.
        ProvisioningError: no more credentials can be delivered.
    """
    request = Request(authority=authority, reason=reason, request_ids=request_ids or {})
    spec = ClientSpec(token=token, expires_in=expires_in, expires_at=expires_at)
    wanted = _Rotation(token, secret, grace, within, longest, spec)
    run = Run(destination or Destination(), verify=verify)
    for batch in batches(names, BATCH):
        yield from _rotate_batch(batch, wanted, request, run)


def _rotate_batch(names: Sequence[str], wanted: _Rotation, request: Request, run: Run) -> Iterator[Applied]:
    left = run.recover(names)
    yield from (Applied(name=name, error=problem) for name, problem in left.items())
    ready = [name for name in names if name not in left]
    new = oauth.new_secrets([None] * len(ready) if wanted.secret else [], verify=run.verify)
    hashed = dict(zip(ready, new, strict=False))

    def work(names: Sequence[str]) -> list[Credentials]:
        site = current_site()
        found = {client.name: client for client in registry.find_all(names, lock_them=True)}
        run.locked(found.values())
        due = [name for name in names if wanted.is_due(found.get(name), site)]
        clients = [found.get(name) or registry.get(name, lock_it=True) for name in due]
        return [_rotate(client, wanted, site, request, hashed.get(client.name)) for client in clients]

    yield from run.issue(ready, work)


@dataclass(frozen=True, slots=True)
class _Rotation:
    """Options of a rotation."""

    token: bool
    secret: bool
    grace: timedelta | None
    within: timedelta | None
    longest: timedelta | None
    spec: ClientSpec

    def __post_init__(self) -> None:
        if not (self.token or self.secret):
            raise InvalidSpec(_("choose what to rotate: the token, the secret, or both."), field="token")
        if self.grace is not None and not timedelta(0) < self.grace <= MAX_GRACE:
            raise InvalidSpec(_("at most %d days.") % MAX_GRACE.days, field="grace")

    def is_due(self, client: ApiClient | None, site: Site) -> bool:
        """Return True if the client's token expires within the given time, or no time is given.

        A token in the first half of its lifetime is never due: a short one would be rotated by every run.
        """
        if self.within is None:
            return True
        token: Any = client.access_token if client and client.state == ApiClient.State.ACTIVE else None
        if client is None or token is None or token.expires - site.now > self.within:
            return False
        return client.token_issued is None or token.expires - site.now <= site.now - client.token_issued


def _rotate(
    client: ApiClient, wanted: _Rotation, site: Site, request: Request, new: oauth.NewSecret | None
) -> Credentials:
    """Rotate a client that is locked, within a transaction."""
    request.require_new(client.name)
    token, secret, grace = wanted.token, wanted.secret, wanted.grace
    keep_last_use(client)
    ended = registry.end_predecessor(
        client, None if secret and grace is None else site.now, authority=request.authority
    )
    _check_fit(client, site, token=token)
    _check_authority(client, request.authority)
    scopes = tuple(client.access_token.scope.split()) if client.access_token else _last_scopes(client, site)
    scopes = scopes or site.default_scopes
    check_policy(replace(wanted.spec, scopes=scopes), site)
    if new is not None:
        _rotate_secret(client, new, wanted, site)
    access_token = _rotate_token(client, scopes, wanted, site) if token else None
    client.last_cut = site.now
    recipients.receive(
        client,
        request.authority,
        secret=secret,
        token=token,
        ended=token and grace is None,
        grace=grace is not None,
    )
    client.save()
    changes = _changes(wanted, ended)
    result = current_credentials(client, Status.ROTATED, client_secret=new, access_token=access_token, changes=changes)
    details = {
        "token": token,
        "secret": secret,
        "client_id": result.client_id,
        "grace_seconds": int(grace.total_seconds()) if grace else 0,
    }
    request.record([(client, Kind.ROTATED, details)])
    return result


def _last_scopes(client: ApiClient, site: Site) -> tuple[str, ...]:
    """Return those scopes of the last token that the client may still have."""
    allowed = set(site.available_scopes)
    if site.has_access:
        allowed &= {*site.default_scopes, *lms.access(client.application).scopes}
    return tuple(scope for scope in registry.last_scopes(client) if scope in allowed)


def _check_authority(client: ApiClient, authority: Authority) -> None:
    """Refuse to issue credentials with rights that ``authority`` does not have; lock the account meanwhile."""
    if authority.trusted:
        return
    rights = rights_of(lock_user(client.user), client.application, foreign=not client.user_made)
    require_no_more(rights, authority=authority, restricted=lms.is_restricted(client.application_id))


def _new_end(client: ApiClient, wanted: _Rotation, site: Site) -> datetime:
    """Return when the new token expires; keep a requested lifetime unless the client itself requests it."""
    if wanted.longest is not None:
        lifetime = min(client.token_lifetime or site.lifetime, wanted.longest)
        return token_end(wanted.spec, site, lifetime=lifetime)
    client.token_lifetime = wanted.spec.expires_in or client.token_lifetime
    return token_end(wanted.spec, site, lifetime=client.token_lifetime)


def _rotate_secret(client: ApiClient, secret: oauth.NewSecret, wanted: _Rotation, site: Site) -> None:
    client.secret_issued, client.secret_issue = site.now, credentials.new_issue_id()
    old: Any = client.application
    if wanted.grace is None:
        oauth.set_client_secret(old, secret.stored)
        return
    if client.predecessor_id is not None:
        raise Conflict(
            _("the grace period of the last rotation ends at %s; wait until then, or rotate without a grace period.")
            % f"{client.predecessor_ends:%Y-%m-%d %H:%M} UTC",
            field="grace",
        )
    if not wanted.token and client.access_token is not None:
        raise Conflict(
            _(
                "with a grace period the client gets a new application, and its access token would be deleted with the "
                "old one; rotate the token too."
            ),
            field="grace",
        )
    new = oauth.NewApplication(client.name, client.user, oauth.new_client_id(), secret.stored)
    client.application = oauth.create_applications([new])[0]
    lms.set_access(client.application, lms.access(old), restricted=lms.is_restricted(old.pk))
    client.predecessor, client.predecessor_ends = old, site.now + wanted.grace


def _rotate_token(client: ApiClient, scopes: tuple[str, ...], wanted: _Rotation, site: Site) -> Secret:
    old_ends = site.now + wanted.grace if wanted.grace is not None else None
    for application in filter(None, (client.application_id, client.predecessor_id)):
        oauth.end_tokens(application, at=old_ends, current=client.access_token_id)
    issue = credentials.NewToken(client, scopes, _new_end(client, wanted, site))
    [access_token] = credentials.issue_tokens([issue], site.now)
    return access_token


def _changes(wanted: _Rotation, ended: bool) -> tuple[str, ...]:
    token, secret, grace = wanted.token, wanted.secret, wanted.grace
    changes = [_("Deleted the old application of the last rotation.")] if ended else []
    if token and grace is not None:
        changes.append(_("Issued a new access token; older tokens keep working until the grace period ends."))
    elif token:
        changes.append(_("Issued a new access token; older tokens no longer work."))
    if secret and grace is not None:
        changes.append(
            _("Created a new application; the old client id and secret keep working until the grace period ends.")
        )
    elif secret:
        changes.append(_("Replaced the client secret; the old one no longer works."))
        if not token:
            changes.append(_("Kept the access tokens that were issued with the old secret; they remain valid."))
    return tuple(changes)


def _check_fit(client: ApiClient, site: Site, *, token: bool) -> None:
    """Raise a ProvisioningError if the client may not get new credentials."""
    refuse_retired(client)
    if site.contact_required and not client.contact:
        raise InvalidSpec(
            _("missing; this site requires a contact for every client. Set it with provision_api_client --contact."),
            field="contact",
        )
    check_rights_policy(staff=client.is_staff, superuser=client.is_superuser, site=site)
    restricted = client.application is not None and lms.is_restricted(client.application_id)
    for issue in find_issues(client, restricted=restricted, now=site.now):
        if issue in BLOCKING:
            raise Conflict(f"{ISSUE_MEANINGS[issue]}.", field="name")
    if token and restricted:
        raise Conflict(f"{ISSUE_MEANINGS[Issue.RESTRICTED]}.", field="name")
