from __future__ import annotations

from django.urls import path, re_path

from openedx.core.constants import COURSE_ID_PATTERN, USERNAME_PATTERN
from openedx.core.djangoapps.enrollments import views

urlpatterns = [
    re_path(rf"^enrollment/{USERNAME_PATTERN},{COURSE_ID_PATTERN}$", views.EnrollmentView.as_view()),
    re_path(rf"^enrollment/{COURSE_ID_PATTERN}$", views.EnrollmentView.as_view()),
    path("enrollment", views.EnrollmentListView.as_view()),
    re_path(r"^enrollments/?$", views.CourseEnrollmentsApiListView.as_view()),
    re_path(rf"^course/{COURSE_ID_PATTERN}$", views.EnrollmentCourseDetailView.as_view()),
    path("roles/", views.EnrollmentUserRolesView.as_view()),
    path("enrollment_allowed/", views.EnrollmentAllowedView.as_view()),
]
