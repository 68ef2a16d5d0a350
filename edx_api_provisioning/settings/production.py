"""As in common: the operator's YAML has replaced the whole dict since common."""

from __future__ import annotations

from edx_api_provisioning.settings.common import plugin_settings

__all__ = ["plugin_settings"]
