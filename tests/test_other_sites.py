"""Sites that are no LMS: plain Django, and one with its own Application and AccessToken models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.versions
@pytest.mark.databases
@pytest.mark.parametrize("site", ["plain", "swapped"])
def test_the_main_job_is_done_on_a_site_that_is(site: str) -> None:
    # Settings are read once in a process, so each site has its own. -P: they meet the installed package there too.
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}  # All of its tests, whatever was selected here.
    done = subprocess.run(
        [
            sys.executable, "-P", "-m", "pytest", str(HERE / site / "main_job.py"), "--quiet",
            f"--ds={site}_settings", f"--override-ini=pythonpath=tests/{site}", "-p", "no:cacheprovider",
        ],
        cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
