"""Whatever fails, and wherever: all of it is done or nothing, somebody is told so in a line, and no secret is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from edx_api_provisioning.core.exceptions import ProvisioningError
from tests.entry_points import DOORS, KNOWN, Door, furnish
from tests.leak_detection import Ears, rows
from tests.sampling import some_of
from tests.subprocesses import as_of_a_test

pytestmark = pytest.mark.django_db

Changes = dict[str, tuple[int, int]]
"""For each table that is another one, how many rows came and how many went; a changed row does both."""
NOTHING: Changes = {}


# Every statement of every door


class Fault:
    """Lets the statement of a number fail, as ``fail`` does with it; 0 is none."""

    def __init__(self, number: int, fail: Callable[..., Any]) -> None:
        self.number, self.passed, self._fail = number, 0, fail

    def __call__(self, execute: Callable[..., Any], *statement: Any) -> Any:
        self.passed += 1
        return self._fail(execute, *statement) if self.passed == self.number else execute(*statement)


def refused(_execute: Callable[..., Any], sql: str, parameters: Any, *_more: Any) -> None:
    """As by a database whose messages repeat the values."""
    raise OperationalError(3024, f"{sql} {parameters!r}")


def interrupted(execute: Callable[..., Any], *statement: Any) -> None:
    """As by a mistake in somebody's receiver, behind the statement."""
    execute(*statement)
    raise ZeroDivisionError


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def changes(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> Changes:
    changed = {}
    for table in before.keys() | after.keys():
        old, new = (Counter(map(repr, tables.get(table, []))) for tables in (before, after))
        changed[table] = ((new - old).total(), (old - new).total())
    # Whoever is logged in is known again.
    return {table: pair for table, pair in changed.items() if pair != (0, 0) and table != "django_session"}


def disturbed(ears: Ears, door: Door, fail: Callable[..., Any]) -> Iterator[tuple[int, list[str], Changes]]:
    """What was printed and what was changed, first undisturbed, then with each or some of the statements failing."""
    furnish()
    enter = door(ears)
    before = rows()
    last = 0

    def numbers() -> Iterator[int]:
        yield 0
        yield from some_of(last)

    for number in numbers():
        ears.clear()
        fault, printed = Fault(number, fail), [""]
        with undone():
            # Whatever is left broken is not the next one's.
            with transaction.atomic(), connection.execute_wrapper(fault):
                as_of_a_test()
                try:
                    printed = enter()
                except (ZeroDivisionError, OperationalError, ProvisioningError) as error:
                    ears.raised.append(error)
            last = last or fault.passed
            yield number, printed, changes(before, rows())


# With these no secret is at hand and nothing is written but by functions that others call too.
PLAIN = ("admin: look", "admin: revoke")
# One transaction for each client, tried again until all is done: what becomes of them is said by test_tasks.py.
IN_PARTS = ("a manifest", "Celery: a manifest", "Celery: rotate")


@pytest.mark.parametrize("fail", [refused, interrupted])
@pytest.mark.parametrize("door", [name for name in DOORS if name not in PLAIN])
def test_a_failing_statement_tells_nothing_and_leaves_all_or_nothing(
    ears: Ears, door: str, fail: Callable[..., Any]
) -> None:
    each = disturbed(ears, DOORS[door], fail)
    _number, _printed, all_of_it = next(each)

    for number, printed, changed in each:
        assert (number, ears.leaks(*printed, secrets=KNOWN)) == (number, [])
        outcomes = (NOTHING, all_of_it, *([changed] if door in IN_PARTS else []))
        assert (number, changed) in [(number, outcome) for outcome in outcomes]
        # Where it is a command, whatever the database says is one line.
        assert fail is interrupted or door in IN_PARTS or not any("Traceback" in text for text in printed)
    assert number >= 1
