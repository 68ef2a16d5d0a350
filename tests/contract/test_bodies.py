"""Test response bodies: those recorded for a user without a profile, and those found in the LMS's code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from common.djangoapps.student.models import UserProfile
from edx_api_provisioning.core.secrets import basic_authorization
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from tests.contract.callers import Caller, authorization, make_caller

COURSE = "course-v1:RecX+C1+R1"
ROWS = json.loads(Path(__file__).with_name("reference_without_a_profile.json").read_text())["rows"]
# Not in the sandbox.
ABSENT = (
    "/api/mobile/v1/my_user_info",
    "/api/mobile/v1/users/{me}",
    "/api/team/",
    "/api/bookmarks/",
    "/api/course_home/",
    "/oauth2/login/",
    "/api/user/v1/accounts/{me}/image",
)
REPLAYED = [row for row in ROWS if not (row["path"] == ABSENT[1] or row["path"].startswith((ABSENT[0], *ABSENT[2:])))]
BODIES = {"POST": {"course_details": {"course_id": COURSE}}, "PATCH": {"bio": "x"}}
# Values of the recorded site (URLs, time, language), and one body that was not recorded.
VARIABLE = [
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"https?://[^\"]*/(api/|static/)(?:images/profiles/)?", r"\1"),
    (r"[\w.]+@example.com", "EMAIL"),
]
NOT_KEPT = ("(long)", "Encountered error while rendering error page.", {"pref-lang": "vi"})


@pytest.fixture(autouse=True)
def course(db: None, settings: Any) -> CourseOverview:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    now = timezone.now()
    return CourseOverview.objects.create(id=COURSE, org="RecX", display_name="Rec course", start=now, end=now)


@pytest.fixture
def lms() -> Client:
    return Client(raise_request_exception=False)


@pytest.fixture
def plain() -> Caller:
    return make_caller("k-plain")


@pytest.fixture
def staffer() -> Caller:
    return make_caller("k-staffer", frozenset({"staff"}))


def send(lms: Client, caller: Caller, method: str, path: str, scheme: str = "bearer") -> Any:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    data = {"data": json.dumps(BODIES[method]), "content_type": kind} if method in BODIES else {}
    address = path.replace("{me}", caller.username).replace("{course_key}", quote(COURSE, safe=""))
    return getattr(lms, method.lower())(address, headers=authorization(caller, scheme), **data)


def without_variables(text: str) -> str:
    for pattern, value in VARIABLE:
        text = re.sub(pattern, value, text)
    return text


def test_bodies_without_profile_match(lms: Client) -> None:
    """Replay in the recorded order: the enrollment is read after it was created, the account after the PATCH."""
    callers = make_caller("rec-noprofile"), make_caller("rec-profile")
    UserProfile.objects.filter(user__username="rec-noprofile").delete()
    for row in REPLAYED:
        without, beside = (send(lms, caller, row["method"], row["path"]) for caller in callers)
        statuses = (row["user without profile"], row["user with profile"])
        assert (without.status_code, beside.status_code) == statuses, row["path"]
        recorded = row["body of the user without profile"]
        if recorded in NOT_KEPT:
            continue
        if isinstance(recorded, str):  # its beginning
            recorded = without_variables(re.sub(r'"[^"]*$', "", recorded))
            body = without_variables(json.dumps(without.json()))
            if row["path"].endswith("/commerce/v1/courses/"):
                recorded = recorded.partition(', {"id": "course-v1:RecX')[0]
            assert body.startswith(recorded), row["path"]
        else:
            assert without.json() == recorded, row["path"]


def test_every_recorded_row_is_covered(lms: Client, plain: Caller) -> None:
    absent = [row for row in ROWS if row not in REPLAYED]
    assert len(absent) == len(ABSENT)
    assert {send(lms, plain, row["method"], row["path"]).status_code for row in absent} == {404}


def test_enrollment_adds_forum_role(lms: Client, plain: Caller) -> None:
    send(lms, plain, "POST", "/api/enrollment/v1/enrollment")
    roles = User.objects.get(username="k-plain").roles
    assert [(role.name, str(role.course_id)) for role in roles.all()] == [("Student", COURSE)]


@pytest.mark.parametrize(
    "path",
    [
        "/api/course_modes/v1/courses/{}/",
        "/api/enrollment/v1/enrollment/{}",
        "/api/enrollment/v1/enrollment/k-plain,{}",
        "/api/enrollment/v1/course/{}",
        "/api/grades/v1/courses/{}/",
        "/api/grades/v1/policy/courses/{}/",
        "/api/grades/v1/gradebook/{}/",
        "/api/commerce/v1/courses/{}/",
        "/api/cohorts/v1/courses/{}/cohorts/",
        "/api/courses/v1/courses/{}",
        "/api/instructor/v1/tasks/{}",
        "/api/instructor/v1/reports/{}",
    ],
)
def test_malformed_course_key_is_not_found(path: str, lms: Client, staffer: Caller) -> None:
    for key in ("nonsense", "course-v1:a", "a+b"):
        answer = send(lms, staffer, "GET", path.format(quote(key, safe="")))
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize("slash", ["", "/"])
def test_token_is_revoked_with_and_without_slash(slash: str, lms: Client, plain: Caller) -> None:
    headers = {"Authorization": basic_authorization(plain.client_id, plain.client_secret)}
    answer = lms.post(f"/oauth2/revoke_token{slash}", {"token": plain.tokens["bearer"]}, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert send(lms, plain, "GET", "/api/user/v1/me").json()["error_code"] == "token_nonexistent"


def test_inactive_user_is_refused_where_checked(lms: Client) -> None:
    inactive = make_caller("k-inactive", is_active=False)
    path = "/api/user/v1/accounts/k-inactive/verification_status/"
    answer = send(lms, inactive, "GET", path)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'JWT realm="api"')
    assert answer.json() == {
        "error_code": "user_not_active",
        "developer_message": "User inactive or deleted: k-inactive",
    }
    assert send(lms, inactive, "GET", "/api/user/v1/me").status_code == 200


def test_jwt_of_an_inactive_user_works(lms: Client) -> None:
    inactive = make_caller("k-inactive")
    assert send(lms, inactive, "GET", "/api/user/v1/me", "jwt").status_code == 200
    User.objects.filter(username="k-inactive").update(is_active=False)
    assert send(lms, inactive, "GET", "/api/user/v1/me", "jwt").json() == {"username": "k-inactive"}
    path = "/api/user/v1/accounts/k-inactive/verification_status/"
    assert send(lms, inactive, "GET", path, "jwt").status_code == 404  # past the check: nothing was verified


@pytest.mark.parametrize(
    ("path", "realm", "body"),
    [
        ("/api/user/v1/me", 'JWT realm="api"', {"detail": "Invalid token."}),
        ("/api/enrollment/v1/enrollment", 'JWT realm="api"', {"detail": "Invalid token."}),
        ("/api/enrollment/v1/enrollments", None, {"developer_message": "Invalid token."}),
        ("/api/courses/v1/courses/", None, {"developer_message": "Invalid token."}),
    ],
)
def test_opaque_token_is_no_jwt(path: str, realm: str | None, body: Any, lms: Client, plain: Caller) -> None:
    answer = lms.get(path, headers={"Authorization": f"JWT {plain.tokens['bearer']}"})
    assert (answer.status_code, answer.headers.get("WWW-Authenticate")) == (401, realm)
    assert answer.json() == body
