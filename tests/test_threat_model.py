"""Test that every claim of the threat model cites an existing test."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODEL = (ROOT / "docs/explanation/threat-model.rst").read_text()
WHAT_WE_DO = MODEL[MODEL.index("\nWhat we do\n") : MODEL.index("\nWhat we leave\n")]
CITED = re.findall(r"``(tests/[\w/]+\.py)::(\w+)``", MODEL)


@cache
def functions(file: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)}


def test_cited_tests_exist() -> None:
    assert [(file, name) for file, name in CITED if name not in functions(file)] == []


def test_every_claim_cites_a_test() -> None:
    claims = re.split(r"^\* ", WHAT_WE_DO, flags=re.MULTILINE)[1:]

    assert len(claims) > 20
    assert [claim for claim in claims if "``tests/" not in claim] == []
