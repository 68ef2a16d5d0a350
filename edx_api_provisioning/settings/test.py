"""Set the defaults for the LMS's tests, which load plugin settings of this name."""

from __future__ import annotations

from edx_api_provisioning.settings.common import plugin_settings

__all__ = ["plugin_settings"]
