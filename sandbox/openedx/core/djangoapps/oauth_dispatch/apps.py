from __future__ import annotations

from django.apps import AppConfig


class OAuthDispatchAppConfig(AppConfig):
    # No ready(): nothing here may import dot_overrides.validators (see there).
    name = "openedx.core.djangoapps.oauth_dispatch"
