"""Route the versions of the API. The LMS includes this at ``api/api-provisioning/``; see apps.py."""

from __future__ import annotations

from django.urls import include, path

app_name = "edx_api_provisioning"
urlpatterns = [path("v1/", include("edx_api_provisioning.rest_api.v1.urls"))]
