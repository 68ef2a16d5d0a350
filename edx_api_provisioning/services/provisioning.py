"""Provision API clients: find what exists, plan, and execute in one transaction; for one or for many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import access_catalogue, lms, oauth, oauth_server, rights
from edx_api_provisioning.adapters.database import bulk_update, read_with_retry, translate_errors
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import ClientExists, InvalidSpec, ProvisioningError
from edx_api_provisioning.core.options import STORED
from edx_api_provisioning.core.planning import Action, Plan, make_plan
from edx_api_provisioning.core.results import Credentials, RequestId
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import Site
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import authorization, credentials, recipients, registry, site
from edx_api_provisioning.services.current_state import Ambiguous, find
from edx_api_provisioning.services.delivery import Run
from edx_api_provisioning.services.last_use import keep_last_use
from edx_api_provisioning.services.site import current_site

Kind = registry.Kind

Wanted = TypeVar("Wanted")

Result = TypeVar("Result")


def plan_client(spec: ClientSpec, *, authority: Authority, new: bool = False) -> Plan:
    """Return what :func:`provision` would do now, or raise what it would raise. Nothing is written or locked."""
    return _required(look([spec], authority=authority, new=new)[0])


def look(specs: Sequence[ClientSpec], *, authority: Authority, new: bool = False) -> list[Plan | ProvisioningError]:
    """Return what would be done now with each, or why it would be refused. Nothing is written or locked."""
    planned = read_with_retry(lambda: _planned(specs, site.current_site(), authority=authority, only_new=new))
    return [each if isinstance(each, ProvisioningError) else each.plan for each in planned]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Authority, reason and conditions of a change."""

    authority: Authority
    reason: str = ""
    new: bool = False
    request_ids: Mapping[str, str | RequestId | None] = field(default_factory=dict)
    """By the client's name."""
    versions: Mapping[str, str] | None = None
    """Require these versions of the clients, by name; None takes them in any state."""

    def require_new(self, name: str) -> None:
        """Raise AlreadyDone if the request for this client was executed before."""
        if (request_id := self.request_ids.get(name)) is not None:
            with translate_errors():
                registry.require_new(request_id)

    def record(self, events: Sequence[registry.NewEvent]) -> None:
        """Add what was done to the history."""
        registry.record(events, authority=self.authority, reason=self.reason, request_ids=self.request_ids)


def provision_all(
    specs: Sequence[ClientSpec], request: Request, hashed: Mapping[str, oauth.NewSecret], run: Run
) -> list[Credentials]:
    """Leave API clients that match the specs, within a transaction.

    Args:
        hashed: new client secrets by the names of the clients, as far as it is known who needs one.

    Raises:
        Ambiguous: the database takes one of them for another spelling of a name that exists.
        ProvisioningError: of the first that is refused.
    """
    for spec in specs:
        request.require_new(spec.name)
    if request.versions is not None:
        authorization.require_unchanged([spec.name for spec in specs], request.versions)
    site = current_site()
    runs = [
        _required(planned)
        for planned in _planned(specs, site, authority=request.authority, lock=True, only_new=request.new)
    ]
    run.locked(each.client for each in runs)
    _make_users(runs)
    _make_applications([each for each in runs if each.plan.has(Action.CREATE_APPLICATION)], hashed, site)
    for each in runs:
        if each.plan.has(Action.REISSUE):
            _end_credentials(each, hashed, site, request.authority)
        _change_rights(each)
    _issue_tokens([each for each in runs if each.plan.has(Action.ISSUE_TOKEN)], site)
    _register([each for each in runs if each.plan.steps], site, request)
    return [_credentials(each) for each in runs]


def as_it_is(plan: Plan) -> Credentials:
    """Return the credentials of a client as the plan knows them, without issued secrets."""
    return Credentials(
        name=plan.spec.name,
        status=plan.status,
        username=plan.username,
        email=plan.email,
        client_id=plan.client_id,
        expires_at=plan.expires_at,
        scopes=plan.scopes,
        profile=plan.spec.profile or "",
        restricted=plan.restricted,
        changes=tuple(step.done for step in plan.steps),
        warnings=plan.warnings if plan.steps else (),
    )


