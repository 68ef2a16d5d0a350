"""Test that users cannot issue or take over credentials with more rights than they have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from hypothesis import given
from hypothesis import strategies as st

from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning import api
from edx_api_provisioning.adapters import rights
from edx_api_provisioning.adapters.rights import beyond, rights_of
from edx_api_provisioning.core.exceptions import NotAllowed
from edx_api_provisioning.core.spec import ClientSpec
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess
from tests.factories import ApplicationFactory, UserFactory, operator, person
from tests.lifecycle_helpers import all_rows, provisioned

COURSE = "course-v1:edX+DemoX+2026"
WORKER = "RETIREMENT_SERVICE_USER"

# Comparing rights


OTHERS = (
    "permission:a.b",
    "group:g",
    f"course_role:staff@{COURSE}",
    "global_role:support",
    "scope:s",
    "name:retirement",
)
any_rights = st.frozensets(st.sampled_from(("superuser", "staff", *OTHERS)))


@given(any_rights, any_rights)
def test_exceeds_lists_only_missing_rights(some: frozenset[str], limit: frozenset[str]) -> None:
    missing = beyond(some, limit)

    if "superuser" in limit:
        assert missing == ()
        return
    assert ("superuser" in missing) is ("superuser" in some)
    assert ("staff" in missing) is ("staff" in some - limit)
    assert [right for right in missing if ":" in right] == sorted((some - limit) & {*OTHERS})
    assert {*missing} <= {"superuser", "staff", *OTHERS}


# Rights of an account


def permission(codename: str = "change_coursemode") -> Permission:
    return Permission.objects.get(codename=codename)


def by_group(user: User) -> None:
    group = Group.objects.create(name="reporters")
    group.permissions.add(permission())
    user.groups.add(group)


GIFTS: dict[str, tuple[Callable[[User], Any], frozenset[str]]] = {
    "nothing": (lambda user: None, frozenset()),
    "staff": (lambda user: setattr(user, "is_staff", True), frozenset({"staff"})),
    "superuser": (lambda user: setattr(user, "is_superuser", True), frozenset({"superuser"})),
    "a permission": (
        lambda user: user.user_permissions.add(permission()),
        frozenset({"permission:course_modes.change_coursemode"}),
    ),
    "a group with a permission": (
        by_group,
        frozenset({"group:reporters", "permission:course_modes.change_coursemode"}),
    ),
    "an empty group": (
        lambda user: user.groups.add(Group.objects.create(name="empty")),
        frozenset({"group:empty"}),
    ),
    "a role in a course": (
        lambda user: CourseAccessRole.objects.create(user=user, role="staff", org="edX", course_id=COURSE),
        frozenset({f"course_role:staff@{COURSE}"}),
    ),
    "a role in an organization": (
        lambda user: CourseAccessRole.objects.create(user=user, role="staff", org="edX", course_id=""),
        frozenset({"course_role:staff@edX"}),
    ),
    "a role everywhere": (
        lambda user: CourseAccessRole.objects.create(user=user, role="support", org="", course_id=""),
        frozenset({"global_role:support"}),
    ),
    "the retirement worker's name": (
        lambda user: setattr(user, "username", WORKER.lower()),
        frozenset({"name:retirement"}),
    ),
}


def account(gift: str, **fields: Any) -> User:
    user = UserFactory(**fields)
    GIFTS[gift][0](user)
    user.save()
    return User.objects.get(pk=user.pk)


@pytest.mark.django_db
@pytest.mark.parametrize("gift", GIFTS)
def test_rights_include_inactive_accounts(gift: str) -> None:
    user = account(gift)
    assert rights_of(user) == GIFTS[gift][1]
    User.objects.update(is_active=False)
    assert rights_of(User.objects.get()) == GIFTS[gift][1]


@pytest.mark.django_db
def test_application_access_counts_as_rights() -> None:
    application = ApplicationFactory()
    assert rights_of(application.user, application) == frozenset()
    ApplicationAccess.objects.create(application=application, scopes=["grades:read"], filters=["content_org:edX"])

    assert rights_of(application.user, application) == {"scope:grades:read", "filter:content_org:edX"}
    assert rights_of(application.user) == frozenset()


@pytest.mark.django_db
def test_person_is_a_right_of_that_person() -> None:
    ann, bob = UserFactory(username="ann"), UserFactory(username="bob")

    assert beyond(rights_of(ann, foreign=True), rights_of(bob, foreign=True)) == ("username:ann",)
    rights.require_no_more(rights_of(ann, foreign=True), authority=person(ann), restricted=False)


def viewer(**fields: Any) -> User:
    """Return an account that may view users, so that a refusal names the rights that are missing."""
    user = UserFactory(**fields)
    user.user_permissions.add(Permission.objects.get(codename="view_user"))
    return user


# Refusals of the services


def rotate(asked_by: User) -> None:
    api.rotate("report", authority=person(asked_by, "ann"))


def rotate_the_secret(asked_by: User) -> None:
    api.rotate("report", token=False, secret=True, authority=person(asked_by, "ann"))


def adopt(asked_by: User) -> None:
    api.adopt("adopted", client_id="the-id", authority=person(asked_by, "ann"))


def a_client(gift: str) -> None:
    """Create a client without a token whose user has one right, and an application with the same user."""
    provisioned(token=False, staff=gift == "staff", superuser=gift == "superuser")
    user = User.objects.get(username="report")
    if gift not in ("staff", "superuser", "the retirement worker's name"):
        GIFTS[gift][0](user)
    ApplicationFactory(client_id="the-id", user=user)


CARRIED = [gift for gift in GIFTS if gift not in ("nothing", "the retirement worker's name")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("gift", "work"),
    [
        *((gift, rotate) for gift in CARRIED),
        ("superuser", rotate_the_secret),
        ("a role everywhere", rotate_the_secret),
        ("superuser", adopt),
        ("a permission", adopt),
    ],
)
def test_only_rights_one_has_are_issued(gift: str, work: Callable[[User], None]) -> None:
    a_client(gift)
    asker, user = viewer(), User.objects.get(username="report")
    before = all_rows()

    with pytest.raises(NotAllowed) as refused:
        work(asker)

    missing = ", ".join(beyond(GIFTS[gift][1]))
    assert missing in str(refused.value)
    assert all_rows() == before
    if work is not adopt:  # It would share the user of another client.
        asker.is_staff, asker.is_superuser = user.is_staff, user.is_superuser
        asker.save()
        asker.user_permissions.add(*user.user_permissions.all())
        asker.groups.set(user.groups.all())
        for role in CourseAccessRole.objects.filter(user=user):
            CourseAccessRole.objects.create(user=asker, role=role.role, org=role.org, course_id=role.course_id)
        work(User.objects.get(pk=asker.pk))


@pytest.mark.django_db
@pytest.mark.parametrize("work", [rotate, rotate_the_secret, adopt])
def test_superuser_may_issue_anything(work: Callable[[User], None]) -> None:
    a_client("a group with a permission")

    work(UserFactory(is_superuser=True))


@pytest.mark.django_db
def test_group_permission_counts_group_not() -> None:
    a_client("a permission")
    asker = account("a group with a permission")
    asker.user_permissions.add(permission("view_user"))
    rotate(asker)

    User.objects.get(username="report").groups.add(Group.objects.create(name="another"))
    with pytest.raises(NotAllowed, match="group:another"):
        rotate(asker)


@pytest.mark.django_db
@pytest.mark.parametrize("name", [WORKER, WORKER.lower()])
def test_only_superuser_may_use_retirement_name(name: str) -> None:
    spec = ClientSpec(name="retirement", username=name)
    with pytest.raises(NotAllowed, match="name:retirement"):
        api.provision(spec, authority=person(viewer(is_staff=True), "ann"))
    assert not User.objects.filter(username=name).exists()

    api.provision(spec, authority=person(UserFactory(is_superuser=True), "root"))
    with pytest.raises(NotAllowed, match="name:retirement"):
        api.rotate("retirement", authority=person(viewer(is_staff=True), "ann"))


@pytest.mark.django_db
def test_command_line_operator_is_not_limited() -> None:
    a_client("superuser")

    api.rotate("report", authority=operator("root"))


@pytest.mark.django_db
def test_only_first_missing_rights_are_named() -> None:
    a_client("nothing")
    user = User.objects.get(username="report")
    for number in range(7):
        user.groups.add(Group.objects.create(name=f"group-{number}"))

    with pytest.raises(NotAllowed) as refused:
        rotate(viewer())

    shown = ", ".join(f"group:group-{number}" for number in range(5))
    assert str(refused.value) == (
        f"username: the service user has rights that you do not have: {shown}…. Ask somebody who has them."
    )


@pytest.mark.django_db
def test_only_owner_may_rotate_or_adopt_person() -> None:
    adam = UserFactory(username="person")
    ApplicationFactory(client_id="the-id", user=adam)
    with pytest.raises(NotAllowed, match="username:person"):
        adopt(viewer())

    api.adopt("report", client_id="the-id", authority=operator("root"))

    with pytest.raises(NotAllowed, match="username:person"):
        rotate(viewer(is_staff=True))
    rotate(adam)
