"""Test that bulk saves use one statement and send the same signals as single saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.db.models.signals import post_save, pre_save

from edx_api_provisioning.adapters.database import bulk_insert, bulk_update
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.factories import ApiClientFactory, statements
from tests.lifecycle_helpers import NOON, clock_at

pytestmark = [pytest.mark.django_db, pytest.mark.databases, pytest.mark.versions]


NAMES = ["one", "two", "three"]
SIGNALS = (pre_save, post_save)


@contextmanager
def listening(receiver: Callable[..., None]) -> Iterator[None]:
    for signal in SIGNALS:
        signal.connect(receiver, sender=Group)
    try:
        yield
    finally:
        for signal in SIGNALS:
            signal.disconnect(receiver, sender=Group)


def heard(save: Callable[[list[Group]], object], *, again: bool = False) -> list[dict[str, Any]]:
    """Return the signals sent when saving three groups (the second time with ``again``), and each row's state."""
    told: list[dict[str, Any]] = []

    def receiver(signal: Any, instance: Any, **about: Any) -> None:
        there = Group.objects.filter(name=instance.name).exists()
        told.append({"when": SIGNALS.index(signal), "name": instance.name, "there": there, **about})

    groups = [Group(name=name) for name in NAMES]
    if again:
        Group.objects.bulk_create([Group(name=name.upper()) for name in NAMES])
        for group in groups:
            group.pk = Group.objects.get(name=group.name.upper()).pk
    with listening(receiver):
        save(groups)
    assert [group.pk for group in groups] == [Group.objects.get(name=group.name).pk for group in groups]
    Group.objects.all().delete()
    return sorted(told, key=lambda each: (each["name"], each["when"]))


def test_bulk_insert_sends_same_signals() -> None:
    assert heard(lambda groups: bulk_insert(groups, key="name")) == heard(
        lambda groups: [group.save() for group in groups]
    )


def test_bulk_update_sends_same_signals() -> None:
    def together(groups: list[Group]) -> None:
        bulk_update(groups, but="id")

    assert heard(together, again=True) == heard(lambda groups: [group.save() for group in groups], again=True)


def test_bulk_update_uses_one_statement() -> None:
    with clock_at(NOON) as clock:
        clients = [ApiClientFactory(name=name) for name in NAMES]
        clock.forward(hours=1)
        for client in clients:
            client.purpose = f"for {client.name}"

        with statements() as sent:
            bulk_update(clients, but="created")

    assert len(sent) == 1
    assert {client.created for client in clients} == {NOON}
    saved = ApiClient.objects.in_bulk([client.pk for client in clients])
    for client in clients:
        values = vars(saved[client.pk])
        assert values == {**vars(client), "_state": values["_state"]}
        assert (values["purpose"], values["created"]) == (f"for {client.name}", NOON)
        assert values["updated"] == NOON + timedelta(hours=1)


def test_one_or_no_row_is_saved() -> None:
    client = ApiClientFactory(name="one", purpose="old")
    client.purpose = "new"

    with statements() as sent:
        bulk_insert([])
        bulk_update([], but="created")
        bulk_update([client], but="created")

    assert [statement.partition(" ")[0] for statement in sent] == ["UPDATE"]
    client.refresh_from_db()
    assert client.purpose == "new"


def test_receiver_changes_are_saved() -> None:
    def rename(signal: Any, instance: Any, **_about: Any) -> None:
        if signal is pre_save:
            instance.name = instance.name.upper()

    with listening(rename):
        bulk_insert([Group(name=name) for name in NAMES], key="name")

    assert {*Group.objects.values_list("name", flat=True)} == {"ONE", "TWO", "THREE"}


def test_bulk_insert_uses_one_statement() -> None:
    with statements() as sent:
        bulk_insert([Group(name=f"group {number}") for number in range(50)], key="name")

    told = connection.features.can_return_rows_from_bulk_insert
    assert len([statement for statement in sent if statement.startswith("INSERT")]) == 1
    assert len(sent) <= (1 if told else 2)


def test_missing_keys_are_read_back() -> None:
    groups = [Group(name=name) for name in NAMES]

    with mock.patch.object(type(connection.features), "can_return_rows_from_bulk_insert", new=False):
        bulk_insert(groups, key="name")

    assert [group.pk for group in groups] == [Group.objects.get(name=name).pk for name in NAMES]


def test_unneeded_keys_are_not_read_back() -> None:
    without = mock.patch.object(type(connection.features), "can_return_rows_from_bulk_insert", new=False)
    with without, statements() as sent:
        bulk_insert([Group(name=name) for name in NAMES])

    assert len(sent) == 1


def test_custom_save_method_is_called() -> None:
    with mock.patch.object(User, "save", autospec=True, side_effect=Model.save) as save:
        bulk_insert([User(username=name, email=f"{name}@example.org") for name in NAMES], key="username")

    assert save.call_count == len(NAMES)


def test_named_save_method_is_not_called() -> None:
    events = [ApiClientEvent(client_name=name, kind="created", actor="ann") for name in NAMES]

    with statements() as sent:
        bulk_insert(events, saved_by=ApiClientEvent.save)

    assert len(sent) == 1
    assert ApiClientEvent.objects.count() == len(NAMES)
