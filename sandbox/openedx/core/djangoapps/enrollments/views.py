"""Enrolments (openedx/core/djangoapps/enrollments/views.py of the LMS). Without courses there are none."""

from __future__ import annotations

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openedx.core.lib.api.authentication import AUTHENTICATION_ALLOW_INACTIVE_USER
from openedx.core.lib.api.view_utils import DeveloperErrorViewMixin


class EnrollmentAPIView(DeveloperErrorViewMixin, APIView):
    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes: tuple[type, ...] = (IsAuthenticated,)

    def check_is_self_or_staff(self, username: str) -> None:
        """Somebody else's enrolment does not exist for a user who is not staff."""
        if username != self.request.user.username and not self.request.user.is_staff:
            raise NotFound


class CourseEnrollmentsApiListView(EnrollmentAPIView):
    permission_classes = (IsAdminUser,)

    def get(self, request: Request) -> Response:
        return Response({"next": None, "previous": None, "results": []})


class EnrollmentView(EnrollmentAPIView):
    """The enrolment of a user in a course: null, since there is none."""

    def get(self, request: Request, course_id: str, username: str | None = None) -> Response:
        self.check_is_self_or_staff(username or request.user.username)
        return Response(None)


class EnrollmentListView(EnrollmentAPIView):
    def get(self, request: Request) -> Response:
        return Response([])

    def post(self, request: Request) -> Response:
        course_id = request.data.get("course_details", {}).get("course_id")
        if not course_id:
            raise ValidationError("Course ID must be specified to create a new enrollment.")
        self.check_is_self_or_staff(request.data.get("user") or request.user.username)
        raise ValidationError(f"No course '{course_id}' found for enrollment")


class EnrollmentCourseDetailView(EnrollmentAPIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request, course_id: str) -> Response:
        raise ValidationError(f"No course found for course ID '{course_id}'")


class EnrollmentUserRolesView(EnrollmentAPIView):
    def get(self, request: Request) -> Response:
        roles = request.user.courseaccessrole_set.values("org", "course_id", "role")
        return Response({"roles": [*roles], "is_staff": request.user.is_staff})
