"""Test the registry: locked look-up, ended predecessors, and the event history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning.core.exceptions import ClientNotFound, InvalidSpec, NearMatch
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.services import registry, site
from edx_api_provisioning.services.site import current_site
from tests.factories import OPERATOR, AccessTokenFactory, ApiClientFactory, ApplicationFactory, statements
from tests.lifecycle_helpers import NOON, Clock

pytestmark = [pytest.mark.django_db, pytest.mark.databases, pytest.mark.versions]


# Finding


def test_get_loads_related_rows() -> None:
    wanted = ApiClientFactory(name="report", predecessor=ApplicationFactory())
    ApiClientFactory(name="other")

    client = registry.get("report", lock_it=True)

    with statements() as sent:
        assert client == wanted
        assert (client.user, client.application) == (wanted.user, wanted.application)
        assert client.access_token == wanted.access_token
        assert client.predecessor == wanted.predecessor
    assert sent == []


@pytest.mark.parametrize("name", ["report", "", "b\udced", "a\0"])
def test_unknown_name_is_not_found(name: str) -> None:
    for lock_it in (True, False):
        assert registry.find(name, lock_it=lock_it) is None
        with pytest.raises(ClientNotFound) as refused:
            registry.get(name, lock_it=lock_it)
        assert str(refused.value) == "name: no API client has this name; see list_api_clients."


@pytest.mark.vendor("mysql")
@pytest.mark.parametrize("spelling", ["Report", "REPORT", "répört", "report "])
def test_near_match_name_is_rejected(spelling: str) -> None:
    ApiClientFactory(name="report")

    assert registry.find(spelling, lock_it=False) is not None
    with pytest.raises(NearMatch, match="the existing report"):
        registry.get(spelling, lock_it=False)


def test_only_get_locks_before_reading() -> None:
    ApiClientFactory(name="report")

    with statements() as sent:
        registry.get("report", lock_it=True)

    # SQLite is locked as a whole when the transaction begins (tests/adapters/test_database.py).
    if connection.features.has_select_for_update:
        lock = sent.pop(0).upper()
        assert lock.endswith("FOR UPDATE")
        assert "JOIN" not in lock  # Only the client's row: other runs hold the related rows.
    assert ["JOIN" in statement.upper() for statement in sent] == [True]

    with statements() as sent:
        registry.find("report", lock_it=False)
    assert ["FOR UPDATE" in statement for statement in sent] == [False]


@pytest.mark.vendor("mysql", "postgresql")
def test_only_skip_locked_skips_rows() -> None:
    client = ApiClientFactory(name="report")
    clients = ApiClient.objects.filter(pk=client.pk)

    with statements() as sent:
        assert registry.lock(clients, skip_locked=True) == client
        assert registry.lock(clients) == client
    assert ["SKIP LOCKED" in sql for sql in sent if "FOR UPDATE" in sql] == [True, False]


# The predecessor


def succeeded() -> ApiClient:
    client = ApiClientFactory(name="report", predecessor=ApplicationFactory(), predecessor_ends=NOON)
    AccessTokenFactory(application=client.predecessor)
    return client


@pytest.mark.parametrize("now", [NOON, None])
def test_ended_predecessor_is_deleted(now: Any) -> None:
    client = succeeded()
    old = client.predecessor

    assert registry.end_predecessor(client, now, authority=OPERATOR) is True
    client.save()

    assert not get_application_model().objects.filter(pk=old.pk).exists()
    assert [*get_access_token_model().objects.all()] == [client.access_token]
    client.refresh_from_db()
    assert (client.predecessor, client.predecessor_ends) == (None, None)
    event = ApiClientEvent.objects.get()
    assert (event.client, event.kind, event.actor) == (client, "predecessor_ended", "the test")
    assert event.details == {"client_id": old.client_id}


def test_predecessor_stays_during_grace() -> None:
    client = succeeded()

    assert registry.end_predecessor(client, NOON - timedelta(microseconds=1), authority=OPERATOR) is False

    assert client.predecessor is not None
    assert not ApiClientEvent.objects.exists()


def test_deleted_predecessor_is_cleared() -> None:
    succeeded().predecessor.delete()
    client = registry.get("report", lock_it=True)

    assert registry.end_predecessor(client, NOON, authority=OPERATOR) is True

    assert client.predecessor_ends is None
    assert ApiClientEvent.objects.get().details == {"client_id": None}


# The history


def record(client: ApiClient, kind: str = "created", *, request_id: str | None = None, **event: Any) -> None:
    events = [(client, kind, event.pop("details", {}))]
    registry.record(events, authority=OPERATOR, request_ids={client.name: request_id}, **event)


@pytest.mark.parametrize("reason", ["two\nlines", "a\x00", "r" * 256])
def test_reason_must_be_one_line(reason: str) -> None:
    with pytest.raises(InvalidSpec):
        record(ApiClientFactory(), reason=reason)
    assert not ApiClientEvent.objects.exists()


def test_events_may_lack_request_id() -> None:
    client = ApiClientFactory()
    record(client)
    record(client)

    assert ApiClientEvent.objects.filter(request_id=None).count() == 2


def test_was_deleted_looks_at_last_event() -> None:
    client = ApiClientFactory(name="report")
    assert registry.was_deleted("report") is False
    record(client, "deleted")
    record(ApiClientFactory(name="other"))
    assert registry.was_deleted("report") is True
    record(client)
    assert registry.was_deleted("report") is False


# The site


def test_site_reads_settings(settings: Any, clock: Clock) -> None:
    settings.LMS_ROOT_URL = "https://lms.example.org"
    settings.EDX_API_PROVISIONING = {
        "TOKEN_LIFETIME": "90d",
        "MAX_TOKEN_LIFETIME": timedelta(days=180),
        "ALLOW_STAFF": False,
        "ALLOW_SUPERUSER": False,
        "REQUIRE_CONTACT": True,
    }

    site = current_site()

    assert (site.now, site.host) == (NOON, "lms.example.org")
    assert (site.lifetime, site.max_lifetime) == (timedelta(days=90), timedelta(days=180))
    assert (site.staff_allowed, site.superuser_allowed, site.contact_required) == (False, False, True)
    assert site.has_access is True
    assert site.default_scopes == ("read", "write", "email", "profile")


def test_default_site_allows_everything(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {}

    site = current_site()

    assert (site.lifetime, site.max_lifetime) == (timedelta(days=365), timedelta(days=730))
    assert (site.staff_allowed, site.superuser_allowed, site.contact_required) == (True, True, False)
    assert {*site.available_scopes} == {*settings.OAUTH2_PROVIDER["SCOPES"]}


def test_available_scopes_are_allowed_scopes(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {"ALLOWED_SCOPES": ("read", "grades:read", "unknown")}

    assert {*site.current_site().available_scopes} == {"read", "grades:read"}
