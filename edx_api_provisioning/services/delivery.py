"""Deliver credentials, then commit them: nothing new is committed before its credentials are delivered.

The order, for one client and for many:

1. Publish or remove what an earlier run staged, and check the destination. Hash new secrets.
2. Begin the transaction, lock the clients, make all changes, and verify in this process.
3. Stage: write and flush the credentials. A failure until here rolls everything back.
4. Commit.
5. Publish: under the lock of the client's row, rename the staged file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from django.db import transaction
from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import oauth
from edx_api_provisioning.adapters.database import connection, in_transaction, translate_errors
from edx_api_provisioning.core.exceptions import OutputFailure, ProvisioningError, VerificationFailed
from edx_api_provisioning.core.results import Applied, Credentials, IssueIds
from edx_api_provisioning.formats.destinations import Destination
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import registry, verification

Work = Callable[[Sequence[str]], list[Credentials]]


class Run:
    """Issue credentials for clients and deliver them to one destination.

    Args:
        verify: verify what is issued in this process, before it is committed.
        fail_fast: the caller stops at the first refusal, so that nothing behind it may be done.
    """

    def __init__(self, destination: Destination, *, verify: bool, fail_fast: bool = False) -> None:
        self.destination, self.verify, self.fail_fast = destination, verify, fail_fast

    def recover(self, names: Collection[str]) -> dict[str, ProvisioningError]:
        """Publish or remove what earlier runs staged for these clients; return why not, by name."""
        left = self.destination.left(names)
        return self._settled(left) if left else {}

    def issue(self, names: Sequence[str], work: Work, *, issuing: Collection[str] | None = None) -> Iterator[Applied]:
        """Do the work for clients in one transaction, or where one of them is refused, for each in its own.

        Args:
            work: locks clients, calls :meth:`locked`, and returns what became of them; nothing of
                those that are to be left out.
            issuing: the clients that will be issued something, as far as is known; None for all.

        Raises:
            ProvisioningError: if nothing more can be delivered to the destination.
        """
        problems: Mapping[str, ProvisioningError] = self.destination.check(
            _client_ids, names if issuing is None else issuing
        )
        ready = [name for name in names if name not in problems]
        if self.fail_fast:
            ready = [*itertools.takewhile(lambda name: name not in problems, names)]
        done: dict[str, Applied] | None = None
        if len(ready) > 1:
            # If one of them is refused, the loop below finds out which.
            try:
                done = {each.name: each for each in self._transact(ready, work)}
            except ProvisioningError:
                if self.destination.spent:
                    raise
        for name in names:
            if name in problems:
                yield Applied(name=name, error=problems[name])
                continue
            if done is not None and name in ready:
                if name in done:
                    yield done[name]
                continue
            try:
                yield from self._transact([name], work)
            except ProvisioningError as error:
                if self.destination.spent:
                    raise
                yield Applied(name=name, error=error)

    def locked(self, clients: Iterable[ApiClient]) -> None:
        """Settle what was staged for clients that are locked and not changed yet, or raise OutputFailure."""
        for problem in self.destination.settle({client.name: client.issues for client in clients}).values():
            raise problem

    def _transact(self, names: Sequence[str], work: Work) -> list[Applied]:
        finished = False

        def attempt() -> list[Credentials]:
            nonlocal finished
            finished = False
            self.destination.discard()  # of an attempt that was rolled back
            done = work(names)
            issued = [each for each in done if each.issued]
            if issued and self.verify:
                done = verified(done)
                issued = [each for each in done if each.issued]
            if issued and self.destination.durable and connection().vendor == "postgresql":
                with connection().cursor() as cursor:
                    # Check now what COMMIT would check, and leave the rest of the transaction as it was.
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                    cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            if issued:
                self.destination.stage(issued)
            finished = True
            return done

        try:
            done = in_transaction(attempt, durable=self.destination.durable)
        except BaseException as error:
            # From here on the COMMIT may have been sent: then it is not known whether it was done.
            says = self.destination.unknown() if finished else self._discard()
            if says and isinstance(error, ProvisioningError) and says != error.message:
                raise type(error)(f"{error.message} {says}", field=error.field) from None
            raise
        problems = self._publish([each.name for each in done if each.issued])
        return [Applied(name=each.name, credentials=each, error=problems.get(each.name)) for each in done]

    def _discard(self) -> str:
        try:
            self.destination.discard()
        except OutputFailure as problem:
            return problem.message
        return ""

    def _publish(self, names: Sequence[str]) -> dict[str, ProvisioningError]:
        """Publish after the commit; return why not, by name. What cannot be published stays staged."""
        problems = self._settled(names) if names and self.destination.settles else {}
        self.destination.done()
        failed = _("the credentials exist, but: %s")
        return {name: type(each)(failed % each.message, field=each.field) for name, each in problems.items()}

    def _settled(self, names: Sequence[str]) -> dict[str, ProvisioningError]:
        try:
            return in_transaction(partial(self._settle, names))
        except ProvisioningError as problem:
            return dict.fromkeys(names, problem)

    def _settle(self, names: Sequence[str]) -> dict[str, ProvisioningError]:
        clients = {client.name: client.issues for client in registry.find_all(names, lock_them=True)}
        missing = [name for name in names if name not in clients]
        if missing:
            # Another run may be creating them: this waits for it. The rows are rolled back below.
            registry.reserve(missing)
        transaction.set_rollback(True, using=connection().alias)
        return self.destination.settle({name: clients.get(name, IssueIds()) for name in names})


def _client_ids(names: Collection[str]) -> dict[str, Collection[str]]:
    columns = ("name", "application__client_id", "predecessor__client_id")
    with translate_errors():
        return {name: ids for name, *ids in registry.named(names).values_list(*columns)}


def verified(done: Sequence[Credentials]) -> list[Credentials]:
    """Return credentials as verified: all as they are stored, and the first of them by the site's own classes.

    Raises:
        VerificationFailed: if one of them does not work.
    """
    issued = [each for each in done if each.issued]
    for credentials in issued[:1]:
        failures = [f"{check.what}: {check.meaning}" for check in verification.in_process(credentials) if not check.ok]
        if failures:
            raise VerificationFailed(_("Nothing was changed, because: %s") % " ".join(failures))
    if unstored := oauth.find_unstored(issued):
        says = _("Nothing was changed, because the database does not hold what was issued for %s.")
        raise VerificationFailed(says % ", ".join(unstored))
    return [replace(each, verified=True) if each.issued else each for each in done]
