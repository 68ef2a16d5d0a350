"""Test the models: client rows outlive related rows, and events are append-only."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from oauth2_provider.models import get_access_token_model

from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.factories import ApiClientFactory

pytestmark = [pytest.mark.django_db, pytest.mark.versions]


def event(client: ApiClient) -> ApiClientEvent:
    return ApiClientEvent.objects.create(client=client, client_name=client.name, kind="created", actor="the test")


def test_rows_have_readable_names() -> None:
    client = ApiClientFactory(name="report")

    assert str(client) == "report"
    assert str(event(client)) == "report: created"


@pytest.mark.databases
def test_name_is_unique() -> None:
    ApiClientFactory(name="report")

    with pytest.raises(IntegrityError), transaction.atomic():
        ApiClientFactory(name="report")


@pytest.mark.vendor("mysql")
@pytest.mark.parametrize("name", ["REPORT", "repórt"])
def test_mysql_name_ignores_case_and_accents(name: str) -> None:
    ApiClientFactory(name="report")

    with pytest.raises(IntegrityError), transaction.atomic():
        ApiClientFactory(name=name)
    assert ApiClient.objects.get(name=name).name == "report"


@pytest.mark.databases
def test_application_has_one_client() -> None:
    client = ApiClientFactory()

    with pytest.raises(IntegrityError), transaction.atomic():
        ApiClientFactory(application=client.application)


@pytest.mark.databases
def test_clients_may_lack_applications() -> None:
    for _time in range(2):
        ApiClientFactory(user=None, application=None, access_token=None)

    assert ApiClient.objects.filter(application=None).count() == 2


def reloaded(client: ApiClient) -> ApiClient:
    return ApiClient.objects.select_related("user", "application", "access_token").get(pk=client.pk)


@pytest.mark.databases
def test_raw_token_delete_is_allowed() -> None:
    client = ApiClientFactory()

    get_access_token_model()._base_manager.filter(pk=client.access_token_id)._raw_delete("default")

    assert reloaded(client).access_token is None


def test_client_outlives_application() -> None:
    client = ApiClientFactory()

    client.application.delete()

    assert reloaded(client).application is None
    assert reloaded(client).user == client.user


@pytest.mark.databases
def test_client_outlives_user() -> None:
    client = ApiClientFactory()

    client.user.delete()

    assert (reloaded(client).user, reloaded(client).application, reloaded(client).access_token) == (None, None, None)


@pytest.mark.databases
def test_event_outlives_client() -> None:
    client = ApiClientFactory(name="report")
    kept = event(client)

    client.delete()

    kept.refresh_from_db()
    assert (kept.client, kept.client_name) == (None, "report")


def test_event_is_append_only() -> None:
    kept = event(ApiClientFactory())
    kept.actor = "somebody else"

    with pytest.raises(TypeError, match="only ever added"):
        kept.save()
    with pytest.raises(TypeError, match="only ever added"):
        kept.delete()
    with pytest.raises(TypeError, match="only ever added"):
        ApiClientEvent.objects.update(actor="somebody else")
    with pytest.raises(TypeError, match="only ever added"):
        ApiClientEvent.objects.filter(pk=kept.pk).delete()
    assert ApiClientEvent.objects.get().actor == "the test"


@pytest.mark.databases
def test_request_id_is_unique() -> None:
    client = ApiClientFactory()
    same = {"client": client, "client_name": client.name, "kind": "created", "actor": "the test", "request_id": "r-1"}
    ApiClientEvent.objects.create(**same)

    with pytest.raises(IntegrityError), transaction.atomic():
        ApiClientEvent.objects.create(**same)
