"""Generate reference pages from the code.

``commands``: every management command with its options. ``settings``: every setting of conf.py.
``words``: words with their meanings. ``checks``: every system check. ``support``: the versions that are tested.
``layers``: the layers of the package.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module, resources
from pathlib import Path
from textwrap import indent
from typing import Any

from django.core.management.base import BaseCommand
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from edx_api_provisioning import checks, conf
from edx_api_provisioning.management import commands

TOOLS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]


class _Generated(SphinxDirective):
    """Generate reStructuredText from the lines of a subclass."""

    def lines(self) -> Iterator[str]:
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True)


class Commands(_Generated):
    def lines(self) -> Iterator[str]:
        for module in pkgutil.iter_modules(commands.__path__):
            command = import_module(f"{commands.__name__}.{module.name}").Command()
            parser = command.create_parser("manage.py lms", module.name)
            yield from (f".. _{module.name}:", "", module.name, "-" * len(module.name), "", str(command.help), "")
            yield from _literal(_usage(parser))
            yield from (f".. program:: {module.name}", "")
            yield from _arguments(parser)
            yield from _literal(str(parser.epilog).strip())


def _literal(text: str) -> Iterator[str]:
    yield from (".. code-block:: text", "", indent(text, "    "), "")


_DJANGOS = {action.dest for action in BaseCommand().create_parser("", "")._actions}


def _usage(parser: argparse.ArgumentParser) -> str:
    """Return the usage without the options of every Django command."""
    formatter = argparse.HelpFormatter(prog=parser.prog, width=88)
    ours = [action for action in parser._actions if action.dest not in _DJANGOS]
    formatter.add_usage(None, ours, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.dest not in _DJANGOS]
        if actions and group.title not in ("options", "positional arguments"):
            yield from (f"*{group.title}*", "")
        for action in actions:
            shown = argparse.HelpFormatter("")._format_args(action, action.metavar or action.dest.upper())
            names = ", ".join(f"{name} {shown}".strip() for name in action.option_strings) or shown
            help = argparse.HelpFormatter("")._expand_help(action) if action.help else ""
            yield from (f".. option:: {names}", "", f"   {_escaped(help)}", "")


def _escaped(text: str) -> str:
    return re.sub(r"([*`_|\\])", r"\\\1", text)


class Settings(_Generated):
    def lines(self) -> Iterator[str]:
        for setting in conf.SETTINGS:
            default = repr(setting.default).removeprefix("datetime.")
            yield from (f".. _{setting.name}:", "", f"``{setting.name}``", f"   {_escaped(setting.help)}", "")
            value = re.sub(r"'([^']+)'", r"``\1``", setting.kind.description)
            yield from (f"   Value: {value}. Default: ``{default}``", "")


class Words(_Generated):
    """``words:: WORDS MEANINGS``: an enumeration or mapping, and the meaning of each word."""

    required_arguments = 2

    def lines(self) -> Iterator[str]:
        meanings = pkgutil.resolve_name(self.arguments[1])
        for word in pkgutil.resolve_name(self.arguments[0]):
            meaning = str(meanings[word]).removesuffix(".")
            yield from (f"``{getattr(word, 'value', word)}``", f"   {meaning[0].upper()}{_escaped(meaning[1:])}.", "")


# For the ``words`` of ApiClientEvent.Kind: what happened to a client.
EVENTS = {
    "created": "the client was provisioned for the first time",
    "updated": "provisioning changed the client: its permissions, scopes, contact or purpose",
    "adopted": "an application that existed became this client, or a change made elsewhere was accepted",
    "rotated": "a new access token, a new client secret or both were issued",
    "revoked": "all access tokens were revoked",
    "retired": "the client was ended for good: tokens and secret were revoked",
    "deleted": "the client was deleted with its application",
    "predecessor_ended": "the grace period was over: the old application and its tokens were deleted",
    "notified": "the contact was mailed, because a token expires soon",
    "refused": "a change was refused, because the person or credential lacks a right",
    "shared": "an account became the service user of another client too",
}


class Checks(_Generated):
    def lines(self) -> Iterator[str]:
        found = {}
        for call in ast.walk(ast.parse(inspect.getsource(checks))):
            given = {keyword.arg: keyword.value for keyword in getattr(call, "keywords", ())}
            if isinstance(call, ast.Call) and "id" in given and "hint" in given:
                found[_text(given["id"])] = _text(call.args[0]), _text(given["hint"])
        for name, (message, hint) in sorted(found.items()):
            yield from (f"``{name}``", f"   {_escaped(message)}", "", f"   {_escaped(hint)}", "")


def _text(node: ast.expr) -> str:
    """Return a string of the source; a value filled in at run time is shown by its name, in capitals."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else re.findall(r"\w+", ast.unparse(node))[-1].upper()


class Support(_Generated):
    def lines(self) -> Iterator[str]:
        for thing, versions in TOOLS["edx-api-provisioning"]["support"].items():
            yield from (thing, f"   {', '.join(versions)}", "")


class Layers(_Generated):
    def lines(self) -> Iterator[str]:
        contracts = TOOLS["importlinter"]["contracts"]
        (layers,) = (contract["layers"] for contract in contracts if contract["id"] == "layers")
        said = {module.name: _purpose(module.name) for module in pkgutil.iter_modules([str(_PACKAGE)])}
        yield from (".. code-block:: text", "")
        for number, layer in enumerate(layers):
            yield from ["    " + " " * 12 + "↓"] if number else []
            yield from (
                f"    {module:<12} {said[module]}".rstrip() for module in map(str.strip, re.split(r"[|:]", layer))
            )
        yield ""


_PACKAGE = resources.files("edx_api_provisioning")


def _purpose(module: str) -> str:
    """Return the first sentence of a docstring."""
    files = (_PACKAGE / f"{module}.py", _PACKAGE / module / "__init__.py")
    source = next(file for file in files if file.is_file()).read_text()
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


# Napoleon takes what is before the first colon of an attribute's docstring for its type; ours are sentences.
_COLON = "\N{RATIO}"


def _hide_colons(_app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    if what in ("attribute", "data", "property"):
        lines[:] = [line.replace(":", _COLON) for line in lines]


def _show_colons(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    for directive in (Commands, Settings, Words, Checks, Support, Layers):
        app.add_directive(directive.__name__.lower(), directive)
    app.connect("autodoc-process-docstring", _hide_colons, priority=400)  # before Napoleon's, which is at 500
    app.connect("autodoc-process-docstring", _show_colons, priority=600)
    return {"parallel_read_safe": True}
