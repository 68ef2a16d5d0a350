"""The token endpoint (openedx/core/djangoapps/oauth_dispatch/views.py of the LMS)."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from oauth2_provider.views import TokenView

from openedx.core.djangoapps.oauth_dispatch.api import find_access_token
from openedx.core.djangoapps.oauth_dispatch.jwt import LIFETIME, create_jwt


class AccessTokenView(TokenView):
    """Issue an opaque token, or on request the equivalent JWT."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().post(request, *args, **kwargs)
        wanted = request.POST.get("token_type", request.headers.get("X-Token-Type", ""))
        if response.status_code == 200 and wanted.lower() == "jwt":
            response.content = json.dumps(self._jwt(request, json.loads(response.content))).encode()
        return response

    def _jwt(self, request: HttpRequest, issued: dict[str, Any]) -> dict[str, Any]:
        asymmetric = request.POST.get("asymmetric_jwt", "").lower() == "true"
        token = create_jwt(find_access_token(issued["access_token"]), asymmetric=asymmetric)
        return {**issued, "access_token": token, "token_type": "JWT", "expires_in": LIFETIME}
