"""Making API clients: gather what exists, plan, execute in one transaction; take back; prove."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model

from edx_api_provisioning import conf, lms, toolkit
from edx_api_provisioning.data import ClientSpec, Credentials, Made, Verification
from edx_api_provisioning.database import connection, explained, in_transaction, unlogged
from edx_api_provisioning.exceptions import InvalidSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.planning import (
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


def plan_client(spec: ClientSpec) -> Plan:
    """What :func:`provision` would do now. Nothing is written or locked.

    Raises:
        ProvisioningError: as :func:`provision`.
    """
    with explained(), unlogged():
        site = _site()
        return make_plan(spec, _find(spec, site).found, site)


def provision(spec: ClientSpec, *, actor: str) -> Credentials:
    """Leave an API client that matches the spec, however often it is called; all of it or nothing.

    Args:
        actor: who asks, for the record: a name, never a secret.

    Returns:
        What the client is now, with the secrets that this call issued. They are nowhere else to be had.

    Raises:
        InvalidSpec: something wanted is not allowed.
        Conflict: what exists differs, and is not changed unasked.
        UnusableToken: the site would not let the token work.
        NotMigrated, DatabaseFailure: the database is not ready, or refused.
    """

    def work() -> Credentials:
        site = _site()
        rows = _find(spec, site, lock=True)
        return _execute(make_plan(spec, rows.found, site), rows, actor, site)

    return in_transaction(work)


def undo(credentials: Credentials, *, actor: str) -> None:
    """Take back what one :func:`provision` made, where its credentials cannot be used or handed over.

    A user that others have come to depend on since then is left.
    """
    made = credentials.made
    if made == Made():
        return

    def work() -> None:
        client = ApiClient.objects.select_for_update().filter(name=credentials.name).first()
        toolkit.get_access_token_model()._default_manager.filter(pk=made.access_token).delete()
        toolkit.get_application_model()._default_manager.filter(pk=made.application).delete()
        _record(client, credentials.name, ApiClientEvent.Kind.UNDONE, actor, {"status": credentials.status})
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


def verify(credentials: Credentials, *, url: str | None = None) -> Verification:
    """Prove the secrets that a run issued: in this process, and over HTTP too if a site's root is given.

    Args:
        url: from :func:`~edx_api_provisioning.data.parse_site_url`.
    """
    from edx_api_provisioning import (
        verification,
    )  # Only here: it brings in the site's authentication classes.

    with explained(), unlogged():
        checks = verification.in_process(credentials)
    if url is not None:
        checks += verification.over_http(credentials, url)
    return Verification(checks)


class _Rows(NamedTuple):
    """What was found, as the planning sees it and as rows to work on."""

    found: Found
    client: ApiClient | None
    user: Any


def _site() -> Site:
    return Site(
        now=datetime.now(UTC),
        host=conf.host(),
        lifetime=conf.lifetime("TOKEN_LIFETIME"),
        max_lifetime=conf.lifetime("MAX_TOKEN_LIFETIME"),
        default_scopes=toolkit.default_scopes(),
        available_scopes=toolkit.available_scopes(),
    )


def _find(spec: ClientSpec, site: Site, *, lock: bool = False) -> _Rows:
    for field, secret in (("client_secret", spec.client_secret), ("access_token", spec.access_token)):
        if secret is not None and (problem := toolkit.secret_problem(secret)):
            raise InvalidSpec(problem, field=field)
    client = _find_client(spec.name, lock=lock)
    found_client = _found_client(client) if client else None
    username = username_wanted(spec, found_client)
    user = _find_user(lock, pk=client.user_id) if client and client.user else _find_user(lock, username=username)
    application = client.application if client else None
    namesake = toolkit.find_application(spec.client_id) if spec.client_id and application is None else None
    token = toolkit.find_access_token(spec.access_token) if spec.access_token else None
    found = Found(
        client=found_client,
        user=_found_user(user, client) if user else None,
        username_problem=None if user else lms.username_problem(username),
        email_owner=None if user else _email_owner(email_wanted(spec, username, site.host)),
        client_id_owner=namesake.client_id if namesake else None,
        client_secret_matches=application is None
        or spec.client_secret is None
        or toolkit.client_user(application.client_id, spec.client_secret) is not None,
        access_token_pk=token.pk if token else None,
    )
    return _Rows(found, client, user)


def _find_client(name: str, *, lock: bool) -> ApiClient | None:
    clients = ApiClient.objects.filter(name=name)
    if lock and not connection().features.has_select_for_update:
        clients.update(name=name)  # SQLite has one lock for all writers; this takes it before anything is read.
    elif lock and not clients.select_for_update().values_list("pk"):
        return None
    return clients.select_related("user", "application", "access_token").first()


def _find_user(lock: bool, **which: Any) -> Any:
    users = get_user_model()._default_manager.filter(**which)
    # Locked, so that nobody is given more rights between the look and the use.
    return (users.select_for_update() if lock else users).first()


def _email_owner(email: str | None) -> str | None:
    owner = get_user_model()._default_manager.filter(email=email).first() if email else None
    return owner.get_username() if owner else None


def _found_user(user: Any, client: ApiClient | None) -> FoundUser:
    return FoundUser(
        pk=user.pk,
        username=user.get_username(),
        email=user.email,
        is_staff=user.is_staff,
        superuser=user.is_superuser,
        active=user.is_active,
        accepted=bool(client and client.user_id == user.pk)
        or ApiClient.objects.filter(user=user, user_made=True).exists(),
    )


def _execute(plan: Plan, rows: _Rows, actor: str, site: Site) -> Credentials:
    spec, user = plan.spec, rows.user
    made: dict[str, Any] = {}
    client_secret = access_token = None

    # First the registry row: its unique name decides between runs that make the same client at once.
    client = rows.client or ApiClient(name=spec.name)
    application: Any = client.application
    if plan.has(Action.CREATE_CLIENT):
        client.save(force_insert=True)
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
    if plan.has(Action.CREATE_APPLICATION):
        client_secret = spec.client_secret or toolkit.new_client_secret()
        application = client.application = toolkit.create_application(
            name=spec.name,
            user=user,
            client_id=spec.client_id or toolkit.new_client_id(),
            client_secret=client_secret,
        )
        made["application"] = application.pk
    if plan.has(Action.ISSUE_TOKEN):
        assert plan.expires_at is not None  # noqa: S101 - for the type checker: the step has an end
        access_token = spec.access_token or toolkit.generate_access_token(
            conf.get("TOKEN_PREFIX"),
            user=user,
            client=application,
            scopes=list(plan.scopes),
            expires_in=int((plan.expires_at - site.now).total_seconds()),
        )
        client.access_token_id = made["access_token"] = toolkit.create_access_token(
            application=application,
            user=user,
            token=access_token,
            scopes=plan.scopes,
            expires_at=plan.expires_at,
        )
    if plan.has(Action.UPDATE_SCOPES):
        toolkit.set_scopes(client.access_token_id, plan.scopes)
    if plan.steps:
        client.contact_email = client.contact_email if spec.contact is None else spec.contact
        client.purpose = client.purpose if spec.purpose is None else spec.purpose
        client.save()
        kind = ApiClientEvent.Kind.CREATED if plan.has(Action.CREATE_CLIENT) else ApiClientEvent.Kind.UPDATED
        details = {
            "steps": [step.action.name.lower() for step in plan.steps],
            "username": plan.username,
            "client_id": application.client_id,
            "scope": " ".join(plan.scopes),
            "expires_at": plan.expires_at.isoformat() if plan.expires_at else None,
        }
        _record(client, client.name, kind, actor, details)
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
        made=Made(**made),
        changes=tuple(step.says for step in plan.steps),
        warnings=plan.warnings if plan.steps else (),
    )


def _record(client: ApiClient | None, name: str, kind: str, actor: str, details: dict[str, Any]) -> None:
    ApiClientEvent.objects.create(client=client, client_name=name, kind=kind, actor=actor[:255], details=details)


def _found_client(client: ApiClient) -> FoundClient:
    application, token = client.application, client.access_token
    return FoundClient(
        pk=client.pk,
        name=client.name,
        user_pk=client.user_id,
        username=client.user.get_username() if client.user else None,
        retired=client.state == ApiClient.State.RETIRED,
        contact=client.contact_email,
        purpose=client.purpose,
        application=application
        and FoundApplication(
            pk=application.pk,
            client_id=application.client_id,
            user_pk=application.user_id,
            client_credentials=toolkit.is_client_credentials(application),
            restricted=lms.is_restricted(application.pk),
        ),
        token=token and FoundToken(pk=token.pk, expires_at=token.expires, scopes=tuple(token.scope.split())),
    )
