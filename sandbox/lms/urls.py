"""The root URLs of the sandbox, at the LMS's own paths."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import include, path
from drf_yasg import openapi
from drf_yasg.views import get_schema_view
from edx_django_utils.plugins import get_plugin_url_patterns

from lms import rest_api

api_docs = get_schema_view(openapi.Info(title="Open edX API", default_version="v1"), public=True)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("oauth2/", include("openedx.core.djangoapps.oauth_dispatch.urls")),
    path("_o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("api/user/v1/", include("openedx.core.djangoapps.user_api.urls")),
    path("api/enrollment/v1/", include("openedx.core.djangoapps.enrollments.urls")),
    path("api/course_modes/v1/", include("common.djangoapps.course_modes.rest_api.v1.urls")),
    *rest_api.urlpatterns,
    path("survey_report/", include("openedx.features.survey_report.urls")),
    path("api-docs/", api_docs.with_ui("swagger")),
    # A sandbox has no web server in front: serve the admin's files even without DEBUG.
    path("static/<path:path>", serve, {"insecure": True}),
    *get_plugin_url_patterns("lms.djangoapp"),
]
