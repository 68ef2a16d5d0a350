"""Tests of the Tutor jobs: each shows every option of its command."""

from __future__ import annotations

import click
import pytest

from edx_api_provisioning.core.options import FLAG
from edx_api_provisioning.tutor.jobs import JOBS, TUTOR_COMMANDS


@pytest.mark.parametrize("command", TUTOR_COMMANDS, ids=lambda command: command.name)
def test_job_help_shows_options(command: click.Command) -> None:
    # Lines are wrapped, also within words with hyphens.
    shown = "".join(command.get_help(click.Context(command)).split())

    for option in JOBS[command.name.replace("-", "_")].options:
        value = "" if option.kind == FLAG or option.positional or option.choices else option.metavar
        assert f"{option.flag}{value}" in shown
        assert "".join(option.help.split()) in shown
        assert option.help.endswith(".")
