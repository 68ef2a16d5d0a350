"""Test that the snippets for issued credentials work as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edx_api_provisioning import api
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.formats.snippets import snippets
from tests.factories import OPERATOR

pytestmark = pytest.mark.django_db(transaction=True)


def run_it(program: str, environment: str, *command: str) -> str:
    """Run a program with the variables of the dotenv snippet; return what it prints."""
    line = f"set -a\n{environment}set +a\nexec {' '.join(command)}"
    return subprocess.run(["sh", "-c", line], input=program, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def issued(live_server: Any, settings: Any) -> dict[str, Any]:
    settings.LMS_ROOT_URL = live_server.url
    return rendering.as_dict(api.provision(ClientSpec(name="report"), authority=OPERATOR))


@pytest.mark.parametrize("missing", [None, "client_secret"])
def test_python_program_calls_the_api(issued: dict[str, Any], missing: str | None) -> None:
    found = {each.key: each.text for each in snippets({**issued, **({missing: None} if missing else {})})}

    assert run_it(found["python"], found["env"], sys.executable, "-") == "{'username': 'report'}\n"
    assert issued["client_secret"] not in found["python"]
    assert ("python-client" in found) is (missing is None)


def test_client_program_names_site_and_variables(issued: dict[str, Any]) -> None:
    [program] = [each for each in snippets(issued) if each.key == "python-client"]
    compile(program.text, program.key, "exec")
    assert f'OAuthAPIClient("{issued["token_url"].removesuffix("/oauth2/access_token")}", ' in program.text
    assert "a stock LMS writes to its tracking log" in program.warning


def test_github_command_reads_secrets_from_input(issued: dict[str, Any], tmp_path: Path) -> None:
    """A stand-in for gh prints its arguments, and its input, as the real one reads it from ``--env-file -``."""
    gh = tmp_path / "gh"
    gh.write_text('#!/bin/sh\necho "$@"\ncat\n')
    gh.chmod(0o755)
    [command] = [each.text for each in snippets(issued) if each.key == "github"]

    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)

    arguments, *lines = done.stdout.splitlines()
    assert arguments == "secret set --env-file -"
    assert [line.split("=")[0] for line in lines] == [
        "OPENEDX_CLIENT_ID",
        "OPENEDX_CLIENT_SECRET",
        "OPENEDX_ACCESS_TOKEN",
    ]
    assert f"OPENEDX_CLIENT_SECRET={issued['client_secret']}" in lines


def test_programs_need_the_address_of_the_site(issued: dict[str, Any], settings: Any) -> None:
    settings.LMS_ROOT_URL = None
    values = {**issued, "token_url": None}
    assert not [each for each in snippets(values) if each.key.startswith("python")]
