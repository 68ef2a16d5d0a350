"""Further end points of the LMS, each with its own rule about who may call it and as little else as possible.

There are no course contents, programs or providers in the sandbox: whoever may ask for one is told that it is absent.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from django.urls import path
from edx_rest_framework_extensions.auth.jwt.decoder import decode_jwt_filters
from edx_rest_framework_extensions.paginators import NamespacedPageNumberPagination
from edx_rest_framework_extensions.permissions import (
    JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,
    IsStaff,
    IsSuperuser,
    IsUserInUrl,
    JwtHasScope,
    JwtRestrictedApplication,
    NotJwtRestrictedApplication,
)
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
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

from common.djangoapps.course_modes.models import CourseMode
from common.djangoapps.student.models import CourseAccessRole, CourseEnrollment
from edxval.models import Video
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.django_comment_common.models import FORUM_ROLES, Role
from openedx.core.lib.api.authentication_lists import AUTHENTICATION, AUTHENTICATION_ALLOW_INACTIVE_USER
from openedx.core.lib.api.permissions import HasStaffAccessToCourse, IsMasterCourseStaffInstructor, IsStaffOrOwner
from openedx.core.lib.api.view_utils import DeveloperErrorViewMixin


class _JwtView(APIView):
    """Has the default authentication classes: no Bearer token opens it."""

    permission_classes: tuple[Any, ...] = (IsAuthenticated,)


class _View(_JwtView):
    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER


class _AbsentView(_View):
    """What is asked for is never there."""

    def get(self, request: Request, **kwargs: str) -> NoReturn:
        raise NotFound

    post = get


class _EmptyView(_View):
    """What is asked for is there, and there is nothing in it."""

    def get(self, request: Request, **kwargs: str) -> Response:
        return Response([])


# Courses


class CourseListView(DeveloperErrorViewMixin, generics.ListAPIView):
    """lms/djangoapps/course_api/views.py: public, and yet a bad token is refused."""

    authentication_classes = AUTHENTICATION_ALLOW_INACTIVE_USER
    permission_classes = ()
    pagination_class = NamespacedPageNumberPagination
    serializer_class = serializers.Serializer

    def get_queryset(self) -> Any:
        """lms/djangoapps/course_api/permissions.py: what others see is for staff, and 401 is never said."""
        username = self.request.GET.get("username", self.request.user.username)
        if username != self.request.user.username and not self.request.user.is_staff:
            raise PermissionDenied
        return []


class CourseDetailView(DeveloperErrorViewMixin, _View):
    """lms/djangoapps/course_api/views.py: public."""

    permission_classes = ()

    def get(self, request: Request, course_id: str) -> Response:
        return Response({"id": get_object_or_404(CourseOverview, id=course_id).id})


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


class CommerceCoursesView(_EmptyView):
    """lms/djangoapps/commerce/api/v1/views.py"""

    authentication_classes = AUTHENTICATION


class CommerceCourseView(_View):
    """lms/djangoapps/commerce/api/v1/views.py: ApiKeyOrModelPermission, without the key."""

    authentication_classes = AUTHENTICATION
    permission_classes = (DjangoModelPermissions,)
    queryset = CourseMode.objects.all()

    def get(self, request: Request, course_id: str) -> Response:
        return Response({"id": get_object_or_404(CourseOverview, id=course_id).id})

    def put(self, request: Request, course_id: str) -> NoReturn:
        raise ValidationError("Course does not exist.")


class CohortsPermission(BasePermission):
    """openedx/core/djangoapps/course_groups/permissions.py, IsStaffOrAdmin"""

    def has_permission(self, request: Request, view: APIView) -> bool:
        roles = Role.objects.filter(users=request.user.pk, course_id=view.kwargs["course_id"], name__in=FORUM_ROLES)
        return request.user.is_staff or (request.method == "GET" and roles.exists())


class CohortsView(_AbsentView):
    """openedx/core/djangoapps/course_groups/views.py"""

    permission_classes = (IsAuthenticated, CohortsPermission)


class CcxListView(_AbsentView):
    """lms/djangoapps/ccx/api/v0/views.py"""

    permission_classes = (IsAuthenticated, IsMasterCourseStaffInstructor)


class CourseDiscountView(_View):
    """openedx/features/discounts/views.py"""

    permission_classes = (IsAdminUser,)

    def get(self, request: Request, user_id: int, course_id: str) -> Response:
        get_object_or_404(User, pk=user_id)
        return Response({"discount_applicable": False})


class InstructorView(_AbsentView):
    """lms/djangoapps/instructor/views/api.py: the course is looked for before anybody asks who wants it."""


class BulkEnrollView(_AbsentView):
    """lms/djangoapps/bulk_enroll/views.py"""

    authentication_classes = AUTHENTICATION
    permission_classes = (IsStaff,)
    http_method_names = ("post",)


# Learners


class CourseGradesView(_View):
    """lms/djangoapps/grades/rest_api/v1/views.py"""

    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)
    required_scopes = ("grades:read",)

    def get(self, request: Request, course_id: str | None = None) -> Response:
        course = get_object_or_404(CourseOverview, id=course_id or request.GET.get("course_id"))
        enrollments = CourseEnrollment.objects.filter(course_id=course.id)
        if "username" in request.GET:
            enrollments = enrollments.filter(user__username=request.GET["username"])
            if not enrollments.exists():
                raise NotFound
        return Response({"results": [{"username": each.user.username, "percent": 0.0} for each in enrollments]})


class CourseGradingPolicyView(_AbsentView):
    """lms/djangoapps/grades/rest_api/v1/views.py"""

    permission_classes = (IsAuthenticated, HasStaffAccessToCourse)


class GradebookView(_AbsentView):
    """lms/djangoapps/grades/rest_api/v1/gradebook_views.py"""

    permission_classes = (IsAuthenticated, HasStaffAccessToCourse)


class SectionGradesBreakdownView(_JwtView):
    """lms/djangoapps/grades/rest_api/v1/views.py: the Bearer tokens that it takes are another package's."""

    permission_classes = (IsStaff,)

    def get(self, request: Request) -> Response:
        return Response([])


