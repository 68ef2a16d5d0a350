"""Test when a client counts as used, and what it costs to know."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.exceptions import MiddlewareNotUsed
from django.db import DatabaseError
from django.test import Client

from edx_api_provisioning import api
from edx_api_provisioning.middleware import LastUseMiddleware
from edx_api_provisioning.models import ApiClient
from tests.factories import OPERATOR, AccessTokenFactory, statements
from tests.lifecycle_helpers import NOON, Clock, granted, provisioned, shown

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


ME = "/api/user/v1/me"


def call(token: Any, scheme: str = "Bearer") -> int:
    return int(Client().get(ME, headers={"Authorization": f"{scheme} {token}"}).status_code)


def last_used(name: str = "report") -> datetime | None:
    return api.get_client(name).last_used


def updates(sent: list[str]) -> list[str]:
    return [sql for sql in sent if "last_used" in sql]


def test_bearer_use_costs_one_statement_an_hour(clock: Clock) -> None:
    token = shown(provisioned().access_token)
    clock.forward(days=1)

    with statements() as sent:
        assert [call(token) for _ in range(3)] == [200, 200, 200]
    assert len(updates(sent)) == 1
    assert last_used() == NOON + timedelta(days=1)

    cache.clear()  # The entry lives for an hour of the real clock.
    clock.forward(hours=1)
    with statements() as sent:
        call(token)
    assert len(updates(sent)) == 1
    assert last_used() == api.get_client("report").bearer_used == NOON + timedelta(days=1, hours=1)


@pytest.mark.parametrize("scheme", ["none", "wrong", "JWT", "session"])
def test_other_requests_cost_nothing(clock: Clock, scheme: str, django_user_model: Any) -> None:
    made = provisioned()
    browser = Client()
    headers = {"wrong": "Bearer wrong", "JWT": f"JWT {jwt(made)}"}
    if scheme == "session":
        browser.force_login(django_user_model.objects.get())

    with statements() as sent:
        browser.get(ME, headers={"Authorization": headers[scheme]} if scheme in headers else {})

    assert updates(sent) == []


def jwt(made: Any) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": made.client_id,
        "client_secret": shown(made.client_secret),
        "token_type": "jwt",
    }
    return str(Client().post("/oauth2/access_token", form).json()["access_token"])


@pytest.mark.parametrize("grant", [lambda made: granted(made.client_id, made.client_secret), jwt])
def test_granted_token_counts_as_use(clock: Clock, grant: Any) -> None:
    made = provisioned()
    clock.forward(days=2)
    grant(made)

    assert last_used() == NOON + timedelta(days=2)


@pytest.mark.parametrize(
    "change",
    [
        lambda: api.rotate("report", authority=OPERATOR),
        lambda: api.rotate("report", secret=True, grace=timedelta(days=1), authority=OPERATOR),
        lambda: api.revoke("report", authority=OPERATOR),
    ],
)
def test_last_use_outlives_the_tokens(clock: Clock, change: Any) -> None:
    made = provisioned()
    clock.forward(days=2)
    granted(made.client_id, made.client_secret)
    clock.forward(days=1)

    change()

    assert last_used() == NOON + timedelta(days=2)
    assert api.get_client("report").bearer_used is None


def test_old_application_counts_in_its_grace_period(clock: Clock) -> None:
    token = shown(provisioned().access_token)
    api.rotate("report", secret=True, grace=timedelta(days=2), authority=OPERATOR)
    clock.forward(days=1)

    call(token)

    assert last_used() == clock.now


def test_failure_does_not_end_the_request(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    token = shown(provisioned().access_token)

    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise DatabaseError

    monkeypatch.setattr(ApiClient.objects, "filter", fail)

    assert call(token) == 200


@pytest.mark.parametrize("value", [False, "never"])
def test_recording_can_be_turned_off(settings: Any, value: Any) -> None:
    settings.EDX_API_PROVISIONING = {"RECORD_LAST_USE": value}

    with pytest.raises(MiddlewareNotUsed):
        LastUseMiddleware(lambda request: None)  # type: ignore[arg-type,return-value]


def test_unused_clients_are_found(clock: Clock) -> None:
    tokens = {name: shown(provisioned(name).access_token) for name in ("idle", "bearer", "retired")}
    by_secret = provisioned("secret", token=False)
    api.revoke("retired", retire=True, authority=OPERATOR)
    clock.forward(days=60)
    provisioned("new")
    call(tokens["bearer"])
    granted(by_secret.client_id, by_secret.client_secret)
    # As left by a rotation with a grace period: this package issued it.
    AccessTokenFactory(application=ApiClient.objects.get(name="idle").application, expires=NOON + timedelta(days=365))
    clock.forward(days=30)

    def unused(**span: float) -> list[list[str]]:
        found = (
            api.list_clients(unused_for=timedelta(**span)),
            api.unused(ApiClient.objects.order_by("name"), timedelta(**span)),
        )
        return [[client.name for client in clients] for clients in found]

    assert unused(days=90) == [[]] * 2
    assert unused(days=90, seconds=-1) == [["idle"]] * 2
    assert unused(days=30, seconds=-1) == [["bearer", "idle", "new", "secret"]] * 2
