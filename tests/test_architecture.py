"""The package keeps its limits and its language; `make lint` checks its layers and migrations."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import Model

from edx_api_provisioning import api

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edx_api_provisioning"


MAX_FUNCTION_LINES = 40
MAX_MODULE_LINES = 400
MAX_CLAUSE_DOCSTRINGS = 0.02

CLAUSE = re.compile(r"(What|Whether|Who|Where|Of|As|How|Why|Those)\b")


@cache
def modules() -> dict[str, tuple[str, ast.Module]]:
    """Return source and tree of every module, by its path."""
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if "migrations" not in path.parts]
    sources = {str(path.relative_to(PACKAGE)): path.read_text() for path in files}
    return {path: (source, ast.parse(source)) for path, source in sources.items()}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path, (_source, tree) in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{path}:{node.lineno} {node.name}", node


def docstrings() -> list[tuple[str, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (f"{path}:{getattr(node, 'lineno', 1)}", text)
        for path, (_source, tree) in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, kinds) and (text := ast.get_docstring(node))
    ]


@pytest.mark.parametrize("model", [*apps.get_app_config("edx_api_provisioning").get_models()])
def test_models_declare_personal_data(model: type[Model]) -> None:
    """`make lint` checks the form of these annotations."""
    assert re.search(r"^\s*\.\. (no_)?pii:", model.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize("name", api.__all__)
def test_public_functions_are_documented(name: str) -> None:
    function = getattr(api, name)

    assert inspect.isfunction(function)
    assert inspect.getdoc(function)
    assert f"``{name}``" in api.__doc__


@pytest.mark.parametrize("name", ["provision", "rotate", "revoke", "adopt"])
def test_changes_need_an_authority(name: str) -> None:
    parameter = inspect.signature(getattr(api, name)).parameters["authority"]

    assert (parameter.default, parameter.kind) == (inspect.Parameter.empty, inspect.Parameter.KEYWORD_ONLY)


def test_functions_are_short() -> None:
    """The docstring does not count."""
    long = []
    for name, node in functions():
        documented = ast.get_docstring(node) is not None
        first = node.body[0].end_lineno + 1 if documented else node.body[0].lineno
        if node.end_lineno - first + 1 > MAX_FUNCTION_LINES:
            long.append(f"{name}: {node.end_lineno - first + 1} lines")

    assert long == []


def test_modules_are_short() -> None:
    lengths = {path: len(source.splitlines()) for path, (source, _tree) in modules().items()}

    assert {path: length for path, length in lengths.items() if length > MAX_MODULE_LINES} == {}


def test_docstrings_start_with_verbs() -> None:
    found = docstrings()
    clauses = [f"{place} {text.splitlines()[0]}" for place, text in found if CLAUSE.match(text)]

    assert len(clauses) < MAX_CLAUSE_DOCSTRINGS * len(found), "\n".join(clauses)


def test_texts_are_outside_f_strings() -> None:
    """xgettext does not find a text that is marked within an f-string."""
    inside = [
        f"{path}:{call.lineno}"
        for path, (_source, tree) in modules().items()
        for string in ast.walk(tree)
        if isinstance(string, ast.JoinedStr)
        for call in ast.walk(string)
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("_", "gettext", "ngettext")
        if isinstance(call.args[0], ast.Constant)
    ]

    assert inside == []


def test_map_names_existing_files() -> None:
    page = (ROOT / "docs/explanation/architecture.rst").read_text()
    named = [name for name in re.findall(r"``([\w/]+\.(?:py|json))``", page) if "/" in name]

    assert named
    assert [name for name in named if not (PACKAGE / name).exists()] == []
