"""Every format, read back by what will read it; and the file that appears whole, private, or not at all."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import resource
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from edx_api_provisioning.core.exceptions import OutputFailure
from edx_api_provisioning.core.planning import make_plan
from edx_api_provisioning.core.results import Check, Status, Verification
from edx_api_provisioning.core.secrets import Secret, basic_authorization
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import CurrentState
from edx_api_provisioning.formats import files, rendering
from tests.factories import SECRET, TOKEN, CredentialsFactory, FoundFactory, SiteFactory

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
SECRETS = st.text(PRINTABLE, min_size=32, max_size=255)
NASTY = "'\"\\`$(touch /tmp/x)$HOME%s!! #{}[]:,&*?|-<>=@~^ \\n\\ yes null 0x1F: -"
PROVED = Verification((Check("token", True),))
REFUTED = Verification((Check("token", False, "token_expired"),))
KEYS = [
    "name", "status", "username", "email", "client_id", "client_secret", "access_token", "token_type", "expires_at",
    "expires_in", "scope", "token_url", "api_docs_url", "verified",
]  # fmt: skip

fixed_settings = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
few_examples = hypothesis_settings(fixed_settings, max_examples=40)


@pytest.fixture(autouse=True)
def site(settings: Any) -> None:
    settings.LMS_ROOT_URL = "https://lms.example.org"
    settings.EDX_API_PROVISIONING = {}


def rendered(format: str, *, verification: Verification | None = PROVED, **changes: Any) -> str:
    return rendering.render(CredentialsFactory(**changes), verification, format=format)


UNCHANGED = {"status": Status.UNCHANGED, "client_secret": None, "access_token": None}
WITHOUT_TOKEN = {"access_token": None, "expires_at": None, "scopes": ()}


# JSON


def test_json_is_one_flat_object_of_these_names_in_this_order() -> None:
    assert list(json.loads(rendered("json"))) == KEYS


def test_json_says_what_was_issued() -> None:
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
def test_json_has_null_for_what_there_is_not(changes: dict[str, Any], nulls: set[str]) -> None:
    values = json.loads(rendered("json", verification=None, **changes))

    assert list(values) == KEYS
    assert {key for key, value in values.items() if value is None} == nulls


@pytest.mark.parametrize(("verification", "verified"), [(PROVED, True), (REFUTED, False), (None, None)], ids=str)
def test_json_says_whether_the_credentials_were_proved(verification: Verification | None, verified: object) -> None:
    assert json.loads(rendered("json", verification=verification))["verified"] is verified


def test_an_end_in_another_zone_is_shown_in_utc() -> None:
    ends = datetime(2036, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    assert json.loads(rendered("json", expires_at=ends))["expires_at"] == "2036-03-01T10:00:00Z"


def test_a_site_without_an_address_has_none_to_show(settings: Any) -> None:
    settings.LMS_ROOT_URL = None

    values = json.loads(rendered("json"))

    assert (values["token_url"], values["api_docs_url"]) == (None, None)
    assert "curl" not in rendered("text")


@given(SECRETS)
@fixed_settings
def test_json_and_yaml_hold_any_secret(secret: str) -> None:
    credentials = CredentialsFactory(client_secret=Secret(secret))

    assert json.loads(rendering.render(credentials, None, format="json"))["client_secret"] == secret
    assert yaml.safe_load(rendering.render(credentials, None, format="yaml"))["client_secret"] == secret


# YAML and Kubernetes


def test_yaml_says_what_json_says() -> None:
    of_yaml, of_json = yaml.safe_load(rendered("yaml")), json.loads(rendered("json"))

    assert list(of_yaml) == KEYS
    assert {**of_yaml, "expires_in": 0} == {**of_json, "expires_in": 0}


def test_a_kubernetes_secret_is_a_manifest_of_strings() -> None:
    manifest = yaml.safe_load(rendered("kubernetes-secret", client_secret=Secret(NASTY)))

    data = manifest.pop("stringData")
    assert manifest == {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "report"}, "type": "Opaque"}
    assert data["OPENEDX_CLIENT_SECRET"] == NASTY
    assert data["OPENEDX_ACCESS_TOKEN"] == TOKEN
    assert data["OPENEDX_VERIFIED"] == "true"
    assert all(isinstance(value, str) for value in data.values())
    assert set(data) == {f"OPENEDX_{key.upper()}" for key in KEYS}


def test_a_kubernetes_secret_leaves_out_what_was_not_issued() -> None:
    data = yaml.safe_load(rendered("kubernetes-secret", verification=None, **UNCHANGED))["stringData"]

    assert {"OPENEDX_CLIENT_SECRET", "OPENEDX_ACCESS_TOKEN", "OPENEDX_VERIFIED"}.isdisjoint(data)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True))
@fixed_settings
def test_a_kubernetes_secret_of_any_client_has_a_name_that_kubernetes_takes(name: str) -> None:
    manifest = yaml.safe_load(rendering.render(CredentialsFactory(name=name), None, format="kubernetes-secret"))

    # RFC 1123, as the API server checks it: a DNS subdomain.
    label = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
    assert re.fullmatch(rf"{label}(\.{label})*", manifest["metadata"]["name"])
    assert len(manifest["metadata"]["name"]) <= 253


@pytest.mark.parametrize(
    ("name", "expected"), [("Grades.Export_2", "grades-export-2"), ("a--b", "a-b"), ("report-", "report"), ("X", "x")]
)
def test_the_name_of_a_kubernetes_secret_stays_recognisable(name: str, expected: str) -> None:
    assert yaml.safe_load(rendered("kubernetes-secret", name=name))["metadata"]["name"] == expected


# env


def sourced(text: str, folder: Path) -> dict[str, str]:
    """What a shell exports after `set -a; . file`, with nothing else in its environment."""
    file = folder / "client.env"
    file.write_text(text)
    done = subprocess.run(
        ["/bin/sh", "-c", 'set -a; . "$0"; exec /usr/bin/env -0', str(file)],
        capture_output=True, check=True, env={}, cwd=folder,
    )  # fmt: skip
    assert done.stderr == b""
    return dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if line.startswith("OPENEDX_"))


@given(secret=SECRETS, purpose=st.text(PRINTABLE, max_size=40))
@few_examples
def test_env_survives_a_shell_for_any_secret(secret: str, purpose: str, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("env")
    credentials = CredentialsFactory(client_secret=Secret(secret), email=purpose)

    found = sourced(rendering.render(credentials, PROVED, format="env"), folder)

    assert found["OPENEDX_CLIENT_SECRET"] == secret
    assert found["OPENEDX_EMAIL"] == purpose


@pytest.mark.parametrize("secret", [NASTY, "'" * 40, "\\" * 40, " " * 40, "-n" * 20, "$IFS" * 10, "#" * 40, "~" * 40])
def test_env_survives_a_shell_for_a_nasty_secret(secret: str, tmp_path: Path) -> None:
    found = sourced(rendered("env", client_secret=Secret(secret)), tmp_path)

    assert found["OPENEDX_CLIENT_SECRET"] == secret


def test_env_has_a_variable_for_each_value_that_there_is(tmp_path: Path) -> None:
    assert set(sourced(rendered("env"), tmp_path)) == {f"OPENEDX_{key.upper()}" for key in KEYS}
    assert "OPENEDX_CLIENT_SECRET" not in sourced(rendered("env", **UNCHANGED), tmp_path)
    assert sourced(rendered("env"), tmp_path)["OPENEDX_VERIFIED"] == "true"


# Text


def test_text_says_the_same_and_how_to_use_it() -> None:
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

Call the API:
  printf '%s' 'Authorization: Bearer {TOKEN}' | curl -H @- https://lms.example.org/api/user/v1/me

Get a JWT:
  printf '%s' 'Authorization: {basic_authorization("the-client-id", Secret(SECRET))}' \
| curl -H @- -d 'grant_type=client_credentials&token_type=jwt' https://lms.example.org/oauth2/access_token

The secrets are shown this once. Keep them now.
"""
    )


