"""The roles that exist (common/djangoapps/student/roles.py of the LMS), and who has them."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import AnonymousUser, User
from opaque_keys.edx.keys import CourseKey

from common.djangoapps.student.models import CourseAccessRole
from openedx.core.toggles import AUTHZ_COURSE_AUTHORING_FLAG as AUTHZ_COURSE_AUTHORING_FLAG

REGISTERED_ACCESS_ROLES: dict[str, type[RoleBase]] = {}
"""Classes by role name. The LMS's admin offers only these names."""

ACCESS_ROLES_INHERITANCE: dict[str, set[str]] = {}
"""For each role, the roles that include it: limited staff pass wherever course staff do."""


class RoleBase:
    """A role in a course, in an organization or on the whole site; the row must match exactly."""

    ROLE: ClassVar[str]

    def __init__(self, org: str = "", course_key: CourseKey | None = None, role: str = "") -> None:
        self.role = role or self.ROLE
        self.org = org
        self.course_key = course_key

    def has_user(self, user: User | AnonymousUser) -> bool:
        """Return whether the user is active and has this role, or one that includes it."""
        if not (user.is_authenticated and user.is_active):
            return False
        names = {self.role, *ACCESS_ROLES_INHERITANCE.get(self.role, ())}
        # Compared in Python, because the database collation may ignore case.
        rows = {*CourseAccessRole.objects.filter(user_id=user.pk).values_list("role", "org", "course_id")}
        return any((name, self.org, self.course_key) in rows for name in names)


def register_access_role(cls: type[RoleBase]) -> type[RoleBase]:
    REGISTERED_ACCESS_ROLES[cls.ROLE] = cls
    if base := getattr(cls, "BASE_ROLE", None):
        ACCESS_ROLES_INHERITANCE.setdefault(base, set()).add(cls.ROLE)
    return cls


class CourseRole(RoleBase):
    def __init__(self, course_key: CourseKey, role: str = "") -> None:
        super().__init__(course_key.org, course_key, role)


class OrgRole(RoleBase):
    def __init__(self, org: str, role: str = "") -> None:
        super().__init__(org, role=role)


@register_access_role
class CourseStaffRole(CourseRole):
    ROLE = "staff"


@register_access_role
class CourseLimitedStaffRole(CourseStaffRole):
    ROLE = "limited_staff"
    BASE_ROLE = "staff"


@register_access_role
class CourseInstructorRole(CourseRole):
    ROLE = "instructor"


@register_access_role
class CourseFinanceAdminRole(CourseRole):
    ROLE = "finance_admin"


@register_access_role
class CourseSalesAdminRole(CourseRole):
    ROLE = "sales_admin"


@register_access_role
class CourseBetaTesterRole(CourseRole):
    ROLE = "beta_testers"


@register_access_role
class LibraryUserRole(CourseRole):
    ROLE = "library_user"


@register_access_role
class CourseDataResearcherRole(CourseRole):
    ROLE = "data_researcher"


class OrgStaffRole(OrgRole):
    ROLE = "staff"


class OrgInstructorRole(OrgRole):
    ROLE = "instructor"


@register_access_role
class OrgContentCreatorRole(OrgRole):
    ROLE = "org_course_creator_group"


class OrgDataResearcherRole(OrgRole):
    ROLE = "data_researcher"


@register_access_role
class CourseCreatorRole(RoleBase):
    ROLE = "course_creator_group"


@register_access_role
class SupportStaffRole(RoleBase):
    ROLE = "support"
