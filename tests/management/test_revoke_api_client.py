"""Test the command: revoke tokens, retire or delete a client; text, JSON and exit codes."""

from __future__ import annotations

import getpass

import pytest
from oauth2_provider.models import get_application_model

from edx_api_provisioning.models import ApiClient
from tests.factories import CommandResult
from tests.factories import run as run_command
from tests.lifecycle_helpers import all_rows, answer, client, granted, last_event, provisioned

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> CommandResult:
    return run_command(*arguments, command="revoke_api_client")


@pytest.mark.versions
def test_tokens_are_revoked_and_recorded() -> None:
    made = provisioned()

    assert run("report", "--reason", "seen in a log") == CommandResult(0, "Revoked 1 access token.\n", "")

    assert answer(made.access_token) == "token_nonexistent"
    assert granted(made.client_id, made.client_secret)
    event = last_event()
    assert (event.kind, event.actor, event.reason) == ("revoked", f"command line: {getpass.getuser()}", "seen in a log")


def test_json_has_retired_client() -> None:
    made = provisioned()

    assert run("report", "--retire", "--format", "json").result == {
        "name": "report",
        "status": "retired",
        "username": "report",
        "client_id": made.client_id,
        "changes": [
            "Revoked 1 access token.",
            "Retired the client.",
            "Revoked the client secret.",
            "Deactivated the user report.",
        ],
    }
    assert client().state == "retired"


def test_delete_is_final_and_repeatable() -> None:
    provisioned()

    assert run("report", "--delete", "--format", "json").result["status"] == "deleted"
    assert not ApiClient.objects.exists()
    assert not get_application_model().objects.exists()
    before = all_rows()
    assert run("report", "--delete") == CommandResult(0, "No changes: the client already matches.\n", "")
    assert run("report", "--delete", "--format", "json").result == {
        "name": "report",
        "status": "unchanged",
        "username": "",
        "client_id": "",
        "changes": [],
    }
    assert all_rows() == before


@pytest.mark.parametrize("name", ["nobody", "b\udced", "a\0"])
def test_unknown_client_is_rejected(name: str) -> None:
    for how in ((), ("--delete",)):
        assert run(name, *how).refusal == "NAME: no API client has this name; see list_api_clients."
