"""Rights as they lie in the database: those of a user, and what the LMS lets an application ask for.

A right is a string, ``kind:value``: ``permission:course_modes.change_coursemode``, ``group:name``,
``course_role:staff@course-v1:edX+DemoX+2026``, ``course_role:staff@edX`` (every course of an organization),
``global_role:support``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.utils.translation import gettext as _

from edx_api_provisioning import lms
from edx_api_provisioning.exceptions import InvalidSpec


def user_rights(user: Any) -> frozenset[str]:
    """The rights that were given to the user itself; not what its groups bring."""
    return rights_of_users([user])[user.pk]


def rights_of_users(users: Collection[Any]) -> dict[Any, frozenset[str]]:
    """The rights that were given to each user itself, by primary key; in as many statements for many as for one."""
    rights: dict[Any, set[str]] = {user.pk: set() for user in users}
    if not rights:
        return {}
    permissions = Permission.objects.filter(user__in=rights)
    for pk, app_label, codename in permissions.values_list("user__pk", "content_type__app_label", "codename"):
        rights[pk].add(f"permission:{app_label}.{codename}")
    for pk, name in Group.objects.filter(user__in=rights).values_list("user__pk", "name"):
        rights[pk].add(f"group:{name}")
    roles = lms.course_roles(rights)
    return {pk: frozenset(given) | roles.get(pk, frozenset()) for pk, given in rights.items()}


def require_known(rights: Iterable[str]) -> None:
    """Whether the site has what the rights name.

    Raises:
        InvalidSpec: if it has no such permission, group or course roles at all.
    """
    for right in sorted(rights):
        kind, _colon, value = right.partition(":")
        if kind == "permission" and not _permissions(value):
            raise InvalidSpec(_("this site has no permission %s.") % value, field="permissions")
        if kind == "group" and not _groups(value):
            raise InvalidSpec(_("this site has no group %s.") % value, field="groups")
        if kind.endswith("_role") and not lms.has_course_roles():
            raise InvalidSpec(_("this site has no course access roles (student.CourseAccessRole)."), field=f"{kind}s")


def change_user_rights(user: Any, *, add: frozenset[str], remove: frozenset[str]) -> None:
    """Give the user some rights and take others; receivers of the site run where a row is made or deleted."""
    for kind, manager, rows in (
        ("permission", user.user_permissions, _permissions),
        ("group", user.groups, _groups),
    ):
        manager.remove(*[row for value in _values(kind, remove) for row in rows(value)])
        manager.add(*[row for value in _values(kind, add) for row in rows(value)])
    lms.change_course_roles(
        user,
        add=frozenset(right for right in add if "_role:" in right),
        remove=frozenset(right for right in remove if "_role:" in right),
    )


def _values(kind: str, rights: frozenset[str]) -> list[str]:
    return [right.partition(":")[2] for right in sorted(rights) if right.startswith(f"{kind}:")]


def _permissions(value: str) -> list[Permission]:
    app_label, _dot, codename = value.partition(".")
    found = Permission.objects.filter(content_type__app_label=app_label, codename=codename)
    # MySQL takes another spelling for the same.
    return [row for row in found.select_related("content_type") if _permission_name(row) == value]


def _permission_name(row: Permission) -> str:
    return f"{row.content_type.app_label}.{row.codename}"


def _groups(value: str) -> list[Group]:
    return [row for row in Group.objects.filter(name=value) if row.name == value]
