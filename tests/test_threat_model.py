"""Test that every claim of the threat model cites an existing test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODEL = (ROOT / "docs/explanation/threat-model.rst").read_text()
WHAT_WE_DO = MODEL[MODEL.index("\nWhat we do\n") : MODEL.index("\nWhat we leave\n")]
CITED = re.findall(r"``(tests/[\w/]+\.py)::(\w+)``", MODEL)


@pytest.mark.parametrize(("file", "name"), CITED)
def test_cited_test_exists(file: str, name: str) -> None:
    functions = {
        node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)
    }

    assert name in functions


def test_every_claim_cites_a_test() -> None:
    claims = re.split(r"^\* ", WHAT_WE_DO, flags=re.MULTILINE)[1:]

    assert len(claims) > 20
    assert [claim for claim in claims if "``tests/" not in claim] == []
