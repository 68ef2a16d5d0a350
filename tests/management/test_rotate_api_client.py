"""Test the command: rotate one client, or all that expire soon, and deliver each result once."""

from __future__ import annotations

import getpass
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
from tests.factories import OPERATOR, CommandResult
from tests.factories import run as run_command
from tests.lifecycle_helpers import all_rows, answer, clock_at, granted, issued_long_ago, last_event, provisioned, utc

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


@pytest.mark.django_db
def test_secret_alone_keeps_token() -> None:
    made = provisioned()

    result = rotated("--secret")

    assert (result["access_token"], answer(made.access_token)) == (None, "ok")
    assert result["client_secret"]


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
    [(("--expires-in", "90d"), "2027-08-01T12:00:00Z"), (("--expires-at", "2028-02-29"), "2028-02-29T00:00:00Z")],
)
def test_expiry_options_set_new_expiry(arguments: tuple[str, ...], ends: str) -> None:
    with clock_at(NOON):
        provisioned(expires_in=timedelta(days=1))

        result = rotated(*arguments)

    assert result["expires_at"] == ends


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("report", "--grace", "soon"), "--grace: not a positive time span; write it like 90d, 12h, 52w or P90D."),
        (("report", "--grace", "91d"), "--grace: at most 90 days."),
        (("nobody",), "NAME: no API client has this name; see list_api_clients."),
        (
            ("--expiring-within", "1d", "--output", "/dev/null/place"),
            "--output: /dev/null/place cannot be written: Not a directory.",
        ),
    ],
)
def test_refused_rotation_changes_nothing(arguments: tuple[str, ...], line: str) -> None:
    provisioned()
    before = all_rows()

    assert run(*arguments).refusal == line
    assert all_rows() == before


@pytest.mark.django_db
def test_no_verify_leaves_verified_null() -> None:
    provisioned()

    assert rotated("--no-verify")["verified"] is None


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


def test_expiring_within_rotates_due_clients(due: dict[str, Any]) -> None:
    ran = run("--expiring-within", "14d", "--grace", "1h", "--expires-in", "90d", "--format", "yaml")

    assert ran.code == 0
    assert [one["name"] for one in yaml.safe_load_all(ran.stdout)] == ["a", "b"]
    assert {event.client_name for event in ApiClientEvent.objects.filter(kind="rotated")} == {"a", "b"}
    assert {answer(made.access_token) for made in due.values()} == {"ok"}
    assert run("--expiring-within", "14d") == CommandResult(0, "", "")
    assert run("--expiring-within", "14d", "--format", "json") == CommandResult(0, "[]\n", "")
    beyond_the_calendar = run("--expiring-within", "999999w", "--format", "json")
    assert [one["name"] for one in json.loads(beyond_the_calendar.stdout)] == ["c"]


def test_env_of_several_needs_directory(due: dict[str, Any]) -> None:
    applied = yaml.safe_load_all(run("--expiring-within", "14d", "--format", "kubernetes-secret").stdout)

    assert [secret["metadata"]["name"] for secret in applied] == ["a", "b"]
    before = all_rows()
    ran = run("--expiring-within", "20d", "--format", "env")
    assert ran.misuse == "--output: several clients would write the same variables; pass a directory to --output."
    assert all_rows() == before


def test_each_due_client_gets_a_file(due: dict[str, Any], tmp_path: Path) -> None:
    ran = run("--expiring-within", "14d", "--output", str(tmp_path), "--format", "yaml")

    assert (ran.code, ran.stdout) == (0, "")
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == ["a.yaml", "b.yaml"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert [answer(yaml.safe_load(path.read_text())["access_token"]) for path in paths] == ["ok", "ok"]


def test_failed_rotation_does_not_stop_others(due: dict[str, Any]) -> None:
    User.objects.filter(username="user-a").update(is_active=False)

    ran = run("--expiring-within", "14d", "--format", "json")

    assert ran.code == 1
    assert [one["name"] for one in json.loads(ran.stdout)] == ["b"]
    lines = ran.stderr.splitlines()
    assert lines[0] == "a: the user is not active; activate it in the admin, or retire the client."
    assert lines[-1] == "CommandError: Not rotated, or not verified: a."
    assert answer(due["b"].access_token) == "token_nonexistent"


def test_client_rotated_meanwhile_is_skipped(due: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [*api.list_clients()]
    api.rotate("a", authority=OPERATOR, expires_in=timedelta(days=90))
    monkeypatch.setattr(api, "list_clients", lambda **_which: listed)

    ran = run("--expiring-within", "14d", "--format", "json")

    assert [one["name"] for one in ran.result] == ["b"]
