"""The sandbox's settings with the compared command and the benchmark's own database."""

from __future__ import annotations

import os
from pathlib import Path

from lms.envs.sandbox import *  # noqa: F403
from lms.envs.sandbox import DATABASES, INSTALLED_APPS

# manage_user, which the LMS has too.
INSTALLED_APPS = [*INSTALLED_APPS, "edx_django_utils.user"]

_database = DATABASES["default"]
_is_file = _database["ENGINE"].endswith("sqlite3")
_name = Path(_database["NAME"]).with_suffix(".bench.sqlite3") if _is_file else f"{_database['NAME']}_bench"
# Created and removed like the tests' database, so that nobody's data is measured or changed.
_database.setdefault("TEST", {})["NAME"] = str(_name)
_database["NAME"] = os.environ.get("BENCH_DATABASE", _database["NAME"])
