"""Endpoints of the LMS about courses and their teams, each with its own permission rule."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from django.urls import path, re_path
from edx_rest_framework_extensions.paginators import NamespacedPageNumberPagination
from edx_rest_framework_extensions.permissions import IsStaff
from opaque_keys.edx.keys import CourseKey
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.permissions import BasePermission, DjangoModelPermissions, IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.djangoapps.course_modes.models import CourseMode
from common.djangoapps.student.models import CourseAccessRole
from common.djangoapps.student.roles import CourseDataResearcherRole, OrgDataResearcherRole
from lms.views import AbsentView, View
from openedx.core.constants import COURSE_ID_PATTERN
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.django_comment_common.models import FORUM_ROLES, Role
from openedx.core.lib.api.authentication_lists import AUTHENTICATION, AUTHENTICATION_ALLOW_INACTIVE_USER
from openedx.core.lib.api.permissions import IsMasterCourseStaffInstructor, has_staff_access
from openedx.core.lib.api.view_utils import DeveloperErrorViewMixin


# lms/djangoapps/course_api/views.py
class CourseListView(DeveloperErrorViewMixin, generics.ListAPIView):
    """Public, but rejects an invalid token."""

    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes = ()
    pagination_class = NamespacedPageNumberPagination
    serializer_class = serializers.Serializer

    def get_queryset(self) -> Any:
        """lms/djangoapps/course_api/permissions.py: other users' courses need staff, and 401 is never returned."""
        username = self.request.GET.get("username", self.request.user.username)
        if username != self.request.user.username and not self.request.user.is_staff:
            raise PermissionDenied
        return []


# lms/djangoapps/course_api/views.py
class CourseDetailView(DeveloperErrorViewMixin, View):
    """Public."""

    permission_classes = ()

    def get(self, request: Request, course_id: str) -> Response:
        return Response({"id": str(get_object_or_404(CourseOverview, id=course_id).id)})


# lms/djangoapps/course_api/views.py
class CourseIdListView(DeveloperErrorViewMixin, View):
    """Return the courses in which a user has a role."""

    def get(self, request: Request) -> Response:
        username, role = request.GET.get("username"), request.GET.get("role")
        if not username or not role:
            raise ValidationError("username and role are required")
        if username != request.user.username and not request.user.is_staff:
            raise PermissionDenied
        roles = CourseAccessRole.objects.filter(user__username=username, role=role)
        return Response({"results": [str(role.course_id) for role in roles]})


# lms/djangoapps/commerce/api/v1/views.py
class CommerceCourseListView(View):
    """Return the courses that have modes."""

    name = "Course List"
    authentication_classes = AUTHENTICATION

    def get(self, request: Request) -> Response:
        courses: dict[Any, list[CourseMode]] = {}
        for mode in CourseMode.objects.order_by("pk"):
            courses.setdefault(mode.course_id, []).append(mode)
        return Response([self._course(course_id, modes) for course_id, modes in courses.items()])

    def _course(self, course_id: Any, modes: list[CourseMode]) -> dict[str, Any]:
        overview = CourseOverview.objects.filter(id=course_id).first()
        return {
            "id": str(course_id),
            "name": overview.display_name if overview else None,
            "verification_deadline": None,
            "modes": [
                {
                    "name": mode.mode_slug,
                    "currency": mode.currency,
                    "price": mode.min_price,
                    "sku": mode.sku,
                    "bulk_sku": mode.bulk_sku,
                    "expires": mode.expiration_datetime,
                    "android_sku": None,
                    "ios_sku": None,
                }
                for mode in modes
            ],
        }


# lms/djangoapps/commerce/api/v1/views.py
class CourseRetrieveUpdateView(View):
    """ApiKeyOrModelPermission, without the key."""

    authentication_classes = AUTHENTICATION
    permission_classes = (DjangoModelPermissions,)
    queryset = CourseMode.objects.all()

    def get(self, request: Request, course_id: str) -> Response:
        return Response({"id": str(get_object_or_404(CourseOverview, id=course_id).id)})

    def put(self, request: Request, course_id: str) -> NoReturn:
        raise ValidationError("Course does not exist.")


