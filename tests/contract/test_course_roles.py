"""Test course roles: which exist, and which endpoints they open."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.db import connection

from common.djangoapps.student.models import CourseAccessRole, CourseEnrollment
from common.djangoapps.student.roles import REGISTERED_ACCESS_ROLES
from edx_api_provisioning.adapters.access_catalogue import allows, find_endpoint
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.django_comment_common.models import Role
from tests.contract.callers import make_caller, status_of

COURSE = "course-v1:RecX+C1+R1"
KEY = quote(COURSE, safe="")
CCX = f"/api/ccx/v0/ccx/?master_course_id={KEY}"
TASKS = f"/api/instructor/v1/tasks/{KEY}"
REPORTS = f"/api/instructor/v1/reports/{KEY}"
OTHER = "course-v1:RecX+C2+R1"


def test_registered_roles_are_those_of_the_lms() -> None:
    assert [*REGISTERED_ACCESS_ROLES] == [
        "staff",
        "limited_staff",
        "instructor",
        "finance_admin",
        "sales_admin",
        "beta_testers",
        "library_user",
        "data_researcher",
        "org_course_creator_group",
        "course_creator_group",
        "support",
    ]
    assert all(name == cls.ROLE for name, cls in REGISTERED_ACCESS_ROLES.items())


# As recorded: statuses of the list of CCXs (404: allowed, there is none), of instructor tasks, and of reports.
OPENED = {
    "": (403, 403, 403),
    "staff": (403, 200, 200),
    "superuser": (403, 200, 200),
    f"course_role:staff@{COURSE}": (404, 200, 403),
    f"course_role:limited_staff@{COURSE}": (404, 200, 403),
    f"course_role:instructor@{COURSE}": (404, 200, 403),
    f"course_role:data_researcher@{COURSE}": (403, 200, 200),
    f"course_role:beta_testers@{COURSE}": (403, 403, 403),
    f"course_role:staff@{OTHER}": (403, 403, 403),
    "course_role:staff@RecX": (403, 200, 403),
    "course_role:instructor@RecX": (403, 200, 403),
    "course_role:data_researcher@RecX": (403, 200, 200),
    "course_role:staff@recx": (403, 403, 403),
    "global_role:staff": (403, 403, 403),
}


@pytest.mark.parametrize(("right", "statuses"), OPENED.items(), ids=OPENED)
def test_statuses_and_catalogue_match_recording(right: str, statuses: tuple[int, int, int], db: None) -> None:
    CourseOverview.objects.create(id=COURSE, org="RecX", is_in_modulestore=True)
    caller = make_caller("caller", frozenset({right} - {""}))
    assert tuple(status_of(caller, "bearer", "GET", path) for path in (CCX, TASKS, REPORTS)) == statuses
    for path, status in zip((CCX, TASKS, REPORTS), statuses, strict=True):
        endpoint = find_endpoint("GET", path)
        assert endpoint is not None
        assert (allows(frozenset({right} - {""}), endpoint) == "allowed") is (status != 403)


def test_inactive_user_has_no_role(db: None) -> None:
    CourseOverview.objects.create(id=COURSE, org="RecX", is_in_modulestore=True)
    caller = make_caller("caller", frozenset({f"course_role:staff@{COURSE}"}), is_active=False)
    assert [status_of(caller, "bearer", "GET", path) for path in (CCX, TASKS, REPORTS)] == [403, 403, 403]


def test_course_without_content_is_not_found(db: None) -> None:
    CourseOverview.objects.create(id=COURSE, org="RecX")
    caller = make_caller("caller")
    assert [status_of(caller, "bearer", "GET", path) for path in (TASKS, REPORTS)] == [404, 404]


@pytest.mark.parametrize("model", [CourseAccessRole, CourseEnrollment, CourseOverview, Role])
def test_course_keys_are_key_objects(model: type) -> None:
    name = "id" if model is CourseOverview else "course_id"
    field = model._meta.get_field(name)
    assert type(field).__name__ == "CourseKeyField"
    assert field.to_python("") is None
    assert field.to_python(COURSE).org == "RecX"


def test_forum_roles_use_lms_table(db: None) -> None:
    assert Role._meta.db_table == "django_comment_client_role"
    assert {"django_comment_client_role", "django_comment_client_role_users"} <= {
        *connection.introspection.table_names()
    }
