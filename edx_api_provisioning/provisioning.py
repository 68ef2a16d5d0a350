"""Making API clients: look, plan, execute in one transaction; take back. For one, or for many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.contrib.auth import get_user_model

from edx_api_provisioning import access, grants, lms, privileges, registry, toolkit
from edx_api_provisioning.data import ClientSpec, Credentials, Made, Secret
from edx_api_provisioning.database import explained, in_transaction, unlogged
from edx_api_provisioning.exceptions import InvalidSpec, ProvisioningError
from edx_api_provisioning.finding import Ambiguous, Rows, find
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.planning import Action, Plan, Site, make_plan

Kind = registry.Kind
Wanted = TypeVar("Wanted")
Result = TypeVar("Result")


def plan_client(spec: ClientSpec, *, asked_by: Any = None) -> Plan:
    """What :func:`provision` would do now. Nothing is written or locked.

    Raises:
        ProvisioningError: as :func:`provision`.
    """
    [plan] = look([spec], asked_by=asked_by)
    if isinstance(plan, ProvisioningError):
        raise plan
    return plan


def look(specs: Sequence[ClientSpec], *, asked_by: Any = None) -> list[Plan | ProvisioningError]:
    """What :func:`provision` would do now with each, or why it would not. Nothing is written or locked."""
    with explained(), unlogged():
        planned = _planned(specs, registry.site(), asked_by=asked_by)
    return [each if isinstance(each, ProvisioningError) else each.plan for each in planned]


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

    def work() -> Credentials:
        registry.require_new(request_id)
        [credentials] = _provision([spec], {}, asked_by, actor=actor, reason=reason, request_id=request_id)
        return credentials

    return in_transaction(work)


def provision_together(
    specs: Sequence[ClientSpec], *, actor: str, reason: str = "", asked_by: Any = None, new: Collection[str] = ()
) -> list[Credentials]:
    """As :func:`provision`, for some clients in one transaction: all of them or none.

    What is issued is marked as not handed over yet; see :func:`handed_over`.

    Args:
        new: the names of those that will get an application, as far as can be seen: their secrets are hashed at once.

    Raises:
        Ambiguous: the database takes one of them for another spelling of a name that exists.
        ProvisioningError: as :func:`provision`, of the first that is refused.
    """
    secrets = {spec.name: spec.client_secret or toolkit.new_client_secret() for spec in specs if spec.name in new}
    # Before anything is locked: it takes its time.
    kept = dict(zip(secrets, zip(secrets.values(), toolkit.kept_of([*secrets.values()]), strict=True), strict=True))
    request = {"actor": actor, "reason": reason, "request_id": None}
    return in_transaction(lambda: _provision(specs, kept, asked_by, handover=True, **request))


def handed_over(names: Sequence[str]) -> None:
    """The credentials of these clients have arrived: nobody has to issue others in their place."""
    with explained():
        ApiClient.objects.filter(name__in=names, handover_pending=True).update(handover_pending=False)


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


def _expanded(spec: ClientSpec) -> ClientSpec:
    return access.profile(spec.profile).apply(spec) if spec.profile else spec


@dataclass(frozen=True, slots=True)
class _Planned:
    plan: Plan
    rows: Rows


def _planned(
    specs: Sequence[ClientSpec], site: Site, *, asked_by: Any, lock: bool = False
) -> list[_Planned | ProvisioningError]:
    """What is to be done for each, or why it is not; of more than one, one by one where the database is ambiguous."""
    check = _Check()
    checked = [_tried(check, spec) for spec in specs]
    good = [spec for spec in checked if isinstance(spec, ClientSpec)]
    try:
        found = {spec.name: rows for spec, rows in zip(good, find(good, site, lock=lock), strict=True)} if good else {}
    except Ambiguous:
        if lock:
            raise
        return [each for spec in specs for each in _planned([spec], site, asked_by=asked_by)]

    def plan(spec: ClientSpec) -> _Planned:
        rows = found[spec.name]
        planned = _Planned(make_plan(spec, rows.found, site), rows)
        _check_asker(planned, asked_by)
        return planned

    return [_tried(plan, spec) if isinstance(spec, ClientSpec) else spec for spec in checked]


def _tried(do: Callable[[Wanted], Result], wanted: Wanted) -> Result | ProvisioningError:
    try:
        return do(wanted)
    except ProvisioningError as error:
        return error


class _Check:
    """What can be said of a spec before anything is looked for; of rights that many ask for, once."""

    def __init__(self) -> None:
        self._known: dict[frozenset[str], ProvisioningError | None] = {}

    def __call__(self, spec: ClientSpec) -> ClientSpec:
        spec = _expanded(spec)
        for field_name, secret in (("client_secret", spec.client_secret), ("access_token", spec.access_token)):
            if secret is not None and (problem := toolkit.secret_problem(secret)):
                raise InvalidSpec(problem, field=field_name)
        if spec.rights is not None:
            if spec.rights not in self._known:
                self._known[spec.rights] = _tried(grants.require_known, spec.rights)
            if (unknown := self._known[spec.rights]) is not None:
                raise unknown
        return spec


def _check_asker(planned: _Planned, asked_by: Any) -> None:
    if asked_by is None:
        return
    plan, rows = planned.plan, planned.rows
    spec, application = plan.spec, rows.client.application if rows.client else None
    wanted = plan.add_rights | (plan.access.rights if plan.access else frozenset())
    future = privileges.rights_wanted(plan.username, staff=spec.is_staff, superuser=spec.superuser, others=wanted)
    privileges.require_no_more(future, asked_by=asked_by)
    if rows.user is not None:
        foreign = rows.found.user is not None and not rows.found.user.made
        privileges.require_no_more(privileges.rights_of(rows.user, application, foreign=foreign), asked_by=asked_by)


Kept = Mapping[str, tuple[Secret, Secret]]
"""By a client's name a new client secret, and what django-oauth-toolkit keeps of it."""


