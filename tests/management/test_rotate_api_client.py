"""Test the command: rotate one client, or all that expire soon, and deliver each result once."""

from __future__ import annotations

import getpass
import io
import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User

from edx_api_provisioning import api
from edx_api_provisioning.models import ApiClientEvent
from tests.factories import CommandResult, operator
from tests.factories import run as run_command
from tests.lifecycle_helpers import (
    all_rows,
    answer,
    client,
    clock_at,
    granted,
    issued_long_ago,
    last_event,
    provisioned,
    shown,
    utc,
)

NOON = utc(2027, 5, 3, 12)


def run(*arguments: str) -> CommandResult:
    return run_command(*arguments, command="rotate_api_client")


def rotated(*arguments: str) -> dict[str, Any]:
    return run("report", *arguments, "--format", "json").result


# One client


@pytest.mark.django_db
@pytest.mark.parametrize("arguments", [(), ("--token",)])
def test_default_rotates_token(arguments: tuple[str, ...]) -> None:
    made = provisioned()

    result = rotated(*arguments)

    assert (result["status"], result["name"], result["username"]) == ("rotated", "report", "report")
    assert (result["client_id"], result["client_secret"]) == (made.client_id, None)
    assert (answer(made.access_token), answer(result["access_token"])) == ("token_nonexistent", "ok")
    assert granted(made.client_id, made.client_secret)
    assert result["verified"] is True


@pytest.mark.versions
@pytest.mark.django_db
def test_grace_keeps_old_credentials() -> None:
    with clock_at(NOON) as clock:
        made = provisioned()

        options = ("--token", "--secret", "--grace", "24h", "--reason", "found in a public log")
        ran = run("report", *options, "--format", "json")

        assert ran.result["client_id"] != made.client_id
        assert ran.stderr.splitlines() == [
            "Issued a new access token; older tokens keep working until the grace period ends.",
            "Created a new application; the old client id and secret keep working until the grace period ends.",
        ]
        event = last_event()
        assert (event.kind, event.reason) == ("rotated", "found in a public log")
        assert event.actor == f"command line: {getpass.getuser()}"
        clock.forward(hours=24)
        assert answer(made.access_token) == "ok"
        clock.forward(seconds=1)
        assert answer(made.access_token) == "token_expired"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "ends"),
    [
        (("--expires-in", "90d"), "2027-08-01T12:00:00Z"),
        (("--expires-at", "2028-02-29"), "2028-02-29T00:00:00Z"),
    ],
)
def test_expiry_options_set_new_expiry(arguments: tuple[str, ...], ends: str) -> None:
    with clock_at(NOON):
        provisioned(expires_in=timedelta(days=1))

        result = rotated(*arguments)

    assert result["expires_at"] == ends


@pytest.mark.django_db
def test_output_file_gets_the_secrets(tmp_path: Path) -> None:
    provisioned()
    path = tmp_path / "report.json"

    ran = run("report", "--format", "json", "--output", str(path))

    token = json.loads(path.read_text())["access_token"]
    assert answer(token) == "ok"
    assert (ran.code, ran.stdout) == (0, "")
    assert token not in ran.stderr
    assert ran.stderr.splitlines()[-1] == f"The credentials are in {path}."
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


