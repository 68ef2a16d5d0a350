"""The LMS's own permission classes (openedx/core/lib/api/permissions.py), and its checks of course roles."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.http import Http404
from edx_rest_framework_extensions.permissions import IsStaff
from opaque_keys import InvalidKeyError
from opaque_keys.edx.keys import CourseKey
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from common.djangoapps.student.roles import CourseInstructorRole, CourseStaffRole, OrgInstructorRole, OrgStaffRole


def has_staff_access(user: User | AnonymousUser, course_key: CourseKey) -> bool:
    """Return whether `has_access(user, "staff", course)` of lms/djangoapps/courseware/access.py grants access."""
    roles = (
        CourseStaffRole(course_key),
        OrgStaffRole(course_key.org),
        CourseInstructorRole(course_key),
        OrgInstructorRole(course_key.org),
    )
    return user.is_staff or any(role.has_user(user) for role in roles)


class HasStaffAccessToCourse(BasePermission):
    """Staff of the site, or of the course by its role (has_access, course_author_access_required)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return has_staff_access(request.user, CourseKey.from_string(view.kwargs["course_id"]))


class IsMasterCourseStaffInstructor(BasePermission):
    """A role in this course; site staff or a role in the organization is not sufficient."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        course_id = request.GET.get("master_course_id") or request.data.get("master_course_id")
        if course_id is None:
            return False
        try:
            course_key = CourseKey.from_string(course_id)
        except InvalidKeyError:
            raise Http404 from None
        return any(role(course_key).has_user(request.user) for role in (CourseInstructorRole, CourseStaffRole))


class IsStaffOrOwner(IsStaff):
    """Staff, or the user named in the query, the body or the URL."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        data = request.data
        named = (request.GET.get("username"), data.get("username"), data.get("user"), view.kwargs.get("username"))
        return super().has_permission(request, view) or request.user.username in named


class ApiKeyHeaderPermission(BasePermission):
    """A site-wide secret in a header; the user does not matter."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        key = getattr(settings, "EDX_API_KEY", None)
        return key is not None and request.headers.get("X-Edx-Api-Key") == key
