"""Read the roles that parts of the LMS keep for themselves, outside permissions, groups and course roles.

These roles are only seen, never given: a client whose user has one may do what it allows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.apps import apps

from edx_api_provisioning.adapters import authz


class _Source(NamedTuple):
    """A model with one row for each role of each user."""

    right: str
    label: str
    user: str
    role: str
    context: str
    ordinary: tuple[str, ...] = ()
    """Roles that the LMS gives to everybody, and which open nothing."""


_SOURCES = (
    # openedx/core/djangoapps/django_comment_common/models.py: a forum Administrator passes checks of the discussion
    # API that CourseAccessRole knows nothing of.
    _Source("forum_role", "django_comment_common.Role", "users", "name", "course_id", ("Student",)),
    # edx-enterprise, enterprise/models.py
    _Source(
        "enterprise_role",
        "enterprise.SystemWideEnterpriseUserRoleAssignment",
        "user",
        "role__name",
        "enterprise_customer",
    ),
    # openedx/core/djangoapps/system_wide_roles/models.py
    _Source("system_role", "system_wide_roles.SystemWideRoleAssignment", "user", "role__name", ""),
)


def roles_of_users(users: Any) -> dict[Any, frozenset[str]]:
    """Return the roles of users (primary keys, as a list or a queryset) as ``kind:ROLE@CONTEXT``.

    There is one statement for each installed source.
    """
    roles = authz.roles_of_users(users)
    for source in _SOURCES:
        try:
            model = apps.get_model(source.label)
        except LookupError:
            continue
        fields = [source.user, source.role, *([source.context] if source.context else [])]
        rows = model._default_manager.filter(**{f"{source.user}__in": users}).exclude(
            **{f"{source.role}__in": source.ordinary}
        )
        for user, role, *context in rows.values_list(*fields):
            where = f"@{context[0]}" if context and context[0] else ""
            roles[user].add(f"{source.right}:{role}{where}")
    return {user: frozenset(given) for user, given in roles.items()}
