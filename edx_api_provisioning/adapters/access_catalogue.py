"""Load the access catalogue: what each LMS API endpoint requires, and access profiles with the minimum permissions.

Both are read from ``access.json``: endpoints with the rights that open them, as a real LMS answered, and profiles that
name endpoints and the rights to grant. Another plugin adds profiles in its AppConfig, and a site in its settings, which
override the others. Without the LMS the file is not read::

    class ReportsConfig(AppConfig):
        api_access_profiles = {"reports": {"title": …, "why": …, "opens": […], "grants": {…}}}

    EDX_API_PROVISIONING = {"ACCESS_PROFILES": {"reports": {…}}}

``opens`` lists names of endpoints, or further endpoints in the format of the file. ``grants`` maps fields of a
:class:`~edx_api_provisioning.core.spec.ClientSpec` to the reason for each: ``{"staff": reason}``,
``{"permissions": {"app_label.codename": reason}}``. Placeholders in lower case are chosen by the operator
(``{course_key}``, ``{org}``, ``{provider}``); those in capitals are replaced by the setting of that name.

A right is a string, as in :mod:`~edx_api_provisioning.adapters.rights` (``permission:…``, ``course_role:…``,
``global_role:…``), or ``staff``, ``superuser``, ``scope:…``, ``filter:…``, ``restricted``, ``username:NAME``.
"""

from __future__ import annotations

import enum
import functools
import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.options import CLIENT, USER_RIGHTS
from edx_api_provisioning.core.spec import COURSE_KEY, ClientSpec
from edx_api_provisioning.core.text import suggest

_FLAGS = ("restricted", "staff", "superuser")

# The fields of a ClientSpec that hold rights, and the kind of right that each holds.
_KINDS = {name: CLIENT[name].singular for name in ("username", *USER_RIGHTS, "scopes", "filters")}
_RIGHT = re.compile(rf"{'|'.join(_FLAGS)}|({'|'.join(_KINDS.values())}|forum_role):.+")
_AUTH = {"none", "bearer", "jwt"}
_PLACEHOLDER = re.compile(r"{([a-z_]+)}")
_SETTING = re.compile(r"{([A-Z_]+)}")


class Answer(enum.StrEnum):
    """Answers to whether a client may use an endpoint."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    NOT_DETERMINED = "not determined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One operation of the API. ``path``, ``rights`` and ``untried`` may contain placeholders."""

    name: str
    method: str
    path: str
    auth: tuple[str, ...]
    """The accepted credentials: ``bearer``, ``jwt``; ``none`` if it answers without credentials too."""
    rights: tuple[frozenset[str], ...]
    """Alternative sets of rights, each sufficient, the smallest first; an empty set means any client."""
    untried: tuple[frozenset[str], ...] = ()
    """Alternatives that the code of the LMS names and that were not tried."""
    checked_in: str
    """The file of the LMS, and the class or function, in which the permission check was read."""
    release: str = ""
    """The release of the LMS that was read."""
    note: str = ""
    hidden: bool = False
    """True if a refused caller gets 404, which therefore proves nothing."""
    hole: bool = False
    """True if it is open by a mistake of the platform. No profile may open it."""

    def fill(self, values: Mapping[str, str]) -> Endpoint:
        """Return the endpoint with these placeholders filled in; a course key also determines its organization."""
        known = dict(values)
        if course := COURSE_KEY.fullmatch(known.get("course_key", "")):
            known.setdefault("org", course["org"])
        return replace(
            self,
            path=_fill(self.path, {name: quote(value, safe="") for name, value in known.items()}),
            rights=_fill_rights(self.rights, known),
            untried=_fill_rights(self.untried, known),
        )

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return the placeholders that remain in the path; without any the endpoint can be called."""
        return tuple(_PLACEHOLDER.findall(self.path))

    def answered(self, status: int) -> Answer:
        """Return what the status of a response means: 404 and 400 are returned after the permission check."""
        if status in (401, 403):
            return Answer.REFUSED
        if 200 <= status < 300 or status in (400, 409, 415) or (status == 404 and not self.hidden):
            return Answer.ALLOWED
        return Answer.NOT_DETERMINED


@dataclass(frozen=True, slots=True)
class Grant:
    """One right of a profile: a field of a ClientSpec, the value (empty for a flag), and the reason."""

    field: str
    value: str
    why: str

    @property
    def right(self) -> str:
        """Return the right that the grant gives, such as ``staff``."""
        return f"{_KINDS[self.field]}:{self.value}" if self.value else self.field

    @property
    def is_open(self) -> bool:
        """Return True if the operator has to choose a part of the right."""
        return bool(_PLACEHOLDER.search(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The minimum rights for a purpose."""

    name: str
    title: str
    why: str
    opens: tuple[Endpoint, ...]
    grants: tuple[Grant, ...]

    @property
    def needs(self) -> tuple[Grant, ...]:
        """Return the grants with a part that the operator has to choose."""
        return tuple(grant for grant in self.grants if grant.is_open)

    @property
    def rights(self) -> frozenset[str]:
        """Return the rights of a client that has only this profile."""
        rights = frozenset(grant.right for grant in self.grants)
        return rights | {"staff"} if "superuser" in rights else rights  # as ClientSpec.is_staff

    def apply(self, spec: ClientSpec) -> ClientSpec:
        """Return the spec with all that the profile grants.

        If a placeholder has no value, or the username differs from the profile's, raise InvalidSpec.
        """
        # Rights that neither the profile nor the operator names are removed.
        unnamed = ("permissions", "groups", "course_roles", "global_roles", "filters")
        changes: dict[str, Any] = {name: () for name in unnamed if getattr(spec, name) is None}
        changes["profile"] = self.name
        for grant in self.grants:
            current = getattr(spec, grant.field)
            if grant.field in _FLAGS:
                changes[grant.field] = True
            elif grant.is_open:
                if not any(_might_be(grant.value, value) for value in current or ()):
                    self._refuse(grant.field, _("the profile %(profile)s needs one of the form %(form)s."), grant.value)
            elif grant.field == "username":
                if setting := _SETTING.search(grant.value):
                    self._refuse(
                        "profile", _("%(profile)s needs the setting %(form)s, which this site lacks."), setting[1]
                    )
                if current not in (None, grant.value):
                    self._refuse("username", _("the profile %(profile)s is for the user %(form)s alone."), grant.value)
                changes["username"] = grant.value
            else:
                given = changes.get(grant.field, current) or ()
                changes[grant.field] = given if grant.value in given else (*given, grant.value)
        return replace(spec, **changes)

    def _refuse(self, field: str, message: str, form: str) -> None:
        raise InvalidSpec(message % {"profile": self.name, "form": form}, field=field)


