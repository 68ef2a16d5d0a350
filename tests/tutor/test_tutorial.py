"""Run the commands of docs/tutor.rst, and those for Tutor on other pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import REPOSITORY, TUTOR_VERSION

TUTORIAL = REPOSITORY / "docs/tutor.rst"
README = REPOSITORY / "README.rst"
END = "--- end of"


class Step(NamedTuple):
    command: str
    shown: list[str]


def blocks(page: Path) -> Iterator[str]:
    """Return the console blocks of the tutorial except those for another Tutor; of other pages, the marked ones."""
    block = r"^\.\. code-block:: console\n\n((?:^(?:    .*)?\n)+)"
    mark = r"(?:^\.\. Tutor (\d+)\n\n)?" if page == TUTORIAL else r"^\.\. Tutor()\n\n"
    for version, found in re.findall(mark + block, page.read_text(), re.MULTILINE):
        if not version or int(version) == TUTOR_VERSION:
            yield found


def steps(page: Path) -> Iterator[Step]:
    for block in blocks(page):
        for part in re.split(r"^    \$ ", block, flags=re.MULTILINE)[1:]:
            first, *lines = [line.removeprefix("    ") for line in part.rstrip().splitlines()]
            more = [line.removeprefix("> ") for line in lines if line.startswith("> ")]
            yield Step("\n".join([first, *more]), [line for line in lines if not line.startswith("> ")])


def assert_shown(lines: list[str], said: str) -> None:
    """Assert that the output contains every line, in this order; `…` matches anything."""
    position = 0
    for line in lines:
        found = re.compile(re.escape(line).replace("…", ".*")).search(said, position)
        assert found, f"{line!r} is not in:\n{said[position:]}"
        position = found.end()


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
    script = "".join(f"{step.command}\necho {END} {number}: $?\n" for number, step in enumerate(followed))
    script = script.replace("/openedx/data", str(mounted)).replace("https://lms.example.org", server)
    (site.folder / "script").write_text(script)
    said = site.run("sh", "-c", "sh script 2>&1").stdout

    for number, step in enumerate(followed):
        output, mark, rest = said.partition(f"{END} {number}: ")
        assert mark, f"{step.command} did not end:\n{output}"
        code, _newline, said = rest.partition("\n")
        assert code == "0", f"{step.command}\n{output}"
        assert_shown([line.replace("/openedx/data", str(mounted)) for line in step.shown], output)


@pytest.mark.parametrize("line", ["nothing", "b…a"])
def test_different_output_is_detected(line: str) -> None:
    with pytest.raises(AssertionError):
        assert_shown(["a", line], "a\nb\n")