def _provision(
    specs: Sequence[ClientSpec], kept: Kept, asked_by: Any, *, handover: bool = False, **request: Any
) -> list[Credentials]:
    """All of it, within a transaction."""
    site = registry.site()
    runs = []
    for planned in _planned(specs, site, asked_by=asked_by, lock=True):
        if isinstance(planned, ProvisioningError):
            raise planned
        runs.append(_Run(planned.plan, planned.rows))
    for run in runs:
        _make_user(run)
    _make_applications([run for run in runs if run.plan.has(Action.CREATE_APPLICATION)], kept, site)
    for run in runs:
        _change_rights(run)
        _issue_token(run, site)
        _register(run, handover, request)
    return [_credentials(run) for run in runs]


@dataclass(slots=True)
class _Run:
    """One plan while it is executed."""

    plan: Plan
    rows: Rows
    made: dict[str, Any] = field(default_factory=dict)
    client_secret: Secret | None = None
    access_token: Secret | None = None

    @property
    def client(self) -> Any:
        """It was found, or made when it was locked."""
        return self.rows.client


def _make_user(run: _Run) -> None:
    plan, client, user = run.plan, run.client, run.rows.user
    spec = plan.spec
    if plan.has(Action.CREATE_CLIENT):
        run.made["client"] = client.pk
    if plan.has(Action.CREATE_USER):
        user = lms.create_user(
            username=plan.username,
            email=plan.email,
            staff=spec.is_staff,
            superuser=spec.superuser,
            full_name=spec.name,
        )
        run.made["user"] = user.pk
    if plan.has(Action.CREATE_USER) or plan.has(Action.USE_USER):
        client.user, client.user_made = user, plan.has(Action.CREATE_USER)
        client.is_staff, client.is_superuser = user.is_staff, user.is_superuser


def _make_applications(runs: Sequence[_Run], kept: Kept, site: Site) -> None:
    wanted = []
    for run in runs:
        spec = run.plan.spec
        run.client_secret = secret = spec.client_secret or toolkit.new_client_secret()
        if spec.name in kept:
            run.client_secret, secret = kept[spec.name]
        client_id = spec.client_id or toolkit.new_client_id()
        wanted.append(toolkit.NewApplication(spec.name, run.client.user, client_id, secret))
    for run, application in zip(runs, toolkit.create_applications(wanted), strict=True):
        run.client.application, run.client.secret_issued = application, site.now
        run.made["application"] = application.pk


def _change_rights(run: _Run) -> None:
    plan, client = run.plan, run.client
    if plan.has(Action.CHANGE_RIGHTS):
        grants.change_user_rights(client.user, add=plan.add_rights, remove=plan.remove_rights)
    if plan.has(Action.SET_ACCESS) and plan.access is not None:
        restricted = plan.spec.restricted or lms.is_restricted(client.application_id)
        lms.set_access(
            client.application, scopes=plan.access.scopes, filters=plan.access.filters, restricted=restricted
        )


def _issue_token(run: _Run, site: Site) -> None:
    plan, client = run.plan, run.client
    if plan.has(Action.ISSUE_TOKEN):
        assert plan.expires_at is not None  # noqa: S101 - for the type checker: the step has an end
        run.access_token = registry.issue_token(
            client, scopes=plan.scopes, expires_at=plan.expires_at, now=site.now, token=plan.spec.access_token
        )
        run.made["access_token"] = client.access_token_id
    if plan.has(Action.UPDATE_SCOPES):
        toolkit.set_scopes(client.access_token_id, plan.scopes)


def _register(run: _Run, handover: bool, request: dict[str, Any]) -> None:
    plan, client = run.plan, run.client
    if not plan.steps:
        return
    spec = plan.spec
    for name, wanted in (
        ("contact_email", spec.contact),
        ("purpose", spec.purpose),
        ("profile", spec.profile),
        ("self_rotation", spec.self_rotation),
        ("manifest", spec.manifest),
        ("handover_pending", True if handover and (run.client_secret or run.access_token) else None),
    ):
        if wanted is not None:
            setattr(client, name, wanted)
    client.declared_rights = list(plan.declared)
    client.save()
    kind = Kind.CREATED if plan.has(Action.CREATE_CLIENT) else Kind.UPDATED
    details = {
        "steps": [step.action.name.lower() for step in plan.steps],
        "username": plan.username,
        "client_id": client.application.client_id,
        "scope": " ".join(plan.scopes),
        "expires_at": plan.expires_at.isoformat() if plan.expires_at else None,
    }
    registry.record(client, client.name, kind, details=details, **request)


def _credentials(run: _Run) -> Credentials:
    plan, client, before = run.plan, run.client, run.rows.found.client
    was_restricted = before is not None and before.application is not None and before.application.restricted
    return Credentials(
        name=client.name,
        status=plan.status,
        username=plan.username,
        email=plan.email,
        client_id=client.application.client_id,
        client_secret=run.client_secret,
        access_token=run.access_token,
        expires_at=plan.expires_at,
        scopes=plan.scopes,
        profile=client.profile,
        restricted=plan.spec.restricted or was_restricted,
        made=Made(**run.made),
        changes=tuple(step.says for step in plan.steps),
        warnings=plan.warnings if plan.steps else (),
    )
