"""Configure mutmut for this package; a pytest plugin for ``make mutants``."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import pytest
from django.conf import settings
from django.contrib import admin
from django.urls import clear_url_caches
from django.utils.functional import empty
from mutmut.state import state

at_start: set[str] = set()


@pytest.hookimpl(trylast=True)
def pytest_sessionstart() -> None:
    """Reload the admin: its forms and URLs are created once, in the process from which all mutants fork."""
    for name in [*sys.modules]:
        made_once = ".admin" in name and not name.startswith("django.contrib.admin")
        if made_once or name == settings.ROOT_URLCONF or name.startswith("tests.test_admin"):
            del sys.modules[name]
    admin.site._wrapped = empty
    admin.autodiscover()
    clear_url_caches()
    import_module(settings.ROOT_URLCONF)
    at_start.update(state()._stats)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Keep only the functions that the test file is named after, so that mutmut runs only those tests."""
    about = item.path.stem.removeprefix("test_")
    reached = state()._stats
    reached |= at_start
    reached -= {function for function in reached if not f"{about}_".startswith(f"{function.split('.')[1]}_")}


def pytest_sessionfinish(exitstatus: int) -> None:
    """Do not count a mutant as killed because a test was not found."""
    if exitstatus == pytest.ExitCode.USAGE_ERROR and os.environ.get("MUTANT_UNDER_TEST"):
        os._exit(exitstatus)
