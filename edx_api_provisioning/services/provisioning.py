"""Making API clients: look, plan, execute in one transaction; take back. For one, or for many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import access_catalogue, lms, oauth, rights
from edx_api_provisioning.adapters.database import in_transaction, read_with_retry, translate_errors
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import ClientExists, InvalidSpec, ProvisioningError
from edx_api_provisioning.core.options import STORED
from edx_api_provisioning.core.planning import Action, Plan, lost, make_plan
from edx_api_provisioning.core.results import Credentials, Made, RequestId
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import Site
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import credentials, registry, site
from edx_api_provisioning.services.current_state import Ambiguous, Rows, find
from edx_api_provisioning.services.site import current_site

Kind = registry.Kind

Wanted = TypeVar("Wanted")

Result = TypeVar("Result")


def plan_client(spec: ClientSpec, *, authority: Authority) -> Plan:
    """What :func:`provision` would do now. Nothing is written or locked.

    Raises:
        ProvisioningError: as :func:`provision`.
    """
    [plan] = look([spec], authority=authority)
    if isinstance(plan, ProvisioningError):
        raise plan
    return plan


def look(specs: Sequence[ClientSpec], *, authority: Authority, run_id: str = "") -> list[Plan | ProvisioningError]:
    """What :func:`provision` would do now with each, or why it would not. Nothing is written or locked."""
    planned = read_with_retry(lambda: _planned(specs, site.current_site(), authority=authority, run_id=run_id))
    return [each if isinstance(each, ProvisioningError) else each.plan for each in planned]


def provision(
    spec: ClientSpec,
    *,
    authority: Authority,
    reason: str = "",
    request_id: str | RequestId | None = None,
    new: bool = False,
    announce: Callable[[Plan], None] | None = None,
) -> Credentials:
    """Leave an API client that matches the spec, however often it is called; all of it or nothing.

    Args:
        authority: on whose authority; its label goes to the history, the rights of its user are the limit.
        reason: why, for the record too.
        request_id: makes a request unique: the same one is not carried out twice.
        new: whether a client of this name that is there already is to be refused.
        announce: is told what will be done, if anything will, before it is done; again if another run came first.

    Returns:
        What the client is now, with the secrets that this call issued. They are nowhere else to be had.

    Raises:
        InvalidSpec: something wanted is not allowed.
        NotAllowed: the credentials would carry rights that ``authority`` does not have.
        Conflict: what exists differs, and is not changed unasked; ClientExists: it is not ``new``.
        AlreadyDone: a request of this id was carried out before.
        UnusableToken: the site would not let the token work.
        NotMigrated, DatabaseFailure: the database is not ready, or refused.
    """

    def work() -> Credentials:
        registry.require_new(request_id)
        request: dict[str, Any] = {"reason": reason, "request_id": request_id}
        [credentials] = _provision([spec], {}, authority, announce=announce, only_new=new, **request)
        return credentials

    return in_transaction(work)


def provision_together(
    specs: Sequence[ClientSpec],
    *,
    run_id: str,
    authority: Authority,
    reason: str = "",
    new: Collection[str] = (),
) -> list[Credentials]:
    """As :func:`provision`, for some clients in one transaction: all of them or none.

    What is issued is marked as not handed over yet; see :func:`hand_over`.

    Args:
        run_id: of the run that will hand it over; see :meth:`ApiClient.not_handed_over`.
        new: the names of those that will get an application, as far as can be seen: their secrets are hashed at once.

    Raises:
        Ambiguous: the database takes one of them for another spelling of a name that exists.
        ProvisioningError: as :func:`provision`, of the first that is refused.
    """
    secrets = {spec.name: spec.client_secret or oauth.new_client_secret() for spec in specs if spec.name in new}
    # Before anything is locked: it takes its time.
    stored = oauth.stored_secrets([*secrets.values()])
    kept = {name: (secret, hashed) for (name, secret), hashed in zip(secrets.items(), stored, strict=True)}
    request: dict[str, Any] = {"reason": reason, "request_id": None}
    return in_transaction(lambda: _provision(specs, kept, authority, run_id=run_id, **request))


def hand_over(
    issued: Sequence[Credentials], give: Callable[[list[Credentials]], None], *, run_id: str, alone: bool
) -> None:
    """Give what this run has issued to who wants it, and note that it has arrived.

    Args:
        alone: whether nobody else can be doing it. If a task is delivered twice, two may: then the clients are locked
            meanwhile, and what the other has issued anew since is left to the other.
    """
    pending = _pending([each.name for each in issued], run_id)
    if alone:
        give([*issued])
        with translate_errors():
            pending.update(handover=None)
        return

    def work() -> None:
        ours = set(pending.select_for_update().values_list("name", flat=True))
        give([each for each in issued if each.name in ours])
        pending.update(handover=None)

    in_transaction(work)


def give_up(credentials: Credentials, *, run_id: str, authority: Authority) -> None:
    """Take back what this run has issued and cannot hand over; what was reissued is to be issued anew."""

    def work() -> None:
        client = registry.lock(_pending([credentials.name], run_id))
        if client is None:
            return
        if not credentials.reissued:
            undo(credentials, authority=authority)
            return
        client.fail_handover()
        client.save(update_fields=["handover"])

    in_transaction(work)


def _pending(names: Collection[str], run_id: str) -> QuerySet[ApiClient]:
    return ApiClient.objects.filter(name__in=names, handover__startswith=f"{run_id}:").order_by("pk")


def as_it_is(plan: Plan) -> Credentials:
    """What is known of a client from a plan alone: all but what is issued."""
    return Credentials(
        name=plan.spec.name,
        status=plan.status,
        username=plan.username,
        email=plan.email,
        client_id=plan.client_id,
        client_secret=None,
        access_token=None,
        expires_at=plan.expires_at,
        scopes=plan.scopes,
        profile=plan.spec.profile or "",
        restricted=plan.restricted,
        changes=tuple(step.says for step in plan.steps),
        warnings=plan.warnings if plan.steps else (),
    )


def undo(credentials: Credentials, *, authority: Authority) -> bool:
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
        oauth.get_access_token_model()._default_manager.filter(pk=made.access_token).delete()
        oauth.get_application_model()._default_manager.filter(pk=made.application).delete()
        details = {"status": credentials.status}
        registry.record(client, credentials.name, Kind.UNDONE, authority=authority, details=details)
        if made.client is not None:
            ApiClient.objects.filter(pk=made.client).delete()
        elif client is not None:
            client.refresh_from_db()
            client.user_made = client.user_made and made.user is None
            client.access_token_id = None if client.access_token_id == made.access_token else client.access_token_id
            client.end_handover(["secret", "token"])
            client.save()
        user = get_user_model()._default_manager.filter(pk=made.user).first()
        if user is not None and not oauth.has_applications(user):
            user.delete()

    in_transaction(work)
    return True


def excess_rights(plan: Plan) -> tuple[str, ...]:
    """Return what the service user of a plan will have and an ordinary account has not, in words."""
    users = get_user_model()
    user = users._default_manager.filter(**{users.USERNAME_FIELD: plan.username}).first()
    client = ApiClient.objects.filter(name=plan.spec.name).first()
    return rights.rights_after(plan, user, client.application if client else None).exceeds(rights.Rights())


def _expanded(spec: ClientSpec) -> ClientSpec:
    return access_catalogue.profile(spec.profile).apply(spec) if spec.profile else spec


@dataclass(frozen=True, slots=True)
class _Planned:
    plan: Plan
    rows: Rows


def _planned(
    specs: Sequence[ClientSpec],
    site: Site,
    *,
    authority: Authority,
    lock: bool = False,
    run_id: str = "",
    only_new: bool = False,
) -> list[_Planned | ProvisioningError]:
    """What is to be done for each, or why it is not; of more than one, one by one where the database is ambiguous."""
    check = _Check()
    checked = [_tried(check, spec) for spec in specs]
    good = [spec for spec in checked if isinstance(spec, ClientSpec)]
    try:
        rows = find(good, site, lock=lock, run_id=run_id) if good else []
    except Ambiguous:
        if lock:
            raise
        return [each for spec in specs for each in _planned([spec], site, authority=authority, run_id=run_id)]
    found = dict(zip((spec.name for spec in good), rows, strict=True))

    def plan(spec: ClientSpec) -> _Planned:
        rows = found[spec.name]
        if only_new and rows.found.client is not None:
            raise ClientExists(_("there is an API client of this name already."), field="name")
        planned = _Planned(make_plan(spec, rows.found, site), rows)
        _check_asker(planned, authority)
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
            if secret is not None and (problem := oauth.secret_problem(secret)):
                raise InvalidSpec(problem, field=field_name)
        if spec.rights is not None:
            if spec.rights not in self._known:
                self._known[spec.rights] = _tried(rights.require_known, spec.rights)
            if (unknown := self._known[spec.rights]) is not None:
                raise unknown
        return spec


def _check_asker(planned: _Planned, authority: Authority) -> None:
    if authority.trusted:
        return
    plan, rows = planned.plan, planned.rows
    spec, application = plan.spec, rows.client.application if rows.client else None
    wanted = plan.add_rights | (plan.access.rights if plan.access else frozenset())
    future = rights.rights_wanted(plan.username, staff=spec.is_staff, superuser=spec.is_superuser, others=wanted)
    rights.require_no_more(future, authority=authority)
    if rows.user is not None:
        foreign = rows.found.user is not None and not rows.found.user.made
        rights.require_no_more(rights.rights_of(rows.user, application, foreign=foreign), authority=authority)


Kept = Mapping[str, tuple[Secret, Secret]]

"""By a client's name a new client secret, and what django-oauth-toolkit keeps of it."""


