"""The sandbox's settings, with the command that is compared with, and a database that is the benchmark's own."""

from __future__ import annotations

import os
from pathlib import Path

from lms.envs.sandbox import *  # noqa: F403
from lms.envs.sandbox import DATABASES, INSTALLED_APPS

# manage_user; the LMS has it too.
INSTALLED_APPS = [*INSTALLED_APPS, "edx_django_utils.user"]

_database = DATABASES["default"]
_is_file = _database["ENGINE"].endswith("sqlite3")
_name = Path(_database["NAME"]).with_suffix(".bench.sqlite3") if _is_file else f"{_database['NAME']}_bench"
# Made like the tests' and removed again, so that nothing is measured in, or written to, what somebody keeps.
_database.setdefault("TEST", {})["NAME"] = str(_name)
_database["NAME"] = os.environ.get("BENCH_DATABASE", _database["NAME"])
