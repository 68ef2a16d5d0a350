"""Replay every cell of the recorded matrix of callers, and compare the access catalogue with it.

`reference_privileges.json` holds the answers of a real LMS to each kind of caller: 404 or 400 for an allowed caller
means that the object did not exist.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User

from common.djangoapps.student.models import CourseEnrollment
from edx_api_provisioning.adapters import access_catalogue
from edx_api_provisioning.adapters.access_catalogue import Answer
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from tests.contract.callers import Caller, make_caller, status_of

pytestmark = pytest.mark.versions

ROWS = json.loads(Path(__file__).with_name("reference_privileges.json").read_text())["rows"]
COURSE = "course-v1:RecX+C1+R1"
ORG_FILTER = "filter:content_org:RecX"

# The callers: account name, rights, and authentication scheme.
CHANGE_MODES = ("permission:course_modes.add_coursemode", "permission:course_modes.change_coursemode")
INACTIVE = "inactive staff is refused: plain inactive user"
CALLERS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "plain": ("rec-plain", (), "bearer"),
    "plain, JWT": ("rec-plain", (), "jwt"),
    "staff (is_staff)": ("rec-staff", ("staff",), "bearer"),
    "staff, Bearer": ("rec-staff", ("staff",), "bearer"),
    "staff, JWT": ("rec-staff", ("staff",), "jwt"),
    "superuser (is_staff too)": ("rec-super", ("staff", "superuser"), "bearer"),
    "superuser, JWT": ("rec-super", ("staff", "superuser"), "jwt"),
    "superuser without is_staff": ("rec-super-only", ("superuser",), "bearer"),
    "the learner": ("rec-learner", (), "bearer"),
    "course staff role": ("rec-role-cstaff", (f"course_role:staff@{COURSE}",), "bearer"),
    "course staff role (sees only its courses)": ("rec-role-cstaff", (f"course_role:staff@{COURSE}",), "bearer"),
    "course instructor role": ("rec-role-cinstr", (f"course_role:instructor@{COURSE}",), "bearer"),
    "course limited staff role": ("rec-role-climited", (f"course_role:limited_staff@{COURSE}",), "bearer"),
    "course data_researcher role": ("rec-role-cdata", (f"course_role:data_researcher@{COURSE}",), "bearer"),
    "org staff role": ("rec-role-ostaff", ("course_role:staff@RecX",), "bearer"),
    "global support role": ("rec-role-support", ("global_role:support",), "bearer"),
    "global support role, JWT": ("rec-role-support", ("global_role:support",), "jwt"),
    "forum role Moderator of the course": ("rec-forum", (f"forum_role:Moderator@{COURSE}",), "bearer"),
    "Django permissions course_modes.add/change_coursemode": ("rec-perm-modes", CHANGE_MODES, "bearer"),
    "Django permission student.can_deactivate_users, JWT": (
        "rec-perm-deactivate",
        ("permission:student.can_deactivate_users",),
        "jwt",
    ),
    "staff with Django permission user_api.change_userretirementstatus, JWT": (
        "rec-perm-retire-staff",
        ("staff", "permission:user_api.change_userretirementstatus"),
        "jwt",
    ),
    "not staff, same permission, JWT": (
        "rec-perm-retire",
        ("permission:user_api.change_userretirementstatus",),
        "jwt",
    ),
    "user named settings.RETIREMENT_SERVICE_WORKER_USERNAME, JWT": ("RETIREMENT_SERVICE_USER", (), "jwt"),
    INACTIVE: ("rec-inactive", (), "bearer"),
    "not restricted application of a plain user, JWT, scope grades:read": (
        "rec-scoped",
        ("scope:grades:read", ORG_FILTER),
        "jwt",
    ),
    **{
        f"restricted application, JWT, {described}": (f"rec-restricted-{number}", ("restricted", *rights), "jwt")
        for number, (described, rights) in enumerate(
            {
                "default scopes": (),
                "scope course_modes:read in ApplicationAccess": ("scope:course_modes:read", ORG_FILTER),
                "scope grades:read, filter content_org": ("scope:grades:read", ORG_FILTER),
                "scope grades:read, no filter": ("scope:grades:read",),
                "scope grades:read": ("scope:grades:read", ORG_FILTER),
                "scope certificates:read": ("scope:certificates:read", ORG_FILTER),
                "scope certificates:read, filter content_org": ("scope:certificates:read", ORG_FILTER),
                "scope tpa:read, filter tpa_provider:saml-rec": ("scope:tpa:read", "filter:tpa_provider:saml-rec"),
            }.items()
        )
    },
}
SAME_AS_BEFORE = "the same user, Bearer"

# Here the body decides, which the catalogue ignores: it names the caller's own row.
OWN_BY_BODY = {("enroll oneself (audit)", None), ("completion batch for another user", "the learner")}


@pytest.fixture
def cast(db: None, settings: Any) -> Callable[[str], Caller | None]:
    """Create each recorded account on first use, and the three accounts that requests refer to."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    CourseOverview.objects.create(id=COURSE, org="RecX")
    made: dict[str, Caller] = {}

    def account(label: str) -> Caller | None:
        if label == "anonymous":
            return None
        name, rights, _scheme = CALLERS[label]
        if name not in made:
            made[name] = make_caller(name, frozenset(rights), is_active=label != INACTIVE)
            # All of the recorded callers were enrolled.
            CourseEnrollment.objects.create(user=User.objects.get(username=name), course_id=COURSE)
        return made[name]

    for label in ("the learner", "plain", "course staff role"):
        account(label)
    User.objects.create_user("rec-selfenroll", "rec-selfenroll@example.com")
    return account


