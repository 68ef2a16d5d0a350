"""Test the models: client rows outlive related rows, events are append-only, and migrations can be reversed."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from oauth2_provider.models import get_access_token_model

from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.factories import ApiClientFactory, provisioned

pytestmark = [pytest.mark.django_db, pytest.mark.databases, pytest.mark.versions]


def event(client: ApiClient) -> ApiClientEvent:
    return ApiClientEvent.objects.create(client=client, client_name=client.name, kind="created", actor="the test")


def test_rows_have_readable_names() -> None:
    client = ApiClientFactory(name="report")

    assert str(client) == "report"
    assert str(event(client)) == "report: created"


def test_names_applications_and_request_ids_are_unique() -> None:
    client = ApiClientFactory(name="report")
    request = {"client": client, "client_name": client.name, "kind": "created", "actor": "the test", "request_id": "r"}
    ApiClientEvent.objects.create(**request)

    for create in (
        lambda: ApiClientFactory(name="report"),
        lambda: ApiClientFactory(application=client.application),
        lambda: ApiClientEvent.objects.create(**request),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            create()


@pytest.mark.vendor("mysql")
@pytest.mark.parametrize("name", ["REPORT", "repórt"])
def test_mysql_name_ignores_case_and_accents(name: str) -> None:
    ApiClientFactory(name="report")

    with pytest.raises(IntegrityError), transaction.atomic():
        ApiClientFactory(name=name)
    assert ApiClient.objects.get(name=name).name == "report"


def test_clients_may_lack_applications() -> None:
    for _time in range(2):
        ApiClientFactory(user=None, application=None, access_token=None)

    assert ApiClient.objects.filter(application=None).count() == 2


def reloaded(client: ApiClient) -> ApiClient:
    return ApiClient.objects.select_related("user", "application", "access_token").get(pk=client.pk)


def test_client_outlives_its_rows() -> None:
    client, other = ApiClientFactory(), ApiClientFactory()
    token = client.access_token_id
    tokens = get_access_token_model()

    tokens.objects.filter(pk=token).delete()
    tokens._base_manager.filter(pk=other.access_token_id)._raw_delete("default")
    assert [reloaded(each).access_token for each in (client, other)] == [None, None]
    assert reloaded(client).access_token_id == token

    client.application.delete()
    assert (reloaded(client).application, reloaded(client).user) == (None, client.user)
    other.user.delete()
    assert (reloaded(other).user, reloaded(other).application) == (None, None)


def test_event_outlives_client() -> None:
    client = ApiClientFactory(name="report")
    kept = event(client)

    client.delete()

    kept.refresh_from_db()
    assert (kept.client, kept.client_name) == (None, "report")


def test_event_is_append_only() -> None:
    kept = event(ApiClientFactory())
    kept.actor = "somebody else"

    for change in (
        kept.save,
        kept.delete,
        lambda: ApiClientEvent.objects.update(actor="somebody else"),
        ApiClientEvent.objects.filter(pk=kept.pk).delete,
    ):
        with pytest.raises(TypeError, match="only ever added"):
            change()
    assert ApiClientEvent.objects.get().actor == "the test"


@pytest.mark.django_db(transaction=True)
def test_migrations_are_reversible() -> None:
    app = "edx_api_provisioning"
    result = provisioned("report")
    names = sorted(name for label, name in MigrationLoader(connection).disk_migrations if label == app)
    before = tables(app)
    assert before
    try:
        for name in reversed(["zero", *names[:-1]]):
            call_command("migrate", app, name, verbosity=0)
        assert tables(app) == set()
    finally:
        call_command("migrate", app, verbosity=0)

    assert tables(app) == before
    # The LMS's rows remain: user and application exist, and the client can be adopted again.
    call_command("adopt_api_client", "report", client_id=result["client_id"])
    again = provisioned("report")
    assert (again["status"], again["expires_at"]) == ("unchanged", result["expires_at"])


def tables(app: str) -> set[str]:
    return {name for name in connection.introspection.table_names() if name.startswith(app)}