class CohortsPermission(BasePermission):
    """openedx/core/djangoapps/course_groups/permissions.py, IsStaffOrAdmin"""

    def has_permission(self, request: Request, view: APIView) -> bool:
        roles = Role.objects.filter(users=request.user.pk, course_id=view.kwargs["course_id"], name__in=FORUM_ROLES)
        return request.user.is_staff or (request.method == "GET" and roles.exists())


# openedx/core/djangoapps/course_groups/views.py
class CohortHandler(DeveloperErrorViewMixin, AbsentView):
    permission_classes = (IsAuthenticated, CohortsPermission)


# lms/djangoapps/ccx/api/v0/views.py
class CCXListView(AbsentView):
    permission_classes = (IsAuthenticated, IsMasterCourseStaffInstructor)


# openedx/features/discounts/views.py
class CourseUserDiscountWithUserParam(DeveloperErrorViewMixin, View):
    permission_classes = (IsAdminUser,)

    def get(self, request: Request, user_id: int, course_id: str) -> Response:
        get_object_or_404(User, pk=user_id)
        return Response({"discount_applicable": False})


# lms/djangoapps/instructor/views/api.py
class _InstructorView(DeveloperErrorViewMixin, View):
    """Looks up the course before it checks permissions."""

    answer: ClassVar[dict[str, Any]]

    def get(self, request: Request, course_id: str) -> Response:
        course = CourseOverview.objects.filter(id=course_id, is_in_modulestore=True).first()
        if course is None:
            raise NotFound(f"Course not found: {course_id}.")
        if not (request.user.is_active and (request.user.is_superuser or self.is_allowed(request.user, course.id))):
            return Response(status=403)
        return Response(self.answer)

    def is_allowed(self, user: User, course_key: CourseKey) -> bool:
        """Return whether the user is a data researcher of the course or of its organization."""
        roles = (CourseDataResearcherRole(course_key), OrgDataResearcherRole(course_key.org))
        return any(role.has_user(user) for role in roles)


class InstructorTasks(_InstructorView):
    """Open to everyone with a role in the course team (permission instructor.show_tasks)."""

    answer: ClassVar[dict[str, Any]] = {"tasks": []}

    def is_allowed(self, user: User, course_key: CourseKey) -> bool:
        return has_staff_access(user, course_key) or super().is_allowed(user, course_key)


class ReportDownloads(_InstructorView):
    """Open to data researchers and to site staff (permission instructor.research)."""

    answer: ClassVar[dict[str, Any]] = {"downloads": []}

    def is_allowed(self, user: User, course_key: CourseKey) -> bool:
        return user.is_staff or super().is_allowed(user, course_key)


# lms/djangoapps/bulk_enroll/views.py
class BulkEnrollView(AbsentView):
    authentication_classes = AUTHENTICATION
    permission_classes = (IsStaff,)
    http_method_names = ("post",)


urlpatterns = [
    path("api/courses/v1/courses/", CourseListView.as_view()),
    re_path(rf"^api/courses/v1/courses/{COURSE_ID_PATTERN}$", CourseDetailView.as_view()),
    path("api/courses/v1/course_ids/", CourseIdListView.as_view()),
    path("api/commerce/v1/courses/", CommerceCourseListView.as_view()),
    re_path(rf"^api/commerce/v1/courses/{COURSE_ID_PATTERN}/$", CourseRetrieveUpdateView.as_view()),
    re_path(rf"^api/cohorts/v1/courses/{COURSE_ID_PATTERN}/cohorts/$", CohortHandler.as_view()),
    path("api/ccx/v0/ccx/", CCXListView.as_view()),
    re_path(
        rf"^api/discounts/user/(?P<user_id>[0-9]+)/course/{COURSE_ID_PATTERN}$",
        CourseUserDiscountWithUserParam.as_view(),
    ),
    re_path(rf"^api/instructor/v1/tasks/{COURSE_ID_PATTERN}$", InstructorTasks.as_view()),
    re_path(rf"^api/instructor/v1/reports/{COURSE_ID_PATTERN}$", ReportDownloads.as_view()),
    path("api/bulk_enroll/v1/bulk_enroll", BulkEnrollView.as_view()),
]
