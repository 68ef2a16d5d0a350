"""What pages say of files, fields and each other is so."""

from __future__ import annotations

import re

import pytest
import yaml
from pages import ROOT, pages, steps

OUTPUT = (ROOT / "docs/reference/output.rst").read_text()


@pytest.mark.parametrize("page", ["README.rst", "SECURITY.rst"])
def test_files_that_are_named_are_there(page: str) -> None:
    named = re.findall(r"``((?:docs|requirements)/[\w./-]+|\w+\.rst)``", (ROOT / page).read_text())

    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_field_of_the_credentials_is_explained() -> None:
    """The object that is shown is compared with a real one as every other answer is."""
    explained = re.findall(r"^``(\w+)`` {2,}\S", OUTPUT, re.MULTILINE)
    shown = next(step.shown for step in steps(OUTPUT) if step.command.endswith("reports --format json"))

    assert explained == re.findall(r'^  "(\w+)":', "\n".join(shown), re.MULTILINE)


def test_what_is_written_in_yaml_can_be_read() -> None:
    blocks = [
        block
        for page in (ROOT / "docs").rglob("*.rst")
        for block in re.findall(r"^\.\. code-block:: yaml\n\n((?:^ +.*\n|^\n)+)", page.read_text(), re.MULTILINE)
    ]

    assert blocks
    assert all(yaml.safe_load(block) for block in blocks)


def test_no_page_with_commands_is_left_out() -> None:
    found = {page.relative_to(ROOT) for page in pages()}
    with_prompts = {
        page.relative_to(ROOT)
        for page in [ROOT / "README.rst", ROOT / "SECURITY.rst", *(ROOT / "docs").rglob("*.rst")]
        if re.search(r"^ +\$ ", page.read_text(), re.MULTILINE)
    }

    assert {str(page) for page in with_prompts - found} == {"docs/tutor.rst"}