class CertificatesListView(_EmptyView):
    """lms/djangoapps/certificates/apis/v0/views.py: nobody has made certificates public."""

    permission_classes = (IsAuthenticated & (IsStaff | IsUserInUrl),)


class CertificatesDetailView(_AbsentView):
    """lms/djangoapps/certificates/apis/v0/views.py"""

    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)
    required_scopes = ("certificates:read",)


class CompletionBatchView(_View):
    """completion/api/v1/views.py of edx-completion"""

    permission_classes = (IsAuthenticated, IsStaffOrOwner)

    def post(self, request: Request) -> NoReturn:
        raise ValidationError("BlockCompletion.objects.submit_batch_completion should not be called")


class CourseEnrollmentsOfUserView(_EmptyView):
    """lms/djangoapps/mobile_api/users/views.py"""

    permission_classes = (IsAuthenticated, IsUserInUrl)


class LearnerHomeView(_EmptyView):
    """lms/djangoapps/learner_home/views.py"""


class NotificationCountView(_View):
    """openedx/core/djangoapps/notifications/views.py"""

    def get(self, request: Request) -> Response:
        return Response({"count": 0})


# Identity providers


class ThirdPartyUserView(_View):
    """common/djangoapps/third_party_auth/api/views.py: being staff is not enough, and 401 is never said."""

    authentication_classes = AUTHENTICATION
    permission_classes = ()

    def get(self, request: Request, username: str) -> Response:
        if not (request.user.is_superuser or request.user.username == username):
            return Response(status=403)
        return Response({"active": []})


class ThirdPartyStatusView(_EmptyView):
    """common/djangoapps/third_party_auth/api/views.py"""


class JwtHasTpaProviderFilterForRequestedProvider(BasePermission):
    """common/djangoapps/third_party_auth/api/permissions.py"""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return ["tpa_provider", view.kwargs["provider_id"]] in decode_jwt_filters(request.auth)


class ThirdPartyUserMappingView(_AbsentView):
    """common/djangoapps/third_party_auth/api/views.py, with its TPA_PERMISSIONS"""

    permission_classes = (
        IsAuthenticated
        & (
            (NotJwtRestrictedApplication & (IsSuperuser | IsStaff))
            | (JwtRestrictedApplication & JwtHasScope & JwtHasTpaProviderFilterForRequestedProvider)
        ),
    )
    required_scopes = ("tpa:read",)


# Operation


class ProgramEnrollmentsView(_AbsentView):
    """lms/djangoapps/program_enrollments/rest_api/v1/views.py"""

    permission_classes = (JWT_RESTRICTED_APPLICATION_OR_USER_ACCESS,)


class ApiAccessRequestView(_View):
    """openedx/core/djangoapps/api_admin/api/v1/views.py"""

    authentication_classes = AUTHENTICATION

    def get(self, request: Request) -> Response:
        return Response({"results": []})


class CreditCoursesView(_EmptyView):
    """openedx/core/djangoapps/credit/views.py"""

    permission_classes = (IsAdminUser,)


