"""Set defaults for the LMS where the operator has set nothing."""

from __future__ import annotations

from typing import Any


def plugin_settings(settings: Any) -> None:
    """Complete the LMS's settings module; called by edx_django_utils.plugins.add_plugins."""
    ours = getattr(settings, "EDX_API_PROVISIONING", None) or {}
    if isinstance(ours, dict):  # A system check reports anything else; the LMS has to start.
        bearer = "openedx.core.lib.api.authentication.BearerAuthentication"
        settings.EDX_API_PROVISIONING = {"BEARER_AUTHENTICATION": bearer, **ours}
    middleware = "edx_api_provisioning.middleware.LastUseMiddleware"
    if middleware not in settings.MIDDLEWARE:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
