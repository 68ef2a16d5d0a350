"""Test ``explain_api_access``: one request, one client, all profiles; as text and JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission

from edx_api_provisioning import api
from edx_api_provisioning.adapters import access_catalogue
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.services.queries import client_rights
from tests.contract.test_http import EXCHANGES
from tests.factories import ApiClientFactory, CommandResult, UserFactory, operator, run

COURSE = "course-v1:edX+DemoX+2026"
ESCAPED = "course-v1%3AedX%2BDemoX%2B2026"
GRADES = f"/api/grades/v1/courses/{COURSE}/"


def explain(*arguments: str) -> CommandResult:
    return run(*arguments, command="explain_api_access")


def provision(**wanted: Any) -> None:
    api.provision(ClientSpec(name="report", email="report@example.org", **wanted), authority=operator("the tests"))


# One request


@pytest.mark.parametrize("path", [GRADES, GRADES.rstrip("/")])
def test_request_is_explained(path: str) -> None:
    ran = explain("get", path)
    assert ran == CommandResult(
        0,
        f"""\
GET /api/grades/v1/courses/{ESCAPED}/: read the grades of a course
  send         Authorization: Bearer TOKEN or Authorization: JWT TOKEN
  needs        --restricted --filter content_org:edX --scope grades:read (by JWT, with the scope asked for)
  or           --staff
  profiles     grades
  checked in   lms/djangoapps/grades/rest_api/v1/views.py CourseGradesView; \
edx_rest_framework_extensions/permissions.py JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS (Teak)
  request      printf 'Authorization: Bearer %s' "$OPENEDX_ACCESS_TOKEN" | curl -H @- \
http://localhost:8000/api/grades/v1/courses/{ESCAPED}/
""",
        "",
    )


def test_request_is_explained_as_json() -> None:
    assert explain("GET", "/api/ccx/v0/ccx/?master_course_id=" + ESCAPED, "--format", "json").result == {
        "name": "list the CCXs of a course",
        "method": "GET",
        "path": "/api/ccx/v0/ccx/?master_course_id=" + ESCAPED,
        "auth": ["bearer", "jwt"],
        "rights": [[f"course_role:{role}@{COURSE}"] for role in ("limited_staff", "staff", "instructor")],
        "untried": [],
        "checked_in": "openedx/core/lib/api/permissions.py IsMasterCourseStaffInstructor",
        "release": "Teak",
        "note": "Site-wide staff and superusers are refused, and so are roles in the whole organization.",
        "profiles": ["ccx"],
        "request": "printf 'Authorization: Bearer %s' \"$OPENEDX_ACCESS_TOKEN\" | curl -H @- "
        f"'http://localhost:8000/api/ccx/v0/ccx/?master_course_id={ESCAPED}'",
    }


def test_open_closed_and_untried_are_told_apart() -> None:
    own = explain("GET", "/api/user/v1/me").stdout.splitlines()
    assert own[2:4] == ["  needs        nothing: any client may", "  profiles     none"]
    closed = explain("GET", "/api/user/v1/users/").stdout
    assert "  send         no token opens it\n  needs        not known\n" in closed
    assert "request" not in closed
    assert "\n  note         Answers to the X-Edx-Api-Key header only" in closed
    tasks = explain("GET", f"/api/instructor/v1/tasks/{COURSE}").stdout
    assert "\n  or, untried  --course-role limited_staff@edX\n" in tasks


def test_platform_flaw_has_no_profile() -> None:
    ran = explain("POST", f"/api/course_modes/v1/courses/{COURSE}/?username=report")
    assert "\n  note         A hole of the platform" in ran.stdout
    assert "\n  profiles     none\n" in ran.stdout


# One client


@pytest.mark.django_db
def test_client_access_is_listed() -> None:
    provision(profile="gradebook", course_roles=(f"limited_staff@{COURSE}",))
    ran = explain("--client", "report")
    lines = ran.stdout.splitlines()
    assert len(lines) == len(access_catalogue.endpoints())
    assert "allowed         GET    /api/user/v1/me  (read own name)" in lines
    assert "not determined  GET    /api/grades/v1/gradebook/{course_key}/  (read the gradebook)" in lines
    assert "not determined  GET    /api/user/v1/preferences/{username}  (read preferences)" in lines
    assert "refused         GET    /api/toggles/v0/state/  (read the feature toggles)" in lines
    assert (ran.code, ran.stderr.count("\n")) == (0, 1)
    assert ran.stderr.startswith('"Not determined": depends on the path parameters')


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (f"/api/grades/v1/gradebook/{COURSE}/", "allowed"),
        ("/api/grades/v1/gradebook/course-v1:edX+Other+2026/", "refused"),
        ("/api/user/v1/preferences/report", "allowed"),
    ],
)
def test_client_gets_answer_for_one_request(path: str, answer: str) -> None:
    provision(course_roles=(f"limited_staff@{COURSE}",))
    assert explain("GET", path, "--client", "report", "--format", "json").result["answer"] == answer
    assert explain("GET", path, "--client", "report").stdout.endswith(f"\n  the client   {answer}\n")


@pytest.mark.django_db
def test_client_json_has_every_endpoint() -> None:
    provision(profile="feature-toggles")
    ran = explain("--client", "report", "--format", "json", "--verbosity", "0")
    found = {each["name"]: each for each in json.loads(ran.stdout)}
    assert found["read the feature toggles"]["answer"] == "allowed"
    assert found["read the linked identities of a user"]["answer"] == "not determined"
    assert found["update a commerce course"]["answer"] == "refused"
    assert ran.stderr == ""


@pytest.mark.django_db
def test_client_rights_are_current() -> None:
    provision(profile="grades", filters=("content_org:edX",))
    assert client_rights("report") == {"restricted", "scope:grades:read", "filter:content_org:edX", "username:report"}


@pytest.mark.versions
@pytest.mark.django_db
def test_client_rights_include_undeclared() -> None:
    user = UserFactory(username="service", is_superuser=True)
    user.user_permissions.add(Permission.objects.get(codename="can_deactivate_users"))
    ApiClientFactory(name="report", application__user=user)
    assert client_rights("report") == {"superuser", "permission:student.can_deactivate_users", "username:service"}


@pytest.mark.django_db
def test_ended_client_has_no_rights() -> None:
    ApiClientFactory(name="report", application=None, user=None, access_token=None)
    assert client_rights("report") == frozenset()


# Profiles


def test_profiles_list_grants_and_choices() -> None:
    ran = explain("--profiles")
    assert ran.code == 0
    assert (
        """\
