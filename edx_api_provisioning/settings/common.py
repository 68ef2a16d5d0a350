"""Set defaults for the LMS where the operator has set nothing."""

from __future__ import annotations

from typing import Any

LMS_DEFAULTS: dict[str, Any] = {
    "BEARER_AUTHENTICATION": "openedx.core.lib.api.authentication.BearerAuthentication",
    "TOKEN_PATH": "/oauth2/access_token",
    "API_DOCS_PATH": "/api-docs/",
    "ME_PATH": "/api/user/v1/me",
    "REST_API_BEARER": False,
}


def plugin_settings(settings: Any) -> None:
    """Complete the LMS's settings module; called by edx_django_utils.plugins.add_plugins."""
    ours = getattr(settings, "EDX_API_PROVISIONING", None) or {}
    if isinstance(ours, dict):  # A system check reports anything else; the LMS has to start.
        settings.EDX_API_PROVISIONING = {**LMS_DEFAULTS, **ours}
    middleware = "edx_api_provisioning.middleware.LastUseMiddleware"
    if middleware not in settings.MIDDLEWARE:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