def _provision(
    specs: Sequence[ClientSpec],
    kept: Kept,
    authority: Authority,
    *,
    run_id: str | None = None,
    announce: Callable[[Plan], None] | None = None,
    only_new: bool = False,
    **request: Any,
) -> list[Credentials]:
    """All of it, within a transaction."""
    site = current_site()
    runs = []
    for planned in _planned(specs, site, authority=authority, lock=True, run_id=run_id or "", only_new=only_new):
        if isinstance(planned, ProvisioningError):
            raise planned
        runs.append(_Run(planned.plan, planned.rows))
        if announce is not None and planned.plan.steps:
            announce(planned.plan)
    _make_users(runs)
    _make_applications([run for run in runs if run.plan.has(Action.CREATE_APPLICATION)], kept, site)
    for run in runs:
        _change_rights(run)
        _end_lost(run, site)
    _issue_tokens([run for run in runs if run.plan.has(Action.ISSUE_TOKEN)], site)
    _register([run for run in runs if run.plan.steps], run_id, authority, request)
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


def _make_users(runs: Sequence[_Run]) -> None:
    new = [run for run in runs if run.plan.has(Action.CREATE_USER)]
    wanted = [
        lms.NewUser(run.plan.username, run.plan.email, spec.is_staff, spec.is_superuser, full_name=spec.name)
        for run in new
        for spec in [run.plan.spec]
    ]
    made = dict(zip((run.client.pk for run in new), lms.create_users(wanted), strict=True))
    for run in runs:
        client = run.client
        if run.plan.has(Action.CREATE_CLIENT):
            run.made["client"] = client.pk
        if client.pk in made:
            run.made["user"] = made[client.pk].pk
        if client.pk in made or run.plan.has(Action.USE_USER):
            user = made.get(client.pk, run.rows.user)
            client.user, client.user_made = user, client.pk in made
            client.is_staff, client.is_superuser = user.is_staff, user.is_superuser


