"""Read a manifest: a YAML or JSON file that declares many API clients.

Problems are reported with line and column. A scalar without quotes is ``true``, ``false``, null (``null``, ``~``) or
text: dates, numbers and words such as ``no`` are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml
from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.options import MANIFEST, find_problem, repeated
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats.schema import DIALECT, FIELDS, InvalidFields, client_schema, json_schema, read_client

# libyaml, if PyYAML was built with it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# A manifest of 10,000 clients has about 2 MB and 200,000 values.
_MAX_CHARACTERS = 5_000_000
_MAX_VALUES = 500_000
_MAX_DEPTH = 20
_MAX_PROBLEMS = 100

_PLAIN_SCALARS = {"": None, "~": None, "null": None, "true": True, "false": False}

# The fields that differ for each client.
_OWN = ("name", "client_secret_from", "access_token_from")

# JSON escapes a character beyond 16 bits as two surrogates; YAML does not.
_SURROGATES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")

_PARTS = ("manifest", "defaults", "clients")

_Pairs = dict[str, tuple[yaml.Node, yaml.Node]]  # The nodes of key and value, by key


class InvalidManifest(InvalidSpec):
    """All problems of a manifest, each as ``line:column: clients[0].field: message``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The clients that a file declares."""

    name: str | None
    """The name recorded with each client, by which clients that leave the file are found; None without a name."""
    clients: tuple[ClientSpec, ...]
    described: tuple[dict[str, Any], ...]
    """The fields of each client as written in the file, defaults included."""

    def split(self, size: int) -> Iterator[str]:
        """Yield manifests of at most ``size`` clients each, as JSON."""
        for start in range(0, len(self.described), size):
            part = {"clients": self.described[start : start + size]}
            whole = {"manifest": self.name, **part} if self.name is not None else part
            yield json.dumps(whole, ensure_ascii=False)


def read(text: str) -> Manifest:
    """Return the clients that a manifest declares, or raise InvalidManifest with all problems found."""
    return _Reader().read(text)


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a manifest."""
    client = client_schema()
    defaults = {name: field for name, field in client["properties"].items() if name not in _OWN}
    return {
        "$schema": DIALECT,
        "title": "API clients",
        "type": "object",
        "properties": {
            "manifest": json_schema(MANIFEST),
            "defaults": {
                "type": "object",
                "description": "Values for every client that does not set its own.",
                "properties": defaults,
                "additionalProperties": False,
            },
            "clients": {"type": "array", "description": "The API clients.", "items": client},
        },
        "required": ["clients"],
        "additionalProperties": False,
    }


class _Unreadable(Exception):
    """Nothing after this place can be read."""


