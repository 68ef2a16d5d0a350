"""For ``make mutants``, as a plugin of pytest: what mutmut is to know of this package."""

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
    """Start the admin anew: its forms and addresses are made once, in the process that all mutants are forked from."""
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
    """Of what was reached, leave what the test is named after: all that mutmut finds is tested by it, as it sees it."""
    about = item.path.stem.removeprefix("test_")
    reached = state()._stats
    reached |= at_start
    reached -= {function for function in reached if not f"{about}_".startswith(f"{function.split('.')[1]}_")}


def pytest_sessionfinish(exitstatus: int) -> None:
    """Count no mutant as noticed because a test was not found: mutmut takes what it raises then for a failed test."""
    if exitstatus == pytest.ExitCode.USAGE_ERROR and os.environ.get("MUTANT_UNDER_TEST"):
        os._exit(exitstatus)
