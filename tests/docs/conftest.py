"""Provide an operator's LMS folder for each page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lms_server
import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "tests/docs/programs.py"
STAND_INS = ("kubectl", "make", "pip", "tutor")


class Operator:
    """A shell in the folder of the LMS's ``manage.py``."""

    def __init__(self, folder: Path, migrated: Path, lms: str) -> None:
        self.folder = folder / "lms"
        self.folder.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        shutil.copy(migrated, folder / "lms.sqlite3")
        self.calls = folder / "calls"
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "DATABASE_URL": f"sqlite:///{folder / 'lms.sqlite3'}",
            "LMS_ROOT_URL": "https://lms.example.org",
            "REPOSITORY": str(ROOT),
            "CALLS": str(self.calls),
            "LMS_SERVER": lms,
        }
        for name in STAND_INS:
            _program(programs / name, f'exec {sys.executable} {PROGRAMS} {name} "$@"')
        lms_server.write_manage(self.folder, sys.executable)

    def run(self, script: str) -> str:
        """Run a script and return its terminal output."""
        (self.folder.parent / "script").write_text(script)
        done = subprocess.run(
            ["sh", "../script"], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.stdout


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "lms.sqlite3"
    command = [sys.executable, str(ROOT / "manage.py"), "lms", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": f"sqlite:///{path}"}, check=True)
    return path


@pytest.fixture(scope="session")
def lms() -> Iterator[str]:
    with lms_server.running(sys.executable) as address:
        yield address


@pytest.fixture
def operator(tmp_path: Path, migrated: Path, lms: str) -> Operator:
    return Operator(tmp_path, migrated, lms)
