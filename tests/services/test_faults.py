"""Test failures at every statement: all or nothing is done, the error is one line, no secret leaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from edx_api_provisioning.core.exceptions import ProvisioningError
from tests.entry_points import ENTRY_POINTS, KNOWN, EntryPoint, create_rows
from tests.leak_detection import LeakDetector, table_rows
from tests.sampling import some_of
from tests.subprocesses import as_of_a_test

pytestmark = pytest.mark.django_db

Changes = dict[str, tuple[int, int]]
"""For each changed table, the number of rows added and removed; a changed row counts as both."""
NOTHING: Changes = {}


# Every statement of every entry point


class Fault:
    """Make the given statement fail with ``fail``; 0 is none."""

    def __init__(self, number: int, fail: Callable[..., Any]) -> None:
        self.number, self.passed, self._fail = number, 0, fail

    def __call__(self, execute: Callable[..., Any], *statement: Any) -> Any:
        self.passed += 1
        return self._fail(execute, *statement) if self.passed == self.number else execute(*statement)


def refused(_execute: Callable[..., Any], sql: str, parameters: Any, *_more: Any) -> None:
    """Fail like a database whose messages repeat the values."""
    raise OperationalError(3024, f"{sql} {parameters!r}")


def interrupted(execute: Callable[..., Any], *statement: Any) -> None:
    """Fail like a broken receiver, after the statement."""
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
    # Ignore changed sessions.
    return {table: pair for table, pair in changed.items() if pair != (0, 0) and table != "django_session"}


def with_each_failure(
    leak_detector: LeakDetector, entry_point: EntryPoint, fail: Callable[..., Any]
) -> Iterator[tuple[int, list[str], Changes]]:
    """Yield the output and the changes: first undisturbed, then with each or some of the statements failing."""
    create_rows()
    enter = entry_point(leak_detector)
    before = table_rows()
    last = 0

    def numbers() -> Iterator[int]:
        yield 0
        yield from some_of(last, 3)

    for number in numbers():
        leak_detector.clear()
        fault, printed = Fault(number, fail), [""]
        with undone():
            # Leave no broken state for the next one.
            with transaction.atomic(), connection.execute_wrapper(fault):
                as_of_a_test()
                try:
                    printed = enter()
                except (ZeroDivisionError, OperationalError, ProvisioningError) as error:
                    leak_detector.raised.append(error)
            last = last or fault.passed
            yield number, printed, changes(before, table_rows())


# These involve no secret and write only through functions that others call too.
PLAIN = ("admin: look", "admin: revoke")
# One transaction per client, retried until all are done; test_tasks.py tests the outcome.
IN_PARTS = ("a manifest", "Celery: a manifest", "Celery: rotate")


@pytest.mark.parametrize("fail", [refused, interrupted])
@pytest.mark.parametrize("entry_point", [name for name in ENTRY_POINTS if name not in PLAIN])
def test_failing_statement_leaves_all_or_nothing(
    leak_detector: LeakDetector, entry_point: str, fail: Callable[..., Any]
) -> None:
    each = with_each_failure(leak_detector, ENTRY_POINTS[entry_point], fail)
    _number, _printed, all_of_it = next(each)

    for number, printed, changed in each:
        assert (number, leak_detector.leaks(*printed, secrets=KNOWN)) == (number, [])
        outcomes = (NOTHING, all_of_it, *([changed] if entry_point in IN_PARTS else []))
        assert (number, changed) in [(number, outcome) for outcome in outcomes]
        # Commands report any database error in one line.
        assert fail is interrupted or entry_point in IN_PARTS or not any("Traceback" in text for text in printed)
    assert number >= 1
