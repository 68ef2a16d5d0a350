"""Configure mutmut for this package; a pytest plugin for ``make mutants``."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib import admin
from django.urls import clear_url_caches
from django.utils.functional import empty
from mutmut.state import state

FIRST = ("admin", "adapters", "core")
"""The folders that mirror what is mutated: quick to try, and they notice most mutants."""
EVERY = os.environ.get("TEST_MUTANTS") == "every"
"""Tell whether tests that reach a mutant try it wherever they are."""
QUICKEST = 200
"""So many of them try it: a function that each request passes is reached by all tests."""
# Tests of migrations, and of processes of their own, which a mutant may keep waiting.
APART = {"concurrency", "database", "faults", "how_to", "kill", "rotation_under_load", "shell_commands"}

at_start: set[str] = set()


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Reload the admin: its forms and URLs are created once, in the process from which all mutants fork."""
    for name in [*sys.modules]:
        created_once = ".admin" in name and not name.startswith("django.contrib.admin")
        if created_once or name == settings.ROOT_URLCONF or name.startswith("tests.admin"):
            del sys.modules[name]
    admin.site._wrapped = empty
    admin.autodiscover()
    clear_url_caches()
    import_module(settings.ROOT_URLCONF)
    at_start.update(state()._stats)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the tests in processes, and at first those of other folders."""
    if collection_path.suffix != ".py":
        return None
    apart = collection_path.stem.removeprefix("test_") in APART
    return apart or not (EVERY or collection_path.parent.name in FIRST) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick tests first: most mutants live no longer."""
    seconds = state().duration_by_test
    # pytest does not find a test by its name if that has a backslash.
    named = [item for item in items if "\\" not in item.nodeid]
    named.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
    tries = "__mutmut_" in os.environ.get("MUTANT_UNDER_TEST", "")
    items[:] = named[:QUICKEST] if EVERY and tries else named


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Keep only the functions of the folder that the test file mirrors, so that mutmut runs only those tests."""
    folder = item.path.parent.name
    reached = state()._stats
    reached |= at_start
    if not EVERY:
        reached -= {function for function in reached if function.split(".")[1] != folder}


def pytest_sessionfinish(exitstatus: int) -> None:
    """Do not count a mutant as killed because a test was not found."""
    if exitstatus == pytest.ExitCode.USAGE_ERROR and os.environ.get("MUTANT_UNDER_TEST"):
        os._exit(exitstatus)
