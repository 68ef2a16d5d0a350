"""Test that the plugin changes only what it should in Tutor's rendered files."""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TUTOR_VERSION

from edx_api_provisioning import __version__

INSTALL = [
    "+RUN --mount=type=cache,target=/openedx/.cache/pip,sharing=shared \\",
    f"+    ${{PIP_COMMAND:-pip}} install edx-api-provisioning=={__version__}",
]


def tree(root: Path) -> dict[str, list[str]]:
    env = root / "env"
    return {str(path.relative_to(env)): path.read_text().splitlines() for path in env.rglob("*") if text(path)}


def text(path: Path) -> bool:
    return path.is_file() and path.suffix not in (".ico", ".png", ".jpg", ".woff", ".woff2", ".ttf", ".otf")


def changes(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the lines added and removed in each file, except blank ones."""
    changed = {}
    for path in sorted({*before, *after}):
        lines = difflib.unified_diff(before.get(path, []), after.get(path, []), n=0, lineterm="")
        lines = [line for line in lines if line[:3] not in ("+++", "---", "@@ ") and line[1:].strip()]
        if lines:
            changed[path] = lines
    return changed


@pytest.fixture
def without(template: Path) -> dict[str, list[str]]:
    """Return what Tutor renders without the plugin."""
    plain = tree(template / "plain")
    assert "api-provisioning" not in str(plain)
    return plain


def test_plugin_changes_image_and_config_only(site: Any, without: dict[str, list[str]]) -> None:
    assert changes(without, tree(site.root)) == {
        "apps/openedx/config/api-clients.json": ["+{}"],
        "build/openedx/Dockerfile": INSTALL,
        "kustomization.yml": ["+  - apps/openedx/config/api-clients.json"],
    }


def test_plugin_is_installed_with_requirements(site: Any) -> None:
    lines = site.rendered("build/openedx/Dockerfile").splitlines()
    stages = [line for line in lines[: lines.index(INSTALL[1][1:])] if line.startswith("FROM")]
    assert stages[-1] == "FROM python AS python-requirements"


def test_settings_reach_the_lms(site: Any, without: dict[str, list[str]]) -> None:
    settings = {"TOKEN_LIFETIME": "90d", "ALLOWED_SCOPES": ["read"], "REQUIRE_CONTACT": True, "ROOT_URL": "'\"<&>é"}
    site.configure(API_PROVISIONING_SETTINGS=settings)
    site.works("config", "save")
    changed = changes(without, tree(site.root))
    assert sorted(changed) == [
        "apps/openedx/config/api-clients.json",
        "apps/openedx/config/lms.env.yml",
        "build/openedx/Dockerfile",
        "kustomization.yml",
    ]
    assert len(changed["apps/openedx/config/lms.env.yml"]) == 1
    lms = yaml.safe_load(site.rendered("apps/openedx/config/lms.env.yml"))
    assert lms["EDX_API_PROVISIONING"] == settings


def test_repository_can_be_mounted(site: Any, without: dict[str, list[str]], tmp_path: Path) -> None:
    repository = tmp_path / "edx-api-provisioning"
    repository.mkdir()
    site.works("mounts", "add", str(repository))
    changed = changes(without, tree(site.root))
    mounted = "/mnt/edx-api-provisioning"
    assert not set(INSTALL) & set(changed["build/openedx/Dockerfile"])
    assert "+FROM scratch AS mnt-edx-api-provisioning" in changed["build/openedx/Dockerfile"]
    assert any(f'install -e "{mounted}"' in line for line in changed["build/openedx/Dockerfile"])
    for path, service in (("docker-compose.yml", "lms"), ("docker-compose.jobs.yml", "lms-job")):
        assert f"{repository}:{mounted}" in str(_volumes(site, f"local/{path}", service))

    site.works("images", "build", "openedx")
    assert f"--build-context=mnt-edx-api-provisioning={repository}" in site.calls("docker")[-1]


def _volumes(site: Any, path: str, service: str) -> list[str]:
    return yaml.safe_load(site.rendered(path))["services"][service]["volumes"]


def test_configuration_is_mounted_into_jobs(site: Any) -> None:
    volumes = str(_volumes(site, "local/docker-compose.jobs.yml", "lms-job"))
    assert "../apps/openedx/config:/openedx/config" in volumes
    assert ("../../data/lms-job:/openedx/data" in volumes) is (TUTOR_VERSION >= 21)
    jobs = {job["metadata"]["name"]: job for job in yaml.safe_load_all(site.rendered("k8s/jobs.yml"))}
    container = jobs["lms-job"]["spec"]["template"]["spec"]["containers"][0]
    assert {"mountPath": "/openedx/config", "name": "config"} in container["volumeMounts"]
    assert "ENV LMS_CFG=/openedx/config/lms.env.yml" in site.rendered("build/openedx/Dockerfile")


def test_plugin_loads_without_django() -> None:
    loaded = "import sys, edx_api_provisioning.tutor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    ours = {name for name in done.stdout.split() if name.startswith("edx_api_provisioning.")}
    assert {name for name in ours if ".tutor" not in name} == {
        f"edx_api_provisioning.core{name}" for name in ("", ".commands", ".options")
    }
    assert "django" not in done.stdout.split()
