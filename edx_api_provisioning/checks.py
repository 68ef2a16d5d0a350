"""Report settings that are wrong, and settings that endanger credentials, as Django system checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from edx_api_provisioning import conf
from edx_api_provisioning.core.authority import RESTRICTED_READ_SCOPE, RESTRICTED_WRITE_SCOPE

_WEAK_HASHERS = ("md5", "unsalted_md5", "sha1", "unsalted_sha1", "crypt")
_OWN_SCOPES = {RESTRICTED_READ_SCOPE, RESTRICTED_WRITE_SCOPE}


@register(Tags.security)
def check_settings(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    """Return an error for every unknown key and invalid value in ``EDX_API_PROVISIONING``."""
    return list(_invalid_settings()) or [*_invalid_references(), *_unsupported()]


def _unsupported() -> Iterator[CheckMessage]:
    from edx_api_provisioning.adapters import database  # Models have to be loaded first.

    for problem in database.unsupported():
        what, _dot, remedy = problem.partition(". ")
        yield Error(f"{what}.", hint=remedy, id="edx_api_provisioning.E008")


def _invalid_settings() -> Iterator[CheckMessage]:
    try:
        unknown = sorted(conf.given().keys() - conf.DEFAULTS.keys(), key=str)
    except conf.InvalidSetting as error:
        yield _invalid(error)
        return
    for name in unknown:
        yield Error(
            f"EDX_API_PROVISIONING has no setting {name!r}.",
            hint=f"Use {', '.join(sorted(conf.DEFAULTS))}.",
            id="edx_api_provisioning.E001",
        )
    for setting in conf.SETTINGS:
        try:
            conf.get(setting.name)
        except conf.InvalidSetting as error:
            yield _invalid(error)


def _invalid(error: conf.InvalidSetting) -> CheckMessage:
    return Error(
        f"Invalid setting: {error}",
        hint="See the reference of settings in the documentation.",
        id="edx_api_provisioning.E002",
    )


def _invalid_references() -> Iterator[CheckMessage]:
    """Check profiles, classes and scopes that settings name."""
    from edx_api_provisioning.adapters import access_catalogue, oauth_server  # Models have to be loaded first.

    try:
        access_catalogue.profiles()
    except ImproperlyConfigured as error:
        yield Error(
            f"Invalid access profile: {error}",
            hint="See the format in edx_api_provisioning/access.json.",
            id="edx_api_provisioning.E006",
        )
    try:
        import_string(conf.get("BEARER_AUTHENTICATION"))
    except ImportError as error:
        yield Error(
            f"EDX_API_PROVISIONING['BEARER_AUTHENTICATION']: {error}",
            hint="Name the REST framework authentication class that accepts bearer tokens on this site.",
            id="edx_api_provisioning.E007",
        )
    known = oauth_server.all_scopes()
    if unknown := sorted(set(conf.get("ALLOWED_SCOPES") or ()) - set(known)):
        yield Warning(
            f"EDX_API_PROVISIONING['ALLOWED_SCOPES'] names unknown scopes: {', '.join(unknown)}.",
            hint=f"Use scopes of OAUTH2_PROVIDER['SCOPES']: {', '.join(sorted(known))}.",
            id="edx_api_provisioning.W005",
        )


@register(Tags.security, deploy=True)
def check_deployment(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    """Return a message for each setting that production should not have (``check --deploy``)."""
    try:
        return [*_dangerous_settings(), *_dangerous_rest_settings()]
    except conf.InvalidSetting:  # Reported by check_settings.
        return []


def _dangerous_settings() -> Iterator[CheckMessage]:
    from edx_api_provisioning.adapters import oauth  # Models have to be loaded first.

    root = conf.root_url() or ""
    if root.startswith("http://"):
        yield Warning(
            f"The URL of the site is {root}: tokens and secrets cross the network in plaintext.",
            hint="Serve the site over https, and set its URL (ROOT_URL or LMS_ROOT_URL) to that.",
            id="edx_api_provisioning.W001",
        )
    if settings.DEBUG:
        yield Warning(
            "DEBUG is on: error pages show request data, which may include tokens.",
            hint="Set DEBUG to False.",
            id="edx_api_provisioning.W002",
        )
    if (hasher := oauth.secret_hasher()) in _WEAK_HASHERS:
        yield Warning(
            f"Client secrets are hashed with {hasher}, which is too weak.",
            hint="Put a strong hasher first in PASSWORD_HASHERS, or set OAUTH2_PROVIDER['CLIENT_SECRET_HASHER'].",
            id="edx_api_provisioning.W003",
        )
    if conf.get("MAX_TOKEN_LIFETIME") > timedelta(days=3 * 366):
        yield Warning(
            "EDX_API_PROVISIONING['MAX_TOKEN_LIFETIME'] is more than three years.",
            hint="Use a year or less, and rotate tokens.",
            id="edx_api_provisioning.W004",
        )


def _dangerous_rest_settings() -> Iterator[CheckMessage]:
    from edx_api_provisioning.adapters import oauth_server  # Models have to be loaded first.

    if not conf.get("REST_API"):
        return
    if missing := sorted(_OWN_SCOPES - set(oauth_server.all_scopes())):
        yield Info(
            f"Restricted applications cannot use the REST API: the site does not define {', '.join(missing)}.",
            hint="If they are to use it, define these scopes: OAUTH2_PROVIDER['SCOPES'][scope] = 'description'.",
            id="edx_api_provisioning.I001",
        )
    if conf.get("REST_API_RATE") is None or settings.CACHES["default"]["BACKEND"].endswith(".DummyCache"):
        yield Warning(
            "The REST API has no rate limit: REST_API_RATE is None, or the default cache is a DummyCache.",
            hint="Set EDX_API_PROVISIONING['REST_API_RATE'], and a default cache that all processes share.",
            id="edx_api_provisioning.W010",
        )
