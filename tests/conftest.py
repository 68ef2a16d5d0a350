"""Shared fixtures and hooks: check the database server, and deselect tests for other databases."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import override_settings

if TYPE_CHECKING:
    from tests.leak_detection import LeakDetector

ROOT = Path(__file__).parents[1]
# Last on the path, so that `tests.…` is importable and the package is still the installed one.
sys.path.append(str(ROOT))

# They have their own environments; see tox.ini.
collect_ignore = ["docs", "tutor", *([] if find_spec("openedx_authz") else ["adapters/test_authz.py"])]


class Progress:
    """Report progress and failures of this job to tests/servers.py."""

    def __init__(self) -> None:
        self.job, self.total, self.done = os.environ.get("TOX_ENV_NAME", "tests"), 0, 0
        self.pipe = open(os.environ["TEST_PROGRESS"], "w", buffering=1)  # noqa: SIM115 - for the life of the process

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.count(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self.count(len(ids))

    def count(self, total: int) -> None:
        if total and not self.total:
            self.total = total
            print(f"{self.job}: {total} tests", file=self.pipe)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            print(f"{self.job}: FAILED {report.nodeid}", file=self.pipe)
        if report.when == "teardown":
            before, self.done = self.done, self.done + 1
            if (tenths := 10 * self.done // self.total) > 10 * before // self.total:
                print(f"{self.job}: {tenths}0 %", file=self.pipe)


def pytest_configure(config: pytest.Config) -> None:
    if "TEST_PROGRESS" in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress())


def pytest_sessionstart() -> None:
    """Exit with a one-line error if the database server does not answer."""
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
    """Collect garbage less often, and skip long-lived objects."""
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)


@pytest.hookimpl(tryfirst=True)  # before pytest reads -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests for other databases."""
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
    """In CI, count skipped tests as failures."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    # The processes of pytest-xdist have no reporter.
    if "CI" in os.environ and reporter and reporter.stats.get("skipped"):
        reporter.write_line("\nCI skips no test; see the reasons below.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def fast_password_hasher() -> Iterator[None]:
    """Use a fast password hasher: django-oauth-toolkit 2 hashes client secrets."""
    cheap = "django.contrib.auth.hashers.MD5PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[cheap, *settings.PASSWORD_HASHERS]):
        yield


@pytest.fixture(autouse=True)
def clear_cache() -> None:
    """Clear the cache, in which throttles count requests."""
    cache.clear()


@pytest.fixture
def leak_detector(
    caplog: pytest.LogCaptureFixture, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[LeakDetector]:
    """Capture everything that could leak a secret during a test."""
    from tests.leak_detection import detecting_leaks

    with detecting_leaks(caplog, settings, monkeypatch, tmp_path / "home") as leak_detector:
        yield leak_detector
