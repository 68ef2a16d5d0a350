"""The LMS's own permission classes (openedx/core/lib/api/permissions.py), and its course roles in kind."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q
from edx_rest_framework_extensions.permissions import IsStaff
from opaque_keys.edx.keys import CourseKey
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from common.djangoapps.student.models import CourseAccessRole

STAFF_ROLES = ("staff", "limited_staff", "instructor")


def has_course_role(user: User, course_id: str, roles: tuple[str, ...]) -> bool:
    """Whether the user has one of the roles in the course, or in every course of its organization."""
    where = Q(course_id=course_id) | Q(course_id="", org=CourseKey.from_string(course_id).org)
    return CourseAccessRole.objects.filter(where, user_id=user.pk, role__in=roles).exists()


class HasStaffAccessToCourse(BasePermission):
    """Staff of the site, or of the course by its role (has_access, course_author_access_required)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.is_staff or has_course_role(request.user, view.kwargs["course_id"], STAFF_ROLES)


class IsMasterCourseStaffInstructor(BasePermission):
    """A role in the very course; being staff of the site does not help."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        roles = CourseAccessRole.objects.filter(user_id=request.user.pk, role__in=("staff", "instructor"))
        return roles.filter(course_id=request.GET.get("master_course_id") or None).exists()


class IsStaffOrOwner(IsStaff):
    """Staff, or whom the address or the body names."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        named = (view.kwargs.get("username"), request.data.get("username"))
        return super().has_permission(request, view) or request.user.username in named


class ApiKeyHeaderPermission(BasePermission):
    """A secret of the whole site in a header; whose request it is does not matter."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        key = getattr(settings, "EDX_API_KEY", None)
        return key is not None and request.headers.get("X-Edx-Api-Key") == key
