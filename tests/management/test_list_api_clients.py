"""The command, for people and for monitoring: what it lists, in which form, and with which exit code."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from oauth2_provider.models import get_access_token_model

from tests.factories import ApplicationFactory, Ran
from tests.factories import run as run_command
from tests.lifecycle_helpers import client, clock_at, everything, provisioned, shown, utc

pytestmark = pytest.mark.django_db

NOON = utc(2027, 5, 3, 12)


def run(*arguments: str) -> Ran:
    return run_command(*arguments, command="list_api_clients")


def rows(*arguments: str) -> list[dict[str, Any]]:
    ran = run(*arguments, "--format", "json")
    assert (ran.code, ran.stderr) == (0, "")
    return json.loads(ran.stdout)


def test_of_nothing_nothing_is_printed() -> None:
    assert run() == run("--expired") == run("--unmanaged") == run("--fail-if-any") == Ran(0, "", "")


@pytest.mark.databases
@pytest.mark.versions
def test_a_line_of_json_tells_all_that_is_known_and_no_secret() -> None:
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


def test_text_has_a_heading_a_line_for_each_and_what_is_wrong_with_it() -> None:
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
def test_what_expires_can_be_asked_for() -> None:
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
def test_what_nobody_manages_can_be_asked_for() -> None:
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
def test_who_has_more_than_was_declared_can_be_asked_for() -> None:
    provisioned()
    provisioned("other", username="other")
    User.objects.get(username="report").groups.add(Group.objects.create(name="reporters"))

    assert [(row["name"], row["excess"]) for row in rows("--overprivileged")] == [("report", ["group:reporters"])]
    assert "    beyond the declared rights: group:reporters\n" in run("--overprivileged").stdout


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize(
    "which",
    [(), ("--expired",), ("--expiring-within", "1h"), ("--unmanaged",), ("--overprivileged",)],
    ids=lambda which: which[:1],
)
def test_monitoring_is_told_by_exit_code_2_that_there_is_something(which: tuple[str, ...], format: str) -> None:
    arguments = (*which, "--format", format)
    assert run(*arguments, "--fail-if-any") == Ran(0, "[]\n" if format == "json" else "", "")

    provisioned(expires_in=timedelta(hours=1))
    get_access_token_model().objects.update(expires=NOON.replace(year=2020))
    User.objects.update(is_staff=True)
    ApplicationFactory()

    plain, failing = run(*arguments), run(*arguments, "--fail-if-any")
    assert (plain.code, failing.code) == (0, 2)
    assert plain.stdout == failing.stdout != ""
    assert failing.stderr == ""


def test_monitoring_is_not_told_of_what_was_not_asked_for() -> None:
    provisioned()

    assert run("--expired", "--fail-if-any").code == 0
    assert run("--expiring-within", "30d", "--fail-if-any").code == 0
    assert run("--unmanaged", "--fail-if-any").code == 0
    assert run("--overprivileged", "--fail-if-any").code == 0


@pytest.mark.parametrize("span", ["soon", "30", "-1d", "0d", ""])
def test_what_is_no_time_span_is_refused_in_one_line(span: str) -> None:
    assert run(f"--expiring-within={span}").refusal == (
        "--expiring-within: not a positive time span; write it like 90d, 12h, 52w or P90D."
    )


@pytest.mark.parametrize("arguments", [("--expired", "--unmanaged"), ("NAME",), ("--format", "xml")])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)

    assert (ran.code, ran.stdout) == (2, "")
    assert "usage:" in ran.stderr


@pytest.mark.databases
@pytest.mark.versions
def test_listing_again_and_again_changes_nothing() -> None:
    provisioned()
    before = everything()

    assert run() == run()
    assert everything() == before
    assert client().updated