def profiles() -> tuple[Profile, ...]:
    """Return every profile by name; raise ImproperlyConfigured if one of a plugin or of the settings is invalid."""
    return tuple(sorted(_catalogue()[1].values(), key=lambda each: each.name))


def profile(name: str) -> Profile:
    """Return the profile with this name; raise InvalidSpec if there is none."""
    known = _catalogue()[1]
    if name not in known:
        raise InvalidSpec(suggest(_("unknown profile."), name, known), field="profile")
    return known[name]


def endpoints() -> tuple[Endpoint, ...]:
    """Return every known endpoint in the order of the file."""
    return tuple(_catalogue()[0].values())


def find_endpoint(method: str, path: str) -> Endpoint | None:
    """Return the endpoint that answers a request, with the parameters of its URL filled in; None if it is unknown.

    Args:
        path: with or without the site before it, a slash and a query behind it; course keys escaped or not.
    """
    try:
        parts = urlsplit(path)
    except ValueError:
        return None
    query = {name: unquote(value) for name, _is, value in (pair.partition("=") for pair in parts.query.split("&"))}
    found = []
    for endpoint in endpoints():
        pattern, wanted = _pattern(endpoint.path)
        match = pattern.fullmatch(parts.path)
        if match and endpoint.method == method.upper() and wanted.keys() <= query.keys():
            values = {name: unquote(value) for name, value in match.groupdict().items()}
            values |= {placeholder.strip("{}"): query[name] for name, placeholder in wanted.items()}
            same_slash = parts.path.endswith("/") is endpoint.path.partition("?")[0].endswith("/")
            found.append((same_slash, len(wanted), endpoint.fill(values)))
    # Spelled exactly so, if one is; then the endpoint that uses most parameters of the query.
    return max(found, key=lambda each: each[:2])[2] if found else None


def allows(rights: AbstractSet[str], endpoint: Endpoint) -> Answer:
    """Return the answer to whether a client with these rights may use the endpoint."""
    seen = max((_held(alternative, rights) for alternative in endpoint.rights), default=0)
    untried = max((_held(alternative, rights) for alternative in endpoint.untried), default=0)
    # An untried alternative decides nothing.
    return (Answer.REFUSED, Answer.NOT_DETERMINED, Answer.ALLOWED)[max(seen, min(untried, 1))]


def _held(alternative: AbstractSet[str], rights: AbstractSet[str]) -> int:
    """Return 2 if a client with these rights has a whole alternative, 0 if not, 1 if it cannot be decided."""
    if ("restricted" in alternative) != ("restricted" in rights):
        return 0  # A restricted application has none of its user's rights; only its scopes and filters count.
    return min((_has(right, rights) for right in alternative), default=2)


def _has(right: str, rights: AbstractSet[str]) -> int:
    if right in rights or ("superuser" in rights and right.startswith("permission:")):
        return 2
    if right.startswith("forum_role:"):
        return 1  # Roles in a course's forum (django_comment_common.Role) cannot be granted to a client.
    return 1 if _PLACEHOLDER.search(right) and any(_might_be(right, held) for held in rights) else 0


