"""Test a read-only, locked or outdated database, and changes of the clock."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from oauth2_provider.models import get_access_token_model

from edx_api_provisioning import api
from edx_api_provisioning.core.results import Status
from tests.factories import OPERATOR, ApplicationFactory, run
from tests.lifecycle_helpers import all_rows, answer, client, clock_at, granted, provisioned, shown, utc
from tests.subprocesses import database_for_processes

pytestmark = pytest.mark.django_db(transaction=True)

NOON = utc(2026, 3, 1, 12)
# Commands that write, and commands that only read; their clients exist.
WRITERS: dict[str, tuple[str, ...]] = {
    "provision": ("provision_api_client", "new"),
    "provision more": ("provision_api_client", "report", "--contact", "ops@example.org"),
    "rotate": ("rotate_api_client", "report"),
    "revoke": ("revoke_api_client", "report"),
    "delete": ("revoke_api_client", "report", "--delete"),
    "adopt": ("adopt_api_client", "adopted", "--client-id", "by-hand"),
    "notify": ("notify_expiring_api_clients",),
}
READERS: dict[str, tuple[str, ...]] = {
    "preview": ("provision_api_client", "new", "--dry-run"),
    "list": ("list_api_clients",),
    "list what nobody manages": ("list_api_clients", "--unmanaged"),
    "list what has too much": ("list_api_clients", "--overprivileged"),
    "verify": ("verify_api_client", "report"),
    "explain": ("explain_api_access", "--profiles"),
}


@pytest.fixture
def report() -> Any:
    ApplicationFactory(client_id="by-hand")
    return provisioned(contact="owner@example.org", expires_in=timedelta(days=5))


def line(*command: str) -> str:
    """Return the one-line error of a command."""
    return run(*command[1:], command=command[0]).refusal


# A read-only database, such as a replica


@contextmanager
def reading_only() -> Iterator[None]:
    off, on = {
        "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
        "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
        "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(off)
        try:
            yield
        finally:
            cursor.execute(on)


@pytest.mark.databases
@pytest.mark.parametrize("command", WRITERS.values(), ids=WRITERS)
def test_read_only_database_is_one_line(report: Any, command: tuple[str, ...]) -> None:
    before = all_rows()

    with reading_only():
        refusal = line(*command)

    assert "nothing was changed" in refusal or "could not be sent" in refusal
    assert all_rows() == before
    assert answer(report.access_token) == "ok"


@pytest.mark.databases
@pytest.mark.parametrize("command", READERS.values(), ids=READERS)
def test_read_only_database_allows_reading(report: Any, command: tuple[str, ...]) -> None:
    with reading_only():
        ran = run(*command[1:], "--verbosity", "0", command=command[0])

    assert (ran.code, ran.stderr) == (0, "")


@pytest.mark.databases
def test_read_only_database_verifies_tokens(report: Any) -> None:
    with reading_only():
        token = run("--token-from", "stdin", command="verify_api_client", stdin=shown(report.access_token))
        secret = run(
            "--client-id", report.client_id, "--client-secret-from", "stdin",
            command="verify_api_client", stdin=shown(report.client_secret),
        )  # fmt: skip

    assert (token.code, token.stderr) == (0, "")
    assert secret.refusal.startswith("the database failed")


# A database of another version


@contextmanager
def migrated(to: str) -> Iterator[None]:
    """Migrate the tables to an older version, or to none."""
    call_command("migrate", "edx_api_provisioning", to, verbosity=0)
    try:
        yield
    finally:
        call_command("migrate", "edx_api_provisioning", verbosity=0)


@pytest.mark.databases
def test_without_its_tables_every_command_names_the_migration() -> None:
    commands = WRITERS | READERS
    with migrated("zero"):
        refused = {line(*command) for name, command in commands.items() if name != "explain"}
        explained = run(*commands["explain"][1:], command=commands["explain"][0])

    assert refused == {"the tables of this package are missing or outdated; run: migrate edx_api_provisioning"}
    assert explained.code == 0


# A row locked by another connection


@contextmanager
def locked(name: str, folder: Path) -> Iterator[None]:
    """Lock the client's row (SQLite: the database) through another connection, with short lock timeouts."""
    other = connection.copy()
    short = {
        "sqlite": "PRAGMA busy_timeout = 10",
        "mysql": "SET innodb_lock_wait_timeout = 0",
        "postgresql": "SET lock_timeout = '10ms'",
    }[connection.vendor]
    long = {
        "sqlite": "PRAGMA busy_timeout = 30000",
        "mysql": "SET innodb_lock_wait_timeout = DEFAULT",
        "postgresql": "SET lock_timeout = DEFAULT",
    }[connection.vendor]
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("UPDATE edx_api_provisioning_apiclient SET purpose = 'locked' WHERE name = %s", [name])
    with connection.cursor() as cursor:
        cursor.execute(short)
    try:
        yield
    finally:
        other.rollback()
        other.close()
        with connection.cursor() as cursor:
            cursor.execute(long)


@pytest.mark.databases
@pytest.mark.parametrize("command", ["provision more", "rotate", "revoke"])
def test_waiting_for_a_lock_is_bounded(tmp_path: Path, command: str) -> None:
    with database_for_processes(tmp_path):
        made = provisioned(contact="owner@example.org")
        before = all_rows()

        with locked("report", tmp_path):
            refusal = line(*WRITERS[command])

        assert re.match(r"the database failed \(OperationalError.*nothing was changed", refusal)
        assert all_rows() == before
        assert answer(made.access_token) == "ok"
        assert run(*WRITERS[command][1:], command=WRITERS[command][0]).code == 0


# Clock changes


@pytest.mark.parametrize("jump", [timedelta(seconds=-1), timedelta(days=-3650)], ids=str)
def test_clock_set_back_ends_nothing(jump: timedelta) -> None:
    with clock_at(NOON) as clock:
        made = provisioned(contact="owner@example.org", expires_in=timedelta(days=5))
        successor = api.rotate("report", secret=True, grace=timedelta(hours=1), authority=OPERATOR)

        clock.now += jump

        assert provisioned().status is Status.UNCHANGED
        assert [answer(each.access_token) for each in (made, successor)] == ["ok", "ok"]
        assert granted(made.client_id, made.client_secret) is not None
        (row,) = api.list_clients()
        assert (row.issues, row.expires_at) == ((), successor.expires_at)
        api.notify_expiring(authority=OPERATOR)
        newer = api.rotate("report", authority=OPERATOR)
        assert newer.expires_at is not None
        assert newer.expires_at > clock.now
        assert answer(newer.access_token) == "ok"
        assert api.revoke("report", authority=OPERATOR).status is Status.REVOKED
        assert not get_access_token_model().objects.filter(application=client().application).exists()


def test_clock_running_back_keeps_client_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    with clock_at(NOON) as clock:

        def back(execute: Callable[..., Any], *statement: Any) -> Any:
            clock.forward(minutes=-1)
            return execute(*statement)

        with connection.execute_wrapper(back):
            made = provisioned()

        assert clock.now < NOON - timedelta(minutes=10)
        assert answer(made.access_token) == "ok"
        assert provisioned().status is Status.UNCHANGED
        clock.to(NOON)
        assert answer(made.access_token) == "ok"
