"""Test that API_PROVISIONING_PACKAGE becomes an instruction of the image that pip can run."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import LMS_PYTHON, REPOSITORY
from tutor.exceptions import TutorError

from edx_api_provisioning import __version__
from edx_api_provisioning.tutor.package import check

AUTHOR = ("-c", "user.name=x", "-c", "user.email=x@example.org")
CONTEXT = "/tmp/build-context"  # noqa: S108 - in the image


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel that the settings of the tests name."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "edx-api-provisioning"
    shutil.copytree(REPOSITORY / "edx_api_provisioning", source / "edx_api_provisioning")
    for name in ("setup.py", "pyproject.toml", "README.rst", "CHANGELOG.rst", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    for line in ("init --quiet --initial-branch a-branch", "add .", "commit --quiet --message x"):
        subprocess.run(["git", *AUTHOR, *line.split()], cwd=source, check=True)
    return next(folder.glob("*.whl"))


def pip(*arguments: str, **options: Any) -> None:
    subprocess.run([str(LMS_PYTHON), "-m", "pip", *arguments], check=True, **options)


def forms(wheel: Path) -> dict[str, str]:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {
        "version": f"edx-api-provisioning=={__version__}",
        "URL": f"edx-api-provisioning @ {wheel.as_uri()}",
        "repository": f"git+{wheel.with_name('edx-api-provisioning').as_uri()}@a-branch",
        "path with hash": f"./{wheel.name} --hash=sha256:{digest}",
        "wrong hash": f"edx-api-provisioning=={__version__} --hash=sha256:{'0' * 64}",
    }


def instruction(site: Any, requirement: str) -> str:
    """Return the shell command of the rendered instruction."""
    site.configure(API_PROVISIONING_PACKAGE=requirement)
    site.works("config", "save")
    (found,) = re.findall(
        r"^RUN (?:--mount=\S+ )+\\\n    (.*api-provisioning.*|.*edx_api_provisioning.*)$",
        site.rendered("build/openedx/Dockerfile"),
        re.MULTILINE,
    )
    return found


@pytest.mark.parametrize("form", ["version", "URL", "repository", "path with hash", "wrong hash"])
def test_rendered_line_installs_package(site: Any, wheel: Path, tmp_path: Path, form: str) -> None:
    context, target = tmp_path / "context", tmp_path / "installed"
    context.mkdir()
    shutil.copy(wheel, context)
    # As an environment variable, pip would take the target for the build too.
    program = tmp_path / "pip"
    program.write_text(f'#!/bin/sh\nexec {LMS_PYTHON} -m pip "$@" --target {target}\n')
    program.chmod(0o755)
    command = instruction(site, forms(wheel)[form]).replace(CONTEXT, str(context))
    network = {name: value for name, value in os.environ.items() if re.match(r"PIP_|\w+_proxy$", name, re.IGNORECASE)}
    environment = {
        "PATH": "/usr/bin:/bin",
        "PIP_COMMAND": str(program),
        # From a repository, pip builds the package with setuptools, which it gets as this machine gets packages.
        **(network if form == "repository" else {"PIP_NO_INDEX": "1"}),
        "PIP_FIND_LINKS": str(context),
    }

    done = subprocess.run(["/bin/sh", "-c", command], env=environment, cwd="/", capture_output=True, text=True)

    if form == "wrong hash":
        assert "DO NOT MATCH THE HASHES" in done.stderr
        assert not target.exists()
    else:
        assert done.returncode == 0, done.stderr
        assert (target / "edx_api_provisioning/__init__.py").exists()


@pytest.mark.parametrize(
    "requirement", ["https://example.org/edx_api_provisioning.whl", "git+https://example.org/edx-api-provisioning@a"]
)
def test_remote_requirement_is_one_argument(site: Any, requirement: str) -> None:
    line = instruction(site, requirement)

    said = subprocess.run(
        ["/bin/sh", "-c", line], env={"PIP_COMMAND": "printf %s,"}, capture_output=True, text=True, check=True
    )
    assert said.stdout == f"install,{requirement},"


@pytest.mark.parametrize("requirement", [None, ["x"], "", " ", "two\nlines"])
def test_package_is_one_requirement(requirement: Any) -> None:
    with pytest.raises(TutorError, match="API_PROVISIONING_PACKAGE: use one pip requirement"):
        check(requirement)


@pytest.mark.parametrize("requirement", ["/srv/checkout", "~/checkout", "../checkout", "file:///srv/x.whl", "-e ./x"])
def test_path_outside_the_image_is_refused(requirement: str) -> None:
    with pytest.raises(TutorError, match="the image cannot read this path"):
        check(requirement)


def test_old_tutor_is_refused_in_one_line() -> None:
    old = "import tutor.__about__ as about; about.__version__ = '19.0.5'; import edx_api_provisioning.tutor"

    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True)

    assert done.stderr.splitlines()[-1].endswith(
        "TutorError: api-provisioning needs Tutor 20 or newer, and this is Tutor 19.0.5."
    )
