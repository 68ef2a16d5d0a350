"""Test the examples of docs/how-to/rest.rst."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories import run
from tests.lifecycle_helpers import answer, client, last_event
from tests.subprocesses import live_site

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = (Path(__file__).parents[2] / "docs/how-to/rest.rst").read_text()


def block(language: str, number: int) -> str:
    blocks = re.findall(rf"\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", TEXT)
    return textwrap.dedent(blocks[number])


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    with live_site(tmp_path) as url:
        yield url


def test_settings_example_is_valid() -> None:
    from edx_api_provisioning import conf

    told: dict[str, Any] = {}
    exec(block("python", 0), told)  # noqa: S102 - it is ours
    assert set(told["EDX_API_PROVISIONING"]) <= set(conf.DEFAULTS)


@pytest.mark.versions
def test_python_example_works(site: str) -> None:
    command = re.sub(r"\\\n>\s*", "", block("console", 0)).removeprefix("$ ./manage.py lms provision_api_client ")
    arguments = command.partition("--format env")[0].split()
    made = run(*arguments, "--format", "json").result
    kept: list[str] = []
    names = {"site": site, "keep": lambda *secrets: kept.extend(secrets)}

    exec(block("python", 1), {**names, **{name: made[name] for name in ("client_id", "client_secret")}})  # noqa: S102

    assert len(kept) == 4
    assert all(kept)
    assert (client("grade-report").state, client("grade-report").purpose) == ("retired", "the monthly report")
    assert answer(kept[3]) == "token_nonexistent"
    assert last_event().actor == "REST API: provisioner"


@pytest.mark.parametrize("address", re.findall(r'_path += "(.*)"', TEXT))
def test_terraform_paths_exist(address: str, settings: Any) -> None:
    from django.test import Client

    path = "/api/api-provisioning/v1" + address.format(id="report")
    assert Client().get(path).status_code in (401, 405)
