"""Test that the first argument of manage.py is the service, as in the LMS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.versions

MANAGE = Path(__file__).parents[2] / "manage.py"


@pytest.mark.parametrize("arguments", [[], ["migrate"], ["cms", "migrate"]])
def test_missing_service_prints_usage(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, str(MANAGE), *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: python manage.py lms COMMAND [options]\n"
