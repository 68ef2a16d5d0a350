"""A client as JSON or YAML has it: one table, from which a mapping is read and the published JSON Schema is made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.parsing import parse_instant, parse_lifetime
from edx_api_provisioning.core.spec import (
    CLIENT_ID,
    CLIENT_ID_MAX_LENGTH,
    EMAIL_MAX_LENGTH,
    FILTER,
    NAME,
    NAME_MAX_LENGTH,
    PERMISSION,
    PURPOSE_MAX_LENGTH,
    SCOPE,
    ClientSpec,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class InvalidFields(InvalidSpec):
    """All that is wrong with a description of a client, each with its field."""

    def __init__(self, problems: list[InvalidSpec]) -> None:
        super().__init__(problems[0].message, field=problems[0].field)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return " ".join(map(str, self.problems))


class Field(NamedTuple):
    """What may stand in a description under one name: a field of :class:`ClientSpec`."""

    schema: Mapping[str, Any]
    """Its JSON Schema; ``type`` is ``string``, ``boolean`` or ``array`` (of strings)."""
    parse: Callable[[str], Any] | None = None
    """Makes of the text what ClientSpec takes."""

    def read(self, name: str, value: Any) -> Any:
        """The value for ClientSpec.

        Raises:
            InvalidSpec: if it is of another type, or is not understood.
        """
        kind = self.schema["type"]
        texts = value if isinstance(value, (list, tuple)) else [value]
        if not all(text.isprintable() for text in texts if isinstance(text, str)):
            raise InvalidSpec(_("use printable characters only."), field=name)  # Databases and UTF-8 know no others.
        if kind == "boolean" and not isinstance(value, bool):
            raise InvalidSpec(_("give true or false."), field=name)
        if kind == "array":
            if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
                raise InvalidSpec(_("give a list of texts."), field=name)
            return tuple(value)
        if kind == "string" and not isinstance(value, str):
            raise InvalidSpec(_("give one text."), field=name)
        return self.parse(value) if self.parse is not None else value


def _text(about: str, **more: Any) -> Field:
    return Field({"type": "string", "description": about, **more})


def _email(about: str) -> Field:
    return _text(about, format="email", maxLength=EMAIL_MAX_LENGTH)


def _flag(about: str) -> Field:
    return Field({"type": "boolean", "description": about})


def _texts(about: str, pattern: re.Pattern[str] | None = None) -> Field:
    items: dict[str, Any] = {"type": "string", "minLength": 1}
    if pattern is not None:
        items["pattern"] = f"^(?:{pattern.pattern})$"
    return Field({"type": "array", "description": about, "items": items})


FIELDS: Mapping[str, Field] = {
    "name": _text("Of the API client.", pattern=f"^(?:{NAME.pattern})$", minLength=1, maxLength=NAME_MAX_LENGTH),
    "username": _text("Of the service user, which is created if absent; by default the client's name.", minLength=1),
    "email": _email("Of a new service user; by default its username at the site's host."),
    "use_existing_user": _flag("Let an account that was made elsewhere be the service user."),
    "staff": _flag("A new user may do what staff may: nearly everything."),
    "superuser": _flag("A new user may do everything; implies staff."),
    "contact": _email("The person who answers for this client."),
    "purpose": _text("What it is for.", maxLength=PURPOSE_MAX_LENGTH),
    "profile": _text("An access profile: all that a purpose needs and no more."),
    "permissions": _texts("Django permissions, such as course_modes.change_coursemode.", PERMISSION),
    "groups": _texts("Groups that exist."),
    "course_roles": _texts("Course access roles, such as staff@course-v1:edX+DemoX+2026 or staff@edX."),
    "global_roles": _texts("Roles without a course, such as support."),
    "scopes": _texts("Of the access token; by default the site's default scopes.", SCOPE),
    "filters": _texts("Of what its JWTs reach, such as content_org:edX.", FILTER),
    "restricted": _flag("A RestrictedApplication: only JWTs, and only what their scopes and filters open."),
    "token": _flag("Whether an access token is wanted; true if nothing is said."),
    "expires_in": Field(
        {"type": "string", "description": "How long the access token lives: 90d, 12h, 52w or P90D."}, parse_lifetime
    ),
    "expires_at": Field(
        {"type": "string", "description": "Or when it ends: 2027-01-31 or 2027-01-31T12:00Z."}, parse_instant
    ),
    "self_rotation": _flag("Whether the client may give itself the next access token with the one it has."),
    "client_id": _text(
        "By default generated.", pattern=f"^(?:{CLIENT_ID.pattern})$", minLength=1, maxLength=CLIENT_ID_MAX_LENGTH
    ),
}


def client_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one client, without what only the site can know."""
    return {
        "type": "object",
        "properties": {name: dict(field.schema) for name, field in FIELDS.items()},
        "required": ["name"],
        "additionalProperties": False,
    }


def read(given: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """What a mapping holds, field by field. What is null is as if it were left out.

    Raises:
        InvalidFields: with all that is wrong.
    """
    found, problems = _read(given, fields)
    if problems:
        raise InvalidFields(problems)
    return found


def _read(given: Mapping[str, Any], fields: Mapping[str, Field]) -> tuple[dict[str, Any], list[InvalidSpec]]:
    found, problems = {}, []
    for name, value in given.items():
        if value is None:
            continue
        try:
            if name not in fields:
                raise InvalidSpec(_("there is no such field; there are %s.") % ", ".join(fields), field=name)
            found[name] = fields[name].read(name, value)
        except InvalidSpec as error:
            problems.append(InvalidSpec(error.message, field=name))
    return found, problems


def read_client(given: Mapping[str, Any], **more: Any) -> ClientSpec:
    """The spec that a mapping describes. What is null is as if it were left out.

    Args:
        more: fields of the spec that no description can hold.

    Raises:
        InvalidFields: with all that is wrong, field by field; a value is never repeated.
    """
    found, problems = _read(given, FIELDS)
    wanted = {**more, **found}
    if "name" not in wanted and given.get("name") is None:
        problems.append(InvalidSpec(_("every client needs one."), field="name"))
    if not problems:
        try:
            return ClientSpec(**wanted)
        except InvalidSpec as error:
            problems.append(error)
    raise InvalidFields(problems + _alone(wanted, problems))


def _alone(wanted: Mapping[str, Any], known: list[InvalidSpec]) -> list[InvalidSpec]:
    """What is wrong with each field by itself, beyond what is known."""
    found, fields = [], {problem.field for problem in known}
    for name, value in wanted.items():
        try:
            ClientSpec(**{name: value})
        except InvalidSpec as error:
            if error.field not in fields:
                found.append(error)
    return found
