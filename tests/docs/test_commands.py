"""Run every command of the documentation and compare its output with the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Operator
from pages import ROOT, answers, pages, steps

END = "--- end of"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_page_commands_give_shown_output(page: Path, operator: Operator) -> None:
    followed = list(steps(page.read_text()))
    script = "".join(f"{step.command}\necho {END} {number}: $?\n" for number, step in enumerate(followed))
    if "https://lms.example.org" in script:
        with operator.site() as url:
            said = operator.run(script.replace("https://lms.example.org", url))
    else:
        said = operator.run(script)

    for number, step in enumerate(followed):
        output, mark, rest = said.partition(f"{END} {number}: ")
        assert mark, f"{step.command} did not end:\n{output}"
        code, _newline, said = rest.partition("\n")
        assert code == "0", f"{step.command}\n{output}"
        # If a page shows no output, any output is accepted.
        if step.shown:
            assert answers(step.shown, output), "\n".join([step.command, "shows", *step.shown, "and said", output])


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (["a"], "a\nb\n"),
        (["a", "b"], "a\n"),
        (["b…a"], "a\nb\n"),
        (["…", "a"], "a\nb\n"),
        (["until 2027-01-31"], "until then\n"),
    ],
)
def test_different_output_is_detected(shown: list[str], said: str) -> None:
    assert not answers(shown, said)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (["a", "…", "c…"], "a\nb\nb\ncd\n"),
        (["…"], ""),
        (["it ends 2027-01-31T12:00:00Z"], "it ends 2026-12-01T01:02:03Z\n"),
    ],
)
def test_placeholders_match_any_output(shown: list[str], said: str) -> None:
    assert answers(shown, said)
