"""More endpoints of the LMS, each with its own permission rule and otherwise minimal.

The sandbox has no course contents, programs or providers: callers with permission get "not found".
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from django.urls import path, re_path
from edx_rest_framework_extensions.auth.jwt.decoder import decode_jwt_filters
from edx_rest_framework_extensions.permissions import (
    JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,
    IsStaff,
    IsSuperuser,
    IsUserInUrl,
    JwtHasScope,
    JwtRestrictedApplication,
    NotJwtRestrictedApplication,
)
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import (
    SAFE_METHODS,
    BasePermission,
    DjangoModelPermissions,
    IsAdminUser,
    IsAuthenticated,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.djangoapps.student.models import CourseEnrollment, UserProfile
from common.djangoapps.student.roles import SupportStaffRole
from edxval.models import Video
from lms import courses_api
from lms.views import AbsentView, EmptyView, JwtView, View
from openedx.core.constants import COURSE_ID_PATTERN, USERNAME_PATTERN
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.lib.api.authentication_lists import AUTHENTICATION
from openedx.core.lib.api.permissions import HasStaffAccessToCourse, IsStaffOrOwner

# Learners


# lms/djangoapps/grades/rest_api/v1/views.py
class CourseGradesView(View):
    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)
    required_scopes = ("grades:read",)

    def get(self, request: Request, course_id: str | None = None) -> Response:
        course = get_object_or_404(CourseOverview, id=course_id or request.GET.get("course_id"))
        enrollments = CourseEnrollment.objects.filter(course_id=course.id)
        if "username" in request.GET:
            enrollments = enrollments.filter(user__username=request.GET["username"])
            if not enrollments.exists():
                raise NotFound
            return Response([self._grade(each) for each in enrollments])
        return Response({"next": None, "previous": None, "results": [self._grade(each) for each in enrollments]})

    def _grade(self, enrollment: CourseEnrollment) -> dict[str, Any]:
        return {
            "username": enrollment.user.username,
            "email": "",
            "course_id": str(enrollment.course_id),
            "passed": False,
            "percent": 0.0,
            "letter_grade": None,
        }


# lms/djangoapps/grades/rest_api/v1/views.py
class CourseGradingPolicy(AbsentView):
    permission_classes = (IsAuthenticated, HasStaffAccessToCourse)


# lms/djangoapps/grades/rest_api/v1/gradebook_views.py
class GradebookView(AbsentView):
    permission_classes = (IsAuthenticated, HasStaffAccessToCourse)


# lms/djangoapps/grades/rest_api/v1/views.py
class SectionGradesBreakdown(JwtView):
    """Takes the Bearer tokens of another package."""

    permission_classes = (IsStaff,)

    def get(self, request: Request) -> Response:
        return Response([])


# lms/djangoapps/certificates/apis/v0/views.py
class CertificatesListView(View):
    """No certificate is public.

    A user without a profile causes an error, as in the LMS.
    """

    permission_classes = (IsAuthenticated & (IsStaff | IsUserInUrl),)

    def get(self, request: Request, username: str) -> Response:
        UserProfile.objects.get(user=get_object_or_404(User, username=username))
        return Response([])


# lms/djangoapps/certificates/apis/v0/views.py
class CertificatesDetailView(AbsentView):
    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)
    required_scopes = ("certificates:read",)


# completion/api/v1/views.py of edx-completion
class CompletionBatchView(View):
    permission_classes = (IsAuthenticated, IsStaffOrOwner)

    def post(self, request: Request) -> NoReturn:
        raise ValidationError("BlockCompletion.objects.submit_batch_completion should not be called")


# lms/djangoapps/mobile_api/users/views.py
class UserCourseEnrollmentsList(EmptyView):
    permission_classes = (IsAuthenticated, IsUserInUrl)


# lms/djangoapps/learner_home/views.py
class InitializeView(View):
    def get(self, request: Request) -> Response:
        return Response(
            {
                "emailConfirmation": {
                    "isNeeded": False,
                    "sendEmailUrl": request.build_absolute_uri("/api/send_account_activation_email"),
                },
                "enterpriseDashboard": None,
                "platformSettings": {
                    "supportEmail": "support@example.com",
                    "billingEmail": "billing@example.com",
                    "courseSearchUrl": "/courses",
                },
                "courses": [],
                "suggestedCourses": [],
            }
        )


# openedx/core/djangoapps/notifications/views.py
class NotificationCountView(View):
    def get(self, request: Request) -> Response:
        return Response(
            {
                "show_notifications_tray": False,
                "count": 0,
                "count_by_app_name": {"discussion": 0, "updates": 0, "grading": 0},
                "notification_expiry_days": 60,
            }
        )


# Identity providers


# common/djangoapps/third_party_auth/api/views.py
class UserView(View):
    """Staff alone is not sufficient, and 401 is never returned."""

    authentication_classes = AUTHENTICATION
    permission_classes = ()

    def get(self, request: Request, username: str) -> Response:
        if not (request.user.is_superuser or request.user.username == username):
            return Response(status=403)
        return Response({"active": []})


# common/djangoapps/third_party_auth/api/views.py
class ThirdPartyAuthUserStatusView(EmptyView):
    """The identity providers linked to a user."""


class JwtHasTpaProviderFilterForRequestedProvider(BasePermission):
    """common/djangoapps/third_party_auth/api/permissions.py"""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return ["tpa_provider", view.kwargs["provider_id"]] in decode_jwt_filters(request.auth)


# common/djangoapps/third_party_auth/api/views.py, with its TPA_PERMISSIONS
class UserMappingView(AbsentView):
    permission_classes = (
        IsAuthenticated
        & (
            (NotJwtRestrictedApplication & (IsSuperuser | IsStaff))
            | (JwtRestrictedApplication & JwtHasScope & JwtHasTpaProviderFilterForRequestedProvider)
        ),
    )
    required_scopes = ("tpa:read",)


# Operation


# lms/djangoapps/program_enrollments/rest_api/v1/views.py
class ProgramEnrollmentsView(AbsentView):
    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)


# openedx/core/djangoapps/api_admin/api/v1/views.py
class ApiAccessRequestView(View):
    authentication_classes = AUTHENTICATION

    def get(self, request: Request) -> Response:
        return Response({"results": []})


# openedx/core/djangoapps/credit/views.py
class CreditCourseViewSet(EmptyView):
    permission_classes = (IsAdminUser,)


# openedx/core/djangoapps/waffle_utils/views.py
class ToggleStateView(JwtView):
    permission_classes = (IsStaff,)

    def get(self, request: Request) -> Response:
        return Response({"waffle_flags": []})


# organizations/v0/views.py of edx-organizations
class OrganizationsViewSet(JwtView):
    def get(self, request: Request) -> Response:
        return Response({"results": []})


class ReadRestrictedDjangoModelPermissions(DjangoModelPermissions):
    """edxval/views.py of edx-val: viewing needs the change permission."""

    perms_map = {**DjangoModelPermissions.perms_map, "GET": ["%(app_label)s.change_%(model_name)s"]}  # noqa: RUF012


# edxval/views.py of edx-val
class VideoList(JwtView):
    permission_classes = (ReadRestrictedDjangoModelPermissions,)
    queryset = Video.objects.all()

    def get(self, request: Request) -> Response:
        return Response({"results": [*self.queryset.all().values("edx_video_id")]})


class IsAdminOrSupportOrAuthenticatedReadOnly(BasePermission):
    """common/djangoapps/entitlements/rest_api/v1/permissions.py: support is a role outside courses and orgs."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in SAFE_METHODS or request.user.is_staff or SupportStaffRole().has_user(request.user)