def excess_rights(plan: Plan) -> tuple[str, ...]:
    """Return what the service user of a plan will have and an ordinary account has not, in words."""
    users = get_user_model()
    user = users._default_manager.filter(**{users.USERNAME_FIELD: plan.username}).first()
    client = ApiClient.objects.filter(name=plan.spec.name).first()
    return rights.beyond(rights.rights_after(plan, user, client.application if client else None))


@dataclass(slots=True)
class _Run:
    """A plan, the rows to change, and what was issued when it was executed."""

    plan: Plan
    client: Any
    """The registry row, which was found or created when it was locked."""
    user: Any
    client_secret: oauth.NewSecret | None = None
    access_token: Secret | None = None


def _planned(
    specs: Sequence[ClientSpec],
    site: Site,
    *,
    authority: Authority,
    lock: bool = False,
    only_new: bool = False,
) -> list[_Run | ProvisioningError]:
    """Return the plan of each spec, or the error; plan one by one if the database matched another spelling."""
    known = cache(partial(_tried, rights.require_known))  # Rights that many specs request are checked once.
    checked = [_tried(partial(_check, require_known=known), spec) for spec in specs]
    good = [spec for spec in checked if isinstance(spec, ClientSpec)]
    try:
        rows = find(good, site, lock=lock) if good else []
    except Ambiguous:
        if lock:
            raise
        return [each for spec in specs for each in _planned([spec], site, authority=authority, only_new=only_new)]
    found = dict(zip((spec.name for spec in good), rows, strict=True))

    def plan(spec: ClientSpec) -> _Run:
        rows = found[spec.name]
        if only_new and rows.found.client is not None:
            raise ClientExists(_("an API client with this name already exists."), field="name")
        authorization.check_account(spec, rows.found, authority)
        plan = make_plan(spec, rows.found, site)
        if spec.rights is None and plan.add_rights and (unknown := known(plan.add_rights)) is not None:
            raise unknown  # What comes back with the user may be gone from the site.
        authorization.check_rights(plan, rows, authority)
        return _Run(authorization.with_new_credentials(plan, rows, site), rows.client, rows.user)

    return [_tried(plan, spec) if isinstance(spec, ClientSpec) else spec for spec in checked]


def _tried(do: Callable[[Wanted], Result], wanted: Wanted) -> Result | ProvisioningError:
    try:
        return do(wanted)
    except ProvisioningError as error:
        return error


def _required(result: Result | ProvisioningError) -> Result:
    if isinstance(result, ProvisioningError):
        raise result
    return result


def _check(spec: ClientSpec, require_known: Callable[[frozenset[str]], ProvisioningError | None]) -> ClientSpec:
    """Return the spec with the rights of its profile, checked before the database is searched."""
    if spec.profile:
        spec = access_catalogue.profile(spec.profile).apply(spec)
    for field_name, secret in (("client_secret", spec.client_secret), ("access_token", spec.access_token)):
        if secret is not None and (problem := oauth.secret_problem(secret)):
            raise InvalidSpec(problem, field=field_name)
    if spec.rights is not None and (unknown := require_known(spec.rights)) is not None:
        raise unknown
    return spec


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
        if client.pk in made or run.plan.has(Action.USE_USER):
            user = made.get(client.pk, run.user)
            client.user, client.user_made = user, client.pk in made
            client.owned_user = user if client.pk in made else None
            client.is_staff, client.is_superuser = user.is_staff, user.is_superuser


def _make_applications(runs: Sequence[_Run], hashed: Mapping[str, oauth.NewSecret], site: Site) -> None:
    wanted = []
    for run in runs:
        spec = run.plan.spec
        run.client_secret = hashed.get(spec.name) or oauth.new_secrets([spec.client_secret])[0]
        client_id = spec.client_id or oauth.new_client_id()
        wanted.append(oauth.NewApplication(spec.name, run.client.user, client_id, run.client_secret.stored))
    for run, application in zip(runs, oauth.create_applications(wanted), strict=True):
        run.client.application, run.client.secret_issued = application, site.now
        run.client.secret_issue = credentials.new_issue_id()


