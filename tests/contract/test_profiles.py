"""Test that each access profile opens its endpoints and no others, and needs each of its rights."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from common.djangoapps.course_modes.models import CourseMode
from common.djangoapps.student.models import CourseEnrollment, UserProfile
from edx_api_provisioning import api
from edx_api_provisioning.adapters import access_catalogue
from edx_api_provisioning.adapters.access_catalogue import Answer, Endpoint, Profile
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.services.queries import client_rights
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from tests.contract.callers import Caller, status_of
from tests.factories import operator
from tests.sampling import each_nth

pytestmark = pytest.mark.versions

ROWS = json.loads(Path(__file__).with_name("reference_privileges.json").read_text())["rows"]
COURSE = "course-v1:RecX+C1+R1"
VALUES = {
    "course_key": COURSE,
    "org": "RecX",
    "username": "rec-learner",
    "usernames": "rec-learner",
    "email": "rec-learner@example.com",
    "provider": "saml-rec",
    "program_uuid": "00000000-0000-0000-0000-000000000000",
    "role": "staff",
}
NAMES = [profile.name for profile in access_catalogue.profiles()]
GRANTS = [(profile.name, grant.right) for profile in access_catalogue.profiles() for grant in profile.grants]
OPENED = {endpoint.name: endpoint for profile in access_catalogue.profiles() for endpoint in profile.opens}


@pytest.fixture(autouse=True)
def course(db: None, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    CourseOverview.objects.create(id=COURSE, org="RecX")
    CourseMode.objects.create(course_id=COURSE, mode_slug="audit", mode_display_name="Audit")
    learner = User.objects.create_user(VALUES["username"], VALUES["email"])
    UserProfile.objects.create(user=learner)
    CourseEnrollment.objects.create(user=learner, course_id=COURSE)


def grant(profile: Profile, *, without: str | None = None) -> Caller:
    """Provision a client with the profile and chosen values, or with all its rights except one."""
    kept = [each for each in profile.grants if each.right != without]
    wanted: dict[str, Any] = {} if without else {"profile": profile.name}
    for each in kept if without else profile.needs:
        if each.field == "username":
            wanted["username"] = each.value
        elif each.value:
            wanted[each.field] = (*wanted.get(each.field, ()), each.value.format(**VALUES))
        else:
            wanted[each.field] = True
    made = api.provision(
        ClientSpec(name="api-client", email="api-client@example.com", **wanted), authority=operator("the tests")
    )
    tokens = {"bearer": made.access_token.reveal()} if made.access_token else {}
    return Caller(made.username, made.client_id, made.client_secret, client_rights(made.name), tokens)


def concrete(endpoint: Endpoint) -> Endpoint:
    learner = User.objects.get(username=VALUES["username"])
    filled = endpoint.fill({**VALUES, "lms_user_id": str(learner.pk)})
    assert not filled.unknown
    return filled


def ask(caller: Caller, endpoint: Endpoint) -> Answer:
    """Send the request to the sandbox; "allowed" is the status recorded for allowed callers."""
    scheme = "jwt" if "restricted" in caller.rights or "bearer" not in endpoint.auth else "bearer"
    status = status_of(caller, scheme, endpoint.method, endpoint.path, body_of(endpoint))
    allowed, refused = recorded(endpoint)
    assert status in allowed | refused
    return Answer.ALLOWED if status in allowed else Answer.REFUSED


def body_of(endpoint: Endpoint) -> Any:
    """Return the recorded request body, adapted to this user."""
    bodies = [row["request_body"] for row in rows_of(endpoint.name) if "request_body" in row]
    body = next((body for body in bodies if "user" in body or "username" in body), bodies[0] if bodies else None)
    return {**body, "user": VALUES["username"]} if body and "user" in body else body


@functools.cache
def rows_of(endpoint_name: str) -> list[dict[str, Any]]:
    found = [(row, access_catalogue.find_endpoint(row["method"], row["path"])) for row in ROWS]
    return [row for row, endpoint in found if endpoint and endpoint.name == endpoint_name]


def recorded(endpoint: Endpoint) -> tuple[set[int], set[int]]:
    """Return the recorded statuses of allowed and of refused callers."""
    rows = rows_of(endpoint.name)
    seen = {status for row in rows for caller, status in row["statuses"].items() if caller != "anonymous"}
    refused = {401, 403, 404} if endpoint.hidden else {401, 403}
    assert seen - refused
    return seen - refused, refused


@pytest.mark.parametrize("name", NAMES)
def test_profile_opens_its_endpoints_alone(name: str) -> None:
    profile = access_catalogue.profile(name)
    assert "superuser" not in profile.rights
    caller = grant(profile)
    assert {ask(caller, concrete(each)) for each in profile.opens} == {Answer.ALLOWED}
    for endpoint in map(concrete, each_nth([*OPENED.values()], NAMES.index(name), 4)):
        if endpoint.name in {each.name for each in profile.opens}:
            continue
        answer, said = ask(caller, endpoint), access_catalogue.allows(caller.rights, endpoint)
        if any(right.startswith("forum_role:") for right in frozenset().union(*endpoint.rights)):
            # The catalogue does not know whether a client has a forum role; these have none.
            assert answer is (Answer.ALLOWED if "staff" in caller.rights else Answer.REFUSED)
        else:
            assert said is answer, endpoint.name


@pytest.mark.parametrize(("name", "right"), GRANTS, ids=[f"{name} without {right}" for name, right in GRANTS])
def test_profile_needs_each_of_its_rights(name: str, right: str) -> None:
    profile = access_catalogue.profile(name)
    caller = grant(profile, without=right)
    answers = {each.name: ask(caller, concrete(each)) for each in profile.opens}
    assert Answer.REFUSED in answers.values()