def cells(row: dict[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    """Yield each cell of a row: its label, the caller, the scheme and the recorded status."""
    before = ""
    for label, status in row["statuses"].items():
        if label == SAME_AS_BEFORE:
            yield label, before, "bearer", status
        else:
            yield label, label, "" if label == "anonymous" else CALLERS[label][2], status
        before = label


def filled(row: dict[str, Any], me: str) -> str:
    values = {"course_key": quote(COURSE, safe=""), "me": me}
    if "{lms_user_id}" in row["path"]:
        values["lms_user_id"] = User.objects.get(username="rec-learner").pk
    return str(row["path"].format(**values))


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_status_and_catalogue_match_recording(row: dict[str, Any], cast: Callable[[str], Caller | None]) -> None:
    statuses = {}
    for number, (label, who, scheme, status) in enumerate(cells(row)):
        caller = cast(who)
        body = row.get("request_body")
        if body and "mode_slug" in body:
            body = {**body, "mode_slug": f"mode-{number}"}  # each caller its own: a second would be refused
        path = filled(row, caller.username if caller else "rec-plain")
        statuses[label] = status_of(caller, scheme, row["method"], path, body)
        endpoint = access_catalogue.find_endpoint(row["method"], path)
        assert endpoint is not None
        if not {(row["name"], label), (row["name"], None)} & OWN_BY_BODY:
            assert _said(caller, scheme, endpoint) in _possible(row, status, endpoint), label
    assert statuses == row["statuses"]


def _said(caller: Caller | None, scheme: str, endpoint: access_catalogue.Endpoint) -> Answer:
    """Return the answer of the catalogue."""
    if caller is None:
        return Answer.ALLOWED if "none" in endpoint.auth else Answer.REFUSED
    return access_catalogue.allows(caller.rights, endpoint) if scheme in endpoint.auth else Answer.REFUSED


def _possible(row: dict[str, Any], status: int, endpoint: access_catalogue.Endpoint) -> set[Answer]:
    """Return the catalogue answers that agree with a recorded status."""
    answered = endpoint.answered(status)
    if answered is Answer.NOT_DETERMINED:
        # 404 for the refused. Where superusers got it too, there was no such course, and the row says nothing:
        # tests/contract/test_course_roles.py has the statuses of one that exists.
        hides = set(row["statuses"].values()) == {401, 404}
        return set(Answer) if hides else {Answer.REFUSED}
    if any(right.startswith("forum_role:") for alternative in endpoint.rights for right in alternative):
        # Unknown for a client, so it may have one.
        return {answered, Answer.NOT_DETERMINED} if answered is Answer.REFUSED else {answered}
    return {answered}


def test_every_caller_was_recorded() -> None:
    assert set(CALLERS) == {label for row in ROWS for label in row["statuses"]} - {"anonymous", SAME_AS_BEFORE}


def test_every_catalogue_endpoint_was_recorded(contract: dict[str, Any]) -> None:
    requests = [(row["method"], row["path"]) for row in (*ROWS, *contract["privileges"], *contract["http"])]
    found = {endpoint.name for request in requests if (endpoint := access_catalogue.find_endpoint(*request))}
    # Rows with untried rights only were read in the code and never called.
    assert found == {each.name for each in access_catalogue.endpoints() if each.rights or not each.untried}
