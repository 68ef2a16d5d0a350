"""Test every access profile: provision, verify, request over HTTP, and detect removed rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest
import requests
from django.contrib.auth.models import User
from edx_rest_framework_extensions.permissions import IsSuperuser

from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning.adapters import access_catalogue
from edx_api_provisioning.models import ApiClient
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess
from tests.factories import provisioned, run

COURSE = "course-v1:CET+GW_01+2021_2022_FA"
ESCAPED = "course-v1%3ACET%2BGW_01%2B2021_2022_FA"
# The operator's values where a profile needs them.
CHOSEN = {
    "grades": ["--filter", "content_org:CET"],
    "certificates": ["--filter", "content_org:CET"],
    "third-party-auth": ["--filter", "tpa_provider:saml-cet"],
    "gradebook": ["--course-role", f"limited_staff@{COURSE}"],
    "ccx": ["--course-role", f"limited_staff@{COURSE}"],
}
NAMES = [profile.name for profile in access_catalogue.profiles()]

# Requests that can be tried for each profile: methods that change nothing, and URLs without unknown values or
# usernames (everyone may read their own data). Others are not determined.
TRIED = {
    "account-deactivation": [],
    "accounts-read": [],
    "bulk-enroll": [],
    "ccx": [f"/api/ccx/v0/ccx/?master_course_id={ESCAPED}"],
    "certificates": [f"/api/certificates/v0/certificates/bot/courses/{ESCAPED}/"],
    "certificates-list": [],
    "cohorts": [f"/api/cohorts/v1/courses/{ESCAPED}/cohorts/"],
    "commerce": [],
    "completion": [],
    "course-catalog": [],
    "course-modes": [f"/api/course_modes/v1/courses/{ESCAPED}/"],
    "course-visibility": [],
    "credit": ["/api/credit/v1/courses/"],
    "discounts": [],
    "enrollments": ["/api/enrollment/v1/enrollments", "/api/enrollment/v1/enrollment_allowed/"],
    "entitlements": [],
    "feature-toggles": ["/api/toggles/v0/state/"],
    "gradebook": [f"/api/grades/v1/gradebook/{ESCAPED}/", f"/api/grades/v1/policy/courses/{ESCAPED}/"],
    "grades": [f"/api/grades/v1/courses/{ESCAPED}/"],
    "programs": [],
    "retirement": ["/api/user/v1/accounts/retirement_queue/"],
    "retirement-cancel": [],
    "third-party-auth": [],
}
# Open to every client: proves the credentials, but nothing about the profile.
OPEN_TO_ALL = {
    "accounts-read": ["/api/user/v1/accounts/bot", "/api/user/v1/accounts?username=bot"],
    "commerce": ["/api/commerce/v1/courses/", f"/api/commerce/v1/courses/{ESCAPED}/"],
    "course-catalog": [
        "/api/courses/v1/courses/",
        f"/api/courses/v1/courses/{ESCAPED}",
        "/api/organizations/v0/organizations/",
    ],
    "enrollments": ["/api/enrollment/v1/enrollment?user=bot"],
    "entitlements": ["/api/entitlements/v1/entitlements/"],
}


@pytest.fixture(autouse=True)
def course(transactional_db: None, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    CourseOverview.objects.create(id=COURSE, org="CET")


@pytest.fixture
def sent() -> Iterator[list[tuple[str, str]]]:
    """Collect method and path with query of every request."""
    requested: list[tuple[str, str]] = []
    request = requests.request

    def record(method: str, url: str, **parts: Any) -> Any:
        address = urlsplit(url)
        requested.append((method, f"{address.path}?{address.query}" if address.query else address.path))
        return request(method, url, **parts)

    with mock.patch("requests.request", record):
        yield requested


def provision(name: str, *arguments: str) -> dict[str, Any]:
    return provisioned("bot", "--profile", name, *CHOSEN.get(name, []), *arguments)


def tried(made: dict[str, Any], live_server: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the verify_api_client answer for each endpoint of the profile."""
    monkeypatch.setenv("SECRET", made["client_secret"])
    arguments = ["--client-id", made["client_id"], "--client-secret-from", "env:SECRET", "--course", COURSE]
    if made["access_token"]:
        monkeypatch.setenv("TOKEN", made["access_token"])
        arguments += ["--token-from", "env:TOKEN"]
    ran = run("bot", *arguments, "--url", live_server.url, "--format", "json", command="verify_api_client")
    checks = json.loads(ran.stdout)["checks"]
    refused = [check["what"] for check in checks if check["ok"] is False]
    assert (ran.code == 0) is (not refused and "Not in order" not in ran.stderr)
    assert all(what in ran.stderr for what in refused)
    opened = [check for check in checks if check["what"].startswith(("GET ", "POST ", "PUT ", "PATCH ", "DELETE "))]
    assert all(check["ok"] is not check["meaning"].startswith("refused") for check in opened)
    return {check["what"]: check["meaning"].partition(":")[0] for check in opened}


