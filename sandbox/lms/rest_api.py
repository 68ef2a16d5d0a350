"""Further end points of the LMS, each with its own rule about who may call it and as little else as possible.

There are no courses, programs or grades in the sandbox: whoever may ask for one is told that it is not there.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.urls import path
from edx_rest_framework_extensions.paginators import NamespacedPageNumberPagination
from edx_rest_framework_extensions.permissions import JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS, IsStaff
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.djangoapps.student.models import CourseAccessRole
from openedx.core.lib.api.authentication import AUTHENTICATION, AUTHENTICATION_ALLOW_INACTIVE_USER
from openedx.core.lib.api.view_utils import DeveloperErrorViewMixin


class HasStaffAccessToCourse(BasePermission):
    """Global staff, or a role that gives staff rights in the course."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.is_staff or (
            CourseAccessRole.objects.filter(
                user=request.user, course_id=view.kwargs["course_id"], role__in=("staff", "instructor")
            ).exists()
        )


class _View(APIView):
    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes: tuple[Any, ...] = (IsAuthenticated,)


class _AbsentView(_View):
    """What is asked for is never there."""

    def get(self, request: Request, **kwargs: str) -> NoReturn:
        raise NotFound


class CourseListView(DeveloperErrorViewMixin, generics.ListAPIView):
    """lms/djangoapps/course_api/views.py: public, and yet a bad token is refused."""

    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes = ()
    pagination_class = NamespacedPageNumberPagination
    serializer_class = serializers.Serializer

    def get_queryset(self) -> Any:
        return []


class CourseIdListView(DeveloperErrorViewMixin, _View):
    """lms/djangoapps/course_api/views.py: the courses in which a user has a role."""

    def get(self, request: Request) -> Response:
        username, role = request.GET.get("username"), request.GET.get("role")
        if not username or not role:
            raise ValidationError("username and role are required")
        if username != request.user.username and not request.user.is_staff:
            raise PermissionDenied
        roles = CourseAccessRole.objects.filter(user__username=username, role=role)
        return Response({"results": [*roles.values_list("course_id", flat=True)]})


class BulkEnrollView(_View):
    """lms/djangoapps/bulk_enroll/views.py"""

    authentication_classes = AUTHENTICATION
    permission_classes = (IsStaff,)

    def post(self, request: Request) -> NoReturn:
        raise NotFound


class CourseGradesView(_AbsentView):
    """lms/djangoapps/grades/rest_api/v1/views.py"""

    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)
    required_scopes = ("grades:read",)


class CourseGradingPolicyView(_AbsentView):
    """lms/djangoapps/grades/rest_api/v1/views.py"""

    permission_classes = (IsAuthenticated, HasStaffAccessToCourse)


class CertificatesListView(_View):
    """lms/djangoapps/certificates/apis/v0/views.py"""

    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)
    required_scopes = ("certificates:read",)

    def get(self, request: Request, username: str) -> Response:
        return Response([])


class ThirdPartyUserView(_View):
    """common/djangoapps/third_party_auth/api/views.py: being staff is not enough, and 401 is never said."""

    authentication_classes = AUTHENTICATION
    permission_classes = ()

    def get(self, request: Request, username: str) -> Response:
        if not (request.user.is_superuser or request.user.username == username):
            return Response(status=403)
        return Response({"active": []})


class ThirdPartyStatusView(_View):
    """common/djangoapps/third_party_auth/api/views.py"""

    def get(self, request: Request) -> Response:
        return Response([])


class CommerceCoursesView(_View):
    """lms/djangoapps/commerce/api/v1/views.py"""

    authentication_classes = AUTHENTICATION

    def get(self, request: Request) -> Response:
        return Response([])


class CohortsView(_AbsentView):
    """openedx/core/djangoapps/course_groups/views.py"""

    permission_classes = (IsAuthenticated, IsStaff)


class ProgramEnrollmentsView(_AbsentView):
    """lms/djangoapps/program_enrollments/rest_api/v1/views.py"""

    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)


class ApiAccessRequestView(_View):
    """openedx/core/djangoapps/api_admin/api/v1/views.py"""

    authentication_classes = AUTHENTICATION

    def get(self, request: Request) -> Response:
        return Response({"results": []})


class NotificationCountView(_View):
    """openedx/core/djangoapps/notifications/views.py"""

    def get(self, request: Request) -> Response:
        return Response({"count": 0})


urlpatterns = [
    path("api/courses/v1/courses/", CourseListView.as_view()),
    path("api/courses/v1/course_ids/", CourseIdListView.as_view()),
    path("api/bulk_enroll/v1/bulk_enroll", BulkEnrollView.as_view()),
    path("api/grades/v1/courses/", CourseGradesView.as_view()),
    path("api/grades/v1/courses/<str:course_id>/", CourseGradesView.as_view()),
    path("api/grades/v1/policy/courses/<str:course_id>/", CourseGradingPolicyView.as_view()),
    path("api/certificates/v0/certificates/<str:username>/", CertificatesListView.as_view()),
    path("api/third_party_auth/v0/users/<str:username>", ThirdPartyUserView.as_view()),
    path("api/third_party_auth/v0/providers/user_status", ThirdPartyStatusView.as_view()),
    path("api/commerce/v1/courses/", CommerceCoursesView.as_view()),
    path("api/cohorts/v1/courses/<str:course_id>/cohorts/", CohortsView.as_view()),
    path("api/program_enrollments/v1/programs/<uuid:program>/enrollments/", ProgramEnrollmentsView.as_view()),
    path("api-admin/api/v1/api_access_request/", ApiAccessRequestView.as_view()),
    path("api/notifications/count/", NotificationCountView.as_view()),
]
