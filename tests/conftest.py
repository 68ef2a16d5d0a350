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

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "live_server"}


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
    """Mark what reaches the database, and deselect what is about another database than this run's."""
    elsewhere = []
    for item in items:
        if item.get_closest_marker("django_db") or DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("databases")
        vendor = item.get_closest_marker("vendor")
        if vendor and connection.vendor not in vendor.args:
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
