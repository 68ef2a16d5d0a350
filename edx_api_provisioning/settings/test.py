"""As in common: the LMS's test settings ask for it by name."""

from __future__ import annotations

from edx_api_provisioning.settings.common import plugin_settings

__all__ = ["plugin_settings"]