def _end_credentials(run: _Run, hashed: Mapping[str, oauth.NewSecret], site: Site, authority: Authority) -> None:
    """Replace the secret, and end every token and the application before the last rotation."""
    client, spec = run.client, run.plan.spec
    keep_last_use(client)
    registry.end_predecessor(client, None, authority=authority)
    run.client_secret = hashed.get(spec.name) or oauth.new_secrets([spec.client_secret])[0]
    # The secret first: a grant with the old one is then refused, or its token ends with the others.
    oauth.set_client_secret(client.application, run.client_secret.stored)
    oauth.end_tokens(client.application_id, at=None, current=client.access_token_id)
    client.access_token = None
    client.secret_issued, client.secret_issue = site.now, credentials.new_issue_id()
    recipients.forget_tokens(client)


def _change_rights(run: _Run) -> None:
    plan, client = run.plan, run.client
    if plan.has(Action.CHANGE_RIGHTS):
        rights.change_user_rights(client.user, add=plan.add_rights, remove=plan.remove_rights)
    if plan.has(Action.SET_ACCESS) and plan.access is not None:
        # Of a new restriction planning has made sure that none of its tokens works.
        if plan.spec.restricted and not lms.is_restricted(client.application_id):
            client.access_token, client.token_issue = None, ""
        for application in filter(None, (client.application, client.predecessor)):
            restricted = plan.spec.restricted or lms.is_restricted(application.pk)
            lms.set_access(application, plan.access, restricted=restricted)
        oauth.limit_scopes(_applications(client), {*oauth_server.default_scopes(), *plan.access.scopes})


def _applications(client: ApiClient) -> list[Any]:
    return [pk for pk in (client.application_id, client.predecessor_id) if pk is not None]


def _issue_tokens(runs: Sequence[_Run], site: Site) -> None:
    wanted = []
    for run in runs:
        assert run.plan.expires_at is not None  # noqa: S101 - for the type checker: the step has an end
        new = credentials.NewToken(run.client, run.plan.scopes, run.plan.expires_at, run.plan.spec.access_token)
        wanted.append(new)
    for run, token in zip(runs, credentials.issue_tokens(wanted, site.now), strict=True):
        run.access_token = token


def _register(runs: Sequence[_Run], site: Site, request: Request) -> None:
    events: list[registry.NewEvent] = []
    for run in runs:
        plan, client = run.plan, run.client
        if plan.has(Action.UPDATE_SCOPES):
            oauth.limit_scopes(_applications(client), plan.scopes)
            oauth.set_scopes(client.access_token_id, plan.scopes)
        _describe(run)
        ended = plan.has(Action.CREATE_APPLICATION, Action.REISSUE)
        if not plan.has(Action.CREATE_CLIENT) and (ended or plan.has(*authorization.CHANGES_OF_RIGHTS)):
            client.last_cut = site.now
        if plan.issues:
            recipients.receive(
                client,
                request.authority,
                secret=run.client_secret is not None,
                token=run.access_token is not None,
                ended=ended,
            )
        details = {
            "steps": [step.action.name.lower() for step in plan.steps],
            "username": plan.username,
            "client_id": client.application.client_id,
            "scope": " ".join(plan.scopes),
            "expires_at": plan.expires_at.isoformat() if plan.expires_at else None,
        }
        kind = Kind.CREATED if plan.has(Action.CREATE_CLIENT) else Kind.UPDATED
        events.append((client, kind, details))
        if plan.has(Action.USE_USER):
            events += registry.sharing(client)
    bulk_update([run.client for run in runs], but="created")
    request.record(events)


def _describe(run: _Run) -> None:
    """Write what the spec says of the client to its row."""
    spec, client = run.plan.spec, run.client
    if run.plan.has(Action.ISSUE_TOKEN) and spec.expires_in is not None:
        client.token_lifetime = spec.expires_in
    for name in STORED:
        if (wanted := getattr(spec, name)) is not None:
            setattr(client, name, wanted)
    client.declared_rights = list(run.plan.declared)


def _credentials(run: _Run) -> Credentials:
    return replace(
        as_it_is(run.plan),
        client_id=run.client.application.client_id,
        client_secret=run.client_secret.secret if run.client_secret else None,
        stored_secret=run.client_secret.stored if run.client_secret else None,
        access_token=run.access_token,
        profile=run.client.profile,
        issues=run.client.issues,
    )
