"""Test that the snippets for issued credentials work as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from edx_api_provisioning import api
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.formats.snippets import Snippet, snippets
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


@pytest.mark.parametrize("own", [None, 'with "quotes" and 100 % + more'])
def test_calls_hold_no_secret(issued: dict[str, Any], tmp_path: Path, own: str | None) -> None:
    """A stand-in for curl prints its input. What is typed at the terminal is the secret."""
    values = {**issued, "client_secret": own or issued["client_secret"]}
    pasted = {"call-0": values["access_token"], "call-1": quote(values["client_secret"], safe="")}

    def run_with_curl(call: Snippet) -> str:
        return with_program(tmp_path, "curl", "cat", call.text, input=f"{pasted[call.key]}\n")

    calls = [each for each in snippets(values) if each.key in pasted]
    assert not any(secret in call.text for call in calls for secret in pasted.values())
    assert [run_with_curl(call) for call in calls] == [
        f"Authorization: Bearer {pasted['call-0']}", f'user = "{values["client_id"]}:{pasted["call-1"]}"',
    ]  # fmt: skip
    assert ["percent-encode" in call.warning for call in calls] == [False, own is not None]


def test_github_command_takes_secrets_from_file(issued: dict[str, Any], tmp_path: Path) -> None:
    """A stand-in for gh prints its arguments, and its input, as the real one reads it from ``--env-file -``."""
    found = {each.key: each for each in snippets(issued)}
    (tmp_path / f"report.{found['env'].ending}").write_text(found["env"].text)

    arguments, *lines = with_program(tmp_path, "gh", 'echo "$@"; cat', found["github"].text).splitlines()

    assert arguments == "secret set --env-file -"
    assert dict(line.split("=") for line in lines) == {
        f"OPENEDX_{key.upper()}": issued[key] for key in ("client_id", "client_secret", "access_token")
    }
    assert issued["client_secret"] not in found["github"].text


def with_program(folder: Path, name: str, script: str, command: str, *, input: str = "") -> str:
    """Run a shell command beside a program; return what is printed."""
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, input=input, capture_output=True, text=True, check=True
    ).stdout


def test_programs_need_the_address_of_the_site(issued: dict[str, Any], settings: Any) -> None:
    settings.LMS_ROOT_URL = None
    values = {**issued, "token_url": None}
    assert not [each for each in snippets(values) if each.key.startswith("python")]
