"""Read and validate ``EDX_API_PROVISIONING``, the settings of this package.

``SETTINGS`` lists every setting. The system checks and docs/reference/settings.rst follow from it. Nothing is cached
between calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from edx_api_provisioning.core.exceptions import InvalidSpec, ProvisioningError
from edx_api_provisioning.core.parsing import parse_lifetime
from edx_api_provisioning.settings.common import LMS_DEFAULTS

_LONGEST = timedelta(days=36_500)


class InvalidSetting(ProvisioningError, ImproperlyConfigured):
    """A value of ``EDX_API_PROVISIONING`` cannot be used."""


class Kind(NamedTuple):
    """A kind of value."""

    description: str
    """The allowed values, to complete "Use ...\""""
    parse: Callable[[Any], Any]
    """Return the value in the type that the code expects; raise TypeError, ValueError or InvalidSpec."""


class Setting(NamedTuple):
    """One key of ``EDX_API_PROVISIONING``."""

    name: str
    kind: Kind
    default: Any
    help: str


def _require(condition: object, value: Any) -> Any:
    if not condition:
        raise ValueError
    return value


def _span(value: Any) -> timedelta:
    span = value if isinstance(value, timedelta) else parse_lifetime(str(value))
    _require(timedelta(0) < span <= _LONGEST, span)
    return span


def _matching(pattern: str) -> Callable[[Any], str]:
    return lambda value: str(_require(re.fullmatch(pattern, value), value))


def _list_of(kind: type, accept: Callable[[Any], bool]) -> Callable[[Any], tuple[Any, ...]]:
    def parse(value: Any) -> tuple[Any, ...]:
        _require(isinstance(value, (list, tuple, set, frozenset)), value)
        _require(all(type(item) is kind and accept(item) for item in value), value)
        return tuple(value)

    return parse


def _site_url(value: Any) -> str:
    parts = urlsplit(_require(isinstance(value, str), value))
    return str(_require(parts.scheme in ("http", "https") and parts.hostname, value)).rstrip("/")


def _or_none(kind: Kind) -> Kind:
    return Kind(f"{kind.description}, or None", lambda value: None if value in (None, "") else kind.parse(value))


_FLAG = Kind("True or False", lambda value: _require(type(value) is bool, value))
_SPAN = Kind("a timedelta or text such as '90d', '12h', '52w' or 'P90D', above zero and at most 100 years", _span)
_DAYS = Kind("a list of days, such as [30, 7, 1]", _list_of(int, lambda days: 0 < days < 10_000))
_SCOPES = Kind("a list of scopes, such as ['read', 'write']", _list_of(str, bool))
# Every character may appear in a bearer token (RFC 6750 section 2.1).
_PREFIX = Kind("at most 64 letters, digits, '-', '.', '_' and '~'", _matching(r"[A-Za-z0-9._~-]{0,64}"))
_PATH = Kind("a path that begins with a slash", _matching(r"/[!-~]*"))
_URL = Kind("an http or https URL, such as 'https://lms.example.org'", _site_url)
_RATE = Kind(
    "a number of requests per s, min, h or day, such as '120/min'",
    _matching(r"[1-9][0-9]{0,5}/(s|sec|m|min|h|hour|d|day)"),
)
_CLASS = Kind("the dotted path of a class", _matching(r"\w+(\.\w+)+"))
_PROFILES = Kind("a dictionary from name to profile", lambda value: _require(isinstance(value, dict), value))

