"""Define the fields of an API client and the options of every command, once for all entry points.

The commands, Tutor jobs, manifest, REST API with its OpenAPI description, admin forms and reference pages are built
from this table. It imports the standard library only and runs on Python 3.10: the Tutor plugin reads it without Django.
"""

# ruff: noqa: RUF009 - the dataclasses are the table: each default describes its field

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from edx_api_provisioning.core.secrets import Secret


def gettext_noop(text: str) -> str:
    """Mark a text for translation; it is translated where it is shown."""
    return text


_ = gettext_noop

TEXT, EMAIL, FLAG, DURATION = "text", "email", "flag", "duration"
INSTANT, URL, SECRET, FORMAT = "instant", "url", "secret", "format"

NAME_MAX_LENGTH, LINE_MAX_LENGTH, CLIENT_ID_MAX_LENGTH, SECRET_MAX_LENGTH = 100, 255, 100, 255

# The parts of a form and of the help of a command, in order: their titles.
PARTS = CLIENT_PART, USER, RIGHTS, TOKEN, RECORD, VALUES, MANY, RESULT = (
    _("API client"),
    _("Service user"),
    _("Permissions and scopes"),
    _("Access token"),
    _("For the record"),
    _("Values of your own"),
    _("Many clients"),
    _("Result"),
)

_NAME: dict[str, Any] = {
    "metavar": "NAME",
    "pattern": r"[A-Za-z0-9][A-Za-z0-9._-]*",
    "max_length": NAME_MAX_LENGTH,
    "error": _("use letters, digits, '.', '_' and '-', and begin with a letter or digit."),
}
DURATION_TEXT: dict[str, Any] = {
    "metavar": "TIME",
    "pattern": r"[0-9]{1,6}[hdw]|P[0-9A-Z.]+",
    "error": _("write a time span like 90d, 12h, 52w or P90D."),
}
_INSTANT: dict[str, Any] = {
    "metavar": "DATE",
    "pattern": r"[0-9]{4}-?[0-9W].*",
    "error": _("write a date like 2027-01-31 or 2027-01-31T12:00Z."),
}
_ADDRESS: dict[str, Any] = {
    "kind": EMAIL,
    "metavar": "EMAIL",
    "pattern": r"\S+@\S+",
    "max_length": 254,  # auth_user.email of the LMS
    "error": _("not an email address."),
}


class Option(NamedTuple):
    """A value that an entry point accepts."""

    name: str
    """The name in Python, manifests, REST bodies and forms."""
    help: str
    label: str = ""
    kind: str = TEXT
    many: bool = False
    default: Any = None
    metavar: str = "TEXT"
    pattern: str = ""
    """A regular expression for the whole text."""
    max_length: int | None = None
    error: str = ""
    """The message for a text that does not match the pattern."""
    empty: bool = False
    """True if an empty text is allowed; it removes the value that a client has."""
    choices: tuple[str, ...] = ()
    part: str = ""
    negatable: bool = False
    """True for a flag that a command can also be given as ``--no-NAME``."""
    positional: bool = False
    required: bool = False
    exclusive: str = ""
    """Options of a command with the same word exclude each other."""
    lms: bool = False
    """True if the LMS alone has it: commands and forms of other sites do not offer it."""

    @property
    def singular(self) -> str:
        """Return the name of one of many: ``permission`` for ``permissions``. Rights begin with it."""
        return self.name[:-1] if self.many else self.name

    @property
    def key(self) -> str:
        """Return the name in a manifest, which holds no secret itself."""
        return f"{self.name}_from" if self.kind == SECRET else self.name

    @property
    def flag(self) -> str:
        """Return the spelling in a command: ``--permission``, ``--client-secret-from``, ``NAME``."""
        if self.positional:
            return self.metavar
        spelled = self.key if self.kind == SECRET else self.singular
        return "--" + spelled.replace("_", "-")

    @property
    def negative_flag(self) -> str:
        """Return the spelling that switches a negatable flag off: ``--no-token``."""
        return "--no-" + self.flag[2:]


