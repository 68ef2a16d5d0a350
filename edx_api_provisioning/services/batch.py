"""Many clients at once: looked at and made in batches, each of them all or nothing, handed over batch by batch."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from edx_api_provisioning.adapters.database import translate_errors
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.core.planning import Action, Plan
from edx_api_provisioning.core.results import Applied, Credentials
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import provisioning, revocation

# A transaction of this many holds its locks for about a second, and its secrets for as long.
BATCH = 100

# What is only looked at costs next to nothing each, so that the statements for a batch count.
LOOK = 500

Item = TypeVar("Item")

HandOver = Callable[[list[Credentials]], None]


def plan_many(
    specs: Iterable[ClientSpec], *, authority: Authority, run_id: str = ""
) -> Iterator[tuple[ClientSpec, Plan | ProvisioningError]]:
    """What :func:`apply` would do with each, or why it would not, in order. Nothing is written or locked."""
    for batch in _batches(specs, LOOK):
        yield from zip(batch, provisioning.look(batch, authority=authority, run_id=run_id), strict=True)


def apply(
    specs: Iterable[ClientSpec],
    *,
    authority: Authority,
    hand_over: HandOver,
    reason: str = "",
    run_id: str | None = None,
    fail_fast: bool = False,
) -> Iterator[Applied]:
    """Leave API clients that match the specs; say of each in order what became of it.

    Each is all or nothing, and one that is refused does not keep the others from being made. Calling it again finishes
    what was interrupted: credentials that were issued and not handed over are issued anew.

    Args:
        hand_over: takes what was issued, some at a time; it is nowhere else to be had. If it fails, what it was given
            is taken back.
        run_id: of a run that may be started again, such as a task that is delivered twice; see
            :meth:`ApiClient.begin_handover`. It takes over from the one before, even if that goes on.
        fail_fast: do nothing after the first refusal.
        authority, reason: as for :func:`~edx_api_provisioning.api.provision`.

    Raises:
        ProvisioningError: if the database is not ready or fails at looking.
    """
    run = _Run(hand_over, run_id, fail_fast, {"authority": authority, "reason": reason})
    planned = plan_many(specs, authority=authority, run_id=run.run_id)
    for batch in _batches(planned, BATCH):
        for applied in run.carry_out(batch):
            yield applied
            if fail_fast and applied.error is not None:
                return


def prune(
    manifest: str, keep: Collection[str], *, authority: Authority, reason: str = "", dry_run: bool = False
) -> Iterator[Applied]:
    """Retire the clients that were applied from a manifest once and are not in it any more.

    Args:
        keep: the names that are in it.
        dry_run: only say which; nothing is written.
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


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(itertools.islice(rest, size)):
        yield batch


class _Run:
    """One call of :func:`apply`."""

    def __init__(self, hand_over: HandOver, run_id: str | None, fail_fast: bool, request: dict[str, Any]) -> None:
        self.run_id, self._alone = run_id or uuid.uuid4().hex, run_id is None
        self._give, self._fail_fast, self._request = hand_over, fail_fast, request

    def carry_out(self, batch: Sequence[tuple[ClientSpec, Plan | ProvisioningError]]) -> Iterator[Applied]:
        """Make and hand over what is to be made of a batch."""
        results: dict[str, Applied] = {}
        given = False

        def give(issued: list[Credentials]) -> None:
            nonlocal given
            self._give(issued)
            given = True

        try:
            for applied in self._make(batch):
                results[applied.name] = applied
            issued = [done.credentials for done in results.values() if done.credentials and done.credentials.issued]
            if issued:
                provisioning.hand_over(issued, give, run_id=self.run_id, alone=self._alone)
        except BaseException:  # Ctrl-C too
            if not given:
                self._take_back([done.credentials for done in results.values() if done.credentials is not None])
            raise
        # Behind a refusal that ends it there is no result; nobody asks for it either.
        yield from (results[spec.name] for spec, _plan in batch)

    def _make(self, batch: Sequence[tuple[ClientSpec, Plan | ProvisioningError]]) -> Iterator[Applied]:
        new = [spec for spec, plan in batch if isinstance(plan, Plan) and plan.change == "create"]
        together: dict[str, Applied] = {}
        # To stop at the first refusal, what comes behind it may not have been made yet.
        if len(new) > 1 and (not self._fail_fast or len(new) == len(batch)):
            # If one of them is refused, it is found out below which.
            with suppress(ProvisioningError):
                made = self._provision(new, new=[spec.name for spec in new])
                together = {each.name: Applied(name=each.name, credentials=each) for each in made}
        yield from together.values()
        for spec, plan in batch:
            if spec.name not in together:
                applied = self._one(spec, plan)
                yield applied
                if self._fail_fast and applied.error is not None:
                    return

    def _one(self, spec: ClientSpec, plan: Plan | ProvisioningError) -> Applied:
        if isinstance(plan, ProvisioningError):
            return Applied(name=spec.name, error=plan)
        if not plan.steps:
            return Applied(name=spec.name, credentials=provisioning.as_it_is(plan))
        try:
            [credentials] = self._provision([spec], new=[spec.name] if plan.has(Action.CREATE_APPLICATION) else [])
        except ProvisioningError as error:
            return Applied(name=spec.name, error=error)
        return Applied(name=spec.name, credentials=credentials)

    def _provision(self, specs: Sequence[ClientSpec], *, new: Collection[str]) -> list[Credentials]:
        return provisioning.provision_together(specs, new=new, run_id=self.run_id, **self._request)

    def _take_back(self, made: Sequence[Credentials]) -> None:
        for each in made:
            # Whatever of it fails is issued anew after a while: it stays marked as not handed over.
            with suppress(ProvisioningError):
                provisioning.give_up(each, run_id=self.run_id, authority=self._request["authority"])
