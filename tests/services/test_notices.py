"""Test that the contact gets one notice at each distance before a token expires, from one worker."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.conf import settings as django_settings
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import DatabaseError, connection
from django.utils import translation
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.models import ApiClientEvent
from edx_api_provisioning.services import notices
from tests.factories import OPERATOR, mail_by, operator
from tests.lifecycle_helpers import NOON, Clock, client, granted, last_event, provisioned
from tests.subprocesses import FORK, TIMEOUT, Process, at_once

OWNER = "owner@example.org"


def notify() -> tuple[str, ...]:
    return api.notify_expiring(authority=OPERATOR)


def subjects() -> list[str]:
    return [message.subject for message in mail.outbox]


# When


@pytest.mark.databases
@pytest.mark.django_db
def test_contact_is_notified_once_per_distance(clock: Clock) -> None:
    provisioned(contact=OWNER, expires_in=timedelta(days=60))

    told = []
    for day in (0, 29, 30, 31, 52, 53, 54, 58, 59, 60):
        clock.to(NOON + timedelta(days=day))
        told += [day for _name in notify()]
        assert notify() == ()  # The same day again

    assert told == [30, 53, 59]
    assert subjects() == [
        "The access token of report expires in 30 days",
        "The access token of report expires in 7 days",
        "The access token of report expires in 1 day",
    ]
    events = ApiClientEvent.objects.filter(kind="notified").order_by("pk")
    assert [event.details for event in events] == [{"days": days, "to": OWNER} for days in (30, 7, 1)]
    assert {event.actor for event in events} == {"the test"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("left", "distance"),
    [
        (timedelta(days=30, microseconds=1), None),
        (timedelta(days=30), 30),
        (timedelta(days=7, microseconds=1), 30),
        (timedelta(days=7), 7),
        (timedelta(days=1, seconds=1), 7),
        (timedelta(days=1), 1),
        (timedelta(microseconds=1), 1),
        (timedelta(0), None),
        (timedelta(seconds=-1), None),
    ],
)
def test_late_notice_uses_nearest_distance(settings: Any, clock: Clock, left: timedelta, distance: int | None) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "UNUSED_AFTER": None}
    made = provisioned(contact=OWNER)
    assert made.expires_at is not None
    clock.to(made.expires_at - left)

    assert notify() == (("report",) if distance else ())

    assert len(mail.outbox) == (distance is not None)
    assert client().noticed_days == distance
    assert notify() == ()


@pytest.mark.django_db
def test_notice_days_may_be_in_any_order(settings: Any, clock: Clock) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "NOTICE_DAYS": [2, 90], "UNUSED_AFTER": None}
    provisioned(contact=OWNER, expires_in=timedelta(days=100))

    told = []
    for day in (0, 9, 10, 11, 97, 98, 99, 100):
        clock.to(NOON + timedelta(days=day))
        told += [day for _name in notify()]

    assert told == [10, 98]


@pytest.mark.django_db
def test_no_notice_days_means_no_notices(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "NOTICE_DAYS": []}
    provisioned(contact=OWNER, expires_in=timedelta(hours=1))

    assert notify() == ()
    assert mail.outbox == []


@pytest.mark.django_db
def test_rotation_restarts_notices(clock: Clock) -> None:
    provisioned(contact=OWNER, expires_in=timedelta(days=1))
    assert notify() == ("report",)

    api.rotate("report", authority=OPERATOR, expires_in=timedelta(days=30))
    assert client().noticed_days is None
    assert notify() == ("report",)
    clock.forward(days=29)
    assert notify() == ("report",)

    assert [event.details["days"] for event in ApiClientEvent.objects.filter(kind="notified")] == [1, 30, 1]


@pytest.mark.django_db
def test_secret_rotation_sends_no_second_notice() -> None:
    provisioned(contact=OWNER, expires_in=timedelta(days=1))
    notify()

    api.rotate("report", token=False, secret=True, authority=OPERATOR)

    assert notify() == ()


@pytest.mark.django_db
def test_unreachable_contacts_are_skipped() -> None:
    soon = timedelta(days=1)
    provisioned("no-contact", expires_in=soon)
    provisioned("no-token", username="no-token", contact=OWNER, token=False)
    provisioned("lost", username="lost", contact=OWNER, expires_in=soon)
    get_access_token_model().objects.filter(user__username="lost").delete()
    provisioned("retired", username="retired", contact=OWNER, expires_in=soon)
    api.revoke("retired", retire=True, authority=OPERATOR)

    assert notify() == ()
    assert mail.outbox == []


# What


@pytest.mark.django_db
def test_notice_has_expiry_and_commands(settings: Any, clock: Clock) -> None:
    settings.LMS_ROOT_URL = "https://lms.example.org"
    settings.DEFAULT_FROM_EMAIL = "lms@example.org"
    settings.TIME_ZONE = "Europe/Berlin"
    provisioned("report", username="reporter", contact=OWNER, expires_in=timedelta(days=5))

    notify()

    (message,) = mail.outbox
    assert (message.to, message.from_email) == ([OWNER], "lms@example.org")
    assert message.body == (
        "You are the contact for the API client report (user reporter) of https://lms.example.org.\n"
        "\n"
        "Its access token expires on 2027-05-08 12:00 UTC. After that, the site rejects it.\n"
        "\n"
        "An operator of the site can issue a new token, while the old one keeps working for 24 hours:\n"
        "\n"
        "    rotate_api_client report --grace 24h\n"
        "\n"
        "If the client is no longer needed, an operator can retire it:\n"
        "\n"
        "    revoke_api_client report --retire\n\n"
    )


@pytest.mark.django_db
def test_notice_is_plain_text() -> None:
    provisioned("a.b", username="it", contact="o'hara@example.org", expires_in=timedelta(days=1))

    notify()

    (message,) = mail.outbox
    assert message.to == ["o'hara@example.org"]
    assert message.alternatives == []
    assert "&" not in message.body


@pytest.mark.django_db
def test_notice_is_translated(clock: Clock) -> None:
    provisioned(contact=OWNER, expires_in=timedelta(days=5))

    with translation.override("ru"):
        notify()

    assert subjects() == ["Токен доступа report истекает через 5 дней"]
    assert "2027-05-08 12:00 UTC" in mail.outbox[0].body
    assert "expires" not in mail.outbox[0].body


# Failed mails


class Refusing(EmailBackend):
    """Mail backend that fails for one address, with each kind of error."""

    error: Exception = OSError("the server refused")

    def send_messages(self, messages: list[Any]) -> int:
        if any("broken" in address for message in messages for address in message.to):
            raise self.error
        return super().send_messages(messages)


class ClientError(Exception):
    """Error like botocore's, which the mail backend for Amazon SES raises."""


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error", [OSError("refused"), ClientError("throttled by owner@broken.example.org"), ValueError()]
)
def test_failed_mail_is_retried(settings: Any, caplog: Any, error: Exception) -> None:
    mail_by(settings, f"{__name__}.Refusing")
    for name, contact in (("a", OWNER), ("b", "owner@broken.example.org"), ("c", OWNER), ("d", "broken@example.org")):
        provisioned(name, username=f"user-{name}", contact=contact, expires_in=timedelta(days=1))

    with mock.patch.object(Refusing, "error", error), pytest.raises(ProvisioningError) as refused:
        notify()

    assert str(refused.value) == (
        "2 mails could not be sent; they will be retried on the next run. Check the mail settings."
    )
    assert [client(name).noticed_days for name in "abcd"] == [1, None, 1, None]
    assert {event.client_name for event in ApiClientEvent.objects.filter(kind="notified")} == {"a", "c"}
    assert len(mail.outbox) == 2
    assert type(error).__name__ in caplog.text
    assert "throttled" not in caplog.text

    mail_by(settings, "django.core.mail.backends.locmem.EmailBackend")
    assert notify() == ("b", "d")
    assert len(mail.outbox) == 4