def _field(help: str, *, default: Any = None, **about: Any) -> Any:
    return field(default=default, metadata={"help": help, **about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The fields of a client that its row in the registry stores as they are; None leaves them as they are."""

    name: str = _field(
        _("Name of the API client."),
        default="api-client",
        label=_("name"),
        positional=True,
        part=CLIENT_PART,
        **_NAME,
    )
    contact: str | None = _field(
        _("Email address of the person responsible for the client."),
        label=_("contact"),
        part=CLIENT_PART,
        empty=True,
        **_ADDRESS,
    )
    purpose: str | None = _field(
        _("What the client is used for."), label=_("purpose"), part=CLIENT_PART, max_length=LINE_MAX_LENGTH, empty=True
    )
    profile: str | None = _field(
        _("Access profile: exactly the permissions that one purpose needs; see explain_api_access --profiles."),
        label=_("access profile"),
        metavar="NAME",
        part=RIGHTS,
        empty=True,
    )
    self_rotation: bool | None = _field(
        _("Allow the client to replace its access token, using the token itself."),
        label=_("self-rotation"),
        part=TOKEN,
        negatable=True,
    )
    manifest: str | None = _field(
        _("Name of the manifest; --prune retires the clients that have left the manifest of this name."),
        label=_("manifest"),
        **_NAME,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFields(Record):
    """Every field of a client. None stands for the site's default, or leaves an existing client as it is."""

    username: str | None = _field(
        _("Username of the service user, which is created if it is missing. Default: the name of the client."),
        label=_("username"),
        metavar="USERNAME",
        part=USER,
    )
    email: str | None = _field(
        _("Email address of a new service user. Default: the username at the host of the site."),
        label=_("email address"),
        part=USER,
        **_ADDRESS,
    )
    use_existing_user: bool = _field(
        _("Use an account that this package did not create as the service user. The client can do all that it can."),
        default=False,
        label=_("use an existing account"),
        part=USER,
    )
    reissue: bool = _field(
        _(
            "Issue a new secret and token, and end the old ones at once, if whoever received the old ones could not "
            "have granted the new rights."
        ),
        default=False,
        label=_("issue new credentials for new rights"),
        part=RIGHTS,
    )
    staff: bool | None = _field(
        _("Make a new service user staff. Staff can read and change nearly everything through the API."),
        label=_("staff"),
        part=USER,
    )
    superuser: bool | None = _field(
        _("Make a new service user a superuser, which can do everything; implies staff."),
        label=_("superuser"),
        part=USER,
    )
    permissions: tuple[str, ...] | None = _field(
        _("Permission to grant, as app_label.codename."),
        label=_("permissions"),
        metavar="APP_LABEL.CODENAME",
        part=RIGHTS,
        pattern=r"[a-z_][a-z0-9_]*\.[a-z0-9_]+",
        error=_("write it like app_label.change_model."),
    )
    groups: tuple[str, ...] | None = _field(
        _("Existing group to add the service user to."), label=_("groups"), metavar="NAME", part=RIGHTS
    )
    course_roles: tuple[str, ...] | None = _field(
        _("Course role to grant, such as staff@course-v1:edX+DemoX+2026, or staff@edX for all courses of edX."),
        label=_("course roles"),
        metavar="ROLE@COURSE",
        part=RIGHTS,
        pattern=r"[a-z_]{1,64}@(course-v1:[A-Za-z0-9_.-]+\+[A-Za-z0-9_.~-]+\+[A-Za-z0-9_.~-]+|[A-Za-z0-9_.-]{1,64})",
        error=_("write it like staff@course-v1:edX+DemoX+2026 or staff@edX."),
        lms=True,
    )
    global_roles: tuple[str, ...] | None = _field(
        _("Role without a course to grant, such as support."),
        label=_("global roles"),
        metavar="ROLE",
        part=RIGHTS,
        pattern="[a-z_]{1,64}",
        error=_("use the name of a role, such as support."),
        lms=True,
    )
    restricted: bool = _field(
        _("Restrict the application: it gets JWTs only, and they open only what scopes and filters allow."),
        default=False,
        label=_("restricted"),
        part=RIGHTS,
        lms=True,
    )
    # openedx/core/djangoapps/oauth_dispatch/models.py, ApplicationAccess: a comma separates.
    filters: tuple[str, ...] | None = _field(
        _("Filter that limits the JWTs of a restricted client, such as content_org:edX."),
        label=_("filters"),
        metavar="FILTER",
        part=RIGHTS,
        pattern=r"[A-Za-z0-9_]+:[^,\s]+",
        error=_("write it like content_org:edX."),
        lms=True,
    )
    token: bool | None = _field(
        _("Issue an access token. Without one, the client requests tokens with its client ID and secret."),
        label=_("issue an access token"),
        part=TOKEN,
        negatable=True,
    )
    expires_in: timedelta | None = _field(
        _("Lifetime of the access token: 90d, 12h, 52w or P90D. Default: that of the site, 365d if it sets none."),
        label=_("expires in"),
        part=TOKEN,
        **DURATION_TEXT,
    )
    expires_at: datetime | None = _field(
        _("Expiry date of the access token, instead of a lifetime: 2027-01-31 or 2027-01-31T12:00Z."),
        label=_("or expires at"),
        part=TOKEN,
        **_INSTANT,
    )
    scopes: tuple[str, ...] | None = _field(
        _("Scope of the access token. Default: the default scopes of the site."),
        label=_("scopes"),
        metavar="SCOPE",
        part=TOKEN,
        pattern=r"[!#-\[\]-~]+",  # RFC 6749 section 3.3: scope-token
        error=_("give one scope at a time, without spaces or quotes."),
    )
    # RFC 6749 appendix A.1 allows spaces, which do not survive HTTP Basic and forms everywhere, and ':', which ends the
    # user ID in HTTP Basic (RFC 7617 section 2).
    client_id: str | None = _field(
        _("Client ID of a new application. Default: a generated one."),
        label=_("client ID"),
        metavar="ID",
        part=VALUES,
        pattern="[!-9;-~]+",
        max_length=CLIENT_ID_MAX_LENGTH,
        error=_("use printable ASCII characters without spaces or ':'."),
    )
    client_secret: Secret | None = _field(
        _("Where to read the client secret from: env:VARIABLE, file:PATH, or stdin in a command. Default: generated."),
        label=_("client secret"),
        metavar="SOURCE",
        part=VALUES,
        pattern="[ -~]{32,255}",  # RFC 6749 appendix A.2: VSCHAR
        error=_("use 32 to 255 printable ASCII characters."),
    )
    access_token: Secret | None = _field(
        _("Where to read the access token from: env:VARIABLE, file:PATH, or stdin in a command. Default: generated."),
        label=_("access token"),
        metavar="SOURCE",
        part=VALUES,
        pattern=r"(?=.{32,255}\Z)[A-Za-z0-9._~+/-]+=*",  # RFC 6750 section 2.1: b64token
        error=_("use 32 to 255 letters, digits and any of -._~+/ (RFC 6750)."),
    )


_KINDS = {"str": TEXT, "bool": FLAG, "timedelta": DURATION, "datetime": INSTANT, "Secret": SECRET}


def _options(table: type) -> Iterator[Option]:
    for each in fields(table):
        annotation = str(each.type).removesuffix(" | None")
        kind, many = _KINDS.get(annotation, TEXT), annotation == "tuple[str, ...]"
        yield Option(**{"kind": kind, "many": many, "name": each.name, "default": each.default, **each.metadata})


CLIENT: Mapping[str, Option] = {
    option.name: option for part in PARTS for option in _options(ClientFields) if option.part == part
}
"""Every field that describes a client, part by part."""

STORED: Mapping[str, Option] = {option.name: option for option in _options(Record) if option.name != "name"}
"""The fields that the registry stores as they are."""

MANIFEST = STORED["manifest"]

USER_RIGHTS = ("permissions", "groups", "course_roles", "global_roles")
"""The fields that hold rights of the service user."""


def find_problem(option: Option, value: Any, translate: Callable[[str], str] = str) -> str | None:
    """Return what is wrong with a value as a manifest, a REST body or a command line holds it; None if nothing is."""
    if option.kind == FLAG:
        return None if isinstance(value, bool) else translate(_("give true or false."))
    if option.many:
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            return translate(_("give a list of texts."))
        return next((text_problem(option, item, translate) for item in value), None)
    if not isinstance(value, str):
        return translate(_("give one text."))
    return text_problem(option, value, translate)


def text_problem(option: Option, text: str, translate: Callable[[str], str] = str) -> str | None:
    """Return what is wrong with one text for an option; None if nothing is."""
    if not text:
        return None if option.empty else translate(_("cannot be empty; leave it out for the default."))
    if option.max_length is not None and len(text) > option.max_length:
        return translate(_("use at most %d characters.")) % option.max_length
    if option.pattern and not re.fullmatch(option.pattern, text):
        return translate(option.error)
    # Databases and UTF-8 know no others.
    return None if text.isprintable() else translate(_("use printable characters only."))


def find_problems(
    client: Any, options: Mapping[str, Option], translate: Callable[[str], str] = str
) -> Iterator[tuple[str, str]]:
    """Yield each field of a described client that is wrong, with what is wrong. Null is the same as leaving it out."""
    for name, value in client.items():
        if name not in options:
            yield str(name), translate(_("unknown field; use one of %s.")) % ", ".join(options)
        elif value is not None and (problem := find_problem(options[name], value, translate)) is not None:
            yield name, problem
    if client.get("name") is None and "name" in options:
        yield "name", translate(_("every client needs a name."))


DUPLICATE = _("another client has this name.")


def repeated(names: Iterable[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    """Yield the number of each numbered name that was there before, and the number of its first occurrence."""
    first: dict[str, int] = {}
    for number, name in names:
        if first.setdefault(name, number) != number:
            yield number, first[name]


REASON = Option(
    "reason",
    _("Reason for the change, in one line; it is kept in the history."),
    label=_("reason"),
    part=RECORD,
    default="",
    max_length=LINE_MAX_LENGTH,
    empty=True,
)
