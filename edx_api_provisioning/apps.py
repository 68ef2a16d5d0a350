"""Declare the LMS plugin.

The keys are those of edx_django_utils.plugins.constants, written out because plain Django has no edx-django-utils.
Source: https://docs.openedx.org/projects/edx-django-utils/en/latest/plugins/readme.html
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.apps import AppConfig
from django.db.models.signals import post_save
from django.utils.translation import gettext_lazy as _

from edx_api_provisioning import signals  # noqa: F401 - openedx-events looks for the events when it is ready

# Again for "production": the operator's YAML has replaced the whole dictionary.
_SETTINGS = {name: {"relative_path": "settings.common"} for name in ("common", "production", "test")}

_URLS = {"namespace": "edx_api_provisioning", "regex": r"^api/api-provisioning/", "relative_path": "rest_api.urls"}


class ApiProvisioningConfig(AppConfig):
    """The Django app and LMS plugin."""

    name = "edx_api_provisioning"
    verbose_name = _("API provisioning")
    # Set here because the LMS's own DEFAULT_AUTO_FIELD is AutoField.
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and listen to the retirement of accounts and to new access tokens."""
        from edx_api_provisioning import checks  # noqa: F401 - importing it registers the checks
        from edx_api_provisioning.adapters.lms import retirement_signal
        from edx_api_provisioning.models import ACCESS_TOKEN_MODEL

        post_save.connect(_check_token, sender=ACCESS_TOKEN_MODEL, dispatch_uid="edx_api_provisioning")
        if (retirement := retirement_signal()) is not None:
            retirement.connect(_retire, dispatch_uid="edx_api_provisioning")

    plugin_app: ClassVar[dict[str, Any]] = {
        "settings_config": {"lms.djangoapp": _SETTINGS},
        "url_config": {"lms.djangoapp": _URLS},
    }


def _retire(*, user: Any, **_signal: Any) -> None:
    from edx_api_provisioning.api import retire_person  # Importing it takes time that few processes should spend.

    retire_person(user)


def _check_token(**signal: Any) -> None:
    from edx_api_provisioning.adapters.oauth_server import refuse_replaced_secret

    refuse_replaced_secret(**signal)
