"""Run the commands of docs/tutor.rst, and those for Tutor on other pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, TUTOR_VERSION
from docs.pages import Step, assert_as_shown, script_of, steps_of_block

TUTORIAL = REPOSITORY / "docs/tutor.rst"
README = REPOSITORY / "README.rst"


def steps(page: Path) -> Iterator[Step]:
    """Return the commands of the tutorial except those for another Tutor; of other pages, the marked ones."""
    block = r"^\.\. code-block:: console\n\n((?:^(?:    .*)?\n)+)"
    mark = r"(?:^\.\. Tutor (\d+)\n\n)?" if page == TUTORIAL else r"^\.\. Tutor()\n\n"
    for version, found in re.findall(mark + block, page.read_text(), re.MULTILINE):
        if not version or int(version) == TUTOR_VERSION:
            yield from steps_of_block(found)


def shows(lines: list[str], said: str) -> bool:
    """Return whether the output contains every line, in this order; `…` matches anything."""
    position = 0
    for line in lines:
        found = re.compile(re.escape(line).replace("…", ".*")).search(said, position)
        if not found:
            return False
        position = found.end()
    return True


@pytest.mark.parametrize(("page", "least"), [(TUTORIAL, 20), (README, 6)], ids=["tutorial", "README"])
def test_page_commands_give_shown_output(page: Path, least: int, site: Any, mounted: Path, server: str) -> None:
    # A job's /openedx/data is the operator's folder; here both are one, on a separate device.
    (site.root / "data").mkdir()
    (site.root / "data/lms-job").symlink_to(mounted)
    (site.folder / "edx-api-provisioning").mkdir()
    (site.programs / "pip").write_text("#!/bin/sh\n")  # It is already installed beside this Tutor.
    (site.programs / "pip").chmod(0o755)
    site.works("plugins", "disable", "api-provisioning")

    followed = list(steps(page))
    assert len(followed) >= least
    script = script_of(followed).replace("/openedx/data", str(mounted)).replace("https://lms.example.org", server)
    (site.folder / "script").write_text(script)
    said = site.run("sh", "-c", "sh script 2>&1").stdout

    assert_as_shown(followed, said.replace(str(mounted), "/openedx/data"), matches=shows)


@pytest.mark.parametrize("line", ["nothing", "b…a"])
def test_different_output_is_detected(line: str) -> None:
    assert shows(["a", "b"], "a\nb\n")
    assert not shows(["a", line], "a\nb\n")
