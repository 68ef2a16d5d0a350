"""Source: openedx/core/djangoapps/oauth_dispatch/scopes.py of the LMS."""

from __future__ import annotations

from typing import Any

from oauth2_provider.scopes import SettingsScopes

from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess


class ApplicationModelScopes(SettingsScopes):
    def get_available_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        """Return the default scopes, and those of ApplicationAccess that the settings define."""
        access = ApplicationAccess.of(application) if application else None
        extra = [scope for scope in access.scopes if scope in self.get_all_scopes()] if access else []
        return list(dict.fromkeys([*self.get_default_scopes(application), *extra]))
