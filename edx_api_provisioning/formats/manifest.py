"""A file of many clients, YAML or JSON: read one client at a time, with the line of everything that is wrong.

It is read from the events of PyYAML's parser: a tree of it all would take more memory than the clients, and PyYAML's
own constructors lose the lines. What is not in quotes is ``true``, ``false``, nothing (``null``, ``~``), or text: a
date, a number or ``no`` is what it looks like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml
from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.options import MANIFEST
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats.schema import DIALECT, FIELDS, InvalidFields, client_schema, json_schema, read_client

# libyaml, if PyYAML was built with it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DEEPEST = 20

_PLAIN = {"": None, "~": None, "null": None, "true": True, "false": False}

# The fields that differ for each client.
_OWN = ("name", "client_secret_from", "access_token_from")

# How JSON writes what is beyond 16 bits; YAML knows no such pairs.
_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")

_TOP = ("manifest", "defaults", "clients")


class InvalidManifest(InvalidSpec):
    """All that is wrong with a manifest, each with its place: ``line:column: clients[0].field: message``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a file declares."""

    name: str | None
    """What the clients are recorded under, so that those that leave the file can be found; None if it has no name."""
    clients: tuple[ClientSpec, ...]
    described: tuple[dict[str, Any], ...]
    """Each client as it is described, its defaults included."""

    def split(self, size: int) -> Iterator[str]:
        """Manifests of at most so many clients each, as JSON."""
        for start in range(0, len(self.described), size):
            part = {"clients": self.described[start : start + size]}
            whole = {"manifest": self.name, **part} if self.name is not None else part
            yield json.dumps(whole, ensure_ascii=False)


class _Value(NamedTuple):
    """A text, flag, None, a list of values, or a mapping from keys to pairs of the key's place and its value."""

    value: Any
    line: int
    column: int

    @property
    def plain(self) -> Any:
        """Without places, as far down as descriptions of clients go."""
        if isinstance(self.value, list):
            return [item.value for item in self.value]
        return {} if isinstance(self.value, dict) else self.value


class _Broken(Exception):
    """The text is no manifest, and nothing behind this place can be read."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.problem = f"{line}:{column}: {message}"


def read(text: str) -> Manifest:
    """What a manifest declares.

    Raises:
        InvalidManifest: with all that is wrong.
    """
    return _Reader(text).read()


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a manifest."""
    client = client_schema()
    defaults = {name: field for name, field in client["properties"].items() if name not in _OWN}
    return {
        "$schema": DIALECT,
        "title": "API clients of an Open edX site",
        "type": "object",
        "properties": {
            "manifest": json_schema(MANIFEST),
            "defaults": {
                "type": "object",
                "description": "What holds for every client that does not say otherwise.",
                "properties": defaults,
                "additionalProperties": False,
            },
            "clients": {"type": "array", "description": "One for each API client.", "items": client},
        },
        "required": ["clients"],
        "additionalProperties": False,
    }


