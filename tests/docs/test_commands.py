"""Run every command of the documentation and compare its output with the page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import Operator
from lms_server import web_server
from pages import ROOT, answers, assert_as_shown, pages, script_of, steps


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_page_commands_give_shown_output(page: Path, operator: Operator) -> None:
    followed = list(steps(page.read_text()))
    script = script_of(followed)
    if "https://lms.example.org" in script:
        with web_server(sys.executable, operator.environment) as url:
            said = operator.run(script.replace("https://lms.example.org", url))
    else:
        said = operator.run(script)

    assert_as_shown(followed, said)


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
