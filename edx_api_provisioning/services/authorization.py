"""Decide who may have a plan carried out, and whether new rights need new credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import oauth_server, rights
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import Conflict, NotAllowed, NotTold
from edx_api_provisioning.core.planning import Action, Plan, keep_flags, make_step, token_step
from edx_api_provisioning.core.policy import token_end
from edx_api_provisioning.core.results import Status
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec, values_of
from edx_api_provisioning.core.state import CurrentClient, CurrentState, Site
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import recipients, registry
from edx_api_provisioning.services.current_state import Rows

CHANGES_OF_RIGHTS = (Action.CHANGE_RIGHTS, Action.SET_ACCESS, Action.UPDATE_SCOPES, Action.USE_USER)


def versions(names: Sequence[str], *, lock: bool = False) -> dict[str, str]:
    """Return the version of each client that exists, by name; see :func:`version_of`."""
    clients = registry.find_all(names, lock_them=lock)
    users = {each.user_id: rights.lock_user(each.user) if lock else each.user for each in clients if each.user}
    loaded = rights.load_rights([*users], [each.application_id for each in clients if each.application_id])
    return {
        each.name: _version(each, user, each.application, loaded.of(user, each.application) if user else None)
        for each in clients
        for user in [users.get(each.user_id)]
    }


def require_unchanged(names: Sequence[str], seen: Mapping[str, str]) -> None:
    """Raise Conflict if a client has changed since its version was read; lock the clients until commit."""
    now = versions(names, lock=True)
    if any(now.get(name) != seen.get(name) for name in names):
        raise Conflict(_("The client has changed since you read it; read it again."))


def version_of(client: ApiClient | None, user: Any, application: Any, *, lock: bool = False) -> str:
    """Return a digest of a client and the rights of its user and application; it changes with them.

    Args:
        lock: read the rows again and lock them until commit.
    """
    if lock:
        client = registry.lock(ApiClient.objects.filter(pk=client.pk)) if client is not None else None
        user = rights.lock_user(user) if user is not None else None
    return _version(client, user, application, rights.rights_of(user, application) if user is not None else None)


def _version(client: ApiClient | None, user: Any, application: Any, known: frozenset[str] | None) -> str:
    seen = [
        client and [client.pk, client.state, client.updated.isoformat(), *client.declared_rights],
        None if known is None else [user.pk, user.is_active, *sorted(known)],
        application and [application.pk, application.user_id],
    ]
    return sha256(json.dumps(seen, default=str).encode()).hexdigest()[:32]


def check_account(spec: ClientSpec, found: CurrentState, authority: Authority) -> None:
    """Refuse a spec whose plan would disclose an account to ``authority``.

    A username or email address that is taken cannot be hidden: they are unique.

    Raises:
        NotAllowed: the account exists and is not the client's.
        NotTold: only somebody who may view users gets the details.
    """
    if authority.trusted:
        return
    user = found.user
    if user is not None and not user.linked and not authority.is_superuser:
        raise NotAllowed(
            _("this username is taken. Choose another one, or ask a superuser to share the account."),
            field="username",
        )
    if rights.may_view_users(authority):
        return
    if found.email_owner is not None:
        raise NotTold(_("this email address is taken. Choose another one."), field="email")
    spec = keep_flags(spec, found.client)
    if user is not None and (
        (user.is_staff, user.is_superuser) != (spec.is_staff, spec.is_superuser)
        or user.retired
        or not user.active
        or (spec.email is not None and user.email.lower() != spec.email.lower())
    ):
        raise NotTold(
            _("the service user does not match this request. Ask somebody who may view users."), field="username"
        )


def check_rights(plan: Plan, rows: Rows, authority: Authority) -> None:
    """Raise NotAllowed if the credentials of a plan would carry rights that ``authority`` does not have."""
    if authority.trusted:
        return
    spec, application = plan.spec, rows.client.application if rows.client else None
    wanted = plan.add_rights | (plan.access.rights if plan.access else frozenset())
    wanted |= rights.implied_rights(plan.username, spec)
    rights.require_no_more(wanted, authority=authority, restricted=plan.restricted, asked=True)
    foreign = rows.found.user is not None and not rows.found.user.made
    has = [rights.rights_of(rows.user, application, foreign=foreign)] if rows.user is not None else []
    for carried in (rights.rights_after(plan, rows.user, application, foreign=foreign), *has):
        rights.require_no_more(carried, authority=authority, restricted=plan.restricted)


def with_new_credentials(plan: Plan, rows: Rows, site: Site) -> Plan:
    """Return a plan under which new rights come with new credentials.

    Raises:
        Conflict: whoever received the credentials of the client, or of another client of its user, could not have
            granted these rights.
    """
    _check_others(plan, rows.user)
    client, found = rows.client, rows.found.client
    if client is None or found is None:
        return plan
    live = found.token is not None and found.token.expires_at > site.now
    spec, excess = plan.spec, _excess(plan, client, rows.user, token=live and not plan.has(Action.ISSUE_TOKEN))
    if client.application is None:
        if excess and client.predecessor_id is not None:
            raise Conflict(
                _(
                    "credentials of %(client)s from before its last rotation still work, and whoever received them "
                    "could not have granted %(rights)s. First run: revoke_api_client %(client)s"
                )
                % {"client": spec.name, "rights": ", ".join(excess)},
                field="name",
            )
        return plan
    other_secret = not rows.found.client_secret_matches
    other_token = (
        spec.access_token is not None and rows.found.access_token_pk is None and not plan.has(Action.ISSUE_TOKEN)
    )
    if excess and not spec.reissue:
        raise Conflict(
            _("whoever received the credentials of %(client)s could not have granted %(rights)s. Reissue them.")
            % {"client": spec.name, "rights": ", ".join(excess)},
            field="reissue",
        )
    if excess and spec.client_secret is not None and (not other_secret or _is_old(spec.client_secret, client)):
        raise Conflict(_("this secret was issued with fewer rights; choose another one."), field="client_secret")
    if excess and rows.found.access_token_pk is not None:
        raise Conflict(_("this token was issued with fewer rights; choose another one."), field="access_token")
    if not (excess or (spec.reissue and (other_secret or other_token))):
        return plan
    return _with_reissue(plan, found, site)


def _is_old(client_secret: Secret, client: ApiClient) -> bool:
    """Return True if it is the secret of an application in its grace period."""
    old: Any = client.predecessor
    return old is not None and oauth_server.client_user(old.client_id, client_secret) is not None


def _excess(plan: Plan, client: ApiClient, user: Any, *, token: bool) -> tuple[str, ...]:
    """Return the new rights that whoever received the client's credentials could not have granted.

    Args:
        token: whether there is a current token that works, and it stays.
    """
    if not plan.has(*CHANGES_OF_RIGHTS):
        return ()
    application = client.application or client.predecessor
    before = rights.rights_of(user, application) if user is not None else frozenset()
    after = rights.rights_after(plan, user, application)
    # The last filter of its type that goes opens what it kept closed; one of several narrows.
    types = {each.partition(":")[0] for each in values_of("filter", after)}
    gone = [each for each in values_of("filter", before) if each.partition(":")[0] not in types]
    growth = after - before | {f"no filter:{each}" for each in gone if plan.restricted}
    return recipients.beyond_recipients(client, growth, token=token)


def _check_others(plan: Plan, user: Any) -> None:
    """Refuse new rights of a user if whoever received the credentials of its other clients could not grant them."""
    if user is None or not plan.add_rights:
        return
    growth = rights.rights_after(plan, user) - rights.rights_of(user)
    for other in ApiClient.objects.filter(user=user, state=ApiClient.State.ACTIVE).exclude(name=plan.spec.name):
        if excess := recipients.beyond_recipients(other, growth, token=other.access_token_id is not None):
            raise Conflict(
                _(
                    "whoever received the credentials of %(client)s, which has the same user, could not have granted "
                    "%(rights)s. First run: rotate_api_client %(client)s --token --secret"
                )
                % {"client": other.name, "rights": ", ".join(excess)},
                field="username",
            )


def _with_reissue(plan: Plan, client: CurrentClient, site: Site) -> Plan:
    """Return a plan that also replaces the secret and the tokens of a client, without a grace period.

    A JWT of the LMS lives on until it expires: the step says so.
    """
    step = make_step(
        Action.REISSUE,
        _("Would replace the client secret and revoke all access tokens; older JWTs stay valid for up to an hour."),
        _("Replaced the client secret and revoked all access tokens; older JWTs stay valid for up to an hour."),
    )
    steps = [*plan.steps, step]
    expires_at, spec = plan.expires_at, plan.spec
    has_token = client.token is not None and spec.token is not False and not plan.restricted
    if has_token and not plan.has(Action.ISSUE_TOKEN):
        expires_at = token_end(spec, site, lifetime=client.token_lifetime)
        steps = [step for step in steps if step.action is not Action.UPDATE_SCOPES]
        steps.append(token_step(expires_at, plan.scopes))
    return replace(plan, steps=tuple(steps), status=Status.UPDATED, expires_at=expires_at)
