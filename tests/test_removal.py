"""Test going back: to an older version, to no tables, and uninstalling."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from uv import find_uv_bin

from tests.factories import provisioned

ROOT = Path(__file__).parents[1]
APP = "edx_api_provisioning"
# Call the site with its own test client, without starting a server.
ASK_ME = """
import json, sys
from django.test import Client
answer = Client().get("/api/user/v1/me", HTTP_HOST="localhost", HTTP_AUTHORIZATION="Bearer " + sys.stdin.read())
print(answer.status_code, answer.json()["username"])
"""


def migrations() -> list[str]:
    """Return our migrations, oldest first."""
    return sorted(name for app, name in MigrationLoader(connection).disk_migrations if app == APP)


def tables() -> set[str]:
    return {name for name in connection.introspection.table_names() if name.startswith(APP)}


def migrate(to: str) -> None:
    call_command("migrate", APP, to, verbosity=0)


@pytest.mark.databases
@pytest.mark.versions
@pytest.mark.django_db(transaction=True)
def test_migrations_are_reversible() -> None:
    result = provisioned("report")
    before = tables()
    assert before
    try:
        for name in reversed(["zero", *migrations()[:-1]]):
            migrate(name)
        assert tables() == set()
    finally:
        migrate(migrations()[-1])

    assert tables() == before
    # The LMS's rows remain: user and application exist, and the client can be adopted again.
    call_command("adopt_api_client", "report", client_id=result["client_id"])
    again = provisioned("report")
    assert (again["status"], again["expires_at"]) == ("unchanged", result["expires_at"])


class Site:
    """An environment with the LMS's pins, a stand-in LMS and only the wheel of this project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._python = folder / "venv/bin/python"
        for name in ("sandbox", "manage.py"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        self.run(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, folder / "venv")

    def run(self, *command: str | Path, input: str | None = None) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["DATABASE_URL"] = f"sqlite:///{self.folder / 'lms.sqlite3'}"
        done = subprocess.run(
            command, cwd=self.folder, env=environment, input=input, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pip(self, *arguments: str | Path) -> None:
        self.run(find_uv_bin(), "pip", arguments[0], "--quiet", "--python", self._python, *arguments[1:])

    def lms(self, *arguments: str, input: str | None = None) -> str:
        return self.run(self._python, "manage.py", "lms", *arguments, input=input)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.once
def test_lms_starts_after_uninstall(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored, symlinks=True)
    site.run(find_uv_bin(), "build", "--wheel", "--python", sys.executable, "--out-dir", tmp_path / "dist", source)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    lms, sandbox = ROOT / "requirements/lms.txt", ROOT / "requirements/sandbox.txt"
    site.pip("install", "--constraints", lms, "--requirements", lms, "--requirements", sandbox)

    # Without the extra: the LMS has everything needed.
    site.pip("install", "--no-deps", wheel)
    site.lms("migrate", "--verbosity=0")
    result: dict[str, Any] = json.loads(site.lms("provision_api_client", "report", "--format=json"))
    assert result["verified"] is True

    site.pip("uninstall", "edx-api-provisioning")
    site.lms("check")
    site.lms("migrate", "--check")
    assert site.lms("shell", "-c", ASK_ME, input=result["access_token"]) == "200 report\n"

    # Installed again, everything is back.
    site.pip("install", "--no-deps", wheel)
    assert json.loads(site.lms("provision_api_client", "report", "--format=json"))["status"] == "unchanged"
