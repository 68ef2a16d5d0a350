from __future__ import annotations

from django.urls import path

from openedx.core.djangoapps.enrollments import views

urlpatterns = [
    path("enrollments", views.CourseEnrollmentsApiListView.as_view()),
    path("enrollment", views.EnrollmentListView.as_view()),
    path("enrollment/<str:username>,<str:course_id>", views.EnrollmentView.as_view()),
    path("enrollment/<str:course_id>", views.EnrollmentView.as_view()),
    path("enrollment_allowed/", views.EnrollmentAllowedView.as_view()),
    path("course/<str:course_id>", views.EnrollmentCourseDetailView.as_view()),
    path("roles/", views.EnrollmentUserRolesView.as_view()),
]