@pytest.mark.parametrize("name", NAMES)
def test_profile_is_provisioned_and_verified(name: str, live_server: Any) -> None:
    made = provision(name, "--verify-url", live_server.url)
    assert (made["status"], made["verified"]) == ("created", True)
    client = ApiClient.objects.get()
    profile = access_catalogue.profile(name)
    restricted = "restricted" in profile.rights
    assert client.profile == name
    assert (made["access_token"] is None) is restricted
    assert (client.is_staff, client.is_superuser) == ("staff" in profile.rights, False)
    chosen = (
        {f"{option[2:].replace('-', '_')}:{value}" for option, value in [CHOSEN[name]]} if name in CHOSEN else set()
    )
    fixed = {grant.right for grant in profile.grants if grant.value and not grant.is_open and grant.field != "username"}
    assert set(client.declared_rights) == fixed | chosen | ({"restricted"} if restricted else set())
    again = provision(name)
    assert (again["status"], again["client_secret"]) == ("unchanged", None)


@pytest.mark.parametrize("name", NAMES)
def test_verify_tries_profile_endpoints(
    name: str, live_server: Any, sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = tried(provision(name), live_server, monkeypatch)
    allowed = {f"GET {path}" for path in TRIED[name] + OPEN_TO_ALL.get(name, [])}
    assert answers == {what: "allowed" if what in allowed else "not determined" for what in answers}
    assert allowed <= answers.keys()
    assert len(answers) == len(access_catalogue.profile(name).opens)
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
    "ccx": _no_roles,
    "certificates": _another_organization,
    "cohorts": _no_staff,
    "course-modes": _no_staff,
    "credit": _no_staff,
    "enrollments": _no_staff,
    "feature-toggles": _no_staff,
    "gradebook": _no_roles,
    "grades": _another_organization,
}


def test_every_tried_profile_has_a_removal_case() -> None:
    assert {*TAKEN, "retirement"} == {name for name in NAMES if TRIED[name]}


@pytest.mark.parametrize("name", TAKEN)
def test_removed_right_is_reported_as_refused(name: str, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = provision(name)
    before = tried(made, live_server, monkeypatch)
    TAKEN[name]()
    after = tried(made, live_server, monkeypatch)
    lost = {f"GET {path}" for path in TRIED[name]}
    assert after == {what: "refused" if what in lost else answer for what, answer in before.items()}


def test_renamed_retirement_worker_is_refused(live_server: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = provision("retirement")
    # Only for the site: the profile that verify uses is the one at creation.
    profile = access_catalogue.profile("retirement")
    settings.RETIREMENT_SERVICE_WORKER_USERNAME = "somebody-else"
    with mock.patch("edx_api_provisioning.adapters.access_catalogue.profile", return_value=profile):
        answers = tried(made, live_server, monkeypatch)
    assert answers["GET /api/user/v1/accounts/retirement_queue/"] == "refused"


def test_refused_endpoint_exits_1(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = provision("feature-toggles")
    _no_staff()
    monkeypatch.setenv("SECRET", made["client_secret"])
    arguments = ["--client-id", made["client_id"], "--client-secret-from", "env:SECRET", "--url", live_server.url]
    ran = run("bot", *arguments, command="verify_api_client")
    assert "GET /api/toggles/v0/state/: refused: 403" in ran.stdout.splitlines()
    assert ran.code == 1
    assert "GET /api/toggles/v0/state/" in ran.stderr


def test_provisioning_reports_tried_endpoints(live_server: Any) -> None:
    ran = run(
        "bot",
        "--profile",
        "course-catalog",
        "--verify-url",
        live_server.url,
        "--format",
        "json",
        "--contact=a@example.org",
    )
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


def test_provisioning_reports_refused_endpoint(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lms.rest_api.ToggleStateView.permission_classes", (IsSuperuser,))
    ran = run("bot", "--profile", "feature-toggles", "--verify-url", live_server.url, "--format", "json")
    # The credentials are delivered and committed before they are tried over HTTP.
    assert json.loads(ran.stdout)["verified"] is True
    assert ran.code == 1
    assert "GET /api/toggles/v0/state/: refused: 403" in ran.stderr


def test_course_endpoint_needs_a_course(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = provision("course-modes")
    monkeypatch.setenv("SECRET", made["client_secret"])
    arguments = ["--client-id", made["client_id"], "--client-secret-from", "env:SECRET", "--url", live_server.url]
    ran = run("bot", *arguments, command="verify_api_client")
    assert ran.code == 0
    assert "GET /api/course_modes/v1/courses/{course_key}/: not determined: not called" in ran.stdout.splitlines()
