"""Tests of the table of options: what it says of a client, and that it needs neither Django nor Python 3.11."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class
from uv import find_uv_bin

import edx_api_provisioning
from edx_api_provisioning.admin.forms import NewClientForm
from edx_api_provisioning.core.commands import COMMANDS
from edx_api_provisioning.core.options import CLIENT, SECRET, STORED, VALUES, find_problems
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats.manifest import manifest_schema
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.rest_api.v1 import requests


def oldest_python() -> str:
    """Return Python 3.10, on which Tutor runs, or this Python where there is none."""
    found = subprocess.run([find_uv_bin(), "python", "find", "3.10"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or sys.executable


def test_table_needs_standard_library_only() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(edx_api_provisioning.__file__).parents[1])!r})\n"
        "from edx_api_provisioning.core import commands, options\n"
        "print(len(options.CLIENT), sorted(name for name in sys.modules if name.startswith('edx_')))"
    )

    # Without site-packages.
    done = subprocess.run([oldest_python(), "-I", "-S", "-c", code], capture_output=True, text=True, check=False)

    names = [f"edx_api_provisioning{name}" for name in ("", ".core", ".core.commands", ".core.options")]
    assert (done.stdout, done.stderr) == (f"{len(CLIENT)} {names}\n", "")


def test_table_has_every_field_of_a_spec() -> None:
    assert {field.name for field in fields(ClientSpec)} == {*CLIENT, "manifest"}


def test_entry_points_offer_every_field() -> None:
    parser = load_command_class("edx_api_provisioning", "provision_api_client").create_parser("", "")

    assert {action.dest for action in parser._actions} >= set(CLIENT)
    assert set(manifest_schema()["properties"]["clients"]["items"]["properties"]) == {
        option.key for option in CLIENT.values()
    }
    assert set(requests.CREATE) == {name for name, option in CLIENT.items() if option.kind != SECRET} | {"reason"}
    assert {option.name for option in NewClientForm.options} == {
        name for name, option in CLIENT.items() if option.part != VALUES
    } | {"reason"}


def test_registry_has_every_stored_field() -> None:
    columns = {field.name: field for field in ApiClient._meta.get_fields()}

    for name, option in STORED.items():
        assert getattr(columns[name], "max_length", None) is None or option.max_length in (
            None,
            columns[name].max_length,
        )


def test_option_has_help_and_field_a_label() -> None:
    for option in (option for command in COMMANDS.values() for option in command.options):
        assert option.help[0].isupper() or option.help.startswith("env:"), option
        assert option.help.endswith("."), option
    for option in CLIENT.values():
        assert option.label[:1].islower(), option


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("name", "NAME"),
        ("permissions", "--permission"),
        ("course_roles", "--course-role"),
        ("use_existing_user", "--use-existing-user"),
        ("client_secret", "--client-secret-from"),
    ],
)
def test_flag_follows_from_field(name: str, flag: str) -> None:
    assert CLIENT[name].flag == flag


@pytest.mark.parametrize(
    ("client", "problems"),
    [
        ({"name": "bot"}, {}),
        ({"name": "bot", "contact": None, "purpose": ""}, {}),
        ({}, {"name": "every client needs a name."}),
        ({"name": "bot", "staff": "yes"}, {"staff": "give true or false."}),
        ({"name": "bot", "scopes": "read"}, {"scopes": "give a list of texts."}),
        ({"name": "bot", "username": 5}, {"username": "give one text."}),
        ({"name": "bot", "username": ""}, {"username": "cannot be empty; leave it out for the default."}),
        ({"name": "bot", "purpose": "x" * 256}, {"purpose": "use at most 255 characters."}),
        ({"name": "bot", "groups": ["a\nb"]}, {"groups": "use printable characters only."}),
        ({"name": "bot", "filters": ["edX"]}, {"filters": "write it like content_org:edX."}),
    ],
    ids=str,
)
def test_problems_name_the_field(client: dict[str, Any], problems: dict[str, str]) -> None:
    assert dict(find_problems(client, CLIENT)) == problems
