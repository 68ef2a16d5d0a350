"""Test that documentation pages agree with the files, fields and pages they name."""

from __future__ import annotations

import re

import pytest
import yaml
from pages import ROOT, pages, steps

OUTPUT = (ROOT / "docs/reference/output.rst").read_text()


@pytest.mark.parametrize("page", ["README.rst", "SECURITY.rst", "CONTRIBUTING.rst"])
def test_named_files_exist(page: str) -> None:
    named = re.findall(r"[<`]((?:docs/|requirements/|[A-Z]+\.rst)[\w./-]*)[>`]", (ROOT / page).read_text())

    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_credentials_fields_are_documented() -> None:
    """The example object itself is compared with real output by test_commands.py."""
    explained = re.findall(r"^``(\w+)`` {2,}\S", OUTPUT, re.MULTILINE)
    shown = next(step.shown for step in steps(OUTPUT) if step.command.endswith("reports --format json"))

    assert explained == re.findall(r'^  "(\w+)":', "\n".join(shown), re.MULTILINE)


def test_yaml_blocks_are_valid() -> None:
    blocks = [
        block
        for page in (ROOT / "docs").rglob("*.rst")
        for block in re.findall(r"^\.\. code-block:: yaml\n\n((?:^ +.*\n|^\n)+)", page.read_text(), re.MULTILINE)
    ]

    assert blocks
    assert all(yaml.safe_load(block) for block in blocks)


def test_every_page_with_commands_is_tested() -> None:
    found = {page.relative_to(ROOT) for page in pages()}
    with_prompts = {
        page.relative_to(ROOT)
        for page in [ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *(ROOT / "docs").rglob("*.rst")]
        if re.search(r"^ +\$ ", page.read_text(), re.MULTILINE)
    }

    assert {str(page) for page in with_prompts - found} == {"docs/tutor.rst", "docs/tutorials/django.rst"}


def test_explained_messages_exist() -> None:
    page = (ROOT / "docs/how-to/troubleshoot.rst").read_text()
    explained = re.findall(r"^(\w[^\n]*)\n   \w", page.partition("Messages of the commands")[2], re.MULTILINE)
    source = "\n".join(path.read_text() for path in (ROOT / "edx_api_provisioning").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*"', "", source)  # strings that are written on several lines

    assert len(explained) >= 10
    assert [message for message in explained if message not in joined] == []