class _Reader:
    """Collect the clients and the problems of one manifest."""

    def __init__(self) -> None:
        self._problems: list[str] = []
        self._values = 0

    def read(self, text: str) -> Manifest:
        name, described = None, []
        clients: dict[int, ClientSpec] = {}
        try:
            parts = self._parts(self._compose(text))
            if "manifest" in parts:
                name = self._name(parts["manifest"][1])
            defaults = self._defaults(parts)
            nodes = self._clients(parts)
            for number, node in enumerate(nodes):
                if (client := self._client(f"clients[{number}]", node, defaults, name)) is not None:
                    clients[number] = client[0]
                    described.append(client[1])
            for number, first in repeated((number, spec.name) for number, spec in clients.items()):
                message = _("line %d already declares a client of this name.") % (nodes[first].start_mark.line + 1)
                self._report(nodes[number], f"clients[{number}].name", message)
        except _Unreadable:
            pass
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            # The error's own text would quote a piece of the file, which may be a secret.
            self._problems.append(f"{mark.line + 1}:{mark.column + 1}: {error.problem}" if mark else str(error.problem))
        except (yaml.YAMLError, UnicodeError):
            self._problems.append(_("this is not UTF-8 text, or contains characters that YAML does not allow."))
        if self._problems:
            raise InvalidManifest(self._problems)
        return Manifest(name=name, clients=tuple(clients.values()), described=tuple(described))

    # YAML

    def _compose(self, text: str) -> yaml.Node | None:
        """Return the root node of the one document, after a look at its events: they cost little, nodes a lot."""
        if len(text) > _MAX_CHARACTERS:
            self._stop(None, "", _("a manifest has at most %d characters; split it.") % _MAX_CHARACTERS)
        if text.lstrip().startswith("{"):
            text = _SURROGATES.sub(lambda pair: str(json.loads(f'"{pair[0]}"')), text.replace("\t", " "))
        depth = 0
        for number, event in enumerate(yaml.parse(text, _Loader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                self._stop(event, "", _("nested too deeply; a client has fields and lists of texts."))
            if number > 2 * _MAX_VALUES:
                self._stop(event, "", _("too many values; split the manifest."))
            if getattr(event, "tag", None) is not None:
                self._stop(event, "", _("tags (!) are not supported; remove it."))
        return yaml.compose(text, _Loader)

    def _parts(self, root: yaml.Node | None) -> _Pairs:
        if not isinstance(root, yaml.MappingNode):
            self._stop(root, "", _("a manifest is a mapping with the key clients."))
        parts = self._pairs(root, "")
        for key, (node, _value) in parts.items():
            if key not in _PARTS:
                self._report(node, key, _("unknown key; use %s.") % ", ".join(_PARTS))
        if "clients" not in parts:
            self._stop(root, "", _("the list of clients is missing; add clients."))
        return parts

    def _defaults(self, parts: _Pairs) -> _Pairs:
        if "defaults" not in parts:
            return {}
        defaults = self._pairs(parts["defaults"][1], "defaults")
        for field in _OWN:
            if field in defaults:
                self._report(defaults[field][0], f"defaults.{field}", _("differs for each client; give it there."))
        return defaults

    def _clients(self, parts: _Pairs) -> list[yaml.Node]:
        key, node = parts["clients"]
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self._report(key, "clients", _("give a list of clients."))
        return []

    def _pairs(self, node: yaml.Node, where: str, depth: int = 0) -> _Pairs:
        """Return the pairs of a mapping, those it merges (``<<``) included: https://yaml.org/type/merge.html."""
        if not isinstance(node, yaml.MappingNode):
            self._report(node, where, _("give a mapping from field to value."))
            return {}
        if depth > _MAX_DEPTH:
            self._stop(node, where, _("mappings are merged too deeply."))
        pairs: _Pairs = {}
        merged: _Pairs = {}
        for key, value in node.value:
            self._count(key, 1)
            if not isinstance(key, yaml.ScalarNode):
                self._stop(key, where, _("a key is a text."))
            if key.value == "<<":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    for pair in self._pairs(source, "<<", depth + 1).items():
                        merged.setdefault(*pair)
            elif key.value in pairs:
                self._report(key, key.value, _("this key is given twice; remove one."))
            else:
                pairs[key.value] = key, value
        return merged | pairs

    def _plain(self, node: yaml.Node) -> Any:
        """Return the value of a node, as far down as the description of a client goes."""
        if isinstance(node, yaml.ScalarNode):
            value = node.value.rstrip("\n") if node.style in ("|", ">") else node.value
            return value if node.style else _PLAIN_SCALARS.get(value.lower(), value)
        if isinstance(node, yaml.MappingNode):
            return {}
        self._count(node, len(node.value))
        return [self._plain(item) if isinstance(item, yaml.ScalarNode) else {} for item in node.value]

    # Clients

    def _name(self, node: yaml.Node) -> str | None:
        name: str | None = self._plain(node)
        if (problem := find_problem(MANIFEST, name, _)) is None:
            return name
        self._report(node, "manifest", problem)
        return None

    def _client(
        self, where: str, node: yaml.Node, defaults: _Pairs, manifest: str | None
    ) -> tuple[ClientSpec, dict[str, Any]] | None:
        """Return the spec of a client and its fields as written; None, having reported it, if something is wrong."""
        if not (own := self._pairs(node, where)):
            if isinstance(node, yaml.MappingNode):
                self._report(node, f"{where}.name", _("every client needs a name."))
            return None
        pairs = defaults | own
        self._count(node, len(defaults))
        described = {field: self._plain(value) for field, (_key, value) in pairs.items()}
        try:
            return read_client(described, FIELDS, manifest=manifest), described
        except InvalidFields as error:
            for problem in error.problems:
                key, value = pairs.get(problem.field or "", (node, node))
                self._report(value if problem.field in FIELDS else key, f"{where}.{problem.field}", problem.message)
        return None

    # Limits and problems

    def _count(self, node: yaml.Node, values: int) -> None:
        """Count what defaults, aliases and merged mappings multiply."""
        self._values += values
        if self._values > _MAX_VALUES:
            message = _("more than %d values, with defaults and aliases counted for each client; split the manifest.")
            self._stop(node, "", message % _MAX_VALUES)

    def _report(self, at: Any, where: str, message: str) -> None:
        """Add a problem; ``at`` is a node or event, None for the beginning."""
        mark = getattr(at, "start_mark", None)
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        shown = "".join(character if character.isprintable() else "?" for character in where[:100])
        self._problems.append(f"{place}: {shown}: {message}" if shown else f"{place}: {message}")
        if len(self._problems) == _MAX_PROBLEMS:
            self._problems.append(_("The rest was not checked. Correct these problems first."))
            raise _Unreadable

    def _stop(self, at: Any, where: str, message: str) -> NoReturn:
        self._report(at, where, message)
        raise _Unreadable
