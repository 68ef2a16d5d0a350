"""Frozen values: what is wanted, what was issued, what was proved. No database, no settings.

Time spans are :class:`~datetime.timedelta`, instants are aware UTC datetimes.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.dateparse import parse_duration
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from edx_api_provisioning.exceptions import InvalidSpec, ProvisioningError

DEFAULT_NAME = "api-client"
NAME_MAX_LENGTH = 100
PURPOSE_MAX_LENGTH = 255
# auth_user in the LMS and oauth2_provider in every version: FACTS of the schema, not of taste.
EMAIL_MAX_LENGTH = 254
CLIENT_ID_MAX_LENGTH = 100
SECRET_MIN_LENGTH = 32
SECRET_MAX_LENGTH = 255

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# RFC 6749 appendix A.1 allows spaces too, but they do not survive HTTP Basic and forms everywhere; and no colon,
# which ends the user-id in HTTP Basic (RFC 7617 section 2).
CLIENT_ID = re.compile(r"[!-9;-~]+")
_CLIENT_SECRET = re.compile(r"[ -~]+")  # RFC 6749 appendix A.2: VSCHAR
_ACCESS_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1: b64token
SCOPE = re.compile(r"[!#-\[\]-~]+")  # RFC 6749 section 3.3: scope-token
COURSE_KEY = re.compile(r"course-v1:(?P<org>[\w.-]+)\+[\w.~-]+\+[\w.~-]+", re.ASCII)
PERMISSION = re.compile(r"[a-z_][a-z0-9_]*\.[a-z0-9_]+")
_ROLE = re.compile(r"[a-z_]{1,64}")
_ORG = re.compile(r"[\w.-]{1,64}", re.ASCII)
# openedx/core/djangoapps/oauth_dispatch/models.py, ApplicationAccess: a comma separates, 25 of 32 characters fit.
FILTER = re.compile(r"[A-Za-z0-9_]+:[^,\s]+")
ACCESS_ITEMS, ACCESS_ITEM_LENGTH = 25, 32
MAX_GRACE = timedelta(days=90)
_LIFETIME = re.compile(r"([0-9]{1,6})([hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Status(enum.StrEnum):
    """What a run did to a client, as the JSON output says it."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    ADOPTED = "adopted"
    ROTATED = "rotated"
    REVOKED = "revoked"
    RETIRED = "retired"
    DELETED = "deleted"


