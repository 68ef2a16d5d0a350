"""Test the settings that affect a plugin."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

pytestmark = pytest.mark.versions

# Django's own classes stand in for two of the LMS's, whose extra protection does not affect API calls.
MIDDLEWARE_OF_THE_LMS = {
    "django.contrib.sessions.middleware.SessionMiddleware": (
        "openedx.core.djangoapps.safe_sessions.middleware.SafeSessionMiddleware"
    ),
    "django.contrib.auth.middleware.AuthenticationMiddleware": (
        "openedx.core.djangoapps.cache_toolbox.middleware.CacheBackedAuthenticationMiddleware"
    ),
}


def test_settings_match_recording(contract: dict[str, Any]) -> None:
    recorded = dict(contract["settings"])
    del recorded["MIDDLEWARE"]  # the next test
    actual = {name: getattr(settings, name) for name in recorded}
    oauth2 = dict(actual["OAUTH2_PROVIDER"])
    oauth2.pop(
        "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE", None
    )  # switched on by the environment, unknown to the LMS's toolkit
    oauth2 |= {name: sorted(oauth2[name]) for name in ("SCOPES", "DEFAULT_SCOPES")}
    assert {**actual, "OAUTH2_PROVIDER": oauth2} == recorded


def test_middleware_follows_lms_order(contract: dict[str, Any]) -> None:
    recorded = contract["settings"]["MIDDLEWARE"]
    ours = [MIDDLEWARE_OF_THE_LMS.get(name, name) for name in settings.MIDDLEWARE]
    ours = [name for name in ours if not name.startswith("edx_api_provisioning.")]
    assert ours == [name for name in recorded if name in ours]


def test_request_is_one_transaction() -> None:
    assert settings.DATABASES["default"]["ATOMIC_REQUESTS"] is True


def test_plugin_loads_through_entry_point() -> None:
    assert settings.INSTALLED_APPS.count("edx_api_provisioning.apps.ApiProvisioningConfig") == 1
    assert settings.EDX_API_PROVISIONING["BEARER_AUTHENTICATION"]
