"""Test that the built package is complete, and that installing it keeps the LMS's pins."""

from __future__ import annotations

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


def test_wheel_has_exactly_the_package(built: Built) -> None:
    with ZipFile(built.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}

    assert names == package_files(built.source)
    assert {"edx_api_provisioning/py.typed", "edx_api_provisioning/migrations/0001_initial.py"} <= names


def test_wheel_and_sdist_have_license(built: Built) -> None:
    with ZipFile(built.wheel) as wheel:
        in_wheel = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/LICENSE")]
    with tarfile.open(built.sdist) as sdist:
        in_sdist = [name for name in sdist.getnames() if name.endswith("/LICENSE")]

    assert in_wheel == [(ROOT / "LICENSE").read_text()]
    assert len(in_sdist) == 1


def test_sdist_has_no_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames() if not sdist.getmember(name).isdir()}

    assert package_files(built.source) | {"README.rst", "CHANGELOG.rst", "setup.py", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith(("tests/", "sandbox/"))]


def test_twine_accepts_description(built: Built) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", built.wheel, built.sdist)


def test_install_keeps_lms_pins(built: Built, tmp_path: Path) -> None:
    uv = find_uv_bin()
    python = tmp_path / "bin/python"
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path)
    run(uv, "pip", "install", "--quiet", "--python", python, "--requirements", ROOT / "requirements/lms.txt")
    before = set(run(uv, "pip", "freeze", "--quiet", "--python", python).splitlines())

    # With the extra, which lists all imports: the bare wheel requires nothing and could change nothing.
    wanted = f"edx-api-provisioning[django] @ {built.wheel.as_uri()}"
    run(uv, "pip", "install", "--quiet", "--python", python, wanted)

    after = set(run(uv, "pip", "freeze", "--quiet", "--python", python).splitlines())
    assert before <= after
    assert [line.partition(" @ ")[0] for line in after - before] == ["edx-api-provisioning"]
    run(
        python,
        "-c",
        "from importlib.metadata import entry_points;"
        "(ours,) = entry_points(group='lms.djangoapp', name='edx_api_provisioning');"
        "assert ours.load().name == 'edx_api_provisioning'",
    )


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="outside of tox the package may be editable")
def test_installed_package_is_tested() -> None:
    assert Path(edx_api_provisioning.__file__).is_relative_to(sys.prefix)
