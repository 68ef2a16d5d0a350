"""The life of a client after it was made: rotate, revoke, retire, delete, adopt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from edx_api_provisioning import lms, privileges, registry, toolkit
from edx_api_provisioning.condition import BLOCKING, MEANINGS, Trouble, troubles
from edx_api_provisioning.data import MAX_GRACE, ClientSpec, Credentials, RequestId, Secret, Status
from edx_api_provisioning.database import explained, in_transaction
from edx_api_provisioning.exceptions import Conflict, InvalidSpec
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.planning import Site, check_policy, check_rights_policy, same_spelling, token_end

Kind = registry.Kind


def rotate(
    name: str,
    *,
    actor: str,
    token: bool = True,
    secret: bool = False,
    expires_in: timedelta | None = None,
    expires_at: datetime | None = None,
    grace: timedelta | None = None,
    reason: str = "",
    asked_by: Any = None,
    request_id: str | RequestId | None = None,
) -> Credentials:
    """Give a client a new access token, a new secret, or both.

    The user stays. The application stays too, but for a secret with ``grace``: an application has one secret, so the
    client gets a successor application, with the same access, and the old one is deleted when its grace is over.

    Args:
        token: issue a new access token; every older one ends now, or at the end of ``grace`` if it is not over before.
        secret: make a new secret; without ``grace`` the old one ends now.
        expires_in, expires_at: of the new access token, as in ``ClientSpec``.
        grace: how long the old ones go on working.
        asked_by: the user whose rights are the limit, where somebody is logged in; None where the operator is.

    Raises:
        ClientNotFound, NearMatch: no such client.
        InvalidSpec: something wanted is not allowed.
        NotAllowed: the client's user has rights that ``asked_by`` does not have.
        Conflict: the client is in no state to be issued anything.
    """
    wanted = _Rotation(
        token, secret, grace, ClientSpec(name=name, token=token, expires_in=expires_in, expires_at=expires_at)
    )

    def work() -> Credentials:
        registry.require_new(request_id)
        site = registry.site()
        client = registry.get(name, lock_it=True)
        return _rotate(client, wanted, site, asked_by, actor=actor, reason=reason, request_id=request_id)

    return in_transaction(work)


def rotate_due(
    name: str,
    *,
    within: timedelta,
    actor: str,
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
        site = registry.site()
        active = ApiClient.objects.filter(name=name, state=ApiClient.State.ACTIVE)
        client = registry.lock(active, skip_locked=bool(run_id))
        if client is None or client.name != name:
            return None
        current: Any = client.access_token
        lost = client.not_handed_over(site.now, run_id=run_id) if run_id else frozenset()
        if not lost and (current is None or current.expires > site.now + within):
            return None
        due = replace(wanted, secret=secret or "secret" in lost)
        return _rotate(client, due, site, None, actor=actor, reason=reason)

    return in_transaction(work)


@dataclass(frozen=True, slots=True)
class _Rotation:
    """What is to be rotated, and how."""

    token: bool
    secret: bool
    grace: timedelta | None
    spec: ClientSpec
    run_id: str = ""

    def __post_init__(self) -> None:
        if not (self.token or self.secret):
            raise InvalidSpec(_("say what to rotate: the token, the secret, or both."), field="token")
        if self.grace is not None and not timedelta(0) < self.grace <= MAX_GRACE:
            raise InvalidSpec(_("at most %d days.") % MAX_GRACE.days, field="grace")


def _rotate(
    client: ApiClient, wanted: _Rotation, site: Site, asked_by: Any, *, actor: str, **request: Any
) -> Credentials:
    """Within a transaction, with the client locked."""
    token, secret, grace = wanted.token, wanted.secret, wanted.grace
    ended = registry.end_predecessor(client, None if secret and grace is None else site.now, actor=actor)
    _check_fit(client, site, token=token)
    if asked_by is not None:
        rights = privileges.rights_of(client.user, client.application, foreign=not client.user_made)
        privileges.require_no_more(rights, asked_by=asked_by)
    scopes = tuple(client.access_token.scope.split()) if client.access_token else site.default_scopes
    check_policy(replace(wanted.spec, scopes=scopes), site)
    client_secret = _rotate_secret(client, grace, site, token=token) if secret else None
    access_token = None
    if token:
        old_ends = site.now + grace if grace is not None else None
        for application in filter(None, (client.application_id, client.predecessor_id)):
            toolkit.end_tokens(application, at=old_ends, current=client.access_token_id)
        issue = registry.Issue(client=client, scopes=scopes, expires_at=token_end(wanted.spec, site))
        [access_token] = registry.issue_tokens([issue], site.now)
    issued = [what for what, new in (("secret", secret), ("token", token)) if new]
    client.end_handover(issued)
    if wanted.run_id:
        client.begin_handover(issued, wanted.run_id)
    client.save()
    result = _credentials(
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
    registry.record(client, client.name, Kind.ROTATED, details=details, actor=actor, **request)
    return result


def _rotate_secret(client: ApiClient, grace: timedelta | None, site: Site, *, token: bool) -> Secret:
    secret = toolkit.new_client_secret()
    client.secret_issued = site.now
    old: Any = client.application
    if grace is None:
        toolkit.set_client_secret(old, secret)
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
    client.application = toolkit.create_application(
        name=client.name, user=client.user, client_id=toolkit.new_client_id(), client_secret=secret
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


def revoke(
    name: str,
    *,
    actor: str,
    retire: bool = False,
    delete: bool = False,
    reason: str = "",
    request_id: str | RequestId | None = None,
) -> Credentials:
    """End all tokens of a client, at once.

    Args:
        retire: end its application too (nobody knows its secret any more), and deactivate its user if that was made
            for it and owns nothing else.
        delete: then remove the application, such a user, and the client; its history stays.

    Raises:
        ClientNotFound, NearMatch: no such client.
    """

    def work() -> Credentials:
        # Locked first: what somebody else does at the same time is done, and in the history, before we look there.
        gone = registry.find(name, lock_it=True) is None
        registry.require_new(request_id)
        if delete and gone and registry.was_deleted(name):
            return Credentials.of_nothing(name)
        client = registry.get(name, lock_it=True)
        changes = _revoke_tokens(client, actor)
        if retire or delete:
            changes += _retire(client)
        if delete:
            changes += (_("delete the client, its application and the user that was made for it alone"),)
        if not changes:
            return _credentials(client, Status.UNCHANGED)
        kind = Kind.DELETED if delete else Kind.RETIRED if retire else Kind.REVOKED
        result = _credentials(client, Status(kind.value), changes=changes)
        client.save()
        details = {"steps": list(changes), "username": result.username}
        registry.record(client, name, kind, actor=actor, reason=reason, request_id=request_id, details=details)
        if delete:
            _delete(client)
        return result

    return in_transaction(work)


def describe(name: str) -> Credentials:
    """What a client's credentials are now, without any secret. Nothing is written or locked.

    Raises:
        ClientNotFound, NearMatch: no such client.
    """
    with explained():
        return _credentials(registry.get(name, lock_it=False), Status.UNCHANGED)


def _revoke_tokens(client: ApiClient, actor: str) -> tuple[str, ...]:
    changes = []
    known = client.application_id is not None or client.access_token_id is not None
    ended = toolkit.end_tokens(client.application_id, at=None, current=client.access_token_id) if known else 0
    if ended or client.access_token_id is not None:
        client.access_token = None
        changes.append(ngettext("revoke %d access token", "revoke %d access tokens", ended) % ended)
    if registry.end_predecessor(client, None, actor=actor):
        changes.append(_("end the application before the last rotation"))
    return tuple(changes)


def _retire(client: ApiClient) -> tuple[str, ...]:
    if client.state == ApiClient.State.RETIRED:
        return ()
    client.state = ApiClient.State.RETIRED
    changes = [_("retire the client")]
    if client.application is not None:
        toolkit.set_client_secret(client.application, toolkit.new_client_secret())
        changes.append(_("end the client secret"))
    user: Any = client.user
    if not _is_ours_alone(client):
        return tuple(changes)
    if toolkit.has_tokens(user):
        # Made for it by hand. That the user is not active ends none: most of the LMS's API lets inactive users in.
        lms.end_tokens_of_user(user)
        changes.append(_("revoke all other tokens of the user %s") % user.get_username())
    if user.is_active:
        user.is_active = False
        user.save(update_fields=["is_active"])
        changes.append(_("deactivate the user %s") % user.get_username())
    return tuple(changes)


def _is_ours_alone(client: ApiClient) -> bool:
    """Whether the user was made here, for this client or another, and nothing that is not retired goes by it."""
    if client.user is None:
        return False
    of_user = ApiClient.objects.filter(user=client.user_id)
    others = of_user.exclude(pk=client.pk)
    retired = (
        others.filter(state=ApiClient.State.RETIRED).exclude(application=None).values_list("application", flat=True)
    )
    return bool(
        of_user.filter(user_made=True).exists()
        and not others.exclude(state=ApiClient.State.RETIRED).exists()
        and not toolkit.has_applications(client.user, but=[client.application_id, *retired])
    )


def _delete(client: ApiClient) -> None:
    others = ApiClient.objects.filter(user=client.user_id).exclude(pk=client.pk)
    user = client.user if _is_ours_alone(client) and not others.exists() else None
    if client.user_made and client.user_id is not None and user is None:
        others.update(user_made=True)  # That the user was made here is not to be forgotten with this client.
    if client.application is not None:
        client.application.delete()
    client.delete()
    if user is not None:
        user.delete()


def adopt(
    name: str,
    *,
    client_id: str,
    actor: str,
    contact: str | None = None,
    purpose: str | None = None,
    reason: str = "",
    asked_by: Any = None,
    request_id: str | RequestId | None = None,
) -> Credentials:
    """Take an application that was made by other means under management, with its user and longest token.

    Adopting again records the user and the rights that it has by now as agreed to. What the site's policy forbids to be
    made is taken in all the same (but for a missing contact): what is managed can be seen, rotated and revoked.

    Raises:
        Conflict: the application is none for the client credentials grant, has no user, or belongs to another client.
    """
    ClientSpec(name=name, client_id=client_id, contact=contact, purpose=purpose)  # For its checks

    def work() -> Credentials:
        registry.require_new(request_id)
        site = registry.site()
        client = registry.find(name, lock_it=True)
        if client is not None:
            same_spelling("name", name, client.name)
            _refuse_retired(client)
        if site.contact_required and not (contact or (client and client.contact_email)):
            raise InvalidSpec(_("give one; the site wants somebody to answer for every client."), field="contact")
        application = toolkit.find_application(client_id)
        _check_adoptable(name, client, application, client_id)
        user = application.user
        made = ApiClient.objects.filter(user=user, user_made=True).exists()
        rights = privileges.rights_of(user, application, foreign=not made)
        if asked_by is not None:
            privileges.require_no_more(rights, asked_by=asked_by)
        if client is None:
            client = ApiClient(name=name, application=application)
        token = client.access_token or toolkit.longest_token(application)
        wanted = {
            "user": user,
            "user_made": client.user_made and client.user_id == user.pk,
            "is_staff": user.is_staff,
            "is_superuser": user.is_superuser,
            "declared_rights": sorted(privileges.declared(rights)),
            "access_token": token,
            # It is at least as old as this; and what nobody issued here has no date of ours.
            "secret_issued": client.secret_issued or application.created,
            "token_issued": client.token_issued or (token.created if token is not None else None),
            "contact_email": client.contact_email if contact is None else contact,
            "purpose": client.purpose if purpose is None else purpose,
        }
        if client.pk is not None and all(getattr(client, field) == value for field, value in wanted.items()):
            return _credentials(client, Status.UNCHANGED)
        for field, value in wanted.items():
            setattr(client, field, value)
        client.save()
        details = {"client_id": application.client_id, "username": user.get_username()}
        registry.record(client, name, Kind.ADOPTED, actor=actor, reason=reason, request_id=request_id, details=details)
        return _credentials(client, Status.ADOPTED, changes=(_("take %s under management") % name,))

    return in_transaction(work)


def _check_adoptable(name: str, client: ApiClient | None, application: Any, client_id: str) -> None:
    if application is None:
        raise Conflict(_("no application has it."), field="client_id")
    same_spelling("client_id", client_id, application.client_id)
    if client is not None and client.application_id != application.pk:
        raise Conflict(_("this client has another application; choose another name."), field="name")
    owner = ApiClient.objects.filter(Q(application=application) | Q(predecessor=application)).first()
    if owner is not None and (client is None or owner.pk != client.pk):
        if client is None and owner.name == name:
            # Another run adopted it under this name since we looked: to be looked at again.
            raise IntegrityError("the client was made meanwhile")
        raise Conflict(_("it belongs to the API client %s already.") % owner.name, field="client_id")
    if application.user is None:
        raise Conflict(_("the application has no user, so its tokens are of no use; set one first."), field="client_id")
    if not toolkit.is_client_credentials(application):
        raise Conflict(
            _("the application is not a confidential one for the client credentials grant; change that first."),
            field="client_id",
        )


def _refuse_retired(client: ApiClient) -> None:
    if client.state == ApiClient.State.RETIRED:
        raise Conflict(_("%s is retired; choose another name.") % client.name, field="name")


def _check_fit(client: ApiClient, site: Site, *, token: bool) -> None:
    """Whether the client may be issued anything now."""
    _refuse_retired(client)
    if site.contact_required and not client.contact_email:
        raise InvalidSpec(_("the site wants somebody to answer for every client; name one first."), field="contact")
    check_rights_policy(staff=client.is_staff, superuser=client.is_superuser, site=site)
    restricted = client.application is not None and lms.is_restricted(client.application_id)
    for trouble in troubles(client, restricted=restricted, now=site.now, oldest_secret=None):
        if trouble in BLOCKING:
            raise Conflict(f"{MEANINGS[trouble]}.", field="name")
    if token and restricted:
        raise Conflict(f"{MEANINGS[Trouble.RESTRICTED]}.", field="name")


def _credentials(
    client: ApiClient,
    status: Status,
    *,
    client_secret: Secret | None = None,
    access_token: Secret | None = None,
    changes: tuple[str, ...] = (),
) -> Credentials:
    token: Any = client.access_token
    return Credentials(
        name=client.name,
        status=status,
        username=client.user.get_username() if client.user else "",
        email=client.user.email if client.user else "",
        client_id=client.application.client_id if client.application else "",
        client_secret=client_secret,
        access_token=access_token,
        expires_at=token.expires if token else None,
        scopes=tuple(token.scope.split()) if token else registry.requestable_scopes(client),
        profile=client.profile,
        restricted=client.application is not None and lms.is_restricted(client.application_id),
        changes=changes,
    )
