"""Run the command in parallel processes, or interrupt it at a chosen point, with the test database.

Processes are forked with Django loaded, so they start together and cost little.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

from django.apps import apps
from django.core.management import call_command, execute_from_command_line
from django.db import OperationalError, connection, connections, transaction
from pytest_django.live_server_helper import LiveServer

FORK = multiprocessing.get_context("fork")
TIMEOUT = 120  # seconds; a process that never ends must fail its test
KILLED = -signal.SIGKILL

Work = Callable[[], object]


def provision(*argv: str) -> None:
    """Run the command like `manage.py lms`, which sets the exit code of the process."""
    execute_from_command_line(["manage.py", "provision_api_client", *argv])


@dataclass(frozen=True)
class ProcessResult:
    code: int
    stdout: str
    stderr: str


class Process:
    """Run work in a separate process with its own connection and standard streams."""

    def __init__(self, work: Work, folder: Path, *, stdout: str | None = None) -> None:
        folder.mkdir(parents=True)
        self._stdout, self._stderr = Path(stdout or folder / "stdout"), folder / "stderr"
        connections.close_all()  # Two processes cannot share a connection.
        self._process = FORK.Process(target=self._main, args=(work,))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """Kill it like `kill -9`; it may have ended already."""
        self._process.kill()
        self._process.join()

    def _main(self, work: Work) -> None:
        for number, path in ((1, self._stdout), (2, self._stderr)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for the life of the process
        sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
        work()

    def ended(self) -> ProcessResult:
        self._process.join(TIMEOUT)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"A process did not end in {TIMEOUT} s: {self._stderr.read_text()}")
        stdout = self._stdout.read_text() if self._stdout.is_file() else ""
        return ProcessResult(self._process.exitcode, stdout, self._stderr.read_text())


def at_once(folder: Path, works: list[Work]) -> list[ProcessResult]:
    """Run all works at the same time in separate processes, each with a connection of its own."""
    start = FORK.Barrier(len(works))

    def member(work: Work) -> Work:
        def joined() -> None:
            connection.ensure_connection()
            start.wait(TIMEOUT)
            work()

        return joined

    processes = [Process(member(work), folder / str(number)) for number, work in enumerate(works)]
    return [process.ended() for process in processes]


@contextmanager
def database_for_processes(folder: Path) -> Iterator[None]:
    """Provide a database that other processes can open: the test database, or a copy of one in memory."""
    usual, settings = connections["default"], connection.settings_dict
    name = settings["NAME"]
    if usual.vendor == "sqlite":
        file = str(folder / "database.sqlite3")
        with usual.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [file])
        # A late request of the live server closes the usual connection, which has to know that it is in memory.
        usual.settings_dict = dict(settings)
        settings["NAME"] = file
        connections["default"] = type(usual)(settings, "default")
    try:
        # Import once here, for all forked runs.
        with transaction.atomic():
            as_of_a_test()
            call_command("provision_api_client", stdout=StringIO(), stderr=StringIO())
            transaction.set_rollback(True)
        yield
    finally:
        if usual.vendor == "sqlite":
            connections["default"].close()
            settings["NAME"], usual.settings_dict, connections["default"] = name, settings, usual


@contextmanager
def live_site(folder: Path) -> Iterator[str]:
    """Run the sandbox for other processes and browsers, and return its URL; threads have their own connections."""
    with database_for_processes(folder):
        server = LiveServer("localhost")
        try:
            yield server.url
        finally:
            server.stop()


def as_of_a_test() -> None:
    """Let the transaction that begins here hold durable ones, as Django's TestCase does."""
    connection.atomic_blocks[-1]._from_testcase = True


def table_counts() -> dict[str, int]:
    """Return the number of rows in each table, in one query."""
    tables = [model._meta.db_table for model in apps.get_models()]
    counts = (f"SELECT '{table}', COUNT(*) FROM {connection.ops.quote_name(table)}" for table in tables)  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(counts))
        return dict(cursor.fetchall())


class InterruptionPoints:
    """The points where a run may be interrupted: before each statement, around each commit, at chosen lines.

    ``happens`` is called at the chosen point, counted from 1; 0 is none.

    Args:
        lines_of: prefixes of the qualified names of functions in which every line is a point too.
    """

    def __init__(self, chosen: int, happens: Work, *, lines_of: tuple[str, ...] = ()) -> None:
        self.passed, self._chosen, self._happens, self._lines_of = 0, chosen, happens, lines_of

    def install(self) -> None:
        """Install in this process."""
        commit = connection._commit

        def around_commit() -> None:
            self._pass()
            commit()
            self._pass()

        connection._commit = around_commit
        connection.execute_wrappers.append(self._statement)
        if self._lines_of:
            sys.settrace(self._call)

    def _pass(self) -> None:
        self.passed += 1
        if self.passed == self._chosen:
            self._happens()

    def _statement(self, execute: Callable[..., Any], *args: Any) -> Any:
        self._pass()
        return execute(*args)

    def _call(self, frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        return self._line if frame.f_code.co_qualname.startswith(self._lines_of) else None

    def _line(self, _frame: FrameType, event: str, _argument: object) -> Callable[..., Any]:
        if event == "line":
            self._pass()
        return self._line


def kill_process() -> None:
    """Kill this process, like `kill -9`, the OOM killer or a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


def lose_connection() -> None:
    """End the database session of this process, as a restart does; on SQLite raise a disk error."""
    if connection.vendor == "sqlite":
        raise OperationalError("disk I/O error")
    session, administrator = connection.connection, connection.copy()
    with administrator.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_terminate_backend(%s, 60000)", [session.info.backend_pid])
        else:
            cursor.execute("KILL CONNECTION %s", [session.thread_id()])
            while cursor.execute("SELECT 1 FROM information_schema.processlist WHERE id = %s", [session.thread_id()]):
                pass
    administrator.close()
