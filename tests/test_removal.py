"""Going back: to an older version, to no tables, to no package."""

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
# Asks the site as a caller would; the site's own test client, for no server has to be started.
ASK_ME = """
import json, sys
from django.test import Client
answer = Client().get("/api/user/v1/me", HTTP_HOST="localhost", HTTP_AUTHORIZATION="Bearer " + sys.stdin.read())
print(answer.status_code, answer.json()["username"])
"""


def migrations() -> list[str]:
    """Ours, the oldest first."""
    return sorted(name for app, name in MigrationLoader(connection).disk_migrations if app == APP)


def tables() -> set[str]:
    return {name for name in connection.introspection.table_names() if name.startswith(APP)}


def migrate(to: str) -> None:
    call_command("migrate", APP, to, verbosity=0)


@pytest.mark.databases
@pytest.mark.versions
@pytest.mark.django_db(transaction=True)
def test_every_migration_can_be_taken_back_with_clients_there_and_made_again() -> None:
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
    # What the LMS has is left: the user and its application are there, and the client can be taken up again.
    call_command("adopt_api_client", "report", client_id=result["client_id"])
    again = provisioned("report")
    assert (again["status"], again["expires_at"]) == ("unchanged", result["expires_at"])


class Site:
    """An environment with the LMS's pins and a stand-in LMS, in which nothing but the wheel of this project is."""

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


def test_the_lms_starts_without_the_package_and_with_its_tables(site: Site, tmp_path: Path) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored, symlinks=True)
    site.run(find_uv_bin(), "build", "--wheel", "--python", sys.executable, "--out-dir", tmp_path / "dist", source)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    lms, sandbox = ROOT / "requirements/lms.txt", ROOT / "requirements/sandbox.txt"
    site.pip("install", "--constraints", lms, "--requirements", lms, "--requirements", sandbox)

    # Without the extra: what the LMS has is enough.
    site.pip("install", "--no-deps", wheel)
    site.lms("migrate", "--verbosity=0")
    result: dict[str, Any] = json.loads(site.lms("provision_api_client", "report", "--format=json"))
    assert result["verified"] is True

    site.pip("uninstall", "edx-api-provisioning")
    site.lms("check")
    site.lms("migrate", "--check")
    assert site.lms("shell", "-c", ASK_ME, input=result["access_token"]) == "200 report\n"

    # Installed again, all of it is there.
    site.pip("install", "--no-deps", wheel)
    assert json.loads(site.lms("provision_api_client", "report", "--format=json"))["status"] == "unchanged"
