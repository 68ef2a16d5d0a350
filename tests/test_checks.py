"""Test system checks: each reports one problem in the settings under its own id."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.core.checks import CheckMessage, Error, Warning, run_checks
from django.db import connection
from oauth2_provider.models import get_application_model

from edx_api_provisioning import checks, conf
from edx_api_provisioning.models import ApiClient
from tests.factories import run

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
    own = {"api_provisioning:read": "Read API clients", "api_provisioning:write": "Provision API clients"}
    settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, "SCOPES": {**settings.OAUTH2_PROVIDER["SCOPES"], **own}}
    return settings


@pytest.mark.parametrize(
    "ours",
    [
        None,
        {},
        {
            "TOKEN_LIFETIME": "90d",
            "MAX_TOKEN_LIFETIME": timedelta(days=90),
            "MAX_SECRET_AGE": "P180D",
            "TOKEN_PREFIX": "",
            "NOTICE_DAYS": [60, 14],
            "ALLOWED_SCOPES": ("read",),
        },
        {"MAX_TOKEN_LIFETIME": "90d", "MAX_SECRET_AGE": None, "NOTICE_DAYS": (), "ALLOWED_SCOPES": []},
    ],
)
def test_valid_settings_pass(settings: Any, ours: dict[str, Any] | None) -> None:
    settings.EDX_API_PROVISIONING = ours
    if ours is None:
        del settings.EDX_API_PROVISIONING

    assert checks.check_settings(None) == []


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


HTTP = (
    "The URL of the site is http://lms.example.org: tokens and secrets cross the network in plaintext.",
    "Serve the site over https, and set its URL (ROOT_URL or LMS_ROOT_URL) to that.",
)
UNTHROTTLED = (
    "The REST API has no rate limit: REST_API_RATE is None, or the default cache is a DummyCache.",
    "Set EDX_API_PROVISIONING['REST_API_RATE'], and a default cache that all processes share.",
)
DANGEROUS: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    ("W001", {"LMS_ROOT_URL": "http://lms.example.org"}, HTTP),
    ("W001", {"EDX_API_PROVISIONING": {"ROOT_URL": "http://lms.example.org/"}}, HTTP),
    (
        "W002",
        {"DEBUG": True},
        ("DEBUG is on: error pages show request data, which may include tokens.", "Set DEBUG to False."),
    ),
    (
        "W003",
        {"PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"]},
        (
            "Client secrets are hashed with md5, which is too weak.",
            "Put a strong hasher first in PASSWORD_HASHERS, or set OAUTH2_PROVIDER['CLIENT_SECRET_HASHER'].",
        ),
    ),
    (
        "W004",
        {"EDX_API_PROVISIONING": {"MAX_TOKEN_LIFETIME": timedelta(days=3 * 366, seconds=1)}},
        (
            "EDX_API_PROVISIONING['MAX_TOKEN_LIFETIME'] is more than three years.",
            "Use a year or less, and rotate tokens.",
        ),
    ),
    ("W010", {"EDX_API_PROVISIONING": {"REST_API": True, "REST_API_RATE": None}}, UNTHROTTLED),
    (
        "W010",
        {
            "EDX_API_PROVISIONING": {"REST_API": True},
            "CACHES": {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
        },
        UNTHROTTLED,
    ),
]


def change(settings: Any, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)


@pytest.mark.parametrize(("code", "changes", "words"), DANGEROUS)
def test_dangerous_setting_is_reported(
    deployed: Any, code: str, changes: dict[str, Any], words: tuple[str, str]
) -> None:
    change(deployed, changes)

    expected = [Warning(words[0], hint=words[1], id=f"{APP}.{code}")]
    assert checks.check_deployment(None) == (expected if code != "W003" or HASHES_SECRETS else [])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"LMS_ROOT_URL": None},
        {"PASSWORD_HASHERS": ["django.contrib.auth.hashers.ScryptPasswordHasher"]},
        {"EDX_API_PROVISIONING": {"MAX_TOKEN_LIFETIME": timedelta(days=3 * 366)}},
        {"EDX_API_PROVISIONING": {"MAX_TOKEN_LIFETIME": "soon"}},  # Reported by the other check.
        {"EDX_API_PROVISIONING": {"REST_API": True}},
        {"EDX_API_PROVISIONING": {"REST_API": False, "REST_API_RATE": None}, "OAUTH2_PROVIDER": {"SCOPES": {}}},
    ],
)
def test_secure_deployment_passes(deployed: Any, changes: dict[str, Any]) -> None:
    change(deployed, changes)

    assert checks.check_deployment(None) == []


def test_i001_reports_undefined_scopes(deployed: Any) -> None:
    del deployed.OAUTH2_PROVIDER["SCOPES"]["api_provisioning:write"]
    deployed.EDX_API_PROVISIONING = {"REST_API": True}

    (info,) = checks.check_deployment(None)

    assert info.id == f"{APP}.I001"
    assert "does not define api_provisioning:write." in info.msg


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


class KeepsTokensElsewhere:
    """A database router."""

    def db_for_write(self, model: Any, **_hints: Any) -> str:
        return "other" if model._meta.model_name == "accesstoken" else "default"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("setting", "value", "problem", "remedy"),
    [
        ("USE_TZ", False, "USE_TZ is False, and API clients have times with a time zone.", "Set USE_TZ to True."),
        (
            "DATABASE_ROUTERS",
            [f"{__name__}.KeepsTokensElsewhere"],
            "DATABASE_ROUTERS writes API clients, users, applications and access tokens to several databases "
            "(default, other).",
            "Write them to one.",
        ),
    ],
)
def test_e008_reports_unsupported_site(settings: Any, setting: str, value: Any, problem: str, remedy: str) -> None:
    setattr(settings, setting, value)

    assert check(settings) == [Error(problem, hint=remedy, id=f"{APP}.E008")]
    assert run().refusal == f"{problem} {remedy}"
    assert not ApiClient.objects.exists()


@pytest.mark.django_db
def test_e008_reports_transactions_left_open(settings: Any) -> None:
    with mock.patch.dict(connection.settings_dict, {"AUTOCOMMIT": False}):
        [error] = check(settings)

    assert error.msg == "DATABASES['default']['AUTOCOMMIT'] is False: nothing would be committed."


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
