"""The command: the end of a client's tokens, or of the client, in words, in JSON and in the exit code."""

from __future__ import annotations

import getpass

import pytest
from oauth2_provider.models import get_application_model

from edx_api_provisioning.models import ApiClient
from tests.factories import Ran
from tests.factories import run as run_command
from tests.lifecycle_helpers import answer, client, everything, granted, last_event, provisioned

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> Ran:
    return run_command(*arguments, command="revoke_api_client")


@pytest.mark.databases
@pytest.mark.versions
def test_tokens_are_ended_and_the_history_knows_by_whom_and_why() -> None:
    made = provisioned()

    assert run("report", "--reason", "seen in a log") == Ran(0, "Revoked 1 access token.\n", "")

    assert answer(made.access_token) == "token_nonexistent"
    assert granted(made.client_id, made.client_secret)
    event = last_event()
    assert (event.kind, event.actor, event.reason) == ("revoked", f"command line: {getpass.getuser()}", "seen in a log")


@pytest.mark.databases
@pytest.mark.versions
def test_json_says_what_became_of_the_client() -> None:
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


@pytest.mark.parametrize("how", [(), ("--retire",)])
def test_a_second_time_there_is_nothing_to_do(how: tuple[str, ...]) -> None:
    provisioned()
    run("report", *how)
    before = everything()

    assert run("report", *how) == Ran(0, "No changes: the client already matches.\n", "")
    assert run("report", *how, "--format", "json").result["status"] == "unchanged"
    assert everything() == before


@pytest.mark.databases
@pytest.mark.versions
def test_a_deleted_client_is_gone_and_stays_so() -> None:
    provisioned()

    assert run("report", "--delete", "--format", "json").result["status"] == "deleted"
    assert not ApiClient.objects.exists()
    assert not get_application_model().objects.exists()
    before = everything()
    assert run("report", "--delete") == Ran(0, "No changes: the client already matches.\n", "")
    assert run("report", "--delete", "--format", "json").result == {
        "name": "report",
        "status": "unchanged",
        "username": "",
        "client_id": "",
        "changes": [],
    }
    assert everything() == before


@pytest.mark.parametrize("name", ["nobody", "b\udced", "a\0"])
@pytest.mark.parametrize("how", [(), ("--retire",), ("--delete",)])
def test_who_was_never_there_is_refused(name: str, how: tuple[str, ...]) -> None:
    assert run(name, *how).refusal == "NAME: no API client has this name; see list_api_clients."


def test_a_deleted_client_cannot_be_revoked_or_retired() -> None:
    provisioned()
    run("report", "--delete")

    assert run("report").code == run("report", "--retire").code == 1


def test_a_reason_is_one_line() -> None:
    provisioned()

    assert run("report", "--reason", "two\nlines").refusal == "--reason: use printable characters only."
    assert client().access_token is not None


@pytest.mark.parametrize("arguments", [(), ("report", "--retire", "--delete"), ("report", "--format", "yaml")])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    provisioned()

    assert run(*arguments).code == 2
    assert client().access_token is not None
