"""The one reader of ``EDX_API_PROVISIONING``: every setting, its default, and nothing kept between calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from edx_api_provisioning.data import parse_lifetime
from edx_api_provisioning.exceptions import InvalidSpec

DEFAULTS: dict[str, Any] = {
    # How long an access token lives if nothing is said, and the longest that may be asked for.
    "TOKEN_LIFETIME": timedelta(days=365),
    "MAX_TOKEN_LIFETIME": timedelta(days=730),
    # Beyond this age a client secret is listed as overdue; None for no limit.
    "MAX_SECRET_AGE": None,
    # What clients may be: their scopes (None for all that the site has), and the rights of users made for them.
    "ALLOWED_SCOPES": None,
    "ALLOW_STAFF": True,
    "ALLOW_SUPERUSER": True,
    # Whether every client needs somebody's address.
    "REQUIRE_CONTACT": False,
    # How many days before the end of a token its contact is told.
    "NOTICE_DAYS": (30, 7, 1),
    # What generated tokens begin with, so that secret scanners know them; "" for none (and then no checksum either).
    "TOKEN_PREFIX": "edxapi_",
    # More access profiles, or others under the same name, in the form of access.json; see access.py.
    "ACCESS_PROFILES": {},
    # The class that Bearer tokens are proved with. In the LMS the plugin's settings name the LMS's own.
    "BEARER_AUTHENTICATION": "oauth2_provider.contrib.rest_framework.OAuth2Authentication",
    # The REST API: whether there is one (but for whoami, which tells nobody more than they know), and how often each
    # caller may ask; None for as often as they like.
    "REST_API": False,
    "REST_API_RATE": "120/min",
    # Where the site is and what is where on it; the LMS has it in LMS_ROOT_URL.
    "ROOT_URL": None,
    "TOKEN_PATH": "/oauth2/access_token",
    "API_DOCS_PATH": "/api-docs/",
    "ME_PATH": "/api/user/v1/me",
}


def get(name: str) -> Any:
    """The operator's value, or the default."""
    return getattr(settings, "EDX_API_PROVISIONING", {}).get(name, DEFAULTS[name])


def lifetime(name: str) -> timedelta:
    """A setting that is a time span: a timedelta, or text such as ``90d``."""
    value = get(name)
    if isinstance(value, timedelta) and value > timedelta(0):
        return value
    try:
        return parse_lifetime(str(value))
    except InvalidSpec as error:
        raise ImproperlyConfigured(f"EDX_API_PROVISIONING[{name!r}]: {error.message}") from None


def optional_lifetime(name: str) -> timedelta | None:
    """A setting that is a time span or None."""
    return None if get(name) is None else lifetime(name)


def root_url() -> str | None:
    """The site's public address without a slash at its end, or None if no setting tells it."""
    url = get("ROOT_URL") or getattr(settings, "LMS_ROOT_URL", None)
    return str(url).rstrip("/") if url else None


def url(name: str) -> str | None:
    """The full address of a ``…_PATH`` setting."""
    root = root_url()
    return f"{root}{get(name)}" if root else None


def host() -> str | None:
    """The site's host name."""
    return urlsplit(root_url() or "").hostname