gradebook: Read the gradebook and the grading policy of a course
  A role in the one course is enough; limited staff has no access to Studio.
  to choose    --course-role limited_staff@{course_key} \
(course_author_access_required and has_access take the least of the staff roles)
  opens        GET /api/grades/v1/gradebook/{course_key}/
  opens        GET /api/grades/v1/policy/courses/{course_key}/
grades: """
        in ran.stdout
    )
    assert "  grants       --staff (" in ran.stdout
    assert "  grants       --permission student.can_deactivate_users (CanDeactivateUser)\n" in ran.stdout


def test_profiles_json_has_every_profile() -> None:
    profiles = {each["name"]: each for each in explain("--profiles", "--format", "json").result}
    assert list(profiles) == sorted(profiles)
    assert profiles["certificates"]["needs"] == ["filter:content_org:{org}"]
    assert profiles["certificates"]["grants"][0]["field"] == "restricted"
    assert profiles["certificates"]["grants"][0]["value"] is True


# An error

RECORDED = [each for each in EXCHANGES if each["status"] >= 400]


@pytest.mark.parametrize("exchange", RECORDED, ids=lambda each: each["name"])
def test_recorded_error_is_explained(exchange: dict[str, Any]) -> None:
    body = json.dumps(exchange["body"])

    meaning = explain("--error", body).stdout

    code = re.search(r'"(?:error_code|error)": "(\w+)"', body)
    of_status = {401: "no_credentials", 403: "403", 500: "500"}
    assert meaning.startswith(f"{code[1] if code else of_status[exchange['status']]}: ")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The provided access token has expired and is no longer valid.", "token_expired"),
        ("HTTP/1.1 403 Forbidden", "403"),
        ("Signature has expired.", "jwt_expired"),
        ("token_nonexistent", "token_nonexistent"),
    ],
)
def test_part_of_an_answer_is_explained(text: str, code: str) -> None:
    assert explain("--error", text, "--format", "json").result["meaning"].startswith(f"{code}: ")


# Refusals


UNKNOWN = "unknown request; see the permission_classes of its view."


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("GET", "/nowhere"), UNKNOWN),
        (("get", "/api/user/v1/mee"), f"{UNKNOWN} Did you mean GET /api/user/v1/me?"),
        (("--error", "nonsense"), "--error: unknown error; see the log of the site, and try verify_api_client."),
    ],
)
def test_unknown_is_one_line(arguments: tuple[str, ...], refusal: str) -> None:
    assert explain(*arguments).refusal == refusal


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["nobody", "b\udced", "a\0"])
def test_unknown_client_is_rejected(name: str) -> None:
    assert explain("--client", name).refusal == "NAME: no API client has this name; see list_api_clients."
