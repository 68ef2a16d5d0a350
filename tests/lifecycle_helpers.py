"""Helpers for lifecycle tests: a settable clock, and the site's answers to credentials."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from unittest import mock

from django.contrib.auth import get_user_model
from django.test import Client, RequestFactory
from oauth2_provider.models import get_access_token_model, get_application_model
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

import edx_api_provisioning.management.base  # noqa: F401 - the clock stands only in modules that are loaded
from edx_api_provisioning import api
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.core.secrets import Secret, basic_authorization
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from openedx.core.lib.api.authentication import BearerAuthentication
from tests.factories import OPERATOR


class Clock:
    """The time seen by this project, Django, django-oauth-toolkit and the sandbox."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def read(self) -> datetime:
        return self.now

    def to(self, instant: datetime) -> None:
        self.now = instant

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


class _AsDatetime(type):
    """Metaclass that makes every datetime an instance."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


@contextmanager
def clock_at(instant: datetime) -> Iterator[Clock]:
    clock = Clock(instant)

    class FakeDatetime(datetime, metaclass=_AsDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return clock.now.astimezone(tz)

    ours = [
        module
        for name, module in sys.modules.items()
        if name.startswith("edx_api_provisioning.") and getattr(module, "datetime", None) is datetime
    ]
    patches = [mock.patch.object(module, "datetime", FakeDatetime) for module in ours]
    patches.append(mock.patch("django.utils.timezone.now", clock.read))
    for patch in patches:
        patch.start()
    try:
        yield clock
    finally:
        for patch in patches:
            patch.stop()


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


NOON = utc(2027, 5, 3, 12)


def provisioned(name: str = "report", **wanted: Any) -> Credentials:
    return api.provision(ClientSpec(name=name, **wanted), authority=OPERATOR)


def issued_long_ago() -> None:
    """Let every token be past half its lifetime, so that it is due for rotation."""
    ApiClient.objects.update(token_issued=datetime.now(UTC) - timedelta(days=1000))


def shown(secret: Secret | None) -> str:
    """Return the value of a secret that must exist."""
    assert secret is not None
    return secret.reveal()


def answer(token: Secret | str | None) -> str:
    """Return ``ok``, or the error code of the LMS's Bearer authentication for a token."""
    value = token if isinstance(token, str) else shown(token)
    request = Request(RequestFactory().get("/", headers={"Authorization": f"Bearer {value}"}))
    try:
        BearerAuthentication().authenticate(request)
    except AuthenticationFailed as refusal:
        return str(refusal.detail["error_code"])
    return "ok"


def granted(client_id: str, client_secret: Secret | None, **more: str) -> str | None:
    """Return the token that the token endpoint grants for id and secret, or None if it refuses."""
    assert client_secret is not None
    basic = {"Authorization": basic_authorization(client_id, client_secret)}
    form = {"grant_type": "client_credentials", **more}
    response = Client().post("/oauth2/access_token", form, headers=basic)
    assert response.status_code in (200, 401, 403), response.content
    return str(response.json()["access_token"]) if response.status_code == 200 else None


def client(name: str = "report") -> ApiClient:
    return ApiClient.objects.get(name=name)


def last_event() -> ApiClientEvent:
    event = ApiClientEvent.objects.first()
    assert event is not None
    return event


def all_rows() -> dict[str, list[dict[str, Any]]]:
    """Return the rows that a change may touch, without the events of refusals and the time of the last use."""
    models = (get_user_model(), get_application_model(), get_access_token_model(), ApiClient, ApiClientEvent)
    found = {model.__name__: [*model._base_manager.order_by("pk").values()] for model in models}
    for row in found[ApiClient.__name__]:
        del row["last_used"], row["bearer_used"]
    events = [event for event in found[ApiClientEvent.__name__] if event["kind"] != "refused"]
    return {**found, ApiClientEvent.__name__: events}
