"""Read and change role assignments of openedx-authz, which keeps roles of course authors since the release Verawood.

A role with a name in ``CourseAccessRole`` is a right as there (``course_role:staff@COURSE``); any other is
``authz_role:ROLE@SCOPE``. Source: openedx_authz/constants/roles.py; common/djangoapps/student/roles.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.spec import COURSE_KEY


def roles_of_users(users: Any) -> dict[Any, set[str]]:
    """Return the roles of users (primary keys, as a list or a queryset) as rights, with two statements."""
    found: dict[Any, set[str]] = defaultdict(set)
    if not apps.is_installed("openedx_authz"):
        return found
    model: Any = get_user_model()
    names = model._default_manager.filter(pk__in=users).values_list(model.USERNAME_FIELD, "pk")
    keys = {f"user^{name}": pk for name, pk in names}
    course_roles = {role: name for name, role in _equivalents().items()}
    assignments = apps.get_model("casbin_adapter", "CasbinRule").objects.filter(ptype="g", v0__in=list(keys))
    for user, role, scope in assignments.values_list("v0", "v1", "v2"):
        if user in keys:  # MySQL ignores case.
            role, scope = role.partition("^")[2], scope.partition("^")[2]
            found[keys[user]].add(_right(course_roles.get(role), role, scope))
    return found


def _right(course_role: str | None, role: str, scope: str) -> str:
    # A role for all courses of an organization has the scope course-v1:ORG+*.
    org = scope.removeprefix("course-v1:").removesuffix("+*") if scope.startswith("course-v1:") else ""
    where = scope if COURSE_KEY.fullmatch(scope) else org
    return f"course_role:{course_role}@{where}" if course_role and where else f"authz_role:{role}@{scope}"


def _equivalents() -> dict[str, str]:
    """Return the roles of openedx-authz by the names of course roles; none before the release Verawood."""
    return getattr(import_module("openedx_authz.constants.roles"), "LEGACY_COURSE_ROLE_EQUIVALENCES", {})


def keeps(right: str) -> bool:
    """Return True if new assignments of this course role belong to openedx-authz, by the flag of the LMS."""
    role, _at, course = right.partition(":")[2].partition("@")
    if not (apps.is_installed("openedx_authz") and COURSE_KEY.fullmatch(course) and role in _equivalents()):
        return False
    flag = getattr(import_module(f"{apps.get_app_config('student').name}.roles"), "AUTHZ_COURSE_AUTHORING_FLAG", None)
    key = import_string("opaque_keys.edx.keys.CourseKey").from_string(course)
    return flag is not None and bool(flag.is_enabled(key))


def assign(user: Any, right: str) -> None:
    """Assign a course role; raise InvalidSpec if openedx-authz has no such course."""
    try:
        _call("assign_role_to_user_in_scope", user, right)
    except ObjectDoesNotExist:
        course = right.partition("@")[2]
        raise InvalidSpec(_("openedx-authz has no course %s.") % course, field="course_roles") from None


def unassign(user: Any, rights: Iterable[str]) -> None:
    """Remove roles that :func:`roles_of_users` returned."""
    for right in sorted(rights):
        _call("unassign_role_from_user", user, right)


def _call(name: str, user: Any, right: str) -> None:
    role, _at, scope = right.partition(":")[2].partition("@")
    if right.startswith("course_role:"):
        role = _equivalents().get(role, "")
        scope = scope if COURSE_KEY.fullmatch(scope) else f"course-v1:{scope}+*"
    if role:
        import_string(f"openedx_authz.api.{name}")(user.get_username(), role, scope)
        # This process has its policies in memory: read them again, also after a rollback.
        import_string("openedx_authz.engine.enforcer.AuthzEnforcer")._last_policy_loaded_version = None
