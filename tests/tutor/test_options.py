"""The table of options says what the commands say, and ``--help`` shows it."""

from __future__ import annotations

from typing import Any

import click
import pytest
from conftest import ask_lms

from edx_api_provisioning.core.options import JOBS, Option
from edx_api_provisioning.tutor.jobs import COMMANDS

# The parsers of the commands, less what every Django command has.
DESCRIBE = """
import json, sys
from django.core.management.base import BaseCommand
from django.core.management import load_command_class
common = {action.dest for action in BaseCommand().create_parser("", "")._actions}
def describe(name):
    command = load_command_class("edx_api_provisioning", name)
    actions = [a for a in command.create_parser("", name)._actions if a.dest not in common]
    return {"help": command.help, "actions": [
        {
            "flag": next(iter(a.option_strings), None),
            "required": a.required,
            "switch": a.nargs == 0,
            "value": "|".join(a.choices) if a.choices else a.metavar or a.dest.upper(),
            "help": (a.help or "") % vars(a),
            "many": type(a).__name__ == "_AppendAction",
        }
        for a in actions
    ]}
print(json.dumps({name: describe(name) for name in json.load(sys.stdin)}))
"""


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    return ask_lms(DESCRIBE, list(JOBS))


@pytest.mark.parametrize("command", JOBS)
def test_the_table_is_the_commands_own(commands: dict[str, Any], command: str) -> None:
    job, described = JOBS[command], commands[command]
    assert job.help == described["help"]
    arguments = [(a["help"], a["required"]) for a in described["actions"] if a["flag"] is None]
    assert ([(job.name, job.name_required)] if job.name else []) == arguments
    options = [
        Option(a["flag"], None if a["switch"] else a["value"], a["help"], a["many"])
        for a in described["actions"]
        if a["flag"] is not None
    ]
    assert list(job.options) == options


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_shows_every_option(command: click.Command) -> None:
    shown = " ".join(command.get_help(click.Context(command)).split())
    for option in JOBS[command.name.replace("-", "_")].options:
        value = f" [{option.value}]" if "|" in (option.value or "") else f" {option.value}" if option.value else ""
        assert f"{option.flag}{value} " in shown
