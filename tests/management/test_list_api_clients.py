"""Test the list command: rows, formats and exit codes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from oauth2_provider.models import get_access_token_model

from edx_api_provisioning import api
from edx_api_provisioning.models import ApiClient
from tests.factories import OPERATOR, ApplicationFactory, CommandResult
from tests.factories import run as run_command
from tests.lifecycle_helpers import clock_at, provisioned, utc

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
                "bearer_used": None,
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
        provisioned("cc", username="user-c", profile="grades", filters=("content_org:edX",))
        provisioned("bb", staff=True, expires_in=timedelta(days=30))
        provisioned("aa", superuser=True, expires_in=timedelta(days=20), contact="owner@example.org")
        User.objects.filter(username="aa").update(is_active=False)

        ran = run()

    assert ran == CommandResult(
        0,
        """\
name  username  rights     expires     issued      contact
aa    -         superuser  2027-05-23  2027-05-03  owner@example.org
    user_inactive: the user is not active; activate it in the admin, or retire the client
bb    -         staff      2027-06-02  2027-05-03  -
cc    user-c    -          -           2027-05-03  -
    profile: grades
    rights: filter:content_org:edX, restricted, scope:grades:read
""",
        "",
    )


def test_text_fits_100_columns() -> None:
    name = "n" * 30
    provisioned(name, username="u" * 30, contact=f"{'c' * 40}@example.org", staff=True)
    User.objects.update(is_superuser=True)
    api.revoke(name, authority=OPERATOR)

    lines = run().stdout.splitlines()

    assert max(map(len, lines)) <= 100
    assert lines[1].startswith(f"{name}  u")
    assert "…" in lines[1]
    assert lines[-1].startswith("        ")  # The explanation of an issue goes on in another line.


def test_options_select_clients() -> None:
    with clock_at(NOON) as clock:
        for days in (1, 10, 100):
            provisioned(f"in-{days}", expires_in=timedelta(days=days))

        assert [row["name"] for row in rows("--expiring-within", "10d")] == ["in-1", "in-10"]
        clock.forward(days=91)
        assert [row["name"] for row in rows("--expired")] == ["in-1", "in-10"]
        ApiClient.objects.filter(name="in-1").update(last_used=clock.now)
        assert [row["name"] for row in rows("--unused-for", "90d")] == ["in-10", "in-100"]
        assert "last used" not in run("--unused-for", "90d").stdout
        assert "2027-08-02" in run().stdout


def test_list_unmanaged() -> None:
    provisioned()
    ApplicationFactory(name="By hand", client_id="the-id", user__username="reporter")

    assert rows("--unmanaged") == [
        {"kind": "application", "name": "By hand", "client_id": "the-id", "username": "reporter", "expires_at": None}
    ]
    assert [line.split() for line in run("--unmanaged").stdout.splitlines()] == [
        ["kind", "name", "client", "id", "username"],
        ["application", "By", "hand", "the-id", "reporter"],
    ]


def test_list_overprivileged() -> None:
    provisioned()
    provisioned("other")
    User.objects.get(username="report").groups.add(Group.objects.create(name="reporters"))

    assert [(row["name"], row["excess"]) for row in rows("--overprivileged")] == [("report", ["group:reporters"])]
    assert "    beyond the declared rights: group:reporters\n" in run("--overprivileged").stdout


@pytest.mark.parametrize(
    ("which", "format"),
    [
        ((), "jsonl"),
        (("--expired",), "text"),
        (("--expiring-within", "1h"), "json"),
        (("--unmanaged",), "json"),
        (("--overprivileged",), "text"),
    ],
)
def test_fail_if_any_exits_2(which: tuple[str, ...], format: str) -> None:
    arguments = (*which, "--format", format)
    if which:
        provisioned("fine")
    assert run(*arguments, "--fail-if-any") == CommandResult(0, "[]\n" if format == "json" else "", "")

    provisioned(expires_in=timedelta(hours=1))
    get_access_token_model().objects.update(expires=NOON.replace(year=2020))
    User.objects.update(is_staff=True)
    ApplicationFactory()

    plain, failing = run(*arguments), run(*arguments, "--fail-if-any")
    assert (plain.code, failing.code) == (0, 2)
    assert plain.stdout == failing.stdout != ""
    assert failing.stderr == ""


def test_invalid_time_span_is_one_line() -> None:
    assert run("--expiring-within=soon").refusal == (
        "--expiring-within: not a positive time span; write it like 90d, 12h, 52w or P90D."
    )
