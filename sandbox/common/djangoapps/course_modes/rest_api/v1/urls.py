from __future__ import annotations

from django.urls import path

from common.djangoapps.course_modes.rest_api.v1.views import CourseModesView

urlpatterns = [path("courses/<str:course_id>/", CourseModesView.as_view())]
