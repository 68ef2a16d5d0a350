"""Set the defaults again: the operator's YAML has replaced the whole dictionary."""

from __future__ import annotations

from edx_api_provisioning.settings.common import plugin_settings

__all__ = ["plugin_settings"]
