"""What the plugin sets in every LMS: only what the operator has not set."""

from __future__ import annotations

from typing import Any


def plugin_settings(settings: Any) -> None:
    """Called by edx_django_utils.plugins.add_plugins with the LMS's settings module."""
    ours = dict(getattr(settings, "EDX_API_PROVISIONING", {}))
    ours.setdefault("BEARER_AUTHENTICATION", "openedx.core.lib.api.authentication.BearerAuthentication")
    settings.EDX_API_PROVISIONING = ours
