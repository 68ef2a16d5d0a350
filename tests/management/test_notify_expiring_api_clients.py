"""Test the cron command: it prints the notified clients, and failed mails set the exit code."""

from __future__ import annotations

import getpass
from datetime import timedelta
from unittest import mock

import pytest
from django.core import mail

from edx_api_provisioning.services import notices
from tests.factories import CommandResult
from tests.factories import run as run_command
from tests.lifecycle_helpers import last_event, provisioned

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> CommandResult:
    return run_command(*arguments, command="notify_expiring_api_clients")


@pytest.fixture
def expiring() -> None:
    for name in ("a", "b"):
        provisioned(name, username=f"user-{name}", contact=f"{name}@example.org", expires_in=timedelta(days=5))


@pytest.mark.versions
def test_notified_clients_are_printed(expiring: None) -> None:
    assert run() == CommandResult(0, "a\nb\n", "")

    assert [message.to for message in mail.outbox] == [["a@example.org"], ["b@example.org"]]
    assert (last_event().kind, last_event().actor) == ("notified", f"command line: {getpass.getuser()}")


def test_json_is_a_list_of_names(expiring: None) -> None:
    assert run("--format", "json") == CommandResult(0, '["a", "b"]\n', "")


def test_failed_mails_exit_1(expiring: None) -> None:
    with mock.patch.object(notices, "send_mail", side_effect=OSError("refused")):
        refused = run()

    assert refused.refusal.startswith("2 mails could not be sent; they will be retried on the next run.")
    assert run().stdout == "a\nb\n"
