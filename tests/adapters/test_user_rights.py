"""Test rights in the database: reading, checking, granting and removing them."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db.models.signals import m2m_changed, post_delete, post_save

from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning.adapters import lms, rights
from edx_api_provisioning.core.exceptions import InvalidSpec
from tests.factories import UserFactory, statements

pytestmark = [pytest.mark.django_db, pytest.mark.databases, pytest.mark.versions]

COURSE = "course-v1:edX+DemoX+2026"
MODES = "permission:course_modes.change_coursemode"
DEACTIVATE = "permission:student.can_deactivate_users"
# Each kind of right, and its row.
EVERY_KIND = frozenset(
    {
        MODES,
        "group:Data Science",
        f"course_role:staff@{COURSE}",
        "course_role:instructor@edX",
        "global_role:support",
    }
)


@pytest.fixture
def user() -> User:
    Group.objects.create(name="Data Science")
    return UserFactory()


@pytest.fixture
def without_course_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lms._model
    monkeypatch.setattr(lms, "_model", lambda label: None if label.startswith("student.") else found(label))


@contextmanager
def received(*signals: Any, sender: Any) -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    """Collect what receivers of these signals get."""
    got: list[tuple[Any, dict[str, Any]]] = []

    def receiver(signal: Any, **values: Any) -> None:
        got.append((signal, values))

    for signal in signals:
        signal.connect(receiver, sender=sender)
    try:
        yield got
    finally:
        for signal in signals:
            signal.disconnect(receiver, sender=sender)


def roles(user: User) -> set[tuple[str, str, str]]:
    return {(row.role, row.org, str(row.course_id or "")) for row in CourseAccessRole.objects.filter(user=user)}


def change(user: User, *, add: AbstractSet[str] = frozenset(), remove: AbstractSet[str] = frozenset()) -> None:
    rights.change_user_rights(user, add=frozenset(add), remove=frozenset(remove))


# Rights of a user


def test_user_rights_excludes_inherited(user: User) -> None:
    group = Group.objects.get(name="Data Science")
    group.permissions.add(Permission.objects.get(codename="change_coursemode"))
    user.groups.add(group)
    change(UserFactory(), add={DEACTIVATE, f"course_role:staff@{COURSE}"})
    assert rights.user_rights(user) == {"group:Data Science"}


# Rights known to the site


def test_known_rights_pass(user: User) -> None:
    rights.require_known(EVERY_KIND)


@pytest.mark.parametrize(
    ("right", "field", "message"),
    [
        ("permission:course_modes.fly", "permissions", "this site has no permission course_modes.fly."),
        (
            "permission:student.change_coursemode",
            "permissions",
            "this site has no permission student.change_coursemode.",
        ),
        ("permission:nothing", "permissions", "this site has no permission nothing."),
        ("group:Nobody", "groups", "this site has no group Nobody."),
    ],
)
def test_unknown_right_is_named(user: User, right: str, field: str, message: str) -> None:
    with pytest.raises(InvalidSpec) as raised:
        rights.require_known(EVERY_KIND | {right})
    assert (raised.value.field, raised.value.message) == (field, message)


@pytest.mark.parametrize(
    ("right", "field"),
    [
        ("group:data science", "groups"),
        ("group:Dáta Science", "groups"),
        ("permission:course_modes.CHANGE_coursemode", "permissions"),
    ],
)
def test_right_spelling_is_exact(user: User, right: str, field: str) -> None:
    with pytest.raises(InvalidSpec) as raised:
        rights.require_known([right])
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("right", "field"),
    [(f"course_role:staff@{COURSE}", "course_roles"), ("global_role:support", "global_roles")],
)
def test_missing_course_roles_are_reported(user: User, without_course_roles: None, right: str, field: str) -> None:
    rights.require_known([MODES, "group:Data Science"])
    with pytest.raises(InvalidSpec) as raised:
        rights.require_known([right])
    assert raised.value.field == field
    assert raised.value.message == "this site has no course access roles (student.CourseAccessRole)."


# Granting and removing


def test_removing_right_keeps_others(user: User) -> None:
    other = UserFactory()
    for each in (user, other):
        change(each, add=EVERY_KIND)
    kept = {*EVERY_KIND}
    for right in sorted(EVERY_KIND):
        assert rights.user_rights(user) == kept
        change(user, remove={right})
        kept.remove(right)
    assert rights.user_rights(user) == frozenset()
    assert rights.user_rights(other) == EVERY_KIND


def test_course_and_org_roles_are_separate(user: User) -> None:
    change(user, add={f"course_role:staff@{COURSE}", "course_role:staff@edX", "global_role:staff"})
    change(user, remove={"course_role:staff@edX"})
    assert roles(user) == {("staff", "edX", COURSE), ("staff", "", "")}


def test_permission_covers_all_models_of_app(user: User) -> None:
    content_type = ContentType.objects.create(app_label="course_modes", model="another")
    Permission.objects.create(content_type=content_type, codename="change_coursemode", name="another")
    change(user, add={MODES})
    assert user.user_permissions.count() == 2
    change(user, remove={MODES})
    assert user.user_permissions.count() == 0


def test_receivers_see_course_role_changes(user: User) -> None:
    wanted = {f"course_role:staff@{COURSE}", "course_role:staff@edX"}
    with received(post_save, post_delete, sender=CourseAccessRole) as got:
        change(user, add=wanted)
        change(user, remove=wanted)
    assert {(signal, str(values["instance"].course_id or "")) for signal, values in got} == {
        (post_save, COURSE),
        (post_save, ""),
        (post_delete, COURSE),
        (post_delete, ""),
    }
    assert len(got) == 4


@pytest.mark.parametrize(
    ("right", "through"),
    [(MODES, User.user_permissions.through), ("group:Data Science", User.groups.through)],
)
def test_receivers_see_permission_changes(user: User, right: str, through: Any) -> None:
    with received(m2m_changed, sender=through) as got:
        change(user, add={right})
        change(user, remove={right})
    assert [values["action"] for _signal, values in got] == ["pre_add", "post_add", "pre_remove", "post_remove"]


@pytest.mark.parametrize(
    "row",
    [
        {"role": "staff", "course_id": COURSE},
        {"role": "staff", "org": "edX", "course_id": "edX/DemoX/2025"},
        {"role": "library_user", "org": "edX", "course_id": "library-v1:edX+Lib"},
    ],
    ids=["a course without its organization", "a course of the old kind", "a library"],
)
def test_irregular_role_rows_are_removed(user: User, row: dict[str, str]) -> None:
    CourseAccessRole.objects.create(user=user, **row)
    change(user, remove={*rights.user_rights(user)})
    assert roles(user) == set()


def test_course_roles_not_queried_if_absent(user: User, without_course_roles: None) -> None:
    with statements() as sent:
        change(user, add={MODES})
    assert rights.user_rights(user) == {MODES}
    assert not [statement for statement in sent if "courseaccessrole" in statement.lower()]


@pytest.mark.parametrize("again", [frozenset(), {MODES, "group:Data Science"}])
def test_repeated_grant_adds_no_row(user: User, again: AbstractSet[str]) -> None:
    change(user, add={MODES, "group:Data Science"})
    change(user, add=again)
    assert rights.user_rights(user) == {MODES, "group:Data Science"}
    assert (user.user_permissions.count(), user.groups.count()) == (1, 1)
