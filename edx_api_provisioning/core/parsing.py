"""Parse time spans, instants and site URLs from text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.utils.dateparse import parse_duration
from django.utils.translation import gettext

from edx_api_provisioning.core.exceptions import InvalidSpec

_LIFETIME = re.compile(r"([0-9]{1,6})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_lifetime(text: str) -> timedelta:
    """Parse ``90d``, ``12h``, ``52w`` or ISO 8601 ``P90D`` as a positive time span; raise InvalidSpec for any other."""
    if match := _LIFETIME.fullmatch(text):
        span: timedelta | None = int(match[1]) * _UNITS[match[2]]
    else:
        try:
            # Only ISO 8601: Django would also read "90" as seconds and "1 2:3" as a clock.
            span = parse_duration(text) if text.startswith("P") and text.isascii() else None
        except (OverflowError, ValueError):
            span = None
    if span is None or span < timedelta(seconds=1):
        raise InvalidSpec(_no_lifetime(text), field="expires_in")
    return span


def _no_lifetime(text: str) -> str:
    # Only these are repeated: anything else may be a secret in the wrong place.
    number, unit = match.groups() if (match := re.fullmatch(r"([0-9]{1,6}) ?([A-Za-z]{0,8})", text)) else ("", "")
    if number and not unit:
        return gettext("the unit is missing; for days, write %sd.") % number
    if number and unit not in _UNITS:
        return gettext("unknown unit %s; use h (hours), d (days) or w (weeks), such as 90d.") % unit
    return gettext("not a positive time span; write it like 90d, 12h, 52w or P90D.")


def in_words(span: timedelta) -> str:
    """Return a time span in words, in the largest unit with a count of at least two: ``730 days``, ``36 hours``."""
    seconds = int(span.total_seconds())
    if seconds >= 2 * 86400:
        return gettext("%d days") % (seconds // 86400)
    if seconds >= 2 * 3600:
        return gettext("%d hours") % (seconds // 3600)
    return gettext("%d minutes") % (seconds // 60) if seconds >= 120 else gettext("%d seconds") % seconds


def spell_lifetime(span: timedelta) -> str:
    """Return a time span as :func:`parse_lifetime` reads it: ``30d``, ``36h`` or ``PT90S``."""
    for unit in ("d", "h"):
        if not span % _UNITS[unit]:
            return f"{span // _UNITS[unit]}{unit}"
    return f"PT{int(span.total_seconds())}S"


def parse_instant(text: str) -> datetime:
    """Parse ``2027-01-31`` (midnight UTC) or ``2027-01-31T12:00Z`` (UTC if without offset), or raise InvalidSpec."""
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        message = gettext("not a date; write it like 2027-01-31 or 2027-01-31T12:00Z.")
        raise InvalidSpec(message, field="expires_at") from None


def parse_site_url(text: str) -> str:
    """Return the root URL of a site, https or on this machine, without a trailing slash, or raise InvalidSpec."""
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
        (host or "").encode("idna")  # as a connection does; UnicodeError is a ValueError
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.username is not None:
        raise InvalidSpec(gettext("not a URL; write it like https://lms.example.org"), field="verify_url")
    if parts.scheme == "http" and not is_loopback(host):
        raise InvalidSpec(gettext("secrets are not sent over http; use the https URL."), field="verify_url")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or IP address is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