SETTINGS: tuple[Setting, ...] = (
    Setting("TOKEN_LIFETIME", _SPAN, timedelta(days=365), "Lifetime of an access token if the request sets none."),
    # .. toggle_name: EDX_API_PROVISIONING['ISSUE_TOKENS']
    # .. toggle_implementation: DjangoSetting
    # .. toggle_default: True
    # .. toggle_description: Issue an access token to a new client if the request does not say.
    # .. toggle_use_cases: open_edx
    # .. toggle_creation_date: 2026-11-27
    Setting(
        "ISSUE_TOKENS",
        _FLAG,
        True,
        "Issue an access token to a new client if the request does not say. If False, clients request JWTs with their "
        "client ID and secret; a request for a token, or for its lifetime, still issues one.",
    ),
    Setting("MAX_TOKEN_LIFETIME", _SPAN, timedelta(days=730), "Longest lifetime that a request may set."),
    Setting(
        "MAX_SECRET_AGE",
        _or_none(_SPAN),
        None,
        "Age from which client secrets are listed as overdue; None for no limit.",
    ),
    Setting(
        "ALLOWED_SCOPES", _or_none(_SCOPES), None, "Scopes that clients may be given; None for all scopes of the site."
    ),
    # .. toggle_name: EDX_API_PROVISIONING['ALLOW_STAFF']
    # .. toggle_implementation: DjangoSetting
    # .. toggle_default: True
    # .. toggle_description: Allow clients to be staff.
    # .. toggle_use_cases: open_edx
    # .. toggle_creation_date: 2026-11-27
    Setting("ALLOW_STAFF", _FLAG, True, "Allow clients to be staff."),
    # .. toggle_name: EDX_API_PROVISIONING['ALLOW_SUPERUSER']
    # .. toggle_implementation: DjangoSetting
    # .. toggle_default: True
    # .. toggle_description: Allow clients to be superusers.
    # .. toggle_use_cases: open_edx
    # .. toggle_creation_date: 2026-11-27
    Setting("ALLOW_SUPERUSER", _FLAG, True, "Allow clients to be superusers."),
    # .. toggle_name: EDX_API_PROVISIONING['REQUIRE_CONTACT']
    # .. toggle_implementation: DjangoSetting
    # .. toggle_default: False
    # .. toggle_description: Require the email address of a contact for every client.
    # .. toggle_use_cases: open_edx
    # .. toggle_creation_date: 2026-11-27
    Setting("REQUIRE_CONTACT", _FLAG, False, "Require the email address of a contact for every client."),
    Setting("NOTICE_DAYS", _DAYS, (30, 7, 1), "Days before a token expires on which its contact gets a notice."),
    # .. toggle_name: EDX_API_PROVISIONING['RECORD_LAST_USE']
    # .. toggle_implementation: DjangoSetting
    # .. toggle_default: True
    # .. toggle_description: Note when an opaque token of a client is used.
    # .. toggle_use_cases: open_edx
    # .. toggle_creation_date: 2026-11-27
    Setting(
        "RECORD_LAST_USE",
        _FLAG,
        True,
        "Note when an opaque token of a client is used, at most once an hour for a client. Plain Django needs "
        "edx_api_provisioning.middleware.LastUseMiddleware in MIDDLEWARE.",
    ),
    Setting(
        "UNUSED_AFTER",
        _or_none(_SPAN),
        timedelta(days=90),
        "Time without use after which the contact of a client gets a notice; None for no such notices.",
    ),
    Setting(
        "TOKEN_PREFIX",
        _PREFIX,
        "edxapi_",
        "First characters of generated tokens, by which secret scanners recognize them. '' means no prefix and no "
        "checksum.",
    ),
    Setting(
        "ACCESS_PROFILES",
        _PROFILES,
        {},
        "Access profiles to add or to replace, in the format of edx_api_provisioning/access.json.",
    ),
    Setting(
        "BEARER_AUTHENTICATION",
        _CLASS,
        "oauth2_provider.contrib.rest_framework.OAuth2Authentication",
        "REST framework authentication class that verifies bearer tokens. In the LMS: "
        f"{LMS_DEFAULTS['BEARER_AUTHENTICATION']}.",
    ),
    # .. toggle_name: EDX_API_PROVISIONING['REST_API']
    # .. toggle_implementation: DjangoSetting
    # .. toggle_default: False
    # .. toggle_description: Turn the REST API on.
    # .. toggle_use_cases: open_edx
    # .. toggle_creation_date: 2026-11-27
    Setting(
        "REST_API",
        _FLAG,
        False,
        "Turn the REST API on. whoami is always on: it only tells callers about themselves.",
    ),
    # .. toggle_name: EDX_API_PROVISIONING['REST_API_BEARER']
    # .. toggle_implementation: DjangoSetting
    # .. toggle_default: True
    # .. toggle_description: Accept opaque access tokens at the REST API; False in the LMS.
    # .. toggle_use_cases: open_edx
    # .. toggle_creation_date: 2026-11-27
    Setting(
        "REST_API_BEARER",
        _FLAG,
        True,
        "Accept opaque access tokens (Authorization: Bearer) at the REST API, beside JWTs and sessions. Self-rotation "
        f"always accepts them. In the LMS: {LMS_DEFAULTS['REST_API_BEARER']}.",
    ),
    Setting(
        "REST_API_RATE",
        _or_none(_RATE),
        "120/min",
        "Rate limit of the REST API for each client and user; None for no limit.",
    ),
    Setting("ROOT_URL", _or_none(_URL), None, "Public URL of the site; None for the value of LMS_ROOT_URL."),
    Setting("TOKEN_PATH", _PATH, "/o/token/", f"Path of the token endpoint. In the LMS: {LMS_DEFAULTS['TOKEN_PATH']}."),
    Setting(
        "API_DOCS_PATH",
        _or_none(_PATH),
        None,
        f"Path of the API documentation; None for no documentation. In the LMS: {LMS_DEFAULTS['API_DOCS_PATH']}.",
    ),
    Setting(
        "ME_PATH",
        _PATH,
        "/api/api-provisioning/v1/whoami/",
        f"Path of the endpoint that verifies a token over HTTP. In the LMS: {LMS_DEFAULTS['ME_PATH']}.",
    ),
)

DEFAULTS: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}

_BY_NAME = {setting.name: setting for setting in SETTINGS}


def given() -> dict[str, Any]:
    """Return the operator's ``EDX_API_PROVISIONING`` as it is; raise InvalidSetting if it is not a dictionary."""
    values = getattr(settings, "EDX_API_PROVISIONING", None)
    if values is not None and not isinstance(values, dict):
        raise InvalidSetting("EDX_API_PROVISIONING is not a dictionary; use a mapping from setting to value.")
    return values or {}


def get(name: str) -> Any:
    """Return the operator's value of a setting, parsed, or its default; raise InvalidSetting if it cannot be used."""
    setting, values = _BY_NAME[name], given()
    if name not in values:
        return setting.default
    try:
        return setting.kind.parse(values[name])
    except (TypeError, ValueError, InvalidSpec):
        says = f"EDX_API_PROVISIONING[{name!r}] cannot be {values[name]!r:.60}; use {setting.kind.description}."
        raise InvalidSetting(says) from None


def root_url() -> str | None:
    """Return the public URL of the site without a trailing slash; None if no setting names it."""
    url = get("ROOT_URL") or getattr(settings, "LMS_ROOT_URL", None)
    return str(url).rstrip("/") if url else None


def url(name: str) -> str | None:
    """Return the full URL of a ``..._PATH`` setting; None if the URL of the site or the path is unknown."""
    root, path = root_url(), get(name)
    return f"{root}{path}" if root and path else None


def host() -> str | None:
    """Return the host name of the site; None if it is unknown."""
    try:
        return urlsplit(root_url() or "").hostname
    except ValueError:  # LMS_ROOT_URL is not a URL.
        return None
