"""System checks: settings that are wrong, and settings that are dangerous."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from edx_api_provisioning import conf

_PREFIX = re.compile(r"[A-Za-z0-9._~-]{0,64}")
_RATE = re.compile(r"[1-9][0-9]{0,5}/(s|sec|m|min|h|hour|d|day)")
_WEAK_HASHERS = ("md5", "unsalted_md5", "sha1", "unsalted_sha1", "crypt")
_SPANS = {
    "TOKEN_LIFETIME": conf.lifetime,
    "MAX_TOKEN_LIFETIME": conf.lifetime,
    "MAX_SECRET_AGE": conf.optional_lifetime,
}


def check_settings(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    """What ``EDX_API_PROVISIONING`` holds that cannot be meant."""
    given = getattr(settings, "EDX_API_PROVISIONING", {})
    messages: list[CheckMessage] = [
        Error(
            f"EDX_API_PROVISIONING has no setting {name!r}.",
            hint=f"It has {', '.join(sorted(conf.DEFAULTS))}.",
            id="edx_api_provisioning.E001",
        )
        for name in sorted(set(given) - set(conf.DEFAULTS))
    ]
    for name, read in _SPANS.items():
        try:
            read(name)
        except ImproperlyConfigured as error:
            messages.append(
                Error(str(error), hint="Use a timedelta, or text such as '90d'.", id="edx_api_provisioning.E002")
            )
    if not _PREFIX.fullmatch(str(conf.get("TOKEN_PREFIX"))):
        messages.append(
            Error(
                "EDX_API_PROVISIONING['TOKEN_PREFIX'] makes tokens that no client can send.",
                hint="Use at most 64 letters, digits and any of -._~ (RFC 6750).",
                id="edx_api_provisioning.E003",
            )
        )
    days = conf.get("NOTICE_DAYS")
    if not isinstance(days, (list, tuple)) or not all(isinstance(day, int) and 0 < day < 10_000 for day in days):
        messages.append(
            Error(
                "EDX_API_PROVISIONING['NOTICE_DAYS'] is to be a list of days above zero.",
                hint="For example [30, 7, 1].",
                id="edx_api_provisioning.E004",
            )
        )
    scopes = conf.get("ALLOWED_SCOPES")
    if scopes is not None and not isinstance(scopes, (list, tuple, set, frozenset)):
        messages.append(
            Error(
                "EDX_API_PROVISIONING['ALLOWED_SCOPES'] is to be a list of scopes, or None for all.",
                hint="For example ['read', 'write'].",
                id="edx_api_provisioning.E005",
            )
        )
    return messages + _named_elsewhere(scopes) + _rest_api_errors()


def _named_elsewhere(scopes: Any) -> list[CheckMessage]:
    """What the settings name that is not there."""
    from edx_api_provisioning.adapters import (
        access_catalogue,
        oauth,  # Here: the models have to be loaded first.
    )

    messages: list[CheckMessage] = []
    try:
        access_catalogue.profiles()
    except ImproperlyConfigured as error:
        hint = "The form is that of edx_api_provisioning/access.json; see edx_api_provisioning/access.py."
        messages.append(Error(str(error), hint=hint, id="edx_api_provisioning.E006"))
    try:
        import_string(conf.get("BEARER_AUTHENTICATION"))
    except ImportError as error:
        hint = "Name the class of the site's REST framework that takes Bearer tokens."
        where = "EDX_API_PROVISIONING['BEARER_AUTHENTICATION']"
        messages.append(Error(f"{where}: {error}", hint=hint, id="edx_api_provisioning.E007"))
    known = oauth.all_scopes()
    unknown = sorted(set(scopes) - set(known)) if isinstance(scopes, (list, tuple, set, frozenset)) else []
    if unknown:
        messages.append(
            Warning(
                f"EDX_API_PROVISIONING['ALLOWED_SCOPES'] has {', '.join(map(str, unknown))}, which the site has not.",
                hint=f"It has {', '.join(sorted(known))} (OAUTH2_PROVIDER['SCOPES']).",
                id="edx_api_provisioning.W005",
            )
        )
    return messages


def _rest_api_errors() -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if not isinstance(conf.get("REST_API"), bool):
        messages.append(
            Error(
                "EDX_API_PROVISIONING['REST_API'] is to be True or False.",
                hint="A text such as 'False' counts as True.",
                id="edx_api_provisioning.E010",
            )
        )
    rate = conf.get("REST_API_RATE")
    if rate is not None and not (isinstance(rate, str) and _RATE.fullmatch(rate)):
        messages.append(
            Error(
                "EDX_API_PROVISIONING['REST_API_RATE'] is to be a number of requests for a time, or None.",
                hint="For example '120/min'.",
                id="edx_api_provisioning.E011",
            )
        )
    return messages


def check_deployment(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    """What endangers credentials on a site that is in use (``check --deploy``)."""
    messages: list[CheckMessage] = []
    root = conf.root_url() or ""
    if root.startswith("http://"):
        messages.append(
            Warning(
                f"The site's address is {root}: tokens and secrets go over the network in clear.",
                hint="Serve the site over https, and set LMS_ROOT_URL to that address.",
                id="edx_api_provisioning.W001",
            )
        )
    if settings.DEBUG:
        messages.append(
            Warning(
                "DEBUG is on: error pages show what requests carried, tokens among it.",
                hint="Set DEBUG to False.",
                id="edx_api_provisioning.W002",
            )
        )
    from edx_api_provisioning.adapters import oauth  # Here: the models have to be loaded first.

    if (hasher := oauth.secret_hasher()) in _WEAK_HASHERS:
        messages.append(
            Warning(
                f"Client secrets are hashed with {hasher}, which is no protection.",
                hint="Put a strong hasher first in PASSWORD_HASHERS, or in OAUTH2_PROVIDER['CLIENT_SECRET_HASHER'].",
                id="edx_api_provisioning.W003",
            )
        )
    messages += _rest_api_warnings()
    with suppress(ImproperlyConfigured):  # Which is for the other check to say.
        messages += _lifetime_warnings(conf.lifetime("MAX_TOKEN_LIFETIME"))
    return messages


def _rest_api_warnings() -> list[CheckMessage]:
    if not conf.get("REST_API"):
        return []
    messages: list[CheckMessage] = []
    if conf.get("REST_API_RATE") is None or settings.CACHES["default"]["BACKEND"].endswith(".DummyCache"):
        messages.append(
            Warning(
                "The REST API answers as often as anybody asks: it has no rate, or the cache that counts is none.",
                hint="Set EDX_API_PROVISIONING['REST_API_RATE'], and a default cache that all processes share.",
                id="edx_api_provisioning.W010",
            )
        )
    return messages


def _lifetime_warnings(longest: timedelta) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    if longest > timedelta(days=3 * 366):
        messages.append(
            Warning(
                "EDX_API_PROVISIONING['MAX_TOKEN_LIFETIME'] is more than three years.",
                hint="Let tokens end, and rotate them: a year is long.",
                id="edx_api_provisioning.W004",
            )
        )
    return messages


def register_checks() -> None:
    """Make the checks known to Django."""
    register(check_settings, Tags.security)
    register(check_deployment, Tags.security, deploy=True)
