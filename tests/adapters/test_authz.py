"""Test roles that openedx-authz keeps, with the package itself: in the releases Ulmo and Verawood."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from openedx_authz.api import assign_role_to_user_in_scope, get_user_role_assignments, is_user_allowed
from openedx_authz.constants import roles
from openedx_authz.engine.enforcer import AuthzEnforcer
from waffle.models import Flag

from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning import api
from edx_api_provisioning.adapters import lms, rights
from edx_api_provisioning.core.exceptions import InvalidSpec, NotAllowed
from edx_api_provisioning.core.spec import ClientSpec
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.content_libraries.models import ContentLibrary
from tests.factories import OPERATOR, UserFactory, person, provisioned, run

COURSE = "course-v1:edX+DemoX+2026"
STAFF = f"course_role:staff@{COURSE}"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def course() -> Any:
    yield CourseOverview.objects.create(id=COURSE, org="edX")
    AuthzEnforcer._last_policy_loaded_version = None


@pytest.fixture
def authoring() -> None:
    """Turn the LMS's flag on: course roles belong to openedx-authz."""
    if not hasattr(roles, "LEGACY_COURSE_ROLE_EQUIVALENCES"):
        pytest.skip("Ulmo has roles in libraries only.")
    Flag.objects.create(name="authz.enable_course_authoring", everyone=True)


def assignments(username: str = "report") -> set[tuple[str, str]]:
    found = get_user_role_assignments(username)
    return {(role.external_key, each.scope.external_key) for each in found for role in each.roles}


def provision(**wanted: Any) -> Any:
    return api.provision(ClientSpec(name="report", **wanted), authority=OPERATOR)


def test_course_role_is_assigned_under_flag(authoring: None) -> None:
    call_command("load_policies")

    provisioned("report", "--course-role", f"staff@{COURSE}")

    assert assignments() == {("course_staff", COURSE)}
    assert is_user_allowed("report", "courses.view_course", COURSE)
    assert not CourseAccessRole.objects.exists()
    assert api.client_rights("report") >= {STAFF}
    assert provisioned("report", "--course-role", f"staff@{COURSE}")["status"] == "unchanged"


def test_course_role_is_a_row_without_flag() -> None:
    provision(course_roles=(f"staff@{COURSE}",))

    assert (assignments(), CourseAccessRole.objects.get().role) == (set(), "staff")


@pytest.mark.parametrize("right", ["support", "staff@edX", f"finance_admin@{COURSE}"])
def test_other_roles_are_rows_under_flag(right: str, authoring: None) -> None:
    provision(**{"course_roles" if "@" in right else "global_roles": (right,)})

    assert assignments() == set()
    assert CourseAccessRole.objects.get().role == right.partition("@")[0]


def test_dropped_role_is_unassigned(authoring: None) -> None:
    provision(course_roles=(f"staff@{COURSE}", f"beta_testers@{COURSE}"))
    provision(course_roles=(f"beta_testers@{COURSE}",))

    assert assignments() == {("course_beta_tester", COURSE)}


def test_roles_of_others_are_seen(authoring: None) -> None:
    user = UserFactory(username="author")
    for role, scope in (("course_editor", COURSE), ("course_admin", COURSE), ("course_staff", "course-v1:edX+*")):
        assign_role_to_user_in_scope("author", role, scope)

    assert rights.user_rights(user) == {
        f"authz_role:course_editor@{COURSE}", f"course_role:instructor@{COURSE}", "course_role:staff@edX",
    }  # fmt: skip
    assert rights.user_rights(UserFactory(username="AUTHOR2")) == frozenset()


def test_roles_count_against_the_limit(authoring: None) -> None:
    provision(course_roles=(f"staff@{COURSE}",))
    lesser = UserFactory(is_staff=True)

    with pytest.raises(NotAllowed, match="rights that you do not have"):
        api.rotate("report", authority=person(lesser))


def test_overprivileged_clients_are_listed(authoring: None) -> None:
    provision()
    assign_role_to_user_in_scope("report", "course_editor", COURSE)

    assert "report" in run("--overprivileged", command="list_api_clients").stdout


def test_retirement_removes_roles(authoring: None) -> None:
    provision(course_roles=(f"staff@{COURSE}",))
    assign_role_to_user_in_scope("report", "course_editor", COURSE)

    ran = run("report", "--retire", command="revoke_api_client")

    assert "Removed the role assignments of the user report." in ran.stdout + ran.stderr
    assert assignments() == set()
    assert not is_user_allowed("report", "courses.view_course", COURSE)


def test_library_role_is_seen_and_removed() -> None:
    provision()
    ContentLibrary.objects.create(slug="one")
    assign_role_to_user_in_scope("report", "library_admin", "lib:edX:one")

    assert "authz_role:library_admin@lib:edX:one" in api.client_rights("report")
    assert run("report", "--retire", command="revoke_api_client").code == 0
    assert assignments() == set()


def test_unknown_course_is_refused(authoring: None) -> None:
    with pytest.raises(InvalidSpec, match="openedx-authz has no course course-v1:edX"):
        provision(course_roles=("staff@course-v1:edX+None+2026",))


def test_rollback_leaves_no_role_in_memory(authoring: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("edx_api_provisioning.services.registry.record", fail)
    with pytest.raises(ZeroDivisionError):
        provision(course_roles=(f"staff@{COURSE}",))
    UserFactory(username="report")

    assert not is_user_allowed("report", "courses.view_course", COURSE)
    assert lms.remove_assignments(UserFactory()) is False
