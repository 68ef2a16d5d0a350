"""The house keeps its walls, and its migrations say what its models say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]


def test_the_rooms_are_entered_in_the_declared_direction_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", sys.path[:])  # lint_imports puts the working directory first on it

    status = lint_imports(no_cache=True, no_logo=True)

    assert status == 0, capsys.readouterr().out


@pytest.mark.databases
@pytest.mark.versions
@pytest.mark.django_db
def test_the_migrations_are_those_of_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        call_command("makemigrations", "edx_api_provisioning", check=True, dry_run=True)
    except SystemExit:
        pytest.fail(capsys.readouterr().out)
