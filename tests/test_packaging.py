"""Test that the built package is complete, and that the LMS keeps its pins and survives its removal."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from urllib.parse import urljoin
from zipfile import ZipFile

import pytest
from uv import find_uv_bin

import edx_api_provisioning

ROOT = Path(__file__).parents[1]
PROJECT_URL = "https://code.example.org/group/edx-api-provisioning"
# One process builds the package once for all of them.
pytestmark = [pytest.mark.once, pytest.mark.xdist_group("packaging")]
NOT_IN_A_CLONE = shutil.ignore_patterns(".*", "build", "dist", "mutants", "*.egg-info", "__pycache__")


def run(*command: str | Path) -> str:
    """Run a command and return its output; show everything if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@dataclass(frozen=True)
class Built:
    source: Path
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist of a clean copy, and the wheel from that sdist."""
    folder, monkeypatch = tmp_path_factory.mktemp("packaging"), pytest.MonkeyPatch()
    shutil.copytree(ROOT, folder / "source", ignore=NOT_IN_A_CLONE, symlinks=True)
    monkeypatch.setenv("PROJECT_URL", PROJECT_URL)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    run(find_uv_bin(), "build", "--python", sys.executable, "--out-dir", folder / "dist", folder / "source")
    (wheel,) = folder.glob("dist/*.whl")
    (sdist,) = folder.glob("dist/*.tar.gz")
    monkeypatch.undo()
    return Built(folder / "source", wheel, sdist)


def test_project_url_is_in_metadata_and_links(built: Built) -> None:
    with ZipFile(built.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
        metadata = message_from_bytes(wheel.read(name))

    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL") or [])
    assert (urls["Source"], urls["Issues"]) == (PROJECT_URL, f"{PROJECT_URL}/issues")
    links = re.findall(r"<([^\s>]+)>`_", str(metadata.get_payload()))
    assert f"{PROJECT_URL}/blob/v{edx_api_provisioning.__version__}/SECURITY.rst" in links
    assert [link for link in links if not link.startswith("https://")] == []
    # On the hosting site SECURITY.rst links to the same form, relative to its own address.
    form = re.search(r"<(\S+)>`_", (ROOT / "SECURITY.rst").read_text())[1]
    assert urljoin(f"{PROJECT_URL}/blob/main/SECURITY.rst", form) == urls["Security"]


def test_build_is_reproducible(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_URL", PROJECT_URL)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    shutil.copytree(ROOT, tmp_path / "source", ignore=NOT_IN_A_CLONE, copy_function=shutil.copyfile, symlinks=True)
    for path in (tmp_path / "source").rglob("*"):  # as with another umask and a later clone
        path.chmod(path.stat().st_mode & 0o700)

    run(find_uv_bin(), "build", "--python", sys.executable, "--out-dir", tmp_path / "dist", tmp_path / "source")

    for path in (built.wheel, built.sdist):
        assert path.read_bytes() == (tmp_path / "dist" / path.name).read_bytes()


def package_files(source: Path) -> set[str]:
    """Return every package file of a clean copy of the repository."""
    files = (source / "edx_api_provisioning").rglob("*")
    return {str(file.relative_to(source)) for file in files if file.is_file()}


def test_distributions_have_the_package_and_no_tests(built: Built) -> None:
    with ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        licenses = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/LICENSE")]
    with tarfile.open(built.sdist) as sdist:
        in_sdist = {name.partition("/")[2] for name in sdist.getnames() if not sdist.getmember(name).isdir()}

    assert names == package_files(built.source)
    assert {"edx_api_provisioning/py.typed", "edx_api_provisioning/migrations/0001_initial.py"} <= names
    assert licenses == [(ROOT / "LICENSE").read_text()]
    assert names | {"README.rst", "CHANGELOG.rst", "LICENSE", "setup.py", "pyproject.toml"} <= in_sdist
    assert not [name for name in in_sdist if name.startswith(("tests/", "sandbox/"))]


def test_twine_accepts_description(built: Built) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", built.wheel, built.sdist)


# Call the site with its own test client, without starting a server.
AFTERWARDS = """
import sys
from django.core.management import call_command
from django.test import Client
call_command("check")
call_command("migrate", check=True, verbosity=0)
answer = Client().get("/api/user/v1/me", HTTP_HOST="localhost", HTTP_AUTHORIZATION="Bearer " + sys.stdin.read())
print(answer.status_code, answer.json()["username"])
"""


class Lms:
    """An environment with the LMS's pins, and a stand-in LMS."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._python = folder, folder / "venv/bin/python"
        shutil.copytree(ROOT / "sandbox", folder / "sandbox")
        shutil.copy(ROOT / "manage.py", folder)
        run(find_uv_bin(), "venv", "--quiet", "--python", sys.executable, folder / "venv")
        self.pip("install", "--requirements", ROOT / "requirements/lms.txt")

    def pip(self, command: str, *arguments: str | Path) -> set[str]:
        lines = run(find_uv_bin(), "pip", command, "--quiet", "--python", self._python, *arguments)
        return set(lines.splitlines())

    def manage(self, *arguments: str, input: str | None = None) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["DATABASE_URL"] = f"sqlite:///{self._folder / 'lms.sqlite3'}"
        done = subprocess.run(
            [self._python, "manage.py", "lms", *arguments],
            cwd=self._folder, env=environment, input=input, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def test_lms_keeps_its_pins_and_starts_after_uninstall(built: Built, tmp_path: Path) -> None:
    lms = Lms(tmp_path)
    before = lms.pip("freeze")

    # With the extra, which lists all imports: the bare wheel requires nothing and could change nothing.
    lms.pip("install", f"edx-api-provisioning[django] @ {built.wheel.as_uri()}")
    after = lms.pip("freeze")
    assert before <= after
    assert [line.partition(" @ ")[0] for line in after - before] == ["edx-api-provisioning"]

    lms.pip("install", "--constraints", ROOT / "requirements/lms.txt", "-r", ROOT / "requirements/sandbox.txt")
    lms.manage("migrate", "--verbosity=0")
    result = json.loads(lms.manage("provision_api_client", "report", "--format=json"))
    assert result["verified"] is True

    lms.pip("uninstall", "edx-api-provisioning")
    assert lms.manage("shell", "-c", AFTERWARDS, input=result["access_token"]).splitlines()[-1] == "200 report"

    # Installed again, everything is back.
    lms.pip("install", "--no-deps", built.wheel)
    assert json.loads(lms.manage("provision_api_client", "report", "--format=json"))["status"] == "unchanged"


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="outside of tox the package may be editable")
def test_installed_package_is_tested() -> None:
    assert Path(edx_api_provisioning.__file__).is_relative_to(sys.prefix)