@pytest.mark.django_db
def test_one_failed_mail_is_singular(settings: Any) -> None:
    mail_by(settings, f"{__name__}.Refusing")
    provisioned(contact="owner@broken.example.org", expires_in=timedelta(days=1))

    with pytest.raises(ProvisioningError) as refused:
        notify()

    assert (
        str(refused.value) == "1 mail could not be sent; it will be retried on the next run. Check the mail settings."
    )


@pytest.mark.databases
@pytest.mark.django_db
def test_database_error_does_not_stop_others() -> None:
    for name in ("a", "b", "c"):
        provisioned(name, username=f"user-{name}", contact=OWNER, expires_in=timedelta(days=1))

    def fail(execute: Any, sql: str, params: Any, *context: Any) -> Any:
        if sql.startswith("INSERT") and params and "b" in params:
            raise DatabaseError("the disk is full")
        return execute(sql, params, *context)

    with connection.execute_wrapper(fail), pytest.raises(ProvisioningError):
        notify()

    assert [client(name).noticed_days for name in "abc"] == [1, None, 1]
    assert notify() == ("b",)


# On the way


@pytest.mark.databases
@pytest.mark.django_db
def test_notifying_ends_due_predecessors(clock: Clock) -> None:
    made = provisioned()
    provisioned("retired", username="retired")
    for name in ("report", "retired"):
        api.rotate(name, token=True, secret=True, grace=timedelta(days=1), authority=OPERATOR)
    clock.forward(days=1, microseconds=-1)
    notify()
    assert granted(made.client_id, made.client_secret)

    clock.forward(microseconds=1)
    assert notify() == ()

    assert granted(made.client_id, made.client_secret) is None
    assert get_application_model().objects.count() == 2
    assert {(event.client_name, event.actor) for event in ApiClientEvent.objects.filter(kind="predecessor_ended")} == {
        ("report", "the test"),
        ("retired", "the test"),
    }
    assert last_event().kind == "predecessor_ended"
    assert mail.outbox == []


