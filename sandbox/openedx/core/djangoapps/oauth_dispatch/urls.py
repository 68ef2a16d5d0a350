from __future__ import annotations

from django.urls import re_path
from oauth2_provider.views import RevokeTokenView

from openedx.core.djangoapps.oauth_dispatch.views import AccessTokenView

urlpatterns = [
    re_path(r"^access_token/?$", AccessTokenView.as_view()),
    re_path(r"^revoke_token/?$", RevokeTokenView.as_view()),
]
