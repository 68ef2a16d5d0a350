"""Test system checks: each reports one problem in the settings under its own id."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import CheckMessage, Error, Warning, run_checks
from oauth2_provider.models import get_application_model

from edx_api_provisioning import checks, conf

pytestmark = pytest.mark.versions

APP = "edx_api_provisioning"
HASHES_SECRETS = type(get_application_model()._meta.get_field("client_secret")).__name__ == "ClientSecretField"


def check(settings: Any, **ours: Any) -> list[CheckMessage]:
    settings.EDX_API_PROVISIONING = ours
    return checks.check_settings(None)


@pytest.fixture
def deployed(settings: Any) -> Any:
    """Configure a secure site."""
    settings.DEBUG = False
    settings.LMS_ROOT_URL = "https://lms.example.org"
    settings.EDX_API_PROVISIONING = {}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    return settings


OWN_SCOPES = {"api_provisioning:read": "Read API clients", "api_provisioning:write": "Provision API clients"}


# Valid settings


def test_empty_settings_pass(settings: Any) -> None:
    assert check(settings) == []
    del settings.EDX_API_PROVISIONING
    assert checks.check_settings(None) == []


def test_valid_settings_pass(settings: Any) -> None:
    assert (
        check(
            settings,
            TOKEN_LIFETIME="90d",
            MAX_TOKEN_LIFETIME=timedelta(days=90),
            MAX_SECRET_AGE="P180D",
            TOKEN_PREFIX="",
            NOTICE_DAYS=[60, 14],
            ALLOWED_SCOPES=("read",),
        )
        == []
    )
    assert check(settings, MAX_TOKEN_LIFETIME="90d", MAX_SECRET_AGE=None, NOTICE_DAYS=(), ALLOWED_SCOPES=[]) == []


def test_e001_reports_unknown_settings(settings: Any) -> None:
    hint = f"Use {', '.join(sorted(conf.DEFAULTS))}."
    assert check(settings, TOKEN_LIFE="90d", ALLOW_ROOT=True, ALLOW_STAFF=True) == [
        Error("EDX_API_PROVISIONING has no setting 'ALLOW_ROOT'.", hint=hint, id=f"{APP}.E001"),
        Error("EDX_API_PROVISIONING has no setting 'TOKEN_LIFE'.", hint=hint, id=f"{APP}.E001"),
    ]


def test_e002_reports_every_invalid_value(settings: Any) -> None:
    hint = "See the reference of settings in the documentation."
    assert check(settings, TOKEN_PREFIX="a b", MAX_TOKEN_LIFETIME="999999w", ALLOWED_SCOPES="read") == [
        Error(f"Invalid setting: EDX_API_PROVISIONING{text}.", hint=hint, id=f"{APP}.E002")
        for text in (
            "['MAX_TOKEN_LIFETIME'] cannot be '999999w'; use a timedelta or text such as '90d', '12h', '52w' or 'P90D',"
            " above zero and at most 100 years",
            "['ALLOWED_SCOPES'] cannot be 'read'; use a list of scopes, such as ['read', 'write'], or None",
            "['TOKEN_PREFIX'] cannot be 'a b'; use at most 64 letters, digits, '-', '.', '_' and '~'",
        )
    ]


# Dangerous settings


def test_secure_deployment_passes(deployed: Any) -> None:
    assert checks.check_deployment(None) == []


@pytest.mark.parametrize("setting", ["LMS_ROOT_URL", "ROOT_URL"])
def test_w001_reports_plain_http(deployed: Any, setting: str) -> None:
    if setting == "ROOT_URL":
        deployed.EDX_API_PROVISIONING = {"ROOT_URL": "http://lms.example.org/"}
    else:
        deployed.LMS_ROOT_URL = "http://lms.example.org"

    assert checks.check_deployment(None) == [
        Warning(
            "The URL of the site is http://lms.example.org: tokens and secrets cross the network in plaintext.",
            hint="Serve the site over https, and set its URL (ROOT_URL or LMS_ROOT_URL) to that.",
            id=f"{APP}.W001",
        )
    ]


def test_missing_url_passes(deployed: Any) -> None:
    deployed.LMS_ROOT_URL = None

    assert checks.check_deployment(None) == []


def test_w002_reports_debug(deployed: Any) -> None:
    deployed.DEBUG = True

    assert checks.check_deployment(None) == [
        Warning(
            "DEBUG is on: error pages show request data, which may include tokens.",
            hint="Set DEBUG to False.",
            id=f"{APP}.W002",
        )
    ]


@pytest.mark.parametrize("hasher", ["MD5", "PBKDF2", "Scrypt"])
def test_w003_reports_weak_hasher(deployed: Any, hasher: str) -> None:
    deployed.PASSWORD_HASHERS = [f"django.contrib.auth.hashers.{hasher}PasswordHasher"]

    assert checks.check_deployment(None) == (
        [
            Warning(
                "Client secrets are hashed with md5, which is too weak.",
                hint="Put a strong hasher first in PASSWORD_HASHERS, or set OAUTH2_PROVIDER['CLIENT_SECRET_HASHER'].",
                id=f"{APP}.W003",
            )
        ]
        if hasher == "MD5" and HASHES_SECRETS
        else []
    )


def test_w004_reports_long_token_lifetime(deployed: Any) -> None:
    deployed.EDX_API_PROVISIONING = {"MAX_TOKEN_LIFETIME": timedelta(days=3 * 366)}
    assert checks.check_deployment(None) == []

    deployed.EDX_API_PROVISIONING = {"MAX_TOKEN_LIFETIME": timedelta(days=3 * 366, seconds=1)}
    assert checks.check_deployment(None) == [
        Warning(
            "EDX_API_PROVISIONING['MAX_TOKEN_LIFETIME'] is more than three years.",
            hint="Use a year or less, and rotate tokens.",
            id=f"{APP}.W004",
        )
    ]


def test_deployment_check_skips_invalid_settings(deployed: Any) -> None:
    deployed.EDX_API_PROVISIONING = {"MAX_TOKEN_LIFETIME": "soon"}

    assert checks.check_deployment(None) == []


# References to code and scopes


def test_e006_reports_invalid_profile(settings: Any) -> None:
    assert check(settings, ACCESS_PROFILES={"reports": {"title": "Reports"}}) == [
        Error(
            "Invalid access profile: EDX_API_PROVISIONING['ACCESS_PROFILES']['reports']: KeyError: 'opens'",
            hint="See the format in edx_api_provisioning/access.json.",
            id=f"{APP}.E006",
        )
    ]


def test_e007_reports_missing_class(settings: Any) -> None:
    (error,) = check(settings, BEARER_AUTHENTICATION="openedx.core.lib.api.authentication.BearerAuth")

    assert error == Error(
        "EDX_API_PROVISIONING['BEARER_AUTHENTICATION']: "
        'Module "openedx.core.lib.api.authentication" does not define a "BearerAuth" attribute/class',
        hint="Name the REST framework authentication class that accepts bearer tokens on this site.",
        id=f"{APP}.E007",
    )


def test_w005_reports_unknown_scopes(settings: Any) -> None:
    (warning,) = check(settings, ALLOWED_SCOPES=["read", "raed", "course_modes:read"])

    assert warning.id == f"{APP}.W005"
    assert warning.msg == "EDX_API_PROVISIONING['ALLOWED_SCOPES'] names unknown scopes: course_modes:read, raed."
    assert warning.hint.startswith("Use scopes of OAUTH2_PROVIDER['SCOPES']: certificates:read, email, ")


# Registration


def ids(**which: Any) -> set[str | None]:
    return {message.id for message in run_checks(**which) if (message.id or "").startswith(f"{APP}.")}


@pytest.mark.django_db
def test_checks_are_registered(deployed: Any) -> None:
    deployed.DEBUG = True
    deployed.EDX_API_PROVISIONING = {"NO_SUCH_SETTING": 1}

    assert ids(tags=["security"]) == {f"{APP}.E001"}
    assert ids(tags=["security"], include_deployment_checks=True) == {f"{APP}.E001", f"{APP}.W002"}


# The REST API


@pytest.mark.parametrize("without", ["a rate", "a cache"])
def test_w010_reports_unthrottled_rest_api(deployed: Any, without: str) -> None:
    deployed.OAUTH2_PROVIDER = {
        **deployed.OAUTH2_PROVIDER,
        "SCOPES": {**deployed.OAUTH2_PROVIDER["SCOPES"], **OWN_SCOPES},
    }
    deployed.EDX_API_PROVISIONING = {"REST_API": True}
    assert checks.check_deployment(None) == []
    if without == "a rate":
        deployed.EDX_API_PROVISIONING = {"REST_API": True, "REST_API_RATE": None}
    else:
        deployed.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

    assert checks.check_deployment(None) == [
        Warning(
            "The REST API has no rate limit: REST_API_RATE is None, or the default cache is a DummyCache.",
            hint="Set EDX_API_PROVISIONING['REST_API_RATE'], and a default cache that all processes share.",
            id=f"{APP}.W010",
        )
    ]
    deployed.EDX_API_PROVISIONING = {"REST_API": False}
    assert checks.check_deployment(None) == []


def test_i001_reports_undefined_scopes(deployed: Any) -> None:
    scopes = deployed.OAUTH2_PROVIDER["SCOPES"]
    deployed.OAUTH2_PROVIDER = {**deployed.OAUTH2_PROVIDER, "SCOPES": {**scopes, "api_provisioning:read": "Read"}}
    deployed.EDX_API_PROVISIONING = {"REST_API": True}

    (info,) = checks.check_deployment(None)

    assert info.id == f"{APP}.I001"
    assert "does not define api_provisioning:write." in info.msg
    deployed.EDX_API_PROVISIONING = {"REST_API": False}
    assert checks.check_deployment(None) == []