class Secret:
    """A value that only :meth:`reveal` gives away: not ``str``, ``repr``, ``format``, ``pickle`` or ``copy``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret is not serialised; reveal() it where it is written out.")


def parse_lifetime(text: str) -> timedelta:
    """``90d``, ``12h``, ``52w`` or ISO 8601 ``P90D`` as a positive time span.

    Raises:
        InvalidSpec: in any other form, and for zero.
    """
    if match := _LIFETIME.fullmatch(text):
        span: timedelta | None = int(match[1]) * _UNITS[match[2]]
    else:
        try:
            # Only ISO 8601: Django would also read "90" as seconds and "1 2:3" as a clock.
            span = parse_duration(text) if text.startswith("P") and text.isascii() else None
        except (OverflowError, ValueError):
            span = None
    if span is None or span < timedelta(seconds=1):
        message = gettext("not a time span above zero; write it like 90d, 12h, 52w or P90D.")
        raise InvalidSpec(message, field="expires_in")
    return span


def in_words(span: timedelta) -> str:
    """How long a time span is, in the largest unit of which there are two at least: ``730 days``, ``36 hours``."""
    seconds = int(span.total_seconds())
    if seconds >= 2 * 86400:
        return gettext("%d days") % (seconds // 86400)
    if seconds >= 2 * 3600:
        return gettext("%d hours") % (seconds // 3600)
    return gettext("%d minutes") % (seconds // 60) if seconds >= 120 else gettext("%d seconds") % seconds


def parse_instant(text: str) -> datetime:
    """``2027-01-31`` (its first moment, UTC) or ``2027-01-31T12:00Z``; UTC where no offset is given.

    Raises:
        InvalidSpec: in any other form.
    """
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        message = gettext("not a date; write it like 2027-01-31 or 2027-01-31T12:00Z.")
        raise InvalidSpec(message, field="expires_at") from None


def parse_site_url(text: str) -> str:
    """The root of a site that secrets may be sent to: https, or http on this machine; without a slash at its end.

    Raises:
        InvalidSpec: for any other.
    """
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.username is not None:
        raise InvalidSpec(gettext("not a web address; write it like https://lms.example.org"), field="verify_url")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise InvalidSpec(gettext("secrets are not sent over http; give the https address."), field="verify_url")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require(condition: bool, field_name: str, message: Promise, values: object = ()) -> None:
    """``message`` is lazy: nothing is translated for what is right, and there may be thousands of it."""
    if not condition:
        raise InvalidSpec(str(message) % values, field=field_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSpec:
    """An API client as it is wanted. ``None`` means: the site's default, or leave as it is.

    Raises:
        InvalidSpec: for a value that no site would take. What depends on the site is checked when planning.
    """

    name: str = DEFAULT_NAME
    username: str | None = None
    email: str | None = None
    use_existing_user: bool = False
    staff: bool = False
    superuser: bool = False
    token: bool = True
    expires_in: timedelta | None = None
    expires_at: datetime | None = None
    scopes: tuple[str, ...] | None = None
    filters: tuple[str, ...] | None = None
    restricted: bool = False
    permissions: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    course_roles: tuple[str, ...] | None = None
    global_roles: tuple[str, ...] | None = None
    profile: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    access_token: Secret | None = None
    contact: str | None = None
    purpose: str | None = None
    self_rotation: bool | None = None
    """Whether the client may give itself a new access token with the one it has."""
    manifest: str | None = None
    """The manifest that declares it."""

    def __post_init__(self) -> None:
        for field_name, name in (("name", self.name), ("manifest", self.manifest)):
            _require(
                name is None or (bool(NAME.fullmatch(name)) and len(name) <= NAME_MAX_LENGTH),
                field_name,
                _("use letters, digits, '.', '_' and '-', beginning with a letter or digit, at most %d characters."),
                NAME_MAX_LENGTH,
            )
        for field_name, address in (("email", self.email), ("contact", self.contact)):
            if address:
                check_email(field_name, address)
        _require(self.email != "", "email", _("may not be empty; leave it out for the default."))
        _require(self.username != "", "username", _("may not be empty; leave it out for the client's name."))
        _require((self.username or "").isprintable(), "username", _("use printable characters only."))
        self._check_expiry()
        self._check_scopes()
        self._check_rights()
        self._check_credentials()
        check_line("purpose", self.purpose or "")

    @property
    def is_staff(self) -> bool:
        """A superuser is staff as well: the LMS refuses one who is not on most endpoints."""
        return self.staff or self.superuser

    @property
    def wants_token(self) -> bool:
        """Whether an opaque access token is wanted: the LMS lets those of a restricted application expire at once."""
        return self.token and not self.restricted

    @property
    def rights(self) -> frozenset[str] | None:
        """The rights that the user is to have, no more and no less, as in ``grants``; None if nothing is said."""
        kinds = {
            "permission": self.permissions,
            "group": self.groups,
            "course_role": self.course_roles,
            "global_role": self.global_roles,
        }
        if all(values is None for values in kinds.values()):
            return None
        return frozenset(f"{kind}:{value}" for kind, values in kinds.items() for value in values or ())

    def _check_expiry(self) -> None:
        _require(
            self.expires_in is None or self.expires_at is None,
            "expires_at",
            _("give either a time span or an end, not both."),
        )
        _require(
            self.expires_in is None or self.expires_in > timedelta(0),
            "expires_in",
            _("the token would never be valid; give a time span above zero."),
        )
        _require(
            self.expires_at is None or self.expires_at.tzinfo is not None,
            "expires_at",
            _("the time needs a time zone."),
        )
        for field_name, value in (
            ("expires_in", self.expires_in),
            ("expires_at", self.expires_at),
            ("access_token", self.access_token),
        ):
            _require(
                self.wants_token or value is None,
                field_name,
                _("says how the token is to be, but none is wanted (a restricted client gets JWTs); leave it out."),
            )

    def _check_scopes(self) -> None:
        for scope in self.scopes or ():
            _require(
                bool(SCOPE.fullmatch(scope)),
                "scopes",
                _("give one scope at a time, without spaces or quotes."),
            )

    def _check_rights(self) -> None:
        for permission in self.permissions or ():
            message = _("write it like course_modes.change_coursemode.")
            _require(bool(PERMISSION.fullmatch(permission)), "permissions", message)
        for group in self.groups or ():
            _require(bool(group) and group.isprintable(), "groups", _("give the name of a group."))
        for course_role in self.course_roles or ():
            role, _at, where = course_role.partition("@")
            _require(
                bool(_ROLE.fullmatch(role) and (COURSE_KEY.fullmatch(where) or _ORG.fullmatch(where))),
                "course_roles",
                _("write it like staff@course-v1:edX+DemoX+2026 or staff@edX."),
            )
        for role in self.global_roles or ():
            _require(bool(_ROLE.fullmatch(role)), "global_roles", _("give the name of a role, such as support."))
        for entry in self.filters or ():
            _require(bool(FILTER.fullmatch(entry)), "filters", _("write it like content_org:edX."))

    def _check_credentials(self) -> None:
        _require(
            self.client_id is None
            or (bool(CLIENT_ID.fullmatch(self.client_id)) and len(self.client_id) <= CLIENT_ID_MAX_LENGTH),
            "client_id",
            _("use 1 to %d printable ASCII characters without spaces or ':'."),
            CLIENT_ID_MAX_LENGTH,
        )
        if self.client_secret is not None:
            _check_secret("client_secret", self.client_secret, _CLIENT_SECRET, _("printable ASCII characters"))
        if self.access_token is not None:
            _check_secret(
                "access_token",
                self.access_token,
                _ACCESS_TOKEN,
                _("letters, digits and any of -._~+/ (RFC 6750)"),
            )


def check_line(field_name: str, text: str) -> None:
    """Whether words of the operator's own fit the registry: one line, not too long.

    Raises:
        InvalidSpec: if not.
    """
    _require(
        text.isprintable() and len(text) <= PURPOSE_MAX_LENGTH,
        field_name,
        _("one line of at most %d printable characters."),
        PURPOSE_MAX_LENGTH,
    )


def check_email(field_name: str, address: str) -> None:
    """Whether this is an address that fits the LMS's users.

    Raises:
        InvalidSpec: if not.
    """
    try:
        validate_email(address)
        valid = len(address) <= EMAIL_MAX_LENGTH
    except ValidationError:
        valid = False
    _require(valid, field_name, _("not an email address."))


def _check_secret(field_name: str, secret: Secret, alphabet: re.Pattern[str], described: Promise) -> None:
    value = secret.reveal()
    _require(
        SECRET_MIN_LENGTH <= len(value) <= SECRET_MAX_LENGTH and bool(alphabet.fullmatch(value)),
        field_name,
        _("use %(min)d to %(max)d %(alphabet)s."),
        {"min": SECRET_MIN_LENGTH, "max": SECRET_MAX_LENGTH, "alphabet": described},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The rows that one run made, by primary key: what :func:`~edx_api_provisioning.api.undo` takes away again."""

    client: Any = None
    user: Any = None
    application: Any = None
    access_token: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What one run of ``provision`` leaves. A secret is here only if this run issued it."""

    name: str
    status: Status
    username: str
    email: str
    client_id: str
    client_secret: Secret | None
    access_token: Secret | None
    expires_at: datetime | None
    """When the client's current access token ends; None without one."""
    scopes: tuple[str, ...]
    profile: str = ""
    """The access profile, if it was provisioned with one."""
    restricted: bool = False
    """Whether its application is restricted: then it has no opaque tokens, only JWTs."""
    made: Made = field(default=Made(), repr=False)
    reissued: bool = False
    """Whether it was issued in the place of what was never handed over: there is nothing to go back to."""
    changes: tuple[str, ...] = ()
    """What the run did, one phrase for each step."""
    warnings: tuple[str, ...] = ()

    @classmethod
    def of_nothing(cls, name: str) -> Credentials:
        """Those of a client that is not there any more."""
        return cls(
            name=name,
            status=Status.UNCHANGED,
            username="",
            email="",
            client_id="",
            client_secret=None,
            access_token=None,
            expires_at=None,
            scopes=(),
        )

    @property
    def issued(self) -> bool:
        """Whether there is a secret to hand over."""
        return self.client_secret is not None or self.access_token is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of one of many clients that were wanted."""

    name: str
    credentials: Credentials | None = None
    error: ProvisioningError | None = None
    """Why nothing was done, if so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSummary:
    """What is to be known about a managed client; no secret."""

    name: str
    state: str
    username: str | None
    is_staff: bool
    is_superuser: bool
    contact: str
    purpose: str
    client_id: str | None
    scopes: tuple[str, ...]
    tokens: int
    """How many access tokens its application has, live or not."""
    expires_at: datetime | None
    last_issued: datetime | None
    profile: str = ""
    """The access profile, if it was provisioned with one."""
    rights: tuple[str, ...] = ()
    """``superuser`` and ``staff``, if its user is one now, and the rights that were declared for it."""
    restricted: bool = False
    """Whether its application is restricted: then it has no opaque tokens, only JWTs."""
    self_rotation: bool = False
    """Whether its access token is enough to get the next one."""
    manifest: str = ""
    """The manifest that declares it."""
    declared: tuple[str, ...] = ()
    """The rights that it was declared to have, as in ``grants``, and what its application may ask for."""
    created: datetime | None = None
    updated: datetime | None = None
    """When its row in the registry last changed."""
    excess: tuple[str, ...] = ()
    """Rights beyond those that were declared, if they were asked for."""
    troubles: tuple[str, ...]
    """What others did to it: see :class:`~edx_api_provisioning.condition.Trouble`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What was done to a client, when, why and by whom."""

    kind: str
    actor: str
    reason: str
    details: dict[str, Any]
    created: datetime


