"""Nobody asks more often than the site allows, and nobody uses up what others may."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest_api.callers import Caller, by_bearer, by_session, good, problem, somebody

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def two_a_minute(settings: Any, switched_on: None) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API_RATE": "2/min"}


def test_who_asks_too_often_is_told_when_to_ask_again() -> None:
    caller = by_session(somebody("view"))
    for _time in range(2):
        good(caller.get("/clients/"))

    response = caller.get("/clients/")

    problem(response, 429, "rate-limited")
    assert 0 < int(response["Retry-After"]) <= 60


def test_every_client_and_every_user_counts_for_itself() -> None:
    user = somebody("view")
    for caller in (by_session(user), by_bearer(user), by_bearer(user), by_bearer(somebody("view"))):
        for _time in range(2):
            good(caller.get("/clients/"))
        problem(caller.get("/whoami/"), 429)


def test_the_site_may_set_no_limit(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API_RATE": None}
    caller = by_session(somebody("view"))

    for _time in range(5):
        good(caller.get("/clients/"))


def test_what_is_refused_before_anything_is_done_is_refused_however_often() -> None:
    for _time in range(4):
        problem(Caller().get("/clients/"), 401)
