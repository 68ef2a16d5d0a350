"""Read the site's settings that limit and complete a spec."""

from __future__ import annotations

from datetime import UTC, datetime

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import lms, oauth_server
from edx_api_provisioning.core.state import Site


def current_site() -> Site:
    """Return what the site allows and its defaults, as of now."""
    return Site(
        now=datetime.now(UTC),
        host=conf.host(),
        lifetime=conf.get("TOKEN_LIFETIME"),
        max_lifetime=conf.get("MAX_TOKEN_LIFETIME"),
        default_scopes=oauth_server.default_scopes(),
        available_scopes=_available_scopes(),
        has_access=lms.is_lms(),
        staff_allowed=conf.get("ALLOW_STAFF"),
        superuser_allowed=conf.get("ALLOW_SUPERUSER"),
        contact_required=conf.get("REQUIRE_CONTACT"),
        issue_tokens=conf.get("ISSUE_TOKENS"),
        usernames_are_emails=lms.usernames_are_emails(),
    )


def scopes() -> list[tuple[str, str, bool]]:
    """Return the name of each scope that clients may be given, its description, and True if it is a default one."""
    descriptions, default = oauth_server.all_scopes(), oauth_server.default_scopes()
    return [(name, str(descriptions.get(name, "")), name in default) for name in _available_scopes()]


def _available_scopes() -> tuple[str, ...]:
    allowed = conf.get("ALLOWED_SCOPES")
    # With ApplicationAccess an application can be given any scope that the site knows.
    grantable = tuple(oauth_server.all_scopes()) if lms.is_lms() else oauth_server.available_scopes()
    return tuple(scope for scope in grantable if allowed is None or scope in allowed)
