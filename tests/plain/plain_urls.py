"""The token endpoint, and one view that needs a token."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from oauth2_provider.decorators import protected_resource


@protected_resource()
def me(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"username": request.resource_owner.username})


urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("me", me),
    path("provisioning/", include("edx_api_provisioning.rest_api.urls")),
]
