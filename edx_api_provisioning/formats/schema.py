"""Read the fields of a client from a manifest, a REST body or a command line, and publish their JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.options import (
    CLIENT,
    DURATION,
    EMAIL,
    FLAG,
    INSTANT,
    SECRET,
    TEXT,
    URL,
    Option,
    find_problems,
)
from edx_api_provisioning.core.parsing import parse_instant, parse_lifetime, parse_site_url
from edx_api_provisioning.core.secrets import read_secret
from edx_api_provisioning.core.spec import ClientSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PARSERS: Mapping[str, Callable[[str], Any]] = {
    DURATION: parse_lifetime,
    INSTANT: parse_instant,
    URL: parse_site_url,
}


def keyed(*options: Option) -> Mapping[str, Option]:
    """Return options by their key in a manifest or REST body, to read values with.

    The patterns of what a parser reads are left to the parser, whose messages say more.
    """
    parsed = (SECRET, *_PARSERS)
    return {option.key: option._replace(pattern="") if option.kind in parsed else option for option in options}


FIELDS = keyed(*CLIENT.values())
"""The fields of a client in a manifest."""

PUBLIC_FIELDS = keyed(*(option for option in CLIENT.values() if option.kind != SECRET))
"""The fields of a client in a REST body: the environment that secrets are read from is the server's."""


class InvalidFields(InvalidSpec):
    """Every problem of a description, each with its field."""

    def __init__(self, problems: Iterable[InvalidSpec]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems[0].message, field=self.problems[0].field)

    def __str__(self) -> str:
        return " ".join(map(str, self.problems))


def parse(option: Option, value: Any, *, stdin: bool = False) -> Any:
    """Return a value of the right type as ClientSpec takes it; ``stdin`` allows a secret from standard input.

    Raises:
        InvalidSpec: for a value that cannot be parsed; it is not repeated.
    """
    try:
        if option.kind == SECRET:
            return read_secret(option.key, value, stdin=stdin)
        return _PARSERS[option.kind](value) if option.kind in _PARSERS else tuple(value) if option.many else value
    except InvalidSpec as error:
        raise InvalidSpec(error.message, field=option.key) from None


def read(given: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, Any]:
    """Return the values of a mapping, by the name of their option. Null is the same as leaving a field out.

    Raises:
        InvalidFields: with every problem.
    """
    values, problems = _read(given, options)
    if problems:
        raise InvalidFields(problems)
    return values


def _read(given: Mapping[str, Any], options: Mapping[str, Option]) -> tuple[dict[str, Any], list[InvalidSpec]]:
    problems = [InvalidSpec(message, field=key) for key, message in find_problems(given, options, _)]
    wrong, values = {problem.field for problem in problems}, {}
    for key, value in given.items():
        if value is not None and key not in wrong:
            try:
                values[options[key].name] = parse(options[key], value)
            except InvalidSpec as error:
                problems.append(error)
    order: list[str | None] = [*given, "name"]
    return values, sorted(problems, key=lambda problem: order.index(problem.field))


def read_client(
    given: Mapping[str, Any], options: Mapping[str, Option] = PUBLIC_FIELDS, *, manifest: str | None = None
) -> ClientSpec:
    """Return the spec that a mapping describes, as a part of the manifest of this name.

    Raises:
        InvalidFields: with every problem; no value is repeated.
    """
    values, problems = _read(given, options)
    values["manifest"] = manifest
    if not problems:
        try:
            return ClientSpec(**values)
        except InvalidSpec as error:
            problems.append(_keyed(error))
    # Each field by itself, for problems that the first one hid.
    for name, value in values.items():
        try:
            ClientSpec(**{name: value})
        except InvalidSpec as error:
            if _keyed(error).field not in {problem.field for problem in problems}:
                problems.append(_keyed(error))
    raise InvalidFields(problems)


def _keyed(error: InvalidSpec) -> InvalidSpec:
    """Return an error of a ClientSpec with the key of its field."""
    option = CLIENT.get(error.field or "")
    return InvalidSpec(error.message, field=option.key) if option is not None else error


def json_schema(option: Option) -> dict[str, Any]:
    """Return the JSON Schema of the values of an option."""
    if option.kind == FLAG:
        return {"type": "boolean", "description": option.help}
    text: dict[str, Any] = {"type": "string"}
    if option.kind == EMAIL:
        text["format"] = "email"
    if option.kind == SECRET:
        text["pattern"] = "^(env|file):.+$"
    elif option.pattern and option.kind == TEXT:
        text["pattern"] = f"^(?:{option.pattern})$"
    if not option.empty:
        text["minLength"] = 1
    if option.max_length is not None:
        text["maxLength"] = option.max_length
    if option.many:
        return {"type": "array", "description": option.help, "items": text}
    return {**text, "description": option.help}


def client_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a client in a manifest of this site."""
    offered = {key: option for key, option in FIELDS.items() if lms.is_lms() or not option.lms}
    return {
        "type": "object",
        "properties": {key: json_schema(option) for key, option in offered.items()},
        "required": ["name"],
        "additionalProperties": False,
    }