def _make_applications(runs: Sequence[_Run], kept: Kept, site: Site) -> None:
    wanted = []
    for run in runs:
        spec = run.plan.spec
        if spec.name in kept:
            run.client_secret, secret = kept[spec.name]
        else:
            run.client_secret = secret = spec.client_secret or oauth.new_client_secret()
        client_id = spec.client_id or oauth.new_client_id()
        wanted.append(oauth.NewApplication(spec.name, run.client.user, client_id, secret))
    for run, application in zip(runs, oauth.create_applications(wanted), strict=True):
        run.client.application, run.client.secret_issued = application, site.now
        run.made["application"] = application.pk


def _change_rights(run: _Run) -> None:
    plan, client = run.plan, run.client
    if plan.has(Action.CHANGE_RIGHTS):
        rights.change_user_rights(client.user, add=plan.add_rights, remove=plan.remove_rights)
    if plan.has(Action.SET_ACCESS) and plan.access is not None:
        restricted = plan.spec.restricted or lms.is_restricted(client.application_id)
        lms.set_access(
            client.application, scopes=plan.access.scopes, filters=plan.access.filters, restricted=restricted
        )


def _end_lost(run: _Run, site: Site) -> None:
    """What was never handed over is replaced or ended."""
    plan, client, before = run.plan, run.client, run.rows.found.client
    if not plan.has(Action.REISSUE) or before is None:
        return
    if "secret" in lost(plan.spec, before):
        run.client_secret = oauth.new_client_secret()
        oauth.set_client_secret(client.application, run.client_secret)
        client.secret_issued = site.now
    if plan.has(Action.ISSUE_TOKEN):
        oauth.end_tokens(client.application_id, at=None, current=client.access_token_id)


