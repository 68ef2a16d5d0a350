"""Test throttling: callers are limited separately."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest_api.callers import Caller, by_bearer, by_session, good, make_user, problem

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def two_a_minute(settings: Any, switched_on: None) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API_RATE": "2/min"}


def test_throttled_caller_gets_retry_after() -> None:
    caller = by_session(make_user("view"))
    for _time in range(2):
        good(caller.get("/clients/"))

    response = caller.get("/clients/")

    problem(response, 429, "rate-limited")
    assert 0 < int(response["Retry-After"]) <= 60


def test_throttle_is_per_client_and_user() -> None:
    user = make_user("view")
    for caller in (by_session(user), by_bearer(user), by_bearer(user), by_bearer(make_user("view"))):
        for _time in range(2):
            good(caller.get("/clients/"))
        problem(caller.get("/whoami/"), 429)


def test_rate_limit_can_be_disabled(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API_RATE": None}
    caller = by_session(make_user("view"))

    for _time in range(5):
        good(caller.get("/clients/"))


def test_anonymous_requests_are_not_throttled() -> None:
    for _time in range(4):
        problem(Caller().get("/clients/"), 401)
