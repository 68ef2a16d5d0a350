"""Test other sites: plain Django with its own Application and AccessToken models, and peculiar ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.versions
@pytest.mark.databases
def test_plain_django_passes_main_tests() -> None:
    assert_passes("plain")


@pytest.mark.parametrize("site", ["company", "people", "replica"])
def test_odd_sites_work_or_are_refused(site: str) -> None:
    assert_passes("odd", "--nomigrations", SITE=site)


def assert_passes(folder: str, *options: str, **variables: str) -> None:
    # Settings are read once per process, so each site has its own process. -P: import the installed package there too.
    environment = {**os.environ, **variables, "PYTEST_ADDOPTS": ""}  # All of its tests, whatever was selected here.
    environment.pop("TEST_PROGRESS", None)  # They are one test of this job.
    done = subprocess.run(
        [
            sys.executable, "-P", "-m", "pytest", str(HERE / folder / "main_job.py"), "--quiet", *options,
            f"--ds={folder}_settings", f"--override-ini=pythonpath=tests/{folder}", "-p", "no:cacheprovider",
            # Only the plugin that these tests use: the others take a second to load.
            "--override-ini=addopts=--import-mode=importlib --disable-plugin-autoload -pdjango",
        ],
        cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
