"""Settings: the operator's value or the default, read at every call."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from edx_api_provisioning import conf
from edx_api_provisioning.apps import ApiProvisioningConfig

pytestmark = pytest.mark.versions


def test_every_setting_has_a_default_where_the_operator_sets_nothing(settings: Any) -> None:
    del settings.EDX_API_PROVISIONING

    assert {name: conf.get(name) for name in conf.DEFAULTS} == conf.DEFAULTS


def test_what_the_operator_sets_is_taken_and_the_rest_stays(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {"TOKEN_PREFIX": "acme_"}

    assert conf.get("TOKEN_PREFIX") == "acme_"
    assert conf.get("TOKEN_PATH") == "/oauth2/access_token"


def test_a_setting_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        conf.get("TOKEN_LIFETIMES")


def test_a_token_lives_365_days_and_at_most_730_if_nothing_is_set() -> None:
    assert conf.lifetime("TOKEN_LIFETIME") == timedelta(days=365)
    assert conf.lifetime("MAX_TOKEN_LIFETIME") == timedelta(days=730)


@pytest.mark.parametrize("value", [timedelta(days=90), "90d", "P90D"], ids=str)
def test_a_time_span_is_set_as_a_timedelta_or_as_text(settings: Any, value: object) -> None:
    settings.EDX_API_PROVISIONING = {"TOKEN_LIFETIME": value}

    assert conf.lifetime("TOKEN_LIFETIME") == timedelta(days=90)


@pytest.mark.parametrize("value", [timedelta(0), timedelta(days=-1), 90, "90", "soon", None], ids=str)
def test_a_time_span_that_is_none_is_a_wrong_configuration(settings: Any, value: object) -> None:
    settings.EDX_API_PROVISIONING = {"MAX_TOKEN_LIFETIME": value}

    with pytest.raises(ImproperlyConfigured, match=r"EDX_API_PROVISIONING.'MAX_TOKEN_LIFETIME'.: .*90d"):
        conf.lifetime("MAX_TOKEN_LIFETIME")


def test_a_limit_may_be_none(settings: Any) -> None:
    assert conf.optional_lifetime("MAX_SECRET_AGE") is None

    settings.EDX_API_PROVISIONING = {"MAX_SECRET_AGE": "180d"}
    assert conf.optional_lifetime("MAX_SECRET_AGE") == timedelta(days=180)


@pytest.mark.parametrize(
    ("lms_root_url", "root_url", "expected"),
    [
        ("https://lms.example.org", None, "https://lms.example.org"),
        ("https://lms.example.org/", None, "https://lms.example.org"),
        ("https://lms.example.org", "https://api.example.org:8443/", "https://api.example.org:8443"),
        (None, "https://api.example.org", "https://api.example.org"),
        ("", "", None),
        (None, None, None),
    ],
)
def test_the_root_of_the_site_is_the_lms_s_unless_set_here(
    settings: Any, lms_root_url: str | None, root_url: str | None, expected: str | None
) -> None:
    settings.LMS_ROOT_URL = lms_root_url
    settings.EDX_API_PROVISIONING = {"ROOT_URL": root_url}

    assert conf.root_url() == expected


def test_addresses_and_the_host_follow_the_root(settings: Any) -> None:
    settings.LMS_ROOT_URL = "https://lms.example.org:8443"
    settings.EDX_API_PROVISIONING = {}

    assert conf.url("TOKEN_PATH") == "https://lms.example.org:8443/oauth2/access_token"
    assert conf.url("API_DOCS_PATH") == "https://lms.example.org:8443/api-docs/"
    assert conf.host() == "lms.example.org"


def test_plain_django_may_have_no_address_at_all(settings: Any) -> None:
    del settings.LMS_ROOT_URL

    assert (conf.root_url(), conf.url("TOKEN_PATH"), conf.host()) == (None, None, None)


# The plugin's settings


@pytest.mark.parametrize("environment", ["common", "production", "test"])
def test_in_the_lms_the_bearer_authentication_is_the_lms_s_own(environment: str) -> None:
    path = ApiProvisioningConfig.plugin_app["settings_config"]["lms.djangoapp"][environment]["relative_path"]
    of_the_lms = SimpleNamespace()

    import_module(f"edx_api_provisioning.{path}").plugin_settings(of_the_lms)

    assert of_the_lms.EDX_API_PROVISIONING == {
        "BEARER_AUTHENTICATION": "openedx.core.lib.api.authentication.BearerAuthentication"
    }


def test_the_plugin_overrides_nothing_that_the_operator_has_set() -> None:
    operators = {"BEARER_AUTHENTICATION": "acme.Bearer", "TOKEN_PREFIX": ""}
    of_the_lms = SimpleNamespace(EDX_API_PROVISIONING=operators)

    import_module("edx_api_provisioning.settings.common").plugin_settings(of_the_lms)

    assert of_the_lms.EDX_API_PROVISIONING == {"BEARER_AUTHENTICATION": "acme.Bearer", "TOKEN_PREFIX": ""}


def test_the_sandbox_loads_the_plugin_as_the_lms_does(settings: Any) -> None:
    assert "edx_api_provisioning.apps.ApiProvisioningConfig" in settings.INSTALLED_APPS
    assert conf.get("BEARER_AUTHENTICATION") == "openedx.core.lib.api.authentication.BearerAuthentication"
