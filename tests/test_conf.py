"""Test settings: the operator's value or the default, read at every call."""

from __future__ import annotations

import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from edx_api_provisioning import checks, conf
from edx_api_provisioning.apps import ApiProvisioningConfig
from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.settings.common import LMS_DEFAULTS

pytestmark = pytest.mark.versions


def test_every_setting_has_a_default(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {"TOKEN_PREFIX": "acme_"}
    assert (conf.get("TOKEN_PREFIX"), conf.get("TOKEN_PATH")) == ("acme_", "/o/token/")
    settings.EDX_API_PROVISIONING = None
    assert conf.get("REST_API") is False
    del settings.EDX_API_PROVISIONING

    assert {name: conf.get(name) for name in conf.DEFAULTS} == conf.DEFAULTS
    assert [conf.get(name).days for name in ("TOKEN_LIFETIME", "MAX_TOKEN_LIFETIME")] == [365, 730]
    with pytest.raises(KeyError):
        conf.get("TOKEN_LIFETIMES")


VALID: dict[str, list[tuple[object, object]]] = {
    "TOKEN_LIFETIME": [
        (timedelta(days=90), timedelta(days=90)),
        ("90d", timedelta(days=90)),
        ("P90D", timedelta(days=90)),
        ("36500d", timedelta(days=36_500)),
    ],
    "MAX_SECRET_AGE": [(None, None), ("180d", timedelta(days=180))],
    "ALLOWED_SCOPES": [(None, None), ([], ()), (("read",), ("read",)), (["read", "write"], ("read", "write"))],
    "ALLOW_STAFF": [(False, False), (True, True)],
    "NOTICE_DAYS": [([60, 14], (60, 14)), ((), ()), ([9_999], (9_999,))],
    "TOKEN_PREFIX": [("", ""), ("x" * 64, "x" * 64), ("a-b._~9_", "a-b._~9_")],
    "REST_API_RATE": [("5/s", "5/s"), (None, None), ("999999/day", "999999/day")],
    "ROOT_URL": [("http://localhost:8000/", "http://localhost:8000"), ("", None), ("https://[::1]", "https://[::1]")],
    "ME_PATH": [("/me", "/me"), ("/", "/")],
    "BEARER_AUTHENTICATION": [("acme.Bearer", "acme.Bearer")],
    "ACCESS_PROFILES": [({"a": {}}, {"a": {}})],
}
INVALID: dict[str, list[object]] = {
    "TOKEN_LIFETIME": [
        "soon",
        "",
        90,
        "90",
        "0d",
        timedelta(0),
        timedelta(days=-1),
        None,
        "999999w",
        "36501d",
        timedelta.max,
    ],
    "MAX_TOKEN_LIFETIME": ["999999w", "P99999999999D", None],
    "MAX_SECRET_AGE": ["soon", 0, "999999w"],
    "ALLOWED_SCOPES": ["read", 1, True, [1], [""], {"read": 1}],
    "ALLOW_STAFF": ["False", 1, 0, None],
    "ALLOW_SUPERUSER": ["no"],
    "ISSUE_TOKENS": ["no"],
    "REQUIRE_CONTACT": ["yes"],
    "RECORD_LAST_USE": ["False"],
    "UNUSED_AFTER": ["never", 90],
    "REST_API": ["False", 1, None],
    "REST_API_BEARER": ["True"],
    "NOTICE_DAYS": [30, None, "30", [0], [-1], [30, "7"], [1.5], [True], [10_000]],
    "TOKEN_PREFIX": ["with space", "ümlaut", "a/b", "x" * 65, "line\n", None, 1],
    "REST_API_RATE": ["often", "0/min", "5 per minute", 5, "5/week", "1000000/s"],
    "ROOT_URL": ["lms.example.org", "ftp://example.org", "https://", "https://[", 5],
    "TOKEN_PATH": ["oauth2/access_token", "", None, "/a b"],
    "API_DOCS_PATH": ["api-docs"],
    "ME_PATH": ["https://lms.example.org/me"],
    "BEARER_AUTHENTICATION": ["Bearer", "", None, object],
    "ACCESS_PROFILES": [[], "profiles", None],
}


@pytest.mark.parametrize(("name", "value", "expected"), [(n, *pair) for n, pairs in VALID.items() for pair in pairs])
def test_valid_value_is_parsed(settings: Any, name: str, value: object, expected: object) -> None:
    settings.EDX_API_PROVISIONING = {name: value}

    assert conf.get(name) == expected


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
def test_invalid_value_is_one_line(settings: Any, name: str, value: object) -> None:
    settings.EDX_API_PROVISIONING = {name: value}

    with pytest.raises(conf.InvalidSetting) as refusal:
        conf.get(name)

    assert isinstance(refusal.value, ImproperlyConfigured)
    assert isinstance(refusal.value, ProvisioningError)
    assert str(refusal.value).startswith(f"EDX_API_PROVISIONING[{name!r}] cannot be ")
    assert "; use " in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 250


def test_every_kind_of_value_is_tried() -> None:
    assert set(INVALID) == set(conf.DEFAULTS)


@pytest.mark.parametrize("value", ["text", ["TOKEN_PREFIX"], 5])
def test_non_dict_settings_are_one_line(settings: Any, value: object) -> None:
    settings.EDX_API_PROVISIONING = value

    with pytest.raises(conf.InvalidSetting, match="EDX_API_PROVISIONING is not a dictionary"):
        conf.get("REST_API")
    [error] = checks.check_settings(None)
    assert (error.id, "EDX_API_PROVISIONING is not a dictionary" in error.msg) == ("edx_api_provisioning.E002", True)


@pytest.mark.django_db
def test_command_reports_invalid_setting(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {"MAX_TOKEN_LIFETIME": "999999w"}

    with pytest.raises(CommandError, match=r"^EDX_API_PROVISIONING\['MAX_TOKEN_LIFETIME'\] cannot be '999999w'; use "):
        call_command("provision_api_client", "report")


@pytest.mark.parametrize(
    ("lms_root_url", "root_url", "expected", "host"),
    [
        ("https://lms.example.org", None, "https://lms.example.org", "lms.example.org"),
        ("https://lms.example.org/", None, "https://lms.example.org", "lms.example.org"),
        ("https://lms.example.org", "https://api.example.org:8443/", "https://api.example.org:8443", "api.example.org"),
        (None, "https://api.example.org", "https://api.example.org", "api.example.org"),
        ("", "", None, None),
        ("none", None, None, None),
    ],
)
def test_urls_and_host_default_to_lms(
    settings: Any, lms_root_url: str | None, root_url: str | None, expected: str | None, host: str | None
) -> None:
    settings.LMS_ROOT_URL = lms_root_url
    if lms_root_url == "none":  # As in plain Django.
        del settings.LMS_ROOT_URL
    settings.EDX_API_PROVISIONING = {"ROOT_URL": root_url}

    assert (conf.root_url(), conf.host()) == (expected, host)
    assert conf.url("TOKEN_PATH") == (expected and f"{expected}/o/token/")
    assert conf.url("API_DOCS_PATH") is None


def test_invalid_root_url_has_no_host(settings: Any) -> None:
    settings.LMS_ROOT_URL = "https://[lms"

    assert conf.host() is None


# The plugin's settings


@pytest.mark.parametrize("environment", ["common", "production", "test"])
def test_plugin_completes_lms_settings(environment: str) -> None:
    path = ApiProvisioningConfig.plugin_app["settings_config"]["lms.djangoapp"][environment]["relative_path"]
    of_the_lms = SimpleNamespace(MIDDLEWARE=["acme.Middleware"])

    for _time in range(2):
        import_module(f"edx_api_provisioning.{path}").plugin_settings(of_the_lms)

    assert of_the_lms.EDX_API_PROVISIONING == LMS_DEFAULTS
    assert of_the_lms.MIDDLEWARE == ["acme.Middleware", "edx_api_provisioning.middleware.LastUseMiddleware"]


def test_plugin_keeps_operator_settings() -> None:
    operators = {"BEARER_AUTHENTICATION": "acme.Bearer", "TOKEN_PREFIX": ""}
    of_the_lms = SimpleNamespace(EDX_API_PROVISIONING=operators, MIDDLEWARE=[])

    import_module("edx_api_provisioning.settings.common").plugin_settings(of_the_lms)

    assert {**LMS_DEFAULTS, **operators} == of_the_lms.EDX_API_PROVISIONING


@pytest.mark.parametrize("value", [None, "", ["x"], "text"])
def test_plugin_starts_with_odd_settings(value: object) -> None:
    lms = SimpleNamespace(EDX_API_PROVISIONING=value, MIDDLEWARE=[])

    import_module("edx_api_provisioning.settings.common").plugin_settings(lms)

    assert bool(value) == (value == lms.EDX_API_PROVISIONING)


def test_sandbox_loads_plugin_like_lms(settings: Any) -> None:
    assert "edx_api_provisioning.apps.ApiProvisioningConfig" in settings.INSTALLED_APPS
    assert conf.get("BEARER_AUTHENTICATION") == "openedx.core.lib.api.authentication.BearerAuthentication"


def test_every_toggle_is_annotated() -> None:
    name, default = r"# \.\. toggle_name: EDX_API_PROVISIONING\['(\w+)'\]", r"# \.\. toggle_default: (\w+)"
    annotated = re.findall(rf"{name}\n.*\n *{default}\n", Path(conf.__file__).read_text())
    flags = [setting for setting in conf.SETTINGS if type(setting.default) is bool]
    assert sorted(annotated) == sorted((flag.name, str(flag.default)) for flag in flags)