def _issue_tokens(runs: Sequence[_Run], site: Site) -> None:
    wanted = []
    for run in runs:
        assert run.plan.expires_at is not None  # noqa: S101 - for the type checker: the step has an end
        wanted.append(
            credentials.NewToken(
                client=run.client,
                scopes=run.plan.scopes,
                expires_at=run.plan.expires_at,
                token=run.plan.spec.access_token,
            )
        )
    for run, token in zip(runs, credentials.issue_tokens(wanted, site.now), strict=True):
        run.access_token = token
        run.made["access_token"] = run.client.access_token_id


def _register(runs: Sequence[_Run], run_id: str | None, authority: Authority, request: dict[str, Any]) -> None:
    events = []
    for run in runs:
        plan, client = run.plan, run.client
        if plan.has(Action.UPDATE_SCOPES):
            oauth.set_scopes(client.access_token_id, plan.scopes)
        _describe(run, run_id)
        details = {
            "steps": [step.action.name.lower() for step in plan.steps],
            "username": plan.username,
            "client_id": client.application.client_id,
            "scope": " ".join(plan.scopes),
            "expires_at": plan.expires_at.isoformat() if plan.expires_at else None,
        }
        kind = Kind.CREATED if plan.has(Action.CREATE_CLIENT) else Kind.UPDATED
        events.append((client, client.name, kind, details))
    registry.save([run.client for run in runs])
    registry.record_all(events, authority=authority, **request)


def _describe(run: _Run, run_id: str | None) -> None:
    """What the registry is to know of the client from now on."""
    spec, client, before = run.plan.spec, run.client, run.rows.found.client
    if spec.expires_in is not None:
        client.token_lifetime = spec.expires_in
    for name in STORED:
        if (wanted := getattr(spec, name)) is not None:
            setattr(client, name, wanted)
    client.declared_rights = list(run.plan.declared)
    client.end_handover(before.not_handed_over if before is not None else ())
    # What the operator has brought, the operator has.
    issued = [
        what
        for what, secret, brought in (
            ("secret", run.client_secret, spec.client_secret),
            ("token", run.access_token, spec.access_token),
        )
        if secret is not None and brought is None
    ]
    # Whatever is to be given is marked, even if all of it was brought: by the mark it is known whose it is to give.
    if run_id is not None and (run.client_secret is not None or run.access_token is not None):
        client.begin_handover(issued, run_id)


def _credentials(run: _Run) -> Credentials:
    return replace(
        as_it_is(run.plan),
        client_id=run.client.application.client_id,
        client_secret=run.client_secret,
        access_token=run.access_token,
        profile=run.client.profile,
        made=Made(**run.made),
        reissued=run.plan.has(Action.REISSUE),
    )
