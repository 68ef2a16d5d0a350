from __future__ import annotations

from django.urls import re_path

from common.djangoapps.course_modes.rest_api.v1.views import CourseModesView
from openedx.core.constants import COURSE_ID_PATTERN

urlpatterns = [re_path(rf"^courses/{COURSE_ID_PATTERN}/$", CourseModesView.as_view())]
