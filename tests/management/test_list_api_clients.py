"""Test the list command: rows, formats and exit codes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from oauth2_provider.models import get_access_token_model

from tests.factories import ApplicationFactory, CommandResult
from tests.factories import run as run_command
from tests.lifecycle_helpers import all_rows, client, clock_at, provisioned, shown, utc

pytestmark = pytest.mark.django_db

NOON = utc(2027, 5, 3, 12)


def run(*arguments: str) -> CommandResult:
    return run_command(*arguments, command="list_api_clients")


def rows(*arguments: str) -> list[dict[str, Any]]:
    ran = run(*arguments, "--format", "json")
    assert (ran.code, ran.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    one_a_line = run(*arguments, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["name"] for line in one_a_line] == [row["name"] for row in found]
    return found


def test_empty_lists_print_nothing() -> None:
    assert run() == run("--expired") == run("--unmanaged") == run("--fail-if-any") == CommandResult(0, "", "")


@pytest.mark.databases
@pytest.mark.versions
def test_json_line_has_all_but_secrets() -> None:
    with clock_at(NOON):
        made = provisioned(
            superuser=True, contact="owner@example.org", purpose="reports", expires_in=timedelta(days=90)
        )
        User.objects.update(is_active=False)

        assert rows() == [
            {
                "name": "report",
                "state": "active",
                "username": "report",
                "is_staff": True,
                "is_superuser": True,
                "contact": "owner@example.org",
                "purpose": "reports",
                "client_id": made.client_id,
                "scopes": ["read", "write", "email", "profile"],
                "tokens": 1,
                "expires_at": "2027-08-01T12:00:00Z",
                "last_issued": "2027-05-03T12:00:00Z",
                "last_used": None,
                "profile": "",
                "rights": ["superuser", "staff"],
                "restricted": False,
                "self_rotation": False,
                "manifest": "",
                "declared": [],
                "created": "2027-05-03T12:00:00Z",
                "updated": "2027-05-03T12:00:00Z",
                "excess": [],
                "issues": ["user_inactive"],
            }
        ]


def test_text_has_heading_rows_and_issues() -> None:
    with clock_at(NOON):
        provisioned("a", username="user-a", staff=True, contact="owner@example.org")
        provisioned("b", username="user-b", superuser=True, token=False)
        User.objects.filter(username="user-b").update(is_active=False)
        provisioned("c", username="user-c", profile="grades", filters=("content_org:edX",))

        ran = run()

    assert (ran.code, ran.stderr) == (0, "")
    issued, scopes = "2027-05-03T12:00:00Z", "read write email profile"
    assert ran.stdout.splitlines() == [
        "name                  state    username              rights     tokens  expires at            "
        "last issued           contact               scopes",
        "a                     active   user-a                staff      1       2028-05-02T12:00:00Z  "
        f"{issued}  owner@example.org     {scopes}",
        "b                     active   user-b                superuser  0       -                     "
        f"{issued}  -                     -",
        "    user_inactive: the user is not active; activate it in the admin, or retire the client",
        "c                     active   user-c                -          0       -                     "
        f"{issued}  -                     -",
        "    profile: grades",
        "    rights: filter:content_org:edX, restricted, scope:grades:read",
    ]


def test_no_secret_is_printed() -> None:
    made = provisioned()
    application = ApplicationFactory(client_secret="a-secret-of-somebody-else")

    for arguments in ((), ("--unmanaged",)):
        for format in ("text", "json"):
            printed = run(*arguments, "--format", format).stdout
            assert printed
            for secret in (shown(made.client_secret), shown(made.access_token), "a-secret-of-somebody-else"):
                assert secret not in printed
    assert application.pk


@pytest.mark.databases
@pytest.mark.versions
def test_list_filters_by_expiry() -> None:
    with clock_at(NOON) as clock:
        for days in (1, 10, 100):
            provisioned(f"in-{days}", username=f"user-{days}", expires_in=timedelta(days=days))

        assert [row["name"] for row in rows("--expiring-within", "10d")] == ["in-1", "in-10"]
        assert [row["name"] for row in rows("--expiring-within", "P100D")] == ["in-1", "in-10", "in-100"]
        assert [row["name"] for row in rows("--expired")] == []
        clock.forward(days=1)
        assert [row["name"] for row in rows("--expired")] == ["in-1"]


@pytest.mark.databases
@pytest.mark.versions
def test_list_unmanaged() -> None:
    provisioned()
    ApplicationFactory(name="By hand", client_id="the-id", user__username="reporter")

    assert rows("--unmanaged") == [
        {"kind": "application", "name": "By hand", "client_id": "the-id", "username": "reporter", "expires_at": None}
    ]
    assert [line.split() for line in run("--unmanaged").stdout.splitlines()] == [
        ["kind", "name", "client", "id", "username", "expires", "at"],
        ["application", "By", "hand", "the-id", "reporter", "-"],
    ]


@pytest.mark.databases
@pytest.mark.versions
def test_list_overprivileged() -> None:
    provisioned()
    provisioned("other", username="other")
    User.objects.get(username="report").groups.add(Group.objects.create(name="reporters"))

    assert [(row["name"], row["excess"]) for row in rows("--overprivileged")] == [("report", ["group:reporters"])]
    assert "    beyond the declared rights: group:reporters\n" in run("--overprivileged").stdout


@pytest.mark.parametrize("format", ["text", "json", "jsonl"])
@pytest.mark.parametrize(
    "which",
    [(), ("--expired",), ("--expiring-within", "1h"), ("--unmanaged",), ("--overprivileged",)],
    ids=lambda which: which[:1],
)
def test_fail_if_any_exits_2(which: tuple[str, ...], format: str) -> None:
    arguments = (*which, "--format", format)
    assert run(*arguments, "--fail-if-any") == CommandResult(0, "[]\n" if format == "json" else "", "")

    provisioned(expires_in=timedelta(hours=1))
    get_access_token_model().objects.update(expires=NOON.replace(year=2020))
    User.objects.update(is_staff=True)
    ApplicationFactory()

    plain, failing = run(*arguments), run(*arguments, "--fail-if-any")
    assert (plain.code, failing.code) == (0, 2)
    assert plain.stdout == failing.stdout != ""
    assert failing.stderr == ""


def test_fail_if_any_ignores_other_lists() -> None:
    provisioned()

    assert run("--expired", "--fail-if-any").code == 0
    assert run("--expiring-within", "30d", "--fail-if-any").code == 0
    assert run("--unmanaged", "--fail-if-any").code == 0
    assert run("--overprivileged", "--fail-if-any").code == 0


@pytest.mark.parametrize("span", ["soon", "30", "-1d", "0d", ""])
def test_invalid_time_span_is_one_line(span: str) -> None:
    assert run(f"--expiring-within={span}").refusal == (
        "--expiring-within: not a positive time span; write it like 90d, 12h, 52w or P90D."
    )


@pytest.mark.parametrize("arguments", [("--expired", "--unmanaged"), ("NAME",), ("--format", "xml")])
def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)

    assert (ran.code, ran.stdout) == (2, "")
    assert "usage:" in ran.stderr


@pytest.mark.databases
@pytest.mark.versions
def test_listing_changes_nothing() -> None:
    provisioned()
    before = all_rows()

    assert run() == run()
    assert all_rows() == before
    assert client().updated
