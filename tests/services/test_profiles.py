"""Test access profiles: provision, verify, request over HTTP, and detect removed rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from edx_rest_framework_extensions.permissions import IsSuperuser

from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning.adapters import access_catalogue
from edx_api_provisioning.models import ApiClient
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess
from tests.factories import provisioned, run

COURSE = "course-v1:CET+GW_01+2021_2022_FA"
URL = "https://lms.example.org"
ESCAPED = "course-v1%3ACET%2BGW_01%2B2021_2022_FA"
# Profiles of each kind of right, with the operator's values where they need one.
CHOSEN = {
    "accounts-read": [],
    "ccx": ["--course-role", f"limited_staff@{COURSE}"],
    "commerce": [],
    "enrollments": [],
    "gradebook": ["--course-role", f"limited_staff@{COURSE}"],
    "grades": ["--filter", "content_org:CET"],
    "retirement": [],
}
# Requests that can be tried for each profile: methods that change nothing, and URLs without unknown values or
# usernames (everyone may read their own data). Others are not determined.
TRIED = {
    "ccx": [f"/api/ccx/v0/ccx/?master_course_id={ESCAPED}"],
    "enrollments": ["/api/enrollment/v1/enrollments", "/api/enrollment/v1/enrollment_allowed/"],
    "gradebook": [f"/api/grades/v1/gradebook/{ESCAPED}/", f"/api/grades/v1/policy/courses/{ESCAPED}/"],
    "grades": [f"/api/grades/v1/courses/{ESCAPED}/"],
    "retirement": ["/api/user/v1/accounts/retirement_queue/"],
}
# Open to every client: proves the credentials, but nothing about the profile.
OPEN_TO_ALL = {
    "accounts-read": ["/api/user/v1/accounts/bot", "/api/user/v1/accounts?username=bot"],
    "commerce": ["/api/commerce/v1/courses/", f"/api/commerce/v1/courses/{ESCAPED}/"],
    "enrollments": ["/api/enrollment/v1/enrollment?user=bot"],
}


@pytest.fixture(autouse=True)
def course(db: None, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    CourseOverview.objects.create(id=COURSE, org="CET")


@pytest.fixture(autouse=True)
def sent() -> Iterator[list[tuple[str, str]]]:
    """Answer HTTP requests in this process, and collect method and path with query of each."""
    requested: list[tuple[str, str]] = []

    def answer(method: str, url: str, *, data: Any, headers: dict[str, str], **_options: Any) -> Any:
        path = url.removeprefix(URL)
        requested.append((method, path))
        form, kind = urlencode(data or {}), "application/x-www-form-urlencoded"
        return Client(raise_request_exception=False).generic(method, path, form, kind, headers=headers)

    with mock.patch("requests.request", answer):
        yield requested


def provision(name: str, *arguments: str) -> dict[str, Any]:
    return provisioned("bot", "--profile", name, *CHOSEN.get(name, ()), *arguments)


def tried(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the verify_api_client answer for each endpoint of the profile."""
    monkeypatch.setenv("SECRET", made["client_secret"])
    arguments = ["--client-id", made["client_id"], "--client-secret-from", "env:SECRET", "--course", COURSE]
    if made["access_token"]:
        monkeypatch.setenv("TOKEN", made["access_token"])
        arguments += ["--token-from", "env:TOKEN"]
    ran = run("bot", *arguments, "--url", URL, "--format", "json", command="verify_api_client")
    checks = json.loads(ran.stdout)["checks"]
    refused = [check["what"] for check in checks if check["ok"] is False]
    assert (ran.code == 0) is (not refused and "Not in order" not in ran.stderr)
    assert all(what in ran.stderr for what in refused)
    opened = [check for check in checks if check["what"].startswith(("GET ", "POST ", "PUT ", "PATCH ", "DELETE "))]
    assert all(check["ok"] is not check["meaning"].startswith("refused") for check in opened)
    return {check["what"]: check["meaning"].partition(":")[0] for check in opened}


@pytest.mark.parametrize("name", CHOSEN)
def test_profile_is_provisioned_and_verified(
    name: str, sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = provision(name)
    assert (made["status"], made["verified"]) == ("created", True)
    client = ApiClient.objects.get()
    profile = access_catalogue.profile(name)
    restricted = "restricted" in profile.rights
    assert client.profile == name
    assert (made["access_token"] is None) is restricted
    assert (client.is_staff, client.is_superuser) == ("staff" in profile.rights, False)
    option, value = CHOSEN[name] or ("", "")
    chosen = {f"{option[2:].replace('-', '_')}:{value}"} - {":"}
    fixed = {grant.right for grant in profile.grants if grant.value and not grant.is_open and grant.field != "username"}
    assert set(client.declared_rights) == fixed | chosen | ({"restricted"} if restricted else set())
    again = provision(name)
    assert (again["status"], again["client_secret"]) == ("unchanged", None)

    answers = tried(made, monkeypatch)
    allowed = {f"GET {path}" for path in TRIED.get(name, []) + OPEN_TO_ALL.get(name, [])}
    assert answers == {what: "allowed" if what in allowed else "not determined" for what in answers}
    assert allowed <= answers.keys()
    assert len(answers) == len(profile.opens)
    ours = {("GET", "/api/user/v1/me"), ("POST", "/oauth2/access_token")}
    assert set(sent) - ours == {("GET", what.removeprefix("GET ")) for what in allowed}


def _no_staff() -> None:
    User.objects.update(is_staff=False)


def _no_roles() -> None:
    CourseAccessRole.objects.all().delete()


def _another_organization() -> None:
    row = ApplicationAccess.objects.get()
    row.filters = ["content_org:edX"]
    row.save()


TAKEN: dict[str, Callable[[], None]] = {
    "enrollments": _no_staff,
    "gradebook": _no_roles,
    "grades": _another_organization,
}


@pytest.mark.parametrize("name", TAKEN)
def test_removed_right_is_reported_as_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = provision(name)
    before = tried(made, monkeypatch)
    TAKEN[name]()
    after = tried(made, monkeypatch)
    lost = {f"GET {path}" for path in TRIED[name]}
    assert after == {what: "refused" if what in lost else answer for what, answer in before.items()}


def test_provisioning_reports_tried_endpoints() -> None:
    ran = run("bot", "--profile", "course-catalog", "--verify-url", URL, "--format", "json", "--contact=a@example.org")
    tried = [line for line in ran.stderr.splitlines() if line.startswith("Check: ")]
    assert tried == [
        "Check: access token with the site's Bearer authentication: works.",
        "Check: client id and secret with the site's OAuth2 validator: works.",
        "Check: access token over HTTP: works.",
        "Check: opaque token for client id and secret over HTTP: works.",
        "Check: JWT for client id and secret over HTTP: works.",
        "Check: GET /api/courses/v1/courses/: allowed: 200.",
        "Check: GET /api/courses/v1/courses/{course_key}: not determined: not called.",
        "Check: GET /api/organizations/v0/organizations/: allowed: 200.",
    ]


def test_provisioning_reports_refused_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lms.rest_api.ToggleStateView.permission_classes", (IsSuperuser,))
    ran = run("bot", "--profile", "feature-toggles", "--verify-url", URL, "--format", "json")
    # The credentials are delivered and committed before they are tried over HTTP.
    assert json.loads(ran.stdout)["verified"] is True
    assert ran.code == 1
    assert "GET /api/toggles/v0/state/: refused: 403" in ran.stderr
