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
        created_once = ".admin" in name and not name.startswith("django.contrib.admin")
        if created_once or name == settings.ROOT_URLCONF or name.startswith("tests.admin"):
            del sys.modules[name]
    admin.site._wrapped = empty
    admin.autodiscover()
    clear_url_caches()
    import_module(settings.ROOT_URLCONF)
    at_start.update(state()._stats)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Keep only the functions of the folder that the test file mirrors, so that mutmut runs only those tests."""
    folder = item.path.parent.name
    reached = state()._stats
    reached |= at_start
    reached -= {function for function in reached if function.split(".")[1] != folder}


def pytest_sessionfinish(exitstatus: int) -> None:
    """Do not count a mutant as killed because a test was not found."""
    if exitstatus == pytest.ExitCode.USAGE_ERROR and os.environ.get("MUTANT_UNDER_TEST"):
        os._exit(exitstatus)