def test_text_without_secrets_has_nothing_to_use() -> None:
    text = rendered("text", verification=None, **UNCHANGED)

    assert "curl" not in text
    assert "secret" not in text
    assert "status:         unchanged" in text


@pytest.mark.parametrize("secret", [SECRET, NASTY])
def test_the_curl_lines_hand_the_secrets_over_without_an_argument(secret: str, tmp_path: Path) -> None:
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> arguments\ncat >> input\necho >> input\n')
    curl.chmod(0o755)
    lines = [line for line in rendered("text", client_secret=Secret(secret)).splitlines() if "curl" in line]

    for line in lines:
        subprocess.run(["sh", "-c", line], check=True, cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    header, basic = (tmp_path / "input").read_text().splitlines()
    assert header == f"Authorization: Bearer {TOKEN}"
    pair = base64.b64decode(basic.removeprefix("Authorization: Basic ")).decode()
    assert [*map(unquote_plus, pair.split(":"))] == ["the-client-id", secret]
    arguments = (tmp_path / "arguments").read_text()
    assert arguments.splitlines() == [
        "-H", "@-", "https://lms.example.org/api/user/v1/me",
        "-H", "@-", "-d", "grant_type=client_credentials&token_type=jwt", "https://lms.example.org/oauth2/access_token",
    ]  # fmt: skip


# Plans


def test_a_plan_is_shown_as_sentences() -> None:
    plan = make_plan(ClientSpec(name="report", staff=True), CurrentState(), SiteFactory())

    lines = rendering.render_plan(plan, format="text").splitlines()

    assert lines[0] == "Would register the API client report."
    assert len([line for line in lines if line.startswith("Would ")]) == 4
    assert lines[-1].startswith("Warning: a staff client")


def test_a_plan_to_do_nothing_says_so() -> None:
    plan = make_plan(ClientSpec(name="report"), FoundFactory(), SiteFactory())

    assert rendering.render_plan(plan, format="text") == "Would change nothing.\n"


def test_a_plan_is_shown_as_json() -> None:
    plan = make_plan(ClientSpec(name="report"), CurrentState(), SiteFactory())

    values = json.loads(rendering.render_plan(plan, format="json"))

    assert yaml.safe_load(rendering.render_plan(plan, format="yaml")) == values
    assert list(values) == ["name", "status", "username", "email", "steps", "warnings"]
    assert (values["name"], values["status"], values["warnings"]) == ("report", "created", [])
    assert len(values["steps"]) == 4


@pytest.mark.parametrize("format", rendering.FORMATS)
def test_a_plan_shows_no_secret_in_any_format(format: str) -> None:
    spec = ClientSpec(name="report", client_secret=Secret(SECRET), access_token=Secret(TOKEN))

    shown = rendering.render_plan(make_plan(spec, CurrentState(), SiteFactory()), format=format)

    assert SECRET not in shown
    assert TOKEN not in shown


# Files


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def write(path: Path, text: str = "content\n", *, force: bool = False) -> None:
    with files.NewFile(str(path), force=force) as file:
        file.write(text)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_file_is_its_owner_s_alone_from_its_first_byte(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "client.json"

    with umask(mask), files.NewFile(str(path), force=False) as file:
        (draft,) = tmp_path.iterdir()
        assert draft.name.startswith(".client.json.")  # Nobody who lists *.json meets a file that is not whole.
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600
        assert draft.stat().st_size == 0
        file.write("content\n")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "content\n"
    assert names(tmp_path) == {"client.json"}


def test_a_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    path.write_text("mine")

    with pytest.raises(OutputFailure, match=r"client\.json exists; give --force") as refusal:
        write(path)

    assert refusal.value.field == "output"
    assert path.read_text() == "mine"
    assert names(tmp_path) == {"client.json"}


def test_a_file_is_replaced_by_force_and_is_private_then(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    path.write_text("mine")
    path.chmod(0o644)

    write(path, force=True)

    assert path.read_text() == "content\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == {"client.json"}


def test_force_makes_a_file_where_there_is_none(tmp_path: Path) -> None:
    write(tmp_path / "client.json", force=True)

    assert (tmp_path / "client.json").read_text() == "content\n"


@pytest.mark.parametrize("target_exists", [True, False], ids=["link", "dangling link"])
def test_a_link_is_not_followed(tmp_path: Path, target_exists: bool) -> None:
    target, link = tmp_path / "target", tmp_path / "client.json"
    if target_exists:
        target.write_text("somebody else's")
    link.symlink_to(target)

    with pytest.raises(OutputFailure, match="exists; give --force"):
        write(link)
    write(link, force=True)

    assert not link.is_symlink()
    assert link.read_text() == "content\n"
    assert (target.read_text() == "somebody else's") if target_exists else not target.exists()


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path, force: bool) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    with pytest.raises(OutputFailure):
        write(fifo, force=force)

    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert names(tmp_path) == {"fifo"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("folder", "Is a directory"),
        ("nowhere/client.json", "No such file"),
        ("file/client.json", "Not a directory"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_place_where_no_file_can_be_is_named(tmp_path: Path, path: str, words: str, force: bool) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()

    with pytest.raises(OutputFailure, match=words) as refusal:
        write(tmp_path / path, force=force)

    assert str(tmp_path / path) in refusal.value.message
    assert names(tmp_path) == {"folder", "file"}


def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "client.json"

    with files.NewFile(str(path), force=False) as file:
        path.write_text("somebody was faster")
        with pytest.raises(OutputFailure, match="File exists"):
            file.write("content\n")

    assert path.read_text() == "somebody was faster"
    assert names(tmp_path) == {"client.json"}


def test_a_file_that_is_not_written_does_not_appear(tmp_path: Path) -> None:
    with files.NewFile(str(tmp_path / "client.json"), force=False):
        pass
    with pytest.raises(KeyboardInterrupt), files.NewFile(str(tmp_path / "client.json"), force=False):
        raise KeyboardInterrupt

    assert names(tmp_path) == set()


@pytest.mark.parametrize("force", [False, True])
def test_on_a_full_disk_there_is_no_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "client.json"
    if force:
        path.write_text("mine")

    with pytest.raises(OutputFailure, match="No space left on device"):
        write(path, force=force)

    assert names(tmp_path) == ({"client.json"} if force else set())
    assert not force or path.read_text() == "mine"


def test_beyond_the_allowed_size_there_is_no_part_of_a_file(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OutputFailure, match="File too large") as refusal:
            write(tmp_path / "client.json", f"{SECRET}\n" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert SECRET not in refusal.value.message
    assert names(tmp_path) == set()
