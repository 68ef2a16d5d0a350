"""Test the command: an existing application comes under management unchanged."""

from __future__ import annotations

import getpass
import io

import pytest
from django.core.management import call_command
from oauth2_provider.models import get_application_model

from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.models import ApiClient
from tests.factories import SECRET, AccessTokenFactory, ApplicationFactory, CommandResult, UserFactory
from tests.factories import run as run_command
from tests.lifecycle_helpers import client, granted, last_event

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> CommandResult:
    return run_command(*arguments, command="adopt_api_client")


@pytest.mark.versions
def test_application_of_other_command_is_adopted() -> None:
    user = UserFactory(username="reporter")
    options = {"name": "By hand", "user": str(user.pk), "client_id": "the-id", "client_secret": SECRET}
    call_command("createapplication", "confidential", "client-credentials", stdout=io.StringIO(), **options)

    ran = run(
        "report", "--client-id", "the-id", "--contact", "owner@example.org", "--purpose", "reports", "--reason", "found"
    )

    assert ran == CommandResult(0, "Adopted report.\n", "")
    row = client()
    assert (row.user, row.application.client_id, row.user_made) == (user, "the-id", False)
    assert (row.contact, row.purpose, row.access_token) == ("owner@example.org", "reports", None)
    assert granted("the-id", Secret(SECRET))
    event = last_event()
    assert (event.kind, event.actor, event.reason) == ("adopted", f"command line: {getpass.getuser()}", "found")


def test_json_has_adopted_client_and_no_secret() -> None:
    AccessTokenFactory(application=ApplicationFactory(client_id="the-id", user__username="reporter"))

    ran = run("report", "--client-id", "the-id", "--format", "json")

    assert ran.result == {
        "name": "report",
        "status": "adopted",
        "username": "reporter",
        "client_id": "the-id",
        "changes": ["Adopted report."],
    }
    assert client().access_token is not None


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("report", "--client-id", "no-such-id"),
            "--client-id: no application has this client id; list them with list_api_clients --unmanaged.",
        ),
        (("report", "--client-id", "the-id", "--contact", "nobody"), "--contact: not an email address."),
    ],
)
def test_adoption_error_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    ApplicationFactory(client_id="the-id")

    assert run(*arguments).refusal == line
    assert not ApiClient.objects.exists()
    assert get_application_model().objects.count() == 1