class ToggleStateView(_JwtView):
    """openedx/core/djangoapps/waffle_utils/views.py"""

    permission_classes = (IsStaff,)

    def get(self, request: Request) -> Response:
        return Response({"waffle_flags": []})


class OrganizationsView(_JwtView):
    """organizations/v0/views.py of edx-organizations"""

    def get(self, request: Request) -> Response:
        return Response({"results": []})


class ReadRestrictedDjangoModelPermissions(DjangoModelPermissions):
    """edxval/views.py of edx-val: who may not change a thing may not see it either."""

    perms_map = {**DjangoModelPermissions.perms_map, "GET": ["%(app_label)s.change_%(model_name)s"]}  # noqa: RUF012


class VideoListView(_JwtView):
    """edxval/views.py of edx-val"""

    permission_classes = (ReadRestrictedDjangoModelPermissions,)
    queryset = Video.objects.all()

    def get(self, request: Request) -> Response:
        return Response({"results": [*self.queryset.all().values("edx_video_id")]})


class IsAdminOrSupportOrAuthenticatedReadOnly(BasePermission):
    """common/djangoapps/entitlements/rest_api/v1/permissions.py: support is a role in no course and no organization."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        support = CourseAccessRole.objects.filter(user_id=request.user.pk, role="support", org="", course_id="")
        return request.method in SAFE_METHODS or request.user.is_staff or support.exists()


class EntitlementsView(_JwtView):
    """common/djangoapps/entitlements/rest_api/v1/views.py"""

    permission_classes = (IsAuthenticated, IsAdminOrSupportOrAuthenticatedReadOnly)

    def get(self, request: Request) -> Response:
        return Response({"results": []})

    def post(self, request: Request) -> Response:
        return Response(request.data, status=201)


urlpatterns = [
    path("api/courses/v1/courses/", CourseListView.as_view()),
    path("api/courses/v1/courses/<str:course_id>", CourseDetailView.as_view()),
    path("api/courses/v1/course_ids/", CourseIdListView.as_view()),
    path("api/commerce/v1/courses/", CommerceCoursesView.as_view()),
    path("api/commerce/v1/courses/<str:course_id>/", CommerceCourseView.as_view()),
    path("api/cohorts/v1/courses/<str:course_id>/cohorts/", CohortsView.as_view()),
    path("api/ccx/v0/ccx/", CcxListView.as_view()),
    path("api/discounts/user/<int:user_id>/course/<str:course_id>", CourseDiscountView.as_view()),
    path("api/instructor/v1/tasks/<str:course_id>", InstructorView.as_view()),
    path("api/instructor/v1/reports/<str:course_id>", InstructorView.as_view()),
    path("api/bulk_enroll/v1/bulk_enroll", BulkEnrollView.as_view()),
    path("api/grades/v1/courses/", CourseGradesView.as_view()),
    path("api/grades/v1/courses/<str:course_id>/", CourseGradesView.as_view()),
    path("api/grades/v1/policy/courses/<str:course_id>/", CourseGradingPolicyView.as_view()),
    path("api/grades/v1/gradebook/<str:course_id>/", GradebookView.as_view()),
    path("api/grades/v1/section_grades_breakdown/", SectionGradesBreakdownView.as_view()),
    path("api/certificates/v0/certificates/<str:username>/", CertificatesListView.as_view()),
    path("api/certificates/v0/certificates/<str:username>/courses/<str:course_id>/", CertificatesDetailView.as_view()),
    path("api/completion/v1/completion-batch", CompletionBatchView.as_view()),
    path("api/mobile/v1/users/<str:username>/course_enrollments/", CourseEnrollmentsOfUserView.as_view()),
    path("api/learner_home/init/", LearnerHomeView.as_view()),
    path("api/notifications/count/", NotificationCountView.as_view()),
    path("api/third_party_auth/v0/users/<str:username>", ThirdPartyUserView.as_view()),
    path("api/third_party_auth/v0/providers/user_status", ThirdPartyStatusView.as_view()),
    path("api/third_party_auth/v0/providers/<str:provider_id>/users", ThirdPartyUserMappingView.as_view()),
    path("api/program_enrollments/v1/programs/<uuid:program>/enrollments/", ProgramEnrollmentsView.as_view()),
    path("api-admin/api/v1/api_access_request/", ApiAccessRequestView.as_view()),
    path("api/credit/v1/courses/", CreditCoursesView.as_view()),
    path("api/toggles/v0/state/", ToggleStateView.as_view()),
    path("api/organizations/v0/organizations/", OrganizationsView.as_view()),
    path("api/val/v0/videos/", VideoListView.as_view()),
    path("api/entitlements/v1/entitlements/", EntitlementsView.as_view()),
]
