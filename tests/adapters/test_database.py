"""Test transactions: one commit, retries after conflicts, one-line errors, no SQL in the logs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.db.migrations.recorder import MigrationRecorder

from edx_api_provisioning.adapters.database import in_transaction, no_sql_logging, translate_errors
from edx_api_provisioning.core.exceptions import Conflict, DatabaseFailure, NotMigrated
from edx_api_provisioning.models import ApiClient
from tests.factories import SECRET

pytestmark = [pytest.mark.django_db, pytest.mark.databases, pytest.mark.versions]


class Work:
    """Register a client, then fail the given number of times."""

    def __init__(self, error: Exception, *, times: int = 1000) -> None:
        self.error, self.times, self.calls = error, times, 0

    def __call__(self) -> str:
        self.calls += 1
        ApiClient.objects.create(name="report")
        if self.calls <= self.times:
            raise self.error
        return "done"


def with_state(error: DatabaseError, state: str) -> DatabaseError:
    """Return the error as psycopg raises it: the SQLSTATE is on its cause."""
    error.__cause__ = type("OfTheDriver", (Exception,), {"sqlstate": state})()
    return error


def test_in_transaction_returns_and_commits() -> None:
    assert in_transaction(Work(IntegrityError(), times=0)) == "done"
    assert ApiClient.objects.count() == 1


@pytest.mark.vendor("postgresql")  # Its driver refuses what Django does after the interrupt, with an error of its own.
@pytest.mark.django_db(transaction=True)
def test_work_after_interrupted_commit_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(connection, "_commit", interrupted)
        with pytest.raises(DatabaseFailure, match="did not confirm the commit"):
            in_transaction(Work(IntegrityError(), times=0))

    in_transaction(Work(IntegrityError(), times=0))
    connection.close()
    assert ApiClient.objects.count() == 1


@pytest.mark.parametrize("times", [1, 4])
def test_conflict_retries_the_work(times: int) -> None:
    work = Work(IntegrityError(1062, "Duplicate entry"), times=times)

    assert in_transaction(work) == "done"
    assert work.calls == times + 1
    # Each attempt started empty: otherwise the unique name would have refused it.
    assert ApiClient.objects.count() == 1


def test_retries_are_limited() -> None:
    work = Work(IntegrityError(1062, f"Duplicate entry '{SECRET}' for key 'token'"))

    with pytest.raises(DatabaseFailure, match=r"^a value of the column token is already taken") as refusal:
        in_transaction(work)

    assert work.calls == 5
    assert ApiClient.objects.count() == 0
    assert SECRET not in str(refusal.value)


PASSING = {
    "MySQL deadlock": OperationalError(1213, "Deadlock found"),
    "MySQL lock wait": OperationalError(1205, "Lock wait timeout exceeded"),
    "PostgreSQL deadlock": with_state(OperationalError("deadlock detected"), "40P01"),
    "PostgreSQL serialization": with_state(OperationalError("could not serialize"), "40001"),
    "PostgreSQL lock": with_state(OperationalError("could not obtain lock"), "55P03"),
}
LASTING = {
    "OperationalError 2006": OperationalError(2006, "Server has gone away"),
    "OperationalError 57P01": with_state(OperationalError("terminating connection"), "57P01"),
    "OperationalError": OperationalError("database is locked"),
    "DataError 1365": DataError(1365, f"Division by 0: {SECRET}"),
    "ProgrammingError": ProgrammingError("no such table"),
    "InterfaceError": InterfaceError("connection already closed"),
}


@pytest.mark.django_db(transaction=True)
def test_deadlock_is_retried() -> None:
    for error in PASSING.values():
        assert in_transaction(Work(error, times=1)) == "done", error
        ApiClient.objects.all().delete()


def test_deadlock_in_outer_transaction_fails() -> None:
    work = Work(PASSING["MySQL deadlock"])

    with pytest.raises(DatabaseFailure), transaction.atomic():
        in_transaction(work)

    assert work.calls == 1


@pytest.mark.parametrize("name", LASTING)
def test_other_error_fails_without_values(name: str) -> None:
    work = Work(LASTING[name])

    with pytest.raises(DatabaseFailure, match=r"nothing was changed.*run the command again") as refusal:
        in_transaction(work)

    assert work.calls == 1
    assert ApiClient.objects.count() == 0
    assert f"({name})" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert SECRET not in str(refusal.value)
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("error", [Conflict("no"), ZeroDivisionError(), KeyboardInterrupt()], ids=repr)
def test_foreign_exception_rolls_back(error: BaseException) -> None:
    with pytest.raises(type(error)):
        in_transaction(Work(error))

    assert ApiClient.objects.count() == 0


@pytest.fixture
def not_migrated() -> None:
    """Simulate a new release before `migrate` has run."""
    MigrationRecorder.Migration.objects.filter(app="edx_api_provisioning").delete()


def test_missing_migration_names_command(not_migrated: None) -> None:
    with pytest.raises(NotMigrated, match=r"run: migrate edx_api_provisioning"), translate_errors():
        raise ProgrammingError("no such table: edx_api_provisioning_apiclient")


def test_connection_loss_is_not_migration(monkeypatch: pytest.MonkeyPatch, not_migrated: None) -> None:
    def fail(*_arguments: Any) -> None:
        raise OperationalError(2006, "Server has gone away")

    monkeypatch.setattr("edx_api_provisioning.adapters.database.MigrationLoader", fail)

    with pytest.raises(DatabaseFailure, match="2006"), translate_errors():
        raise OperationalError(2006, "Server has gone away")


# The SQL log


@pytest.fixture
def sql_log(caplog: pytest.LogCaptureFixture, settings: Any) -> Callable[[], str]:
    """Return all SQL that Django records with DEBUG on."""
    settings.DEBUG = True
    caplog.set_level(logging.DEBUG)
    connection.queries_log.clear()
    return lambda: caplog.text + repr(connection.queries)


def ask(word: str) -> None:
    ApiClient.objects.filter(name=word).first()


def test_transaction_statements_not_logged(sql_log: Callable[[], str]) -> None:
    in_transaction(lambda: ask(SECRET))

    assert SECRET not in sql_log()


def test_other_statements_are_logged(sql_log: Callable[[], str]) -> None:
    ask("before")
    with no_sql_logging():
        ask("meanwhile")
    ask("after")

    assert [word in sql_log() for word in ("before", "meanwhile", "after")] == [True, False, True]


def test_no_sql_logging_nests(sql_log: Callable[[], str]) -> None:
    with no_sql_logging():
        with no_sql_logging():
            ask("inner")
        ask("outer")
    ask("after")

    assert [word in sql_log() for word in ("inner", "outer", "after")] == [False, False, True]


def test_logging_resumes_after_error(sql_log: Callable[[], str]) -> None:
    with pytest.raises(ZeroDivisionError), no_sql_logging():
        raise ZeroDivisionError
    ask("after")

    assert "after" in sql_log()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("usable", [True, False])
def test_lost_connection_is_reopened(monkeypatch: pytest.MonkeyPatch, usable: bool) -> None:
    closed: list[bool] = []
    connection.ensure_connection()
    monkeypatch.setattr(connection, "errors_occurred", True)
    monkeypatch.setattr(connection, "is_usable", lambda: usable)
    monkeypatch.setattr(connection, "close", lambda: closed.append(True))

    assert in_transaction(lambda: "done") == "done"

    assert closed == [True] * (not usable)


@pytest.mark.django_db(transaction=True)
def test_inner_deadlock_retries_outermost() -> None:
    tries: list[str] = []

    def inner() -> str:
        tries.append("inner")
        if len(tries) < 6:
            raise OperationalError(1213, "Deadlock found when trying to get lock")
        return "done"

    def outer() -> str:
        tries.append("outer")
        return in_transaction(inner)

    assert in_transaction(outer) == "done"
    assert tries == ["outer", "inner"] * 3
