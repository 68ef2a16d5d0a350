"""Test signals: sent after commit, without secrets, and isolated from failing receivers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import attr
import pytest
from django.db import transaction
from django.dispatch import Signal
from openedx_events.event_bus.avro.serializer import serialize_event_data_to_bytes

from edx_api_provisioning import api, signals
from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.core.results import Status
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.factories import OPERATOR, ApplicationFactory, operator
from tests.lifecycle_helpers import client, provisioned, shown

pytestmark = [pytest.mark.django_db, pytest.mark.versions]

SIGNALS = {
    "provisioned": signals.api_client_provisioned,
    "rotated": signals.api_client_rotated,
    "revoked": signals.api_client_revoked,
}
Told = list[tuple[str, dict[str, Any]]]


@contextmanager
def listening(signal: Signal, receiver: Callable[..., None]) -> Iterator[None]:
    signal.connect(receiver)
    try:
        yield
    finally:
        signal.disconnect(receiver)


@pytest.fixture
def told() -> Iterator[Told]:
    """Return what receivers were sent, in order."""
    heard: Told = []
    with ExitStack() as stack:
        for which, signal in SIGNALS.items():

            def receiver(_which: str = which, /, **payload: Any) -> None:
                heard.append((_which, payload))

            stack.enter_context(listening(signal, receiver))
        yield heard


def test_signal_matches_history(told: Told, django_capture_on_commit_callbacks: Any) -> None:
    provisioned()

    with django_capture_on_commit_callbacks(execute=True):
        api.rotate("report", secret=True, grace=timedelta(days=1), authority=operator("admin: ann"))

    ((_name, payload),) = told
    assert payload == {
        "signal": signals.api_client_rotated,
        "sender": ApiClient,
        "name": "report",
        "actor": "admin: ann",
        "details": ApiClientEvent.objects.first().details,
    }


@pytest.mark.django_db(transaction=True)
def test_signals_are_sent_after_commit(told: Told) -> None:
    def must_be_committed(**_payload: Any) -> None:
        assert not transaction.get_connection().in_atomic_block
        assert ApiClient.objects.filter(name="report").exists()
        seen.append(True)

    seen: list[bool] = []
    with listening(signals.api_client_provisioned, must_be_committed), transaction.atomic():  # Like a web request.
        provisioned()
        assert told == []
    assert seen == [True]
    assert len(told) == 1


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_rolled_back_run_sends_no_signal(told: Told) -> None:
    with transaction.atomic():
        provisioned()
        transaction.set_rollback(True)
    with pytest.raises(ProvisioningError):
        api.provision(ClientSpec(name="report"), authority=OPERATOR, reason="two\nlines")

    assert not ApiClient.objects.exists()
    assert told == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("signal", SIGNALS.values(), ids=SIGNALS)
def test_failing_receiver_is_harmless(told: Told, signal: Signal, caplog: Any) -> None:
    def fails(**_payload: Any) -> None:
        raise RuntimeError("the plugin's own affair")

    with listening(signal, fails):
        made = provisioned()
        rotated = api.rotate("report", authority=operator("ann"))
        revoked = api.revoke("report", retire=True, authority=operator("ann"))

    assert [made.status, rotated.status, revoked.status] == [Status.CREATED, Status.ROTATED, Status.RETIRED]
    assert [name for name, _payload in told] == ["provisioned", "rotated", "revoked"]
    assert client().state == "retired"
    assert "the plugin's own affair" in caplog.text
    assert shown(made.access_token) not in caplog.text


# Open edX events


@pytest.fixture
def events() -> Iterator[Told]:
    """Return the Open edX events that were sent, in order."""
    heard: Told = []

    def receiver(**payload: Any) -> None:
        heard.append((payload["metadata"].event_type, attr.asdict(payload["api_client"])))

    with ExitStack() as stack:
        for signal in signals.EVENTS.values():
            stack.enter_context(listening(signal, receiver))
        yield heard


def test_each_change_sends_a_signal_and_an_event(
    told: Told, events: Told, django_capture_on_commit_callbacks: Any
) -> None:
    application = ApplicationFactory()
    ann: dict[str, Any] = {"authority": operator("admin: ann"), "reason": "seen in a log"}
    with django_capture_on_commit_callbacks(execute=True):
        made = provisioned()
        provisioned(contact="owner@example.org")
        provisioned()  # Unchanged, and nobody is told of a notice.
        api.notify_expiring(authority=OPERATOR)
        api.rotate("report", **ann)
        api.revoke("report", **ann)
        api.revoke("report", retire=True, **ann)
        api.revoke("report", delete=True, **ann)
        api.adopt("old", client_id=application.client_id, **ann)

    kinds = ["created", "updated", "rotated", "revoked", "retired", "deleted", "adopted"]
    assert [kind for kind, _data in events] == [f"org.openedx.learning.api_client.{kind}.v1" for kind in kinds]
    assert [name for name, _payload in told] == [*["provisioned"] * 2, "rotated", *["revoked"] * 3, "provisioned"]
    assert events[0][1] == {"name": "report", "client_id": made.client_id, "actor": "the test", "reason": ""}
    assert events[2][1] == {
        "name": "report",
        "client_id": made.client_id,
        "actor": "admin: ann",
        "reason": "seen in a log",
    }


def test_event_bus_can_serialize_each_event() -> None:
    data = signals.ApiClientData(name="report", client_id="the-id", actor="ann", reason="")

    for kind in signals.SIGNALS:
        assert serialize_event_data_to_bytes({"api_client": data}, signals.EVENTS[kind])


@pytest.mark.django_db(transaction=True)
def test_failing_event_receiver_is_harmless(settings: Any, told: Told) -> None:
    settings.DEBUG = True  # openedx-events then raises the errors of receivers.

    def fails(**_payload: Any) -> None:
        raise RuntimeError("the plugin's own affair")

    with listening(signals.EVENTS["created"], fails):
        assert provisioned().status is Status.CREATED
    assert [name for name, _payload in told] == ["provisioned"]


def test_package_works_without_openedx_events() -> None:
    code = "import sys; sys.modules['openedx_events'] = None; from edx_api_provisioning import signals"
    ran = subprocess.run(
        [sys.executable, "-c", f"{code}; print(signals.EVENTS)"], capture_output=True, text=True, check=False
    )

    assert (ran.stdout, ran.stderr) == ("{}\n", "")
