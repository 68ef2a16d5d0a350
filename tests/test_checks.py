"""System checks name what is wrong or dangerous in the settings, each under an id of its own."""

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
    """A site as it should be."""
    settings.DEBUG = False
    settings.LMS_ROOT_URL = "https://lms.example.org"
    settings.EDX_API_PROVISIONING = {}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    return settings


# Whether the settings can be meant


def test_nothing_is_said_where_nothing_is_set(settings: Any) -> None:
    assert check(settings) == []
    del settings.EDX_API_PROVISIONING
    assert checks.check_settings(None) == []


def test_nothing_is_said_of_what_can_be_meant(settings: Any) -> None:
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


def test_e001_names_settings_that_there_are_not(settings: Any) -> None:
    hint = f"It has {', '.join(sorted(conf.DEFAULTS))}."
    assert check(settings, TOKEN_LIFE="90d", ALLOW_ROOT=True, ALLOW_STAFF=True) == [
        Error("EDX_API_PROVISIONING has no setting 'ALLOW_ROOT'.", hint=hint, id=f"{APP}.E001"),
        Error("EDX_API_PROVISIONING has no setting 'TOKEN_LIFE'.", hint=hint, id=f"{APP}.E001"),
    ]


@pytest.mark.parametrize("name", ["TOKEN_LIFETIME", "MAX_TOKEN_LIFETIME", "MAX_SECRET_AGE"])
@pytest.mark.parametrize("value", ["soon", "", 90, "0d", timedelta(0), timedelta(days=-1), None])
def test_e002_names_time_spans_that_are_none(settings: Any, name: str, value: Any) -> None:
    problem = "not a time span above zero; write it like 90d, 12h, 52w or P90D."
    expected = [
        Error(
            f"EDX_API_PROVISIONING[{name!r}]: {problem}",
            hint="Use a timedelta, or text such as '90d'.",
            id=f"{APP}.E002",
        )
    ]

    # None is how no age is said, and nothing else.
    assert check(settings, **{name: value}) == ([] if (name, value) == ("MAX_SECRET_AGE", None) else expected)


@pytest.mark.parametrize("prefix", ["with space", "ümlaut", "a/b", "x" * 65, "line\n"])
def test_e003_names_a_prefix_that_no_client_can_send(settings: Any, prefix: str) -> None:
    assert check(settings, TOKEN_PREFIX=prefix) == [
        Error(
            "EDX_API_PROVISIONING['TOKEN_PREFIX'] makes tokens that no client can send.",
            hint="Use at most 64 letters, digits and any of -._~ (RFC 6750).",
            id=f"{APP}.E003",
        )
    ]


@pytest.mark.parametrize("prefix", ["", "x" * 64, "a-b._~9_"])
def test_e003_takes_a_prefix_of_a_bearer_token(settings: Any, prefix: str) -> None:
    assert check(settings, TOKEN_PREFIX=prefix) == []


@pytest.mark.parametrize("days", [30, None, "30", [0], [-1], [30, "7"], [1.5], [10_000]])
def test_e004_names_distances_that_are_no_days(settings: Any, days: Any) -> None:
    assert check(settings, NOTICE_DAYS=days) == [
        Error(
            "EDX_API_PROVISIONING['NOTICE_DAYS'] is to be a list of days above zero.",
            hint="For example [30, 7, 1].",
            id=f"{APP}.E004",
        )
    ]


@pytest.mark.parametrize("scopes", ["read", 1, True])
def test_e005_names_scopes_that_are_no_list(settings: Any, scopes: Any) -> None:
    assert check(settings, ALLOWED_SCOPES=scopes) == [
        Error(
            "EDX_API_PROVISIONING['ALLOWED_SCOPES'] is to be a list of scopes, or None for all.",
            hint="For example ['read', 'write'].",
            id=f"{APP}.E005",
        )
    ]


# Whether they are dangerous


def test_nothing_is_said_of_a_site_as_it_should_be(deployed: Any) -> None:
    assert checks.check_deployment(None) == []


@pytest.mark.parametrize("setting", ["LMS_ROOT_URL", "ROOT_URL"])
def test_w001_names_an_address_without_tls(deployed: Any, setting: str) -> None:
    if setting == "ROOT_URL":
        deployed.EDX_API_PROVISIONING = {"ROOT_URL": "http://lms.example.org/"}
    else:
        deployed.LMS_ROOT_URL = "http://lms.example.org"

    assert checks.check_deployment(None) == [
        Warning(
            "The site's address is http://lms.example.org: tokens and secrets go over the network in clear.",
            hint="Serve the site over https, and set LMS_ROOT_URL to that address.",
            id=f"{APP}.W001",
        )
    ]


def test_without_an_address_there_is_nothing_to_say_of_it(deployed: Any) -> None:
    deployed.LMS_ROOT_URL = None

    assert checks.check_deployment(None) == []


def test_w002_names_debug(deployed: Any) -> None:
    deployed.DEBUG = True

    assert checks.check_deployment(None) == [
        Warning(
            "DEBUG is on: error pages show what requests carried, tokens among it.",
            hint="Set DEBUG to False.",
            id=f"{APP}.W002",
        )
    ]


