"""Enrollments (openedx/core/djangoapps/enrollments/views.py of the LMS)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import User
from opaque_keys import InvalidKeyError
from opaque_keys.edx.keys import CourseKey
from rest_framework import generics
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from common.djangoapps.student.models import CourseEnrollment
from common.djangoapps.student.roles import CourseInstructorRole, CourseStaffRole
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.enrollments.serializers import (
    course_details,
    enrollment_row,
    enrollment_with_course,
    modes_of,
)
from openedx.core.lib.api.authentication_lists import AUTHENTICATION_ALLOW_INACTIVE_USER
from openedx.core.lib.api.view_utils import DeveloperErrorViewMixin


class EnrollmentUserThrottle(UserRateThrottle):
    """Limit staff and superusers to three times the rate of others."""

    THROTTLE_RATES: ClassVar[dict[str, str]] = {"user": "40/minute", "staff": "120/minute"}

    def allow_request(self, request: Request, view: APIView) -> bool:
        if request.user.is_authenticated and (request.user.is_staff or request.user.is_superuser):
            self.scope = "staff"
            self.rate = self.get_rate()
            self.num_requests, self.duration = self.parse_rate(self.rate)
        return super().allow_request(request, view)


class _View(APIView):
    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes: tuple[type, ...] = (IsAuthenticated,)
    throttle_classes = (EnrollmentUserThrottle,)

    def is_self_or_staff(self, username: str) -> bool:
        return username == self.request.user.username or self.request.user.is_staff


class EnrollmentsPagination(CursorPagination):
    page_size = 100
    page_size_query_param = "page_size"
    max_page_size = 100
    page_query_param = "page"


class EnrollmentRowSerializer(BaseSerializer):
    def to_representation(self, instance: CourseEnrollment) -> dict[str, Any]:
        return enrollment_row(instance)


class CourseEnrollmentsApiListView(DeveloperErrorViewMixin, generics.ListAPIView):
    """All enrollments, or those of some users or of one course."""

    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes = (IsAdminUser,)
    throttle_classes = (EnrollmentUserThrottle,)
    serializer_class = EnrollmentRowSerializer
    pagination_class = EnrollmentsPagination

    def get_queryset(self) -> Any:
        asked = self.request.query_params
        enrollments = CourseEnrollment.objects.select_related("user")
        if asked.get("course_id"):
            enrollments = enrollments.filter(course_id=asked["course_id"])
        if asked.get("username"):
            enrollments = enrollments.filter(user__username__in=asked["username"].split(","))
        if asked.get("email"):
            enrollments = enrollments.filter(user__email__in=asked["email"].split(","))
        return enrollments


class EnrollmentView(_View):
    """The enrollment of a user in a course, or null."""

    def get(self, request: Request, course_id: str, username: str | None = None) -> Response:
        username = username or request.user.username
        # A user who is not staff cannot see other users' enrollments.
        if not self.is_self_or_staff(username):
            return Response(status=404)
        enrollment = CourseEnrollment.objects.filter(user__username=username, course_id=course_id).first()
        return Response(enrollment and enrollment_with_course(enrollment))


class EnrollmentListView(_View):
    """The enrollments of one user."""

    def get(self, request: Request) -> Response:
        """Return all of a user's enrollments to staff, and those in their own courses to others."""
        username = request.GET.get("user", request.user.username)
        enrollments = CourseEnrollment.objects.filter(user__username=username, is_active=True).order_by("created")
        rows = [enrollment for enrollment in map(enrollment_with_course, enrollments) if enrollment["course_details"]]
        if not self.is_self_or_staff(username):
            rows = [row for row in rows if self._is_team_member(row["course_details"]["course_id"])]
        return Response(rows)

    def _is_team_member(self, course_id: str) -> bool:
        course_key = CourseKey.from_string(course_id)
        return any(role(course_key).has_user(self.request.user) for role in (CourseStaffRole, CourseInstructorRole))

    def post(self, request: Request) -> Response:
        course_id = request.data.get("course_details", {}).get("course_id")
        username = request.data.get("user") or request.user.username
        mode, is_active = request.data.get("mode"), request.data.get("is_active")
        if not course_id:
            return _refusal(400, "Course ID must be specified to create a new enrollment.")
        try:
            course = CourseOverview.objects.filter(id=course_id).first()
        except InvalidKeyError:
            return _refusal(400, f"No course '{course_id}' found for enrollment")
        if not self.is_self_or_staff(username):
            return Response(status=404)
        if mode not in ("audit", "honor", None) and not request.user.is_staff:
            return _refusal(403, f"User does not have permission to create enrollment with mode [{mode}].")
        user = User.objects.filter(username=username).first()
        if user is None:
            return _refusal(406, f"The user {username} does not exist.")
        if is_active is not None and not isinstance(is_active, bool):
            return _refusal(400, f"'{is_active}' is an invalid enrollment activation status.")
        if course is None:
            return _refusal(400, f"No course '{course_id}' found for enrollment")
        if mode is not None and mode not in {each.mode_slug for each in modes_of(course)}:
            message = f"The [{mode}] course mode is expired or otherwise unavailable for course run [{course_id}]."
            return Response({"message": message, "course_details": course_details(course)}, status=400)
        return Response(enrollment_with_course(self._enroll(user, course, mode, is_active)))

    def _enroll(self, user: User, course: CourseOverview, mode: str | None, is_active: bool | None) -> CourseEnrollment:
        """Enroll the user. Only staff may end an enrollment; any other request reactivates an ended one."""
        enrollment, created = CourseEnrollment.objects.get_or_create(
            user=user, course_id=course.id, defaults={"mode": mode or "audit"}
        )
        if not created:
            enrollment.is_active = is_active is not False or not self.request.user.is_staff
            enrollment.mode = mode or enrollment.mode
            enrollment.save()
        return enrollment


class EnrollmentAllowedView(APIView):
    """Has the default authentication classes: Bearer tokens are not accepted."""

    permission_classes = (IsAdminUser,)
    throttle_classes = (EnrollmentUserThrottle,)

    def get(self, request: Request) -> Response:
        return Response([])


class EnrollmentCourseDetailView(APIView):
    """The public data of a course."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = (EnrollmentUserThrottle,)

    def get(self, request: Request, course_id: str) -> Response:
        course = CourseOverview.objects.filter(id=course_id).first()
        if course is None:
            return _refusal(400, f"No course found for course ID '{course_id}'")
        return Response(course_details(course))


class EnrollmentUserRolesView(_View):
    """The roles of the requesting user. A role without a course is in the course `None`."""

    def get(self, request: Request) -> Response:
        roles = [
            {"org": role.org, "course_id": str(role.course_id), "role": role.role}
            for role in request.user.courseaccessrole_set.all()
            if request.GET.get("course_id") in (None, "", str(role.course_id))
        ]
        return Response({"roles": roles, "is_staff": request.user.is_staff})


def _refusal(status: int, message: str) -> Response:
    return Response({"message": message}, status=status)