class UnreadOutput(io.StringIO):
    """An output that nobody reads."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.django_db
def test_nothing_is_rotated_where_nobody_reads() -> None:
    made = [provisioned(name, username=f"user-{name}", expires_in=timedelta(days=1)) for name in ("a", "b", "c")]
    issued_long_ago()

    ran = run_command("--expiring-within", "2d", stdout=UnreadOutput(), command="rotate_api_client")

    assert ran.code == 1
    assert [answer(one.access_token) for one in made] == ["ok", "ok", "ok"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("report", "--expires-in", "1d", "--expires-at", "2028-01-01"), None),
        (("report", "--grace", "soon"), "--grace: not a positive time span; write it like 90d, 12h, 52w or P90D."),
        (("report", "--grace", "91d"), "--grace: at most 90 days."),
        (
            ("report", "--secret", "--expires-in", "1d"),
            "--expires-in: not allowed together with --no-token or --restricted, which issue no access token.",
        ),
        (("report", "--expires-at", "2020-01-01"), "--expires-at: this date is in the past."),
        (("report", "--expires-at", "May"), None),
        (("nobody",), "NAME: no API client has this name; see list_api_clients."),
        (
            ("--expiring-within", "soon"),
            "--expiring-within: not a positive time span; write it like 90d, 12h, 52w or P90D.",
        ),
        (("--expiring-within", "1d", "--output", "/dev/null/place"), None),
        (("report", "--verify-url", "http://lms.example.org"), None),
        (("report", "--reason", "two\nlines"), "--reason: use printable characters only."),
    ],
)
def test_refused_rotation_changes_nothing(arguments: tuple[str, ...], line: str | None) -> None:
    provisioned()
    before = all_rows()

    refusal = run(*arguments).refusal

    assert line is None or refusal == line
    assert all_rows() == before


@pytest.mark.django_db
def test_no_verify_leaves_verified_null() -> None:
    provisioned()

    assert rotated("--no-verify")["verified"] is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("restricted", [False, True])
def test_verify_url_uses_client_kind(live_server: Any, restricted: bool) -> None:
    provisioned(restricted=restricted, scopes=("grades:read",) if restricted else None)
    tokens = () if restricted else ("--token",)

    assert rotated("--secret", *tokens, "--verify-url", live_server.url)["verified"] is True


# All due clients


@pytest.fixture
def due(db: None) -> dict[str, Any]:
    spans = {"a": 1, "b": 13, "c": 15}
    made = {
        name: provisioned(name, username=f"user-{name}", expires_in=timedelta(days=days))
        for name, days in spans.items()
    }
    issued_long_ago()
    return made


@pytest.mark.databases
@pytest.mark.versions
def test_expiring_within_rotates_due_clients(due: dict[str, Any]) -> None:
    ran = run("--expiring-within", "14d", "--grace", "1h", "--expires-in", "90d", "--format", "yaml")

    assert ran.code == 0
    assert [one["name"] for one in yaml.safe_load_all(ran.stdout)] == ["a", "b"]
    assert {event.client_name for event in ApiClientEvent.objects.filter(kind="rotated")} == {"a", "b"}
    assert {answer(made.access_token) for made in due.values()} == {"ok"}
    assert run("--expiring-within", "14d") == CommandResult(0, "", "")
    assert run("--expiring-within", "14d", "--format", "json") == CommandResult(0, "[]\n", "")


def test_env_of_several_needs_directory(due: dict[str, Any]) -> None:
    applied = yaml.safe_load_all(run("--expiring-within", "14d", "--format", "kubernetes-secret").stdout)

    assert [secret["metadata"]["name"] for secret in applied] == ["a", "b"]
    before = all_rows()
    ran = run("--expiring-within", "20d", "--format", "env")
    assert ran.misuse == "--output: several clients would write the same variables; pass a directory to --output."
    assert all_rows() == before


@pytest.mark.parametrize(
    ("format", "ending"),
    [("text", "txt"), ("json", "json"), ("env", "env"), ("yaml", "yaml"), ("kubernetes-secret", "yaml")],
)
def test_each_due_client_gets_a_file(due: dict[str, Any], tmp_path: Path, format: str, ending: str) -> None:
    ran = run("--expiring-within", "14d", "--output", str(tmp_path), "--format", format)

    assert (ran.code, ran.stdout) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{ending}", f"b.{ending}"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    for path in tmp_path.iterdir():
        assert shown(due[path.stem].access_token) not in path.read_text()
    if format == "yaml":
        tokens = [yaml.safe_load((tmp_path / f"{name}.yaml").read_text())["access_token"] for name in "ab"]
        assert [answer(token) for token in tokens] == ["ok", "ok"]


@pytest.mark.versions
def test_failed_rotation_does_not_stop_others(due: dict[str, Any]) -> None:
    User.objects.filter(username="user-a").update(is_active=False)

    ran = run("--expiring-within", "14d", "--format", "json")

    assert ran.code == 1
    assert [one["name"] for one in json.loads(ran.stdout)] == ["b"]
    lines = ran.stderr.splitlines()
    assert lines[0] == "a: the user is not active; activate it in the admin, or retire the client."
    assert lines[-1] == "CommandError: Not rotated, or not verified: a."
    assert answer(due["b"].access_token) == "token_nonexistent"


@pytest.mark.versions
def test_already_rotated_client_is_skipped(
    due: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [*api.list_clients()]
    api.rotate("a", authority=operator("another run"), expires_in=timedelta(days=90))
    monkeypatch.setattr(api, "list_clients", lambda **_which: listed)
    before = client("a").access_token

    ran = run("--expiring-within", "14d", "--output", str(tmp_path))

    assert (ran.code, [path.name for path in tmp_path.iterdir()]) == (0, ["b.txt"])
    assert client("a").access_token == before


def test_expired_is_due_and_retired_is_not(db: None) -> None:
    with clock_at(NOON) as clock:
        provisioned("expired", username="user-a", expires_in=timedelta(hours=1))
        provisioned("retired", username="user-b", expires_in=timedelta(days=1))
        run_command("retired", "--retire", command="revoke_api_client")
        clock.forward(hours=2)

        ran = run("--expiring-within", "14d", "--format", "json")

    assert [one["name"] for one in json.loads(ran.stdout)] == ["expired"]
    assert client("retired").access_token is None


def test_nothing_due_changes_nothing(due: dict[str, Any], tmp_path: Path) -> None:
    before = all_rows()

    assert run("--expiring-within", "1h", "--output", str(tmp_path)) == CommandResult(0, "", "")

    assert all_rows() == before
    assert [*tmp_path.iterdir()] == []