@pytest.mark.parametrize("hasher", ["MD5", "PBKDF2", "Scrypt"])
def test_w003_names_a_weak_hasher_where_secrets_are_hashed(deployed: Any, hasher: str) -> None:
    deployed.PASSWORD_HASHERS = [f"django.contrib.auth.hashers.{hasher}PasswordHasher"]

    assert checks.check_deployment(None) == (
        [
            Warning(
                "Client secrets are hashed with md5, which is no protection.",
                hint="Put a strong hasher first in PASSWORD_HASHERS, or in OAUTH2_PROVIDER['CLIENT_SECRET_HASHER'].",
                id=f"{APP}.W003",
            )
        ]
        if hasher == "MD5" and HASHES_SECRETS
        else []
    )


def test_w004_names_tokens_that_live_for_years(deployed: Any) -> None:
    deployed.EDX_API_PROVISIONING = {"MAX_TOKEN_LIFETIME": timedelta(days=3 * 366)}
    assert checks.check_deployment(None) == []

    deployed.EDX_API_PROVISIONING = {"MAX_TOKEN_LIFETIME": timedelta(days=3 * 366, seconds=1)}
    assert checks.check_deployment(None) == [
        Warning(
            "EDX_API_PROVISIONING['MAX_TOKEN_LIFETIME'] is more than three years.",
            hint="Let tokens end, and rotate them: a year is long.",
            id=f"{APP}.W004",
        )
    ]


def test_what_the_other_check_names_is_not_named_twice(deployed: Any) -> None:
    deployed.EDX_API_PROVISIONING = {"MAX_TOKEN_LIFETIME": "soon"}

    assert checks.check_deployment(None) == []


# What the settings name elsewhere


def test_e006_names_a_profile_that_is_none(settings: Any) -> None:
    assert check(settings, ACCESS_PROFILES={"reports": {"title": "Reports"}}) == [
        Error(
            "EDX_API_PROVISIONING['ACCESS_PROFILES']['reports']: KeyError: 'opens'",
            hint="The form is that of edx_api_provisioning/access.json; see edx_api_provisioning/access.py.",
            id=f"{APP}.E006",
        )
    ]


def test_e007_names_an_authentication_class_that_is_not_there(settings: Any) -> None:
    (error,) = check(settings, BEARER_AUTHENTICATION="openedx.core.lib.api.authentication.BearerAuth")

    assert error == Error(
        "EDX_API_PROVISIONING['BEARER_AUTHENTICATION']: "
        'Module "openedx.core.lib.api.authentication" does not define a "BearerAuth" attribute/class',
        hint="Name the class of the site's REST framework that takes Bearer tokens.",
        id=f"{APP}.E007",
    )


def test_w005_names_scopes_that_the_site_does_not_have(settings: Any) -> None:
    (warning,) = check(settings, ALLOWED_SCOPES=["read", "raed", "course_modes:read"])

    assert warning.id == f"{APP}.W005"
    assert warning.msg == "EDX_API_PROVISIONING['ALLOWED_SCOPES'] has course_modes:read, raed, which the site has not."
    assert warning.hint.startswith("It has certificates:read, email, ")


# How Django asks


def ids(**which: Any) -> set[str | None]:
    return {message.id for message in run_checks(**which) if (message.id or "").startswith(f"{APP}.")}


@pytest.mark.django_db
def test_django_asks_for_both_and_for_the_second_on_deployment_only(deployed: Any) -> None:
    deployed.DEBUG = True
    deployed.EDX_API_PROVISIONING = {"NO_SUCH_SETTING": 1}

    assert ids(tags=["security"]) == {f"{APP}.E001"}
    assert ids(tags=["security"], include_deployment_checks=True) == {f"{APP}.E001", f"{APP}.W002"}


# The REST API


@pytest.mark.parametrize("value", ["False", 1, None])
def test_e010_wants_the_rest_api_on_or_off(settings: Any, value: Any) -> None:
    assert check(settings, REST_API=value) == [
        Error(
            "EDX_API_PROVISIONING['REST_API'] is to be True or False.",
            hint="A text such as 'False' counts as True.",
            id=f"{APP}.E010",
        )
    ]


@pytest.mark.parametrize("value", ["often", "0/min", "5 per minute", 5, "", "5/week"])
def test_e011_wants_a_rate_that_can_be_counted(settings: Any, value: Any) -> None:
    assert check(settings, REST_API_RATE=value) == [
        Error(
            "EDX_API_PROVISIONING['REST_API_RATE'] is to be a number of requests for a time, or None.",
            hint="For example '120/min'.",
            id=f"{APP}.E011",
        )
    ]
    assert check(settings, REST_API_RATE="5/s") == check(settings, REST_API_RATE=None) == []


@pytest.mark.parametrize("without", ["a rate", "a cache"])
def test_w010_warns_of_a_rest_api_that_nothing_slows_down(deployed: Any, without: str) -> None:
    deployed.EDX_API_PROVISIONING = {"REST_API": True}
    assert checks.check_deployment(None) == []
    if without == "a rate":
        deployed.EDX_API_PROVISIONING = {"REST_API": True, "REST_API_RATE": None}
    else:
        deployed.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

    assert checks.check_deployment(None) == [
        Warning(
            "The REST API answers as often as anybody asks: it has no rate, or the cache that counts is none.",
            hint="Set EDX_API_PROVISIONING['REST_API_RATE'], and a default cache that all processes share.",
            id=f"{APP}.W010",
        )
    ]
    deployed.EDX_API_PROVISIONING = {"REST_API": False}
    assert checks.check_deployment(None) == []
