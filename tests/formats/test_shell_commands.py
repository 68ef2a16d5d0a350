"""Commands that call the API, run by a shell with a curl that notes what it gets."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.formats.snippets import api_request, next_steps
from edx_api_provisioning.settings.common import LMS_DEFAULTS
from tests.factories import SECRET, TOKEN, CredentialsFactory

DOCS = "Read the API documentation: https://lms.example.org/api-docs/"
ENDS = "The access token expires on 2036-03-01; replace it before with: rotate_api_client report"


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.LMS_ROOT_URL = "https://lms.example.org"
    settings.EDX_API_PROVISIONING = LMS_DEFAULTS


def called(line: str, folder: Path, *, stdin: str = "") -> tuple[list[str], str]:
    """Return the arguments and the standard input of curl in a command line."""
    curl = folder / "curl"
    curl.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > arguments\ncat > input\n')
    curl.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin"}
    subprocess.run(["/bin/sh", "-c", line], check=True, cwd=folder, env=environment, input=stdin, text=True)
    return (folder / "arguments").read_text().splitlines(), (folder / "input").read_text()


@pytest.mark.parametrize("in_file", [True, False], ids=["env file", "pasted"])
def test_next_steps_read_secrets_from_outside(tmp_path: Path, in_file: bool) -> None:
    credentials = CredentialsFactory()
    path = tmp_path / "its file.env"
    path.write_text(rendering.render(credentials, format="env"))

    lines = [*next_steps(credentials, env_file=str(path) if in_file else None)]

    assert not any(secret in line for line in lines for secret in (SECRET, TOKEN))
    token, jwt = [line for line in lines if line.startswith("  ")]
    assert called(token, tmp_path, stdin=f"{TOKEN}\n") == (
        ["-H", "@-", "https://lms.example.org/api/user/v1/me"],
        f"Authorization: Bearer {TOKEN}",
    )
    assert called(jwt, tmp_path, stdin=f"{SECRET}\n") == (
        [
            *("-K", "-", "-d", "grant_type=client_credentials", "-d", "token_type=jwt"),
            "https://lms.example.org/oauth2/access_token",
        ],
        f'user = "the-client-id:{SECRET}"',
    )
    assert lines[-2:] == [DOCS, ENDS]


def test_next_steps_are_for_what_was_issued(settings: Any) -> None:
    rotated = CredentialsFactory(client_secret=None)
    assert [line for line in next_steps(rotated, env_file=None) if "JWT" in line] == []
    restricted = CredentialsFactory(access_token=None, expires_at=None, restricted=True, scopes=("grades:read", "read"))
    heading, command, docs = next_steps(restricted, env_file=None)
    assert ("JWT" in heading, "--data-urlencode 'scope=grades:read read'" in command, docs) == (True, True, DOCS)
    settings.LMS_ROOT_URL = None
    assert [*next_steps(CredentialsFactory(), env_file=None)] == [ENDS]


def test_unusual_secret_has_to_be_encoded() -> None:
    lines = [*next_steps(CredentialsFactory(client_secret=Secret('with "quotes" and 100 % + more')), env_file=None)]

    assert "  (percent-encode the client secret: it holds more than letters and digits)" in lines


@pytest.mark.parametrize(
    ("method", "scheme", "arguments"),
    [
        ("GET", "bearer", []),
        ("DELETE", "bearer", ["-X", "DELETE"]),
        ("POST", "jwt", ["-X", "POST", "-H", "Content-Type: application/json", "-d", "@body.json"]),
    ],
)
def test_request_is_complete(tmp_path: Path, method: str, scheme: str, arguments: list[str]) -> None:
    line = f"JWT=j; OPENEDX_ACCESS_TOKEN=t; {api_request(method, 'https://lms.example.org/a?b=c&d', scheme=scheme)}"

    header = "Authorization: JWT j" if scheme == "jwt" else "Authorization: Bearer t"
    assert called(line, tmp_path) == (["-H", "@-", *arguments, "https://lms.example.org/a?b=c&d"], header)
