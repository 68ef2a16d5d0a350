"""Define and validate ``ClientSpec``: what an API client should be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.secrets import Secret

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

    @property
    def courses(self) -> frozenset[str]:
        """Return the keys of the courses in which the user is to have a role."""
        places = (role.partition("@")[2] for role in self.course_roles or ())
        return frozenset(place for place in places if COURSE_KEY.fullmatch(place))

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