class _Reader:
    def __init__(self, text: str) -> None:
        self._problems: list[str] = []
        self._anchors: dict[str, _Value] = {}
        self._described: list[dict[str, Any]] = []
        self._text = _json_as_yaml(text) if text.lstrip().startswith("{") else text

    def read(self) -> Manifest:
        name: str | None = None
        defaults: dict[str, tuple[_Value, _Value]] = {}
        clients: list[ClientSpec] = []
        lines: dict[str, int] = {}
        try:
            self._parser = _Loader(self._text)
            for key in self._top():
                if key.value == "manifest":
                    name = self._name(self._next())
                elif key.value == "defaults":
                    defaults = self._mapping(self._next(), "defaults")
                elif key.value == "clients":
                    for number, item in enumerate(self._items(key)):
                        where = f"clients[{number}]"
                        spec = self._client(where, defaults, self._mapping(item, where), item, name)
                        if spec is not None and lines.setdefault(spec.name, item.line) != item.line:
                            self._say(item, f"{where}.name", _("there is one in line %d already.") % lines[spec.name])
                        elif spec is not None:
                            clients.append(spec)
                else:
                    self._say(key, str(key.value), _("there is no such part; there are %s.") % ", ".join(_TOP))
                    self._next()
        except _Broken as broken:
            self._problems.append(broken.problem)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            # Not the error's own text, which shows a piece of the file.
            self._problems.append(f"{mark.line + 1}:{mark.column + 1}: {error.problem}" if mark else str(error.problem))
        except yaml.YAMLError:
            self._problems.append(_("this is not text in UTF-8, or has characters that YAML does not allow."))
        if self._problems:
            raise InvalidManifest(self._problems)
        return Manifest(name=name, clients=tuple(clients), described=tuple(self._described))

    # The document, part by part

    def _top(self) -> Iterator[_Value]:
        """The keys of the one document; whoever takes one reads its value."""
        for _kind in (yaml.StreamStartEvent, yaml.DocumentStartEvent):
            event = self._parser.get_event()
        if not isinstance(event, yaml.DocumentStartEvent):
            raise _Broken(1, 1, _("this is empty; give a mapping with clients."))
        event = self._parser.get_event()
        if not isinstance(event, yaml.MappingStartEvent):
            raise _Broken(*_place(event), _("give a mapping with clients."))
        seen = []
        while not isinstance(self._parser.peek_event(), yaml.MappingEndEvent):
            key = self._next()
            if key.value in seen:
                self._say(key, str(key.value), _("it is here twice."))
            if key.value in _TOP and "clients" in seen:
                self._say(key, str(key.value), _("put it before the clients."))
            seen.append(key.value)
            yield key
        if "clients" not in seen:
            raise _Broken(*_place(event), _("there are no clients; give a list of them."))
        self._parser.get_event()
        self._parser.get_event()
        if not isinstance(after := self._parser.get_event(), yaml.StreamEndEvent):
            raise _Broken(*_place(after), _("give one document."))

    def _items(self, key: _Value) -> Iterator[_Value]:
        """The items of a sequence, each read when it is asked for."""
        if not isinstance(self._parser.peek_event(), yaml.SequenceStartEvent):
            self._next()
            self._say(key, "clients", _("give a list of clients."))
            return
        self._parser.get_event()
        while not isinstance(self._parser.peek_event(), yaml.SequenceEndEvent):
            yield self._next()
        self._parser.get_event()

    def _next(self, depth: int = 0) -> _Value:
        """The next value, whole."""
        event = self._parser.get_event()
        line, column = _place(event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _Broken(line, column, _("there is no anchor &%s before this.") % event.anchor)
            return self._anchors[event.anchor]._replace(line=line, column=column)
        if depth > _DEEPEST:
            raise _Broken(line, column, _("this goes too deep."))
        if event.tag not in (None, "!"):
            raise _Broken(line, column, _("tags (!) mean nothing here."))
        if isinstance(event, yaml.ScalarEvent):
            value: Any = _PLAIN.get(event.value.lower(), event.value) if event.implicit[0] else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(self._parser.peek_event(), yaml.SequenceEndEvent):
                value.append(self._next(depth + 1))
            self._parser.get_event()
        else:
            value = self._pairs(depth)
        found = _Value(value, line, column)
        if event.anchor is not None:
            self._anchors[event.anchor] = found
        return found

    def _pairs(self, depth: int) -> dict[Any, tuple[_Value, _Value]]:
        pairs: dict[Any, tuple[_Value, _Value]] = {}
        merged: dict[Any, tuple[_Value, _Value]] = {}
        while not isinstance(self._parser.peek_event(), yaml.MappingEndEvent):
            key, value = self._next(depth + 1), self._next(depth + 1)
            if not isinstance(key.value, str):
                raise _Broken(key.line, key.column, _("give a text for a key."))
            if key.value == "<<":  # https://yaml.org/type/merge.html
                for each in value.value if isinstance(value.value, list) else [value]:
                    merged = self._mapping(each, "<<") | merged
            elif key.value in pairs:
                self._say(key, key.value, _("it is here twice."))
            else:
                pairs[key.value] = key, value
        self._parser.get_event()
        return merged | pairs

    # What it means

    def _name(self, found: _Value) -> str | None:
        try:
            if not isinstance(found.value, str):
                raise InvalidSpec(_("give one text."))
            return ClientSpec(manifest=found.value).manifest
        except InvalidSpec as error:
            self._say(found, "manifest", error.message)
            return None

    def _mapping(self, found: _Value, where: str) -> dict[str, tuple[_Value, _Value]]:
        if isinstance(found.value, dict):
            return found.value
        self._say(found, where, _("give a mapping from field to value."))
        return {}

    def _client(
        self,
        where: str,
        defaults: Mapping[str, tuple[_Value, _Value]],
        own: Mapping[str, tuple[_Value, _Value]],
        item: _Value,
        manifest: str | None,
    ) -> ClientSpec | None:
        if not own:
            if isinstance(item.value, dict):
                self._say(item, f"{where}.name", _("every client needs one."))
            return None
        pairs = {**defaults, **own} if defaults else own
        described = {name: value.plain for name, (_key, value) in pairs.items()}
        try:
            spec = read_client(described, FIELDS, manifest=manifest)
        except InvalidFields as error:
            for problem in error.problems:
                key, value = pairs.get(problem.field or "", (item, item))
                self._say(value if problem.field in FIELDS else key, f"{where}.{problem.field}", problem.message)
        else:
            self._described.append(described)
            return spec
        return None

    def _say(self, at: _Value, what: str, message: str) -> None:
        self._problems.append(f"{at.line}:{at.column}: {what}: {message}")


def _json_as_yaml(text: str) -> str:
    """JSON, without what YAML reads in another way: tabs, which are between its values only, and escaped pairs."""
    return _PAIR.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text.replace("\t", " "))


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