# Parallel workers


def notify_into(folder: Path) -> None:
    """Send notices from a worker that writes its mails to files."""
    mail_by(django_settings, "django.core.mail.backends.filebased.EmailBackend", file_path=str(folder))
    print(*notify())


def recipients(folder: Path) -> list[str]:
    return sorted(address for file in folder.iterdir() for address in re.findall("^To: (.+)$", file.read_text(), re.M))


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_parallel_workers_send_each_notice_once(shared_database: None, tmp_path: Path) -> None:
    for number in range(6):
        provisioned(
            f"client-{number}", username=f"user-{number}", contact=f"{number}@example.org", expires_in=timedelta(days=1)
        )
    mails = tmp_path / "mails"
    mails.mkdir()

    ended = at_once(tmp_path, [lambda: notify_into(mails)] * 8)

    assert {(run.code, run.stderr) for run in ended} == {(0, "")}
    assert recipients(mails) == [f"{number}@example.org" for number in range(6)]
    assert sorted(name for run in ended for name in run.stdout.split()) == [f"client-{number}" for number in range(6)]
    assert ApiClientEvent.objects.filter(kind="notified").count() == 6


@pytest.mark.databases
@pytest.mark.vendor("mysql", "postgresql")
@pytest.mark.django_db(transaction=True)
def test_worker_skips_notice_being_sent(shared_database: None, tmp_path: Path) -> None:
    for name in ("a", "b"):
        provisioned(name, username=f"user-{name}", contact=f"{name}@example.org", expires_in=timedelta(days=1))
    mails, sending, go_on = tmp_path / "mails", FORK.Event(), FORK.Event()
    mails.mkdir()

    def slow() -> None:
        send = notices.send_mail

        def send_slowly(*arguments: Any, **options: Any) -> None:
            sending.set()
            assert go_on.wait(TIMEOUT)
            send(*arguments, **options)

        with mock.patch.object(notices, "send_mail", send_slowly):
            notify_into(mails)

    first = Process(slow, tmp_path / "first")
    assert sending.wait(TIMEOUT)
    second = Process(lambda: notify_into(mails), tmp_path / "second").ended()
    go_on.set()

    assert (second.code, second.stdout, second.stderr) == (0, "b\n", "")
    assert first.ended().stdout == "a\n"
    assert recipients(mails) == ["a@example.org", "b@example.org"]


@pytest.mark.django_db
def test_client_deleted_meanwhile_is_skipped(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    provisioned(contact=OWNER, expires_in=timedelta(days=60))
    api.rotate("report", secret=True, grace=timedelta(hours=1), expires_in=timedelta(days=5), authority=OPERATOR)
    clock.forward(hours=2)
    real, met = notices.in_transaction, []

    def deleted_first(work: Any) -> Any:
        if not met:
            api.revoke("report", delete=True, authority=operator("somebody else"))
        met.append(work)
        return real(work)

    monkeypatch.setattr(notices, "in_transaction", deleted_first)

    assert notify() == ()
    assert len(met) == 2  # Its predecessor, and its token.
    assert (subjects(), last_event().kind) == ([], "deleted")


# Unused clients


@pytest.mark.django_db
def test_contact_of_unused_client_is_notified(clock: Clock) -> None:
    provisioned(contact=OWNER, expires_in=timedelta(days=700))
    provisioned("no-contact", expires_in=timedelta(days=700))
    used = provisioned("used", contact=OWNER, expires_in=timedelta(days=700))

    told = []
    for day in range(0, 200, 10):
        clock.to(NOON + timedelta(days=day, seconds=1))
        granted(used.client_id, used.client_secret)
        told += [(day, name) for name in notify()]

    assert told == [(90, "report"), (180, "report")]
    assert subjects() == ["report is not used"] * 2
    assert "It was not used for 90 days." in mail.outbox[0].body
    assert last_event().details == {"unused_days": 90, "to": OWNER}


@pytest.mark.django_db
@pytest.mark.parametrize("off", [{"UNUSED_AFTER": None}, {"RECORD_LAST_USE": False}])
def test_unused_notices_can_be_turned_off(settings: Any, clock: Clock, off: dict[str, Any]) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, **off}
    provisioned(contact=OWNER, expires_in=timedelta(days=700))
    clock.forward(days=100)

    assert notify() == ()


@pytest.mark.django_db
def test_unused_notices_need_the_middleware(settings: Any, clock: Clock) -> None:
    settings.MIDDLEWARE = []
    provisioned(contact=OWNER, expires_in=timedelta(days=700))
    clock.forward(days=100)

    assert notify() == ()