def _might_be(form: str, value: str) -> bool:
    """Return True if some values of the placeholders turn the template into this value."""
    literal = _PLACEHOLDER.split(form)[::2]
    pattern = ".+".join(map(re.escape, literal))
    if "{course_key}" in form:
        pattern = pattern.replace(".+", COURSE_KEY.pattern)
    elif "{org}" in form:
        pattern = pattern.replace(".+", r"[\w.-]+")
    return re.fullmatch(pattern, value, re.ASCII) is not None


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def _fill_rights(alternatives: tuple[frozenset[str], ...], values: Mapping[str, str]) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(_fill(right, values) for right in alternative) for alternative in alternatives)


@functools.cache
def _pattern(template: str) -> tuple[re.Pattern[str], dict[str, str]]:
    """Return the path of a template as a pattern, and the parameters of its query."""
    path, _mark, query = template.partition("?")
    literal = _PLACEHOLDER.split(path.removesuffix("/"))
    pieces = (f"(?P<{text}>[^/,]+)" if odd % 2 else re.escape(text) for odd, text in enumerate(literal))
    wanted = dict(pair.split("=") for pair in query.split("&")) if query else {}
    return re.compile(f"{''.join(pieces)}/?"), wanted


@functools.cache
def _file() -> str:
    return resources.files("edx_api_provisioning").joinpath("access.json").read_text(encoding="utf-8")


def _catalogue() -> tuple[dict[str, Endpoint], dict[str, Profile]]:
    """Return endpoints and profiles by name; plugins override the file, and settings override both."""
    given = [
        (f"{config.name}: api_access_profiles", getattr(config, "api_access_profiles", {}))
        for config in (apps.get_app_configs() if apps.ready else ())
    ]
    given.append(("EDX_API_PROVISIONING['ACCESS_PROFILES']", conf.get("ACCESS_PROFILES")))
    more = json.dumps([each for each in given if each[1]], default=str)
    file = _SETTING.sub(_setting, _file()) if lms.is_lms() else '{"endpoints": [], "profiles": {}}'
    return _read(file, _SETTING.sub(_setting, more))


@functools.lru_cache(maxsize=1)
def _read(file: str, more: str) -> tuple[dict[str, Endpoint], dict[str, Profile]]:
    data = json.loads(file)
    endpoints_: dict[str, Endpoint] = {}
    for entry in data["endpoints"]:
        _add_endpoint(endpoints_, {"release": data["release"], **entry})
    profiles_ = {name: _profile(name, entry, endpoints_) for name, entry in data["profiles"].items()}
    for where, given in json.loads(more):
        if not isinstance(given, dict):
            raise ImproperlyConfigured(f"{where}: give a profile for each name.")
        for name, entry in given.items():
            try:
                profiles_[name] = _profile(name, entry, endpoints_)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ImproperlyConfigured(f"{where}[{name!r}]: {type(error).__name__}: {error}") from None
    return endpoints_, profiles_


def _setting(match: re.Match[str]) -> str:
    value = getattr(settings, match[1], None)
    return json.dumps(value)[1:-1] if isinstance(value, str) and value else match[0]


def _add_endpoint(endpoints_: dict[str, Endpoint], entry: Mapping[str, Any]) -> Endpoint:
    alternatives = {name: tuple(map(_alternative, entry[name])) for name in ("rights", "untried") if name in entry}
    endpoint = Endpoint(**{**entry, "auth": tuple(entry["auth"]), **alternatives})
    if not _AUTH.issuperset(endpoint.auth):
        raise ValueError(f"auth is some of {', '.join(sorted(_AUTH))}")
    if endpoints_.setdefault(endpoint.name, endpoint) != endpoint:
        raise ValueError(f"two endpoints are called {endpoint.name!r}")
    return endpoint


def _alternative(given: list[str]) -> frozenset[str]:
    if isinstance(given, str) or not all(_RIGHT.fullmatch(right) for right in given):
        raise ValueError(f"{given!r} is no list of rights")
    return frozenset(given)


def _profile(name: str, entry: Mapping[str, Any], endpoints_: dict[str, Endpoint]) -> Profile:
    opened = tuple(
        endpoints_[each] if isinstance(each, str) else _add_endpoint(endpoints_, each) for each in entry["opens"]
    )
    grants = tuple(grant for field, given in entry["grants"].items() for grant in _grants(field, given))
    made = Profile(name=name, title=entry["title"], why=entry["why"], opens=opened, grants=grants)
    for endpoint in opened:
        if endpoint.hole:
            raise ValueError(f"{endpoint.name!r} opens by a mistake of the platform, which no profile may build on")
        if allows(made.rights, endpoint) is not Answer.ALLOWED:
            raise ValueError(f"its rights do not open {endpoint.name!r}")
    return made


def _grants(field: str, given: Any) -> Iterator[Grant]:
    if field in _FLAGS:
        yield Grant(field, "", str(given))
    elif field in _KINDS:
        for value, why in given.items():
            yield Grant(field, value, str(why))
    else:
        raise ValueError(f"{field!r} is no right; known are {', '.join((*_FLAGS, *_KINDS))}")
