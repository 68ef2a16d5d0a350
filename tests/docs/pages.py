"""Read the console blocks of a page: commands and their shown output."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# tests/tutor runs this page, and blocks marked like this on other pages.
TUTOR = ROOT / "docs/tutor.rst"
# test_django.py runs this page, and the blocks marked for it.
DJANGO = ROOT / "docs/tutorials/django.rst"
_BLOCK = re.compile(
    r"^(\.\. (?:Tutor(?: \d+)?|Django)\n\n)?^( *)\.\. code-block:: console\n\n((?:^\2 +.*\n|^\n)+)", re.MULTILINE
)
# A comment of the page with commands that prepare its example.
_BEFORE = re.compile(r"^\.\. Before\n\n((?:^ +.*\n|^\n)+)", re.MULTILINE)
_END = "--- end of"
_WHEN = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?")


class Step(NamedTuple):
    command: str
    shown: list[str]


def pages() -> list[Path]:
    found = [ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
    return [page for page in found if page not in (TUTOR, DJANGO) and list(steps(page.read_text()))]


def steps(text: str) -> Iterator[Step]:
    before = _BEFORE.findall(text)
    for block in (*before, *(block for mark, _indent, block in _BLOCK.findall(text) if not mark)):
        yield from steps_of_block(block)


def steps_of_block(block: str) -> Iterator[Step]:
    margin = min(len(line) - len(line.lstrip()) for line in block.splitlines() if line)
    lines = "\n".join(line[margin:] for line in block.splitlines())
    assert lines.startswith("$ "), f"A console block begins with a command: {lines}"
    for part in re.split(r"^\$ ", lines, flags=re.MULTILINE)[1:]:
        first, *rest = part.rstrip().splitlines()
        more = [line[2:] for line in rest if line.startswith("> ")]
        yield Step("\n".join([first, *more]), [line for line in rest if not line.startswith("> ")])


def script_of(followed: list[Step]) -> str:
    """Return a shell script that runs the commands, and says after each what it returned."""
    return "".join(f"{step.command}\necho {_END} {number}: $?\n" for number, step in enumerate(followed))


def answers(shown: list[str], said: str) -> bool:
    """Return whether the output matches what the page shows.

    ``…`` matches any text in a line, or any lines if it is alone; a date matches any date.
    """
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else re.escape(_at_any_time(line)).replace("…", ".*") + r"\n"
        for line in shown
    )
    tidy = "".join(f"{line.rstrip()}\n" for line in said.rstrip().splitlines())
    return re.fullmatch(pattern, _at_any_time(tidy)) is not None


def _at_any_time(text: str) -> str:
    """Replace the digits of dates and times with zeros."""
    return _WHEN.sub(lambda when: re.sub(r"\d", "0", when[0]), text)


def assert_as_shown(followed: list[Step], said: str, *, matches: Callable[[list[str], str], bool] = answers) -> None:
    """Assert that each command of the script succeeded, and said what the page shows of it, if it shows anything."""
    for number, step in enumerate(followed):
        output, mark, rest = said.partition(f"{_END} {number}: ")
        assert mark, f"{step.command} did not end:\n{output}"
        code, _newline, said = rest.partition("\n")
        assert code == "0", f"{step.command}\n{output}"
        if step.shown:
            assert matches(step.shown, output), "\n".join([step.command, "shows", *step.shown, "and said", output])
