"""Check a spec against the site's policy."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import InvalidSpec, NearMatch
from edx_api_provisioning.core.parsing import in_words
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import CurrentClient, Site
from edx_api_provisioning.core.text import suggest


def check_policy(spec: ClientSpec, site: Site) -> None:
    """Raise InvalidSpec if site policy forbids this spec."""
    too_long = spec.expires_in is not None and spec.expires_in > site.max_lifetime
    # A very long lifetime would overflow the calendar.
    end = token_end(spec, site) if spec.wants_token and not too_long else None
    if end is not None and end <= site.now:
        raise InvalidSpec(_("this date is in the past."), field="expires_at")
    if too_long or (end is not None and end - site.now > site.max_lifetime):
        raise InvalidSpec(
            _("the maximum is %s (EDX_API_PROVISIONING['MAX_TOKEN_LIFETIME']).") % in_words(site.max_lifetime),
            field="expires_at" if spec.expires_at else "expires_in",
        )
    unknown = sorted(set(spec.scopes or ()) - set(site.available_scopes))
    if unknown:
        message = suggest(_("unknown scope %s.") % unknown[0], unknown[0], site.available_scopes)
        raise InvalidSpec(message, field="scopes")
    if (spec.filters or spec.restricted) and not site.has_access:
        raise InvalidSpec(
            _("this site has no application access (oauth_dispatch.ApplicationAccess)."),
            field="filters" if spec.filters else "restricted",
        )
    check_rights_policy(staff=spec.is_staff, superuser=spec.is_superuser, site=site)


def check_contact(wanted: str | None, existing: str | None, site: Site) -> None:
    """Raise InvalidSpec if the site requires a contact, and none is wanted or kept."""
    if site.contact_required and not (existing if wanted is None else wanted):
        message = _("missing; this site requires the email address of a contact for every client.")
        raise InvalidSpec(message, field="contact")


def check_rights_policy(*, staff: bool, superuser: bool, site: Site) -> None:
    """Raise InvalidSpec if site policy forbids clients with these flags."""
    if superuser and not site.superuser_allowed:
        message = _("superuser clients are not allowed here (EDX_API_PROVISIONING['ALLOW_SUPERUSER']).")
        raise InvalidSpec(message, field="superuser")
    if staff and not site.staff_allowed:
        message = _("staff clients are not allowed here (EDX_API_PROVISIONING['ALLOW_STAFF']).")
        raise InvalidSpec(message, field="staff")


def token_end(spec: ClientSpec, site: Site, *, lifetime: timedelta | None = None) -> datetime:
    """Return when a token that is issued now expires, in whole seconds, as the database stores it.

    Args:
        lifetime: the lifetime to use if the spec has none, limited by the site; None for the site's default.
    """
    span = spec.expires_in or min(lifetime or site.lifetime, site.max_lifetime)
    return (spec.expires_at or site.now + span).replace(microsecond=0)


def wants_token(spec: ClientSpec, client: CurrentClient | None, site: Site) -> bool:
    """Return whether the client is to have an access token; without a word about it, one that exists keeps its kind."""
    if spec.wants_token is not None:
        return spec.wants_token
    return site.issue_tokens if client is None or client.application is None else client.has_token


def same_spelling(field: str, wanted: str, found: str | None) -> None:
    """Raise NearMatch if the database found a value that is spelled differently."""
    if found is not None and found != wanted:
        raise NearMatch(
            _(
                "%(wanted)s conflicts with the existing %(found)s: the database ignores case and accents. "
                "Use the existing spelling or another name."
            )
            % {"wanted": wanted, "found": found},
            field=field,
        )
