"""The one reader of ``EDX_API_PROVISIONING``: every setting, its default, and nothing kept between calls.

The comments are annotations as Open edX has them: docs/reference/settings.rst is made from them.
Source: https://docs.openedx.org/projects/edx-toggles/en/latest/how_to/documenting_django_settings.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.parsing import parse_lifetime

DEFAULTS: dict[str, Any] = {
    # .. setting_name: EDX_API_PROVISIONING["TOKEN_LIFETIME"]
    # .. setting_default: timedelta(days=365)
    # .. setting_description: How long an access token lives if nothing is said: a timedelta, or text such as 90d.
    "TOKEN_LIFETIME": timedelta(days=365),
    # .. setting_name: EDX_API_PROVISIONING["MAX_TOKEN_LIFETIME"]
    # .. setting_default: timedelta(days=730)
    # .. setting_description: The longest that may be asked for.
    "MAX_TOKEN_LIFETIME": timedelta(days=730),
    # .. setting_name: EDX_API_PROVISIONING["MAX_SECRET_AGE"]
    # .. setting_default: None
    # .. setting_description: Beyond this age a client secret is listed as overdue; None for no limit.
    "MAX_SECRET_AGE": None,
    # .. setting_name: EDX_API_PROVISIONING["ALLOWED_SCOPES"]
    # .. setting_default: None
    # .. setting_description: The scopes that clients may be given; None for all that the site has.
    "ALLOWED_SCOPES": None,
    # .. setting_name: EDX_API_PROVISIONING["ALLOW_STAFF"]
    # .. setting_default: True
    # .. setting_description: Whether clients may be staff.
    "ALLOW_STAFF": True,
    # .. setting_name: EDX_API_PROVISIONING["ALLOW_SUPERUSER"]
    # .. setting_default: True
    # .. setting_description: Whether clients may be superusers.
    "ALLOW_SUPERUSER": True,
    # .. setting_name: EDX_API_PROVISIONING["REQUIRE_CONTACT"]
    # .. setting_default: False
    # .. setting_description: Whether every client needs somebody's address.
    "REQUIRE_CONTACT": False,
    # .. setting_name: EDX_API_PROVISIONING["NOTICE_DAYS"]
    # .. setting_default: (30, 7, 1)
    # .. setting_description: How many days before the end of a token its contact is told.
    "NOTICE_DAYS": (30, 7, 1),
    # .. setting_name: EDX_API_PROVISIONING["TOKEN_PREFIX"]
    # .. setting_default: "edxapi_"
    # .. setting_description: What generated tokens begin with, so that secret scanners know them; "" for none,
    #   and then no checksum either.
    "TOKEN_PREFIX": "edxapi_",
    # .. setting_name: EDX_API_PROVISIONING["ACCESS_PROFILES"]
    # .. setting_default: {}
    # .. setting_description: More access profiles, or others under the same name, in the form of access.json;
    #   see access.py.
    "ACCESS_PROFILES": {},
    # .. setting_name: EDX_API_PROVISIONING["BEARER_AUTHENTICATION"]
    # .. setting_default: "oauth2_provider.contrib.rest_framework.OAuth2Authentication"
    # .. setting_description: The class that Bearer tokens are proved with. In the LMS the plugin's settings name
    #   the LMS's own.
    "BEARER_AUTHENTICATION": "oauth2_provider.contrib.rest_framework.OAuth2Authentication",
    # .. setting_name: EDX_API_PROVISIONING["REST_API"]
    # .. setting_default: False
    # .. setting_description: Whether there is a REST API beyond whoami, which tells nobody more than they know.
    "REST_API": False,
    # .. setting_name: EDX_API_PROVISIONING["REST_API_RATE"]
    # .. setting_default: "120/min"
    # .. setting_description: How often each client and user may ask the REST API; None for as often as they like.
    "REST_API_RATE": "120/min",
    # .. setting_name: EDX_API_PROVISIONING["ROOT_URL"]
    # .. setting_default: None
    # .. setting_description: The site's address; None for what LMS_ROOT_URL says.
    "ROOT_URL": None,
    # .. setting_name: EDX_API_PROVISIONING["TOKEN_PATH"]
    # .. setting_default: "/oauth2/access_token"
    # .. setting_description: Where the token endpoint is on the site.
    "TOKEN_PATH": "/oauth2/access_token",
    # .. setting_name: EDX_API_PROVISIONING["API_DOCS_PATH"]
    # .. setting_default: "/api-docs/"
    # .. setting_description: Where the documentation of the API is on the site.
    "API_DOCS_PATH": "/api-docs/",
    # .. setting_name: EDX_API_PROVISIONING["ME_PATH"]
    # .. setting_default: "/api/user/v1/me"
    # .. setting_description: What is called to prove a token over HTTP.
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
