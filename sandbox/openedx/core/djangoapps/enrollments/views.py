"""Enrolments (openedx/core/djangoapps/enrollments/views.py of the LMS)."""

from __future__ import annotations

from django.contrib.auth.models import User
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.djangoapps.student.models import CourseAccessRole, CourseEnrollment
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.lib.api.authentication_lists import AUTHENTICATION_ALLOW_INACTIVE_USER
from openedx.core.lib.api.permissions import STAFF_ROLES
from openedx.core.lib.api.view_utils import DeveloperErrorViewMixin

COLUMNS = ("user__username", "course_id", "mode", "is_active")


class EnrollmentAPIView(DeveloperErrorViewMixin, APIView):
    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes: tuple[type, ...] = (IsAuthenticated,)

    def is_self_or_staff(self, username: str) -> bool:
        return username == self.request.user.username or self.request.user.is_staff

    def check_is_self_or_staff(self, username: str) -> None:
        """Somebody else's enrolment does not exist for a user who is not staff."""
        if not self.is_self_or_staff(username):
            raise NotFound


class CourseEnrollmentsApiListView(EnrollmentAPIView):
    permission_classes = (IsAdminUser,)

    def get(self, request: Request) -> Response:
        return Response({"next": None, "previous": None, "results": [*CourseEnrollment.objects.values(*COLUMNS)]})


class EnrollmentView(EnrollmentAPIView):
    """The enrolment of a user in a course; null if there is none."""

    def get(self, request: Request, course_id: str, username: str | None = None) -> Response:
        username = username or request.user.username
        self.check_is_self_or_staff(username)
        enrollments = CourseEnrollment.objects.filter(user__username=username, course_id=course_id)
        return Response(enrollments.values(*COLUMNS).first())


class EnrollmentListView(EnrollmentAPIView):
    def get(self, request: Request) -> Response:
        """All of somebody's enrolments for staff, those in their own courses for others."""
        username = request.GET.get("user", request.user.username)
        enrollments = CourseEnrollment.objects.filter(user__username=username)
        if not self.is_self_or_staff(username):
            roles = CourseAccessRole.objects.filter(user=request.user, role__in=STAFF_ROLES)
            enrollments = enrollments.filter(course_id__in=roles.values("course_id"))
        return Response([*enrollments.values(*COLUMNS)])

    def post(self, request: Request) -> Response:
        course_id = request.data.get("course_details", {}).get("course_id")
        if not course_id:
            raise ValidationError("Course ID must be specified to create a new enrollment.")
        username = request.data.get("user") or request.user.username
        self.check_is_self_or_staff(username)
        if not CourseOverview.objects.filter(id=course_id).exists():
            raise ValidationError(f"No course '{course_id}' found for enrollment")
        user = User.objects.filter(username=username).first()
        if user is None:
            return Response({"message": f"The user {username} does not exist."}, status=406)
        wanted = {"mode": request.data.get("mode", "audit"), "is_active": request.data.get("is_active", True)}
        CourseEnrollment.objects.update_or_create(user=user, course_id=course_id, defaults=wanted)
        return Response(wanted)


class EnrollmentAllowedView(APIView):
    """Has the default authentication classes: no Bearer token opens it."""

    permission_classes = (IsAdminUser,)

    def get(self, request: Request) -> Response:
        return Response([])


class EnrollmentCourseDetailView(EnrollmentAPIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request, course_id: str) -> Response:
        raise ValidationError(f"No course found for course ID '{course_id}'")


class EnrollmentUserRolesView(EnrollmentAPIView):
    def get(self, request: Request) -> Response:
        roles = request.user.courseaccessrole_set.values("org", "course_id", "role")
        return Response({"roles": [*roles], "is_staff": request.user.is_staff})