# common/djangoapps/entitlements/rest_api/v1/views.py
class EntitlementViewSet(JwtView):
    permission_classes = (IsAuthenticated, IsAdminOrSupportOrAuthenticatedReadOnly)

    def get(self, request: Request) -> Response:
        return Response({"results": []})

    def post(self, request: Request) -> Response:
        return Response(request.data, status=201)


urlpatterns = [
    *courses_api.urlpatterns,
    path("api/grades/v1/courses/", CourseGradesView.as_view()),
    re_path(rf"^api/grades/v1/courses/{COURSE_ID_PATTERN}/$", CourseGradesView.as_view()),
    re_path(rf"^api/grades/v1/policy/courses/{COURSE_ID_PATTERN}/$", CourseGradingPolicy.as_view()),
    re_path(rf"^api/grades/v1/gradebook/{COURSE_ID_PATTERN}/$", GradebookView.as_view()),
    path("api/grades/v1/section_grades_breakdown/", SectionGradesBreakdown.as_view()),
    re_path(rf"^api/certificates/v0/certificates/{USERNAME_PATTERN}/$", CertificatesListView.as_view()),
    re_path(
        rf"^api/certificates/v0/certificates/{USERNAME_PATTERN}/courses/{COURSE_ID_PATTERN}/$",
        CertificatesDetailView.as_view(),
    ),
    path("api/completion/v1/completion-batch", CompletionBatchView.as_view()),
    re_path(rf"^api/mobile/v1/users/{USERNAME_PATTERN}/course_enrollments/$", UserCourseEnrollmentsList.as_view()),
    path("api/learner_home/init/", InitializeView.as_view()),
    path("api/notifications/count/", NotificationCountView.as_view()),
    re_path(rf"^api/third_party_auth/v0/users/{USERNAME_PATTERN}$", UserView.as_view()),
    path("api/third_party_auth/v0/providers/user_status", ThirdPartyAuthUserStatusView.as_view()),
    path("api/third_party_auth/v0/providers/<str:provider_id>/users", UserMappingView.as_view()),
    path("api/program_enrollments/v1/programs/<uuid:program>/enrollments/", ProgramEnrollmentsView.as_view()),
    path("api-admin/api/v1/api_access_request/", ApiAccessRequestView.as_view()),
    path("api/credit/v1/courses/", CreditCourseViewSet.as_view()),
    path("api/toggles/v0/state/", ToggleStateView.as_view()),
    path("api/organizations/v0/organizations/", OrganizationsViewSet.as_view()),
    path("api/val/v0/videos/", VideoList.as_view()),
    path("api/entitlements/v1/entitlements/", EntitlementViewSet.as_view()),
]