class RequestId(NamedTuple):
    """What tells a request from all others: the same one is not carried out twice."""

    key: str
    """At most 64 characters."""
    digest: str
    """Of all that is asked for, so that something else under the same key is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmanaged:
    """An application or a long-lived access token of no client; no secret."""

    kind: str
    name: str
    client_id: str | None
    username: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What the site makes of an access token that somebody presents."""

    state: str
    """``valid``, ``expired``, ``unknown``, ``disabled`` (its user), ``unusable`` or ``refused``."""
    meaning: str = ""
    """If it is not valid, why, and what to do."""
    username: str | None = None
    is_staff: bool = False
    is_superuser: bool = False
    rights: tuple[str, ...] = ()
    """``superuser``, ``staff``, what was given to the user itself, and what its application may ask for."""
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    client_id: str | None = None
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One thing tried: ``ok``, and if not, what it means and what to do."""

    what: str
    ok: bool
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was tried to prove the credentials, in order."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a request comes from: what its credential is, and what that opens. No secret."""

    username: str
    is_staff: bool
    is_superuser: bool
    scheme: str
    """``bearer``, ``jwt`` (in a header or a cookie) or ``session``."""
    client: str | None = None
    """The API client whose credential it is, as far as it can be told."""
    client_id: str | None = None
    scopes: tuple[str, ...] | None = None
    """None where the credential has none: a session."""
    restricted: bool = False
    """Whether the rights of the user count for nothing, because the application is restricted."""
    rights: tuple[str, ...] = ()
    """What no ordinary account may do, in words."""
    self_rotation: bool = False
    """Whether the credential is enough to get the next one."""
    expires_at: datetime | None = None
