"""Making API clients: gather what exists, plan, execute in one transaction; take back; prove."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib.auth import get_user_model

from edx_api_provisioning import access, grants, lms, privileges, registry, toolkit
from edx_api_provisioning.data import (
    Check,
    ClientSpec,
    ClientSummary,
    Credentials,
    Made,
    Presented,
    Secret,
    Verification,
)
from edx_api_provisioning.database import explained, in_transaction, unlogged
from edx_api_provisioning.exceptions import InvalidSpec
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.planning import (
    Access,
    Action,
    Found,
    FoundApplication,
    FoundClient,
    FoundToken,
    FoundUser,
    Plan,
    Site,
    email_wanted,
    make_plan,
    username_wanted,
)

__all__ = ["plan_client", "provision", "undo", "verify"]

Kind = registry.Kind


def plan_client(spec: ClientSpec, *, asked_by: Any = None) -> Plan:
    """What :func:`provision` would do now. Nothing is written or locked.

    Raises:
        ProvisioningError: as :func:`provision`.
    """
    spec = _expanded(spec)
    with explained(), unlogged():
        site = registry.site()
        rows = _find(spec, site)
        plan = make_plan(spec, rows.found, site)
        _check_asker(plan, rows, asked_by)
        return plan


def provision(
    spec: ClientSpec, *, actor: str, reason: str = "", asked_by: Any = None, request_id: str | None = None
) -> Credentials:
    """Leave an API client that matches the spec, however often it is called; all of it or nothing.

    Args:
        actor: who asks, for the record: a name, never a secret.
        reason: why, for the record too.
        asked_by: the user whose rights are the limit, where somebody is logged in; None where the operator is.
        request_id: makes a request unique: the same one is not carried out twice.

    Returns:
        What the client is now, with the secrets that this call issued. They are nowhere else to be had.

    Raises:
        InvalidSpec: something wanted is not allowed.
        NotAllowed: the credentials would carry rights that ``asked_by`` does not have.
        Conflict: what exists differs, and is not changed unasked.
        AlreadyDone: a request of this id was carried out before.
        UnusableToken: the site would not let the token work.
        NotMigrated, DatabaseFailure: the database is not ready, or refused.
    """

    expanded = _expanded(spec)

    def work() -> Credentials:
        registry.require_new(request_id)
        site = registry.site()
        rows = _find(expanded, site, lock=True)
        plan = make_plan(expanded, rows.found, site)
        _check_asker(plan, rows, asked_by)
        return _execute(plan, rows, site, actor=actor, reason=reason, request_id=request_id)

    return in_transaction(work)


def undo(credentials: Credentials, *, actor: str) -> bool:
    """Take back what one :func:`provision` made, where its credentials cannot be used or handed over.

    A user that others have come to depend on since then is left.

    Returns:
        Whether there was anything to take back.
    """
    made = credentials.made
    if made == Made():
        return False

    def work() -> None:
        client = ApiClient.objects.select_for_update().filter(name=credentials.name).first()
        toolkit.get_access_token_model()._default_manager.filter(pk=made.access_token).delete()
        toolkit.get_application_model()._default_manager.filter(pk=made.application).delete()
        details = {"status": credentials.status}
        registry.record(client, credentials.name, Kind.UNDONE, actor=actor, details=details)
        if made.client is not None:
            ApiClient.objects.filter(pk=made.client).delete()
        elif client is not None:
            client.refresh_from_db()
            client.user_made = client.user_made and made.user is None
            client.access_token_id = None if client.access_token_id == made.access_token else client.access_token_id
            client.save()
        user = get_user_model()._default_manager.filter(pk=made.user).first()
        if user is not None and not toolkit.has_applications(user):
            user.delete()

    in_transaction(work)
    return True


def verify(credentials: Credentials, *, url: str | None = None) -> Verification:
    """Prove the secrets that a run issued: in this process, and over HTTP too if a site's root is given.

    Args:
        url: from :func:`~edx_api_provisioning.data.parse_site_url`.
    """
    # Here, for what the site's authentication classes cost everybody who proves nothing.
    from edx_api_provisioning import verification

    with explained(), unlogged():
        checks = verification.in_process(credentials)
    if url is not None:
        checks += verification.over_http(credentials, url)
    return Verification(checks)


def verify_token(token: Secret, *, username: str, url: str) -> Verification:
    """Prove an access token that somebody presents over HTTP.

    Args:
        username: whose it is, from :func:`examine`.
        url: from :func:`~edx_api_provisioning.data.parse_site_url`.
    """
    from edx_api_provisioning import verification

    return Verification((verification.token_over_http(token, username, url),))


def examine(token: Secret) -> Presented:
    """What the site makes of an access token that somebody presents, and whose it is. Nothing is written."""
    from edx_api_provisioning import verification

    with explained(), unlogged():
        return verification.examine(token)


def verify_client(client_id: str, client_secret: Secret, *, url: str | None = None) -> Verification:
    """Prove a client id and secret that somebody presents by the real grant, here and over HTTP at a site's root.

    Args:
        url: from :func:`~edx_api_provisioning.data.parse_site_url`; there an opaque token and a JWT are asked for.
    """
    from edx_api_provisioning import verification

    with explained(), unlogged():
        checks: tuple[Check, ...] = (verification.grant_in_process(client_id, client_secret),)
        application = toolkit.find_application(client_id)
        restricted = application is not None and lms.is_restricted(application.pk)
        scopes = (*toolkit.default_scopes(), *lms.access(application.pk)[0]) if restricted else None
    if url is not None and application is not None and application.user is not None:
        username = application.user.get_username()
        checks += verification.client_over_http(client_id, client_secret, username, url, scopes=scopes)[0]
    return Verification(checks)


def try_profile(
    client: ClientSummary,
    *,
    url: str,
    access_token: Secret | None,
    client_secret: Secret | None,
    course_key: str | None = None,
) -> Verification:
    """Try what a client's profile opens over HTTP, with whatever there is of its credentials; only safe methods.

    Args:
        url: from :func:`~edx_api_provisioning.data.parse_site_url`.
        course_key: a course to try it on, as it is written; it is escaped as the LMS wants it.
    """
    from edx_api_provisioning import verification

    if not client.profile or client.username is None:
        return Verification(())
    tokens = {"bearer": access_token} if access_token is not None else {}
    if client_secret is not None and client.client_id is not None:
        _checks, jwt = verification.client_over_http(
            client.client_id, client_secret, client.username, url, scopes=_requestable(client)
        )
        tokens |= {"jwt": jwt} if jwt is not None else {}
    profile = access.profile(client.profile)
    return Verification(verification.profile_over_http(profile, tokens, client.username, url, course_key=course_key))


def _requestable(client: ClientSummary) -> tuple[str, ...]:
    row = registry.find(client.name, lock_it=False)
    return registry.requestable_scopes(row) if row is not None else ()


def _expanded(spec: ClientSpec) -> ClientSpec:
    return access.profile(spec.profile).apply(spec) if spec.profile else spec


class _Rows(NamedTuple):
    """What was found, as the planning sees it and as rows to work on."""

    found: Found
    client: ApiClient | None
    user: Any


def _find(spec: ClientSpec, site: Site, *, lock: bool = False) -> _Rows:
    for field, secret in (("client_secret", spec.client_secret), ("access_token", spec.access_token)):
        if secret is not None and (problem := toolkit.secret_problem(secret)):
            raise InvalidSpec(problem, field=field)
    if spec.rights is not None:
        grants.require_known(spec.rights)
    client = registry.find(spec.name, lock_it=lock)
    found_client = _found_client(spec, client) if client else None
    if client is None and lock:
        # Before any other row is locked: its unique name decides between runs that make the same client at once. Those
        # that find it lock it first too, so that none waits for one that waits for it.
        client = ApiClient.objects.create(name=spec.name)
    username = username_wanted(spec, found_client)
    user = _find_user(lock, pk=client.user_id) if client and client.user else _find_user(lock, username=username)
    application = client.application if client else None
    namesake = toolkit.find_application(spec.client_id) if spec.client_id and application is None else None
    token = toolkit.find_access_token(spec.access_token) if spec.access_token else None
    found = Found(
        client=found_client,
        user=_found_user(spec, user, client) if user else None,
        username_problem=None if user else lms.username_problem(username),
        email_owner=None if user else _email_owner(email_wanted(spec, username, site.host)),
        client_id_owner=namesake.client_id if namesake else None,
        client_secret_matches=application is None
        or spec.client_secret is None
        or toolkit.client_user(application.client_id, spec.client_secret) is not None,
        access_token_pk=token.pk if token else None,
    )
    return _Rows(found, client, user)


def _find_user(lock: bool, **which: Any) -> Any:
    users = get_user_model()._default_manager.filter(**which)
    # Locked, so that nobody is given more rights between the look and the use.
    return (users.select_for_update() if lock else users).first()


def _email_owner(email: str | None) -> str | None:
    owner = get_user_model()._default_manager.filter(email__iexact=email).first() if email else None
    return owner.get_username() if owner else None


def _found_user(spec: ClientSpec, user: Any, client: ApiClient | None) -> FoundUser:
    linked = client is not None and client.user_id == user.pk
    made = (
        client.user_made
        if client is not None and linked
        else ApiClient.objects.filter(user=user, user_made=True).exists()
    )
    return FoundUser(
        pk=user.pk,
        username=user.get_username(),
        email=user.email,
        is_staff=user.is_staff,
        superuser=user.is_superuser,
        active=user.is_active,
        accepted=made or linked,
        retired=lms.is_retired(user.get_username()),
        made=made,
        rights=grants.user_rights(user) if spec.rights is not None or not (made or linked) else frozenset(),
    )


def _check_asker(plan: Plan, rows: _Rows, asked_by: Any) -> None:
    if asked_by is None:
        return
    spec, application = plan.spec, rows.client.application if rows.client else None
    wanted = plan.add_rights | (plan.access.rights if plan.access else frozenset())
    future = privileges.rights_wanted(plan.username, staff=spec.is_staff, superuser=spec.superuser, others=wanted)
    privileges.require_no_more(future, asked_by=asked_by)
    if rows.user is not None:
        foreign = rows.found.user is not None and not rows.found.user.made
        privileges.require_no_more(privileges.rights_of(rows.user, application, foreign=foreign), asked_by=asked_by)


def _execute(plan: Plan, rows: _Rows, site: Site, **request: Any) -> Credentials:
    spec, user = plan.spec, rows.user
    made: dict[str, Any] = {}
    client_secret = access_token = None

    client = rows.client
    assert client is not None  # noqa: S101 - for the type checker: it was found or made when it was locked
    application: Any = client.application
    if plan.has(Action.CREATE_CLIENT):
        made["client"] = client.pk
    if plan.has(Action.CREATE_USER):
        user = lms.create_user(
            username=plan.username,
            email=plan.email,
            staff=spec.is_staff,
            superuser=spec.superuser,
            full_name=spec.name,
        )
        made["user"] = user.pk
    if plan.has(Action.CREATE_USER) or plan.has(Action.USE_USER):
        client.user, client.user_made = user, plan.has(Action.CREATE_USER)
        client.is_staff, client.is_superuser = user.is_staff, user.is_superuser
    if plan.has(Action.CREATE_APPLICATION):
        client_secret = spec.client_secret or toolkit.new_client_secret()
        application = client.application = toolkit.create_application(
            name=spec.name,
            user=user,
            client_id=spec.client_id or toolkit.new_client_id(),
            client_secret=client_secret,
        )
        made["application"] = application.pk
        client.secret_issued = site.now
    if plan.has(Action.CHANGE_RIGHTS):
        grants.change_user_rights(user, add=plan.add_rights, remove=plan.remove_rights)
    if plan.has(Action.SET_ACCESS) and plan.access is not None:
        restricted = spec.restricted or lms.is_restricted(application.pk)
        lms.set_access(application, scopes=plan.access.scopes, filters=plan.access.filters, restricted=restricted)
    if plan.has(Action.ISSUE_TOKEN):
        assert plan.expires_at is not None  # noqa: S101 - for the type checker: the step has an end
        access_token = registry.issue_token(
            client, scopes=plan.scopes, expires_at=plan.expires_at, now=site.now, token=spec.access_token
        )
        made["access_token"] = client.access_token_id
    if plan.has(Action.UPDATE_SCOPES):
        toolkit.set_scopes(client.access_token_id, plan.scopes)
    if plan.steps:
        client.contact_email = client.contact_email if spec.contact is None else spec.contact
        client.purpose = client.purpose if spec.purpose is None else spec.purpose
        client.profile = client.profile if spec.profile is None else spec.profile
        client.self_rotation = client.self_rotation if spec.self_rotation is None else spec.self_rotation
        client.manifest = client.manifest if spec.manifest is None else spec.manifest
        client.declared_rights = list(plan.declared)
        client.save()
        kind = Kind.CREATED if plan.has(Action.CREATE_CLIENT) else Kind.UPDATED
        details = {
            "steps": [step.action.name.lower() for step in plan.steps],
            "username": plan.username,
            "client_id": application.client_id,
            "scope": " ".join(plan.scopes),
            "expires_at": plan.expires_at.isoformat() if plan.expires_at else None,
        }
        registry.record(client, client.name, kind, details=details, **request)
    return Credentials(
        name=client.name,
        status=plan.status,
        username=plan.username,
        email=plan.email,
        client_id=application.client_id,
        client_secret=client_secret,
        access_token=access_token,
        expires_at=plan.expires_at,
        scopes=plan.scopes,
        profile=client.profile,
        restricted=spec.restricted or bool(rows.found.client and _is_restricted(rows.found.client)),
        made=Made(**made),
        changes=tuple(step.says for step in plan.steps),
        warnings=plan.warnings if plan.steps else (),
    )


def _is_restricted(client: FoundClient) -> bool:
    return client.application is not None and client.application.restricted


def _found_client(spec: ClientSpec, client: ApiClient) -> FoundClient:
    application, token = client.application, client.access_token
    asks_access = application is not None and (spec.scopes is not None or spec.filters is not None or spec.restricted)
    return FoundClient(
        pk=client.pk,
        name=client.name,
        user_pk=client.user_id,
        username=client.user.get_username() if client.user else None,
        retired=client.state == ApiClient.State.RETIRED,
        contact=client.contact_email,
        purpose=client.purpose,
        profile=client.profile,
        self_rotation=bool(client.self_rotation),
        manifest=client.manifest or "",
        declared=tuple(client.declared_rights),
        application=application
        and FoundApplication(
            pk=application.pk,
            client_id=application.client_id,
            user_pk=application.user_id,
            client_credentials=toolkit.is_client_credentials(application),
            restricted=lms.is_restricted(application.pk),
            access=Access(*lms.access(application.pk)) if asks_access else Access(),
            live_tokens=spec.restricted
            and (client.predecessor_id is not None or toolkit.has_live_tokens(application.pk)),
        ),
        token=token and FoundToken(pk=token.pk, expires_at=token.expires, scopes=tuple(token.scope.split())),
    )
