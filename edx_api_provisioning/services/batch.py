"""Apply specs in batches: each client completely or not at all, delivered batch by batch."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import oauth
from edx_api_provisioning.adapters.database import lock_writers, translate_errors
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import Conflict, ProvisioningError
from edx_api_provisioning.core.planning import Action, Plan
from edx_api_provisioning.core.results import Applied, Credentials, RequestId
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats.destinations import Destination
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import provisioning, revocation
from edx_api_provisioning.services.delivery import Run
from edx_api_provisioning.services.provisioning import Request

# A transaction of this many holds its locks for about a second, and its secrets for as long.
BATCH = 100

# Planning alone costs little for each client, so that the statements for a batch count.
LOOK = 500

Item = TypeVar("Item")


def provision(
    spec: ClientSpec,
    *,
    authority: Authority,
    reason: str = "",
    request_id: str | RequestId | None = None,
    new: bool = False,
    verify: bool = True,
) -> Credentials:
    """Apply one spec as :func:`apply` does, and return its credentials: they are not stored anywhere else.

    Raises:
        InvalidSpec: something wanted is not allowed.
        NotAllowed: the credentials would carry rights that ``authority`` does not have.
        Conflict: what exists differs, and is not changed unasked; ClientExists: it is not ``new``.
        AlreadyDone: a request of this id was carried out before.
        UnusableToken, VerificationFailed: the credentials would not work; nothing was changed.
        NotMigrated, DatabaseFailure: the database is not ready, or refused.
    """
    ids = {spec.name: request_id}
    [applied] = apply([spec], authority=authority, reason=reason, request_ids=ids, new=new, verify=verify)
    return applied.unwrap()


def plan_many(
    specs: Iterable[ClientSpec], *, authority: Authority, new: bool = False
) -> Iterator[tuple[ClientSpec, Plan | ProvisioningError]]:
    """Return what :func:`apply` would do with each, or why it would not, in order. Nothing is written or locked."""
    taken: dict[tuple[str, str], str] = {}
    for batch in batches(specs, LOOK):
        for spec, plan in zip(batch, provisioning.look(batch, authority=authority, new=new), strict=True):
            yield spec, plan if isinstance(plan, ProvisioningError) else _apart(plan, taken)


def _apart(plan: Plan, taken: dict[tuple[str, str], str]) -> Plan | ProvisioningError:
    """Return a plan, or why it is refused: a plan before it makes something with the same unique value."""
    made = []
    if plan.has(Action.CREATE_USER):
        made += [("username", plan.username), ("email", plan.email.lower())]
    if plan.has(Action.CREATE_APPLICATION) and plan.spec.client_id is not None:
        made.append(("client_id", plan.spec.client_id))
    for field, value in made:
        if (first := taken.get((field, value))) is not None:
            return Conflict(
                _("the client %s, which comes before it, takes the same; choose another one.") % first, field=field
            )
    taken.update(dict.fromkeys(made, plan.spec.name))
    return plan


def apply(
    specs: Iterable[ClientSpec],
    *,
    authority: Authority,
    destination: Destination | None = None,
    reason: str = "",
    request_ids: Mapping[str, str | RequestId | None] | None = None,
    versions: Mapping[str, str] | None = None,
    new: bool = False,
    verify: bool = True,
    fail_fast: bool = False,
) -> Iterator[Applied]:
    """Leave API clients that match the specs; return in order what became of each.

    Each is created or changed completely or not at all, and one that is refused does not prevent the others. Calling
    it again publishes what was staged by a run that was interrupted.

    Args:
        authority: on whose authority; its label goes to the history, the rights of its user are the limit.
        destination: takes what is issued before it is committed; by default it is returned only.
        reason: why, for the history.
        request_ids: by the names of clients; the same request is not carried out twice.
        versions: of the clients as the caller saw them; one that has changed since then is refused.
        new: refuse clients that exist already.
        verify: verify credentials in this process before they are committed.
        fail_fast: do nothing after the first refusal.

    Raises:
        ProvisioningError: if the database is not ready, or if nothing more can be delivered.
    """
    request = Request(authority=authority, reason=reason, new=new, request_ids=request_ids or {}, versions=versions)
    run = Run(destination or Destination(), verify=verify, fail_fast=fail_fast)
    with translate_errors():
        lock_writers()  # in the transaction of a caller, which begins to read here
    for batch in batches(plan_many(specs, authority=authority, new=new), BATCH):
        for applied in _carry_out(batch, request, run):
            yield applied
            if fail_fast and applied.error is not None:
                return


def _carry_out(
    batch: Sequence[tuple[ClientSpec, Plan | ProvisioningError]], request: Request, run: Run
) -> Iterator[Applied]:
    refused = dict(_refused(batch, request, run))
    todo: dict[str, tuple[ClientSpec, Plan]] = {}
    for spec, plan in batch:
        if spec.name in refused and run.fail_fast:
            break
        if spec.name not in refused and isinstance(plan, Plan) and plan.steps:
            todo[spec.name] = (spec, plan)
    issues = [spec for spec, plan in todo.values() if plan.has(Action.CREATE_APPLICATION, Action.REISSUE)]
    secrets = oauth.new_secrets([spec.client_secret for spec in issues], verify=run.verify)
    hashed = dict(zip((spec.name for spec in issues), secrets, strict=True))

    def work(names: Sequence[str]) -> list[Credentials]:
        return provisioning.provision_all([todo[name][0] for name in names], request, hashed, run)

    done = run.issue([*todo], work, issuing=[name for name, (_spec, plan) in todo.items() if plan.issues])
    for spec, plan in batch:
        # In order: after the first refusal nothing more is done for a caller who stops there.
        if spec.name in todo:
            yield next(done)
        elif isinstance(plan, Plan) and spec.name not in refused:
            yield Applied(name=spec.name, credentials=provisioning.as_it_is(plan))
        else:
            yield Applied(name=spec.name, error=refused[spec.name])


def _refused(
    batch: Sequence[tuple[ClientSpec, Plan | ProvisioningError]], request: Request, run: Run
) -> Iterator[tuple[str, ProvisioningError]]:
    """Publish what was staged for clients of a batch, and return who is refused already, and why."""
    left = run.recover([spec.name for spec, _plan in batch])
    for spec, plan in batch:
        try:
            request.require_new(spec.name)
        except ProvisioningError as done:
            yield spec.name, done
            continue
        if problem := left.get(spec.name) or (plan if isinstance(plan, ProvisioningError) else None):
            yield spec.name, problem


def prune(
    manifest: str, keep: Collection[str], *, authority: Authority, reason: str = "", dry_run: bool = False
) -> Iterator[Applied]:
    """Retire the clients that were applied from a manifest and are no longer in it.

    Args:
        keep: the names that are in it.
        dry_run: only return which; nothing is written.
    """
    with translate_errors():
        names = ApiClient.objects.filter(manifest=manifest, state=ApiClient.State.ACTIVE).values_list("name", flat=True)
        gone = [name for name in names if name not in keep]
    for name in gone:
        try:
            done = None if dry_run else revocation.revoke(name, authority=authority, retire=True, reason=reason)
            yield Applied(name=name, credentials=done)
        except ProvisioningError as error:
            yield Applied(name=name, error=error)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Return items in lists of at most this size."""
    rest = iter(items)
    while batch := list(itertools.islice(rest, size)):
        yield batch
