"""What every test gets: an answering database, and the choice of tests that fit it."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import override_settings

if TYPE_CHECKING:
    from tests.leak_detection import Ears

ROOT = Path(__file__).parents[1]
# Last on the path: `tests.…` is found, and the package is still the installed one.
sys.path.append(str(ROOT))

# They have environments of their own; see tox.ini.
collect_ignore = ["docs", "tutor"]


class Progress:
    """Tell tests/servers.py, where it listens, how far this job is and what fails."""

    def __init__(self) -> None:
        self.job, self.total, self.done = os.environ.get("TOX_ENV_NAME", "tests"), 0, 0
        self.pipe = open(os.environ["TEST_PROGRESS"], "w", buffering=1)  # noqa: SIM115 - for the life of the process

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.total = len(session.items)
        print(f"{self.job}: {self.total} tests", file=self.pipe)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            print(f"{self.job}: FAILED {report.nodeid}", file=self.pipe)
        if report.when == "teardown":
            before, self.done = self.done, self.done + 1
            if (tenths := 10 * self.done // self.total) > 10 * before // self.total:
                print(f"{self.job}: {tenths}0 %", file=self.pipe)


def pytest_configure(config: pytest.Config) -> None:
    if "TEST_PROGRESS" in os.environ:
        config.pluginmanager.register(Progress())


def pytest_sessionstart() -> None:
    """Refuse in one line when the database server of this run does not answer."""
    database = settings.DATABASES["default"]
    if not database.get("HOST"):
        return
    try:
        socket.create_connection((database["HOST"], int(database["PORT"])), timeout=5).close()
    except OSError as error:
        pytest.exit(
            f"No {connection.vendor} server answers on {database['HOST']}:{database['PORT']} ({error}). "
            "Start one, or name another in TEST_MYSQL_URL or TEST_POSTGRES_URL.",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def pytest_collection_finish() -> None:
    """Look for garbage less often, and not among what lives until the end."""
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


@pytest.hookimpl(tryfirst=True)  # before pytest reads -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is about another database than this run's."""
    elsewhere = []
    for item in items:
        vendor = item.get_closest_marker("vendor")
        if vendor:
            item.add_marker("databases")
            if connection.vendor not in vendor.args:
                elsewhere.append(item)
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing is skipped: a test that cannot run there has failed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if "CI" in os.environ and reporter.stats.get("skipped"):
        reporter.write_line("\nCI skips no test; see the reasons below.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Client secrets are hashed as of django-oauth-toolkit 2, and a hash that is any good takes its time."""
    cheap = "django.contrib.auth.hashers.MD5PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[cheap, *settings.PASSWORD_HASHERS]):
        yield


@pytest.fixture(autouse=True)
def nobody_has_asked_before() -> None:
    """Callers are counted in the cache, and refused if they ask too often."""
    cache.clear()


@pytest.fixture
def ears(
    caplog: pytest.LogCaptureFixture, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Ears]:
    """All that could be overheard during a test."""
    from tests.leak_detection import listening

    with listening(caplog, settings, monkeypatch, tmp_path / "home") as ears:
        yield ears
