"""Test that a secret appears only in the response that issues it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.views.debug import SafeExceptionReporterFilter

from tests.leak_detection import LeakDetector
from tests.lifecycle_helpers import provisioned, shown
from tests.rest_api.callers import Caller, good

pytestmark = pytest.mark.django_db


def test_secret_is_in_one_response_only(root: Caller, leak_detector: LeakDetector) -> None:
    def issue() -> list[HttpResponse]:
        return [
            root.post("/clients/", {"name": "report", "self_rotation": True}, Idempotency_Key="k-1"),
            root.post("/clients/report/token/", {}, Idempotency_Key="k-2"),
            root.post("/clients/report/secret/", {"token": True, "grace": "1d"}, Idempotency_Key="k-3"),
            root.post("/apply/", {"clients": [{"name": "many"}]}, Idempotency_Key="k-4"),
        ]

    issuing = issue()
    issuing.append(Caller(f"Bearer {good(issuing[2])['access_token']}").post("/self/rotate/"))
    issued: list[tuple[int, str]] = []
    for number, response in enumerate(issuing):
        assert response.status_code in (200, 201), response.content
        made = response.json()
        made = made["clients"][0]["credentials"] if "clients" in made else made
        issued += [(number, made[name]) for name in ("client_secret", "access_token") if made[name]]
    assert len(issued) == 8

    later = [
        *issue(),
        root.post("/apply/", {"clients": [{"name": "many"}]}),
        root.get("/clients/"),
        root.get("/clients/report/"),
        root.get("/clients/report/events/"),
        root.patch("/clients/report/", {"purpose": "x"}),
        *[Caller(f"Bearer {secret}").get("/whoami/") for _number, secret in issued],
        *[Caller(f"Bearer {secret}").post("/clients/", {"name": secret}) for _number, secret in issued],
    ]
    for number, secret in issued:
        for other, response in enumerate([*issuing, *later]):
            if other != number:
                assert secret not in response.content.decode() + repr(dict(response.headers)), (number, other)
    assert leak_detector.leaks(secrets=tuple(secret for _number, secret in issued)) == []


def test_misplaced_secret_is_not_repeated(root: Caller) -> None:
    secret = "a-secret-in-the-wrong-place-0123456789"

    for response in (
        root.post("/clients/", {"name": "report", "client_secret": secret, "expires_in": secret, "groups": secret}),
        root.post("/clients/", f'{{"name": "{secret}'),
        root.patch("/clients/nobody/", {"access_token": secret}),
        root.get(f"/clients/?expiring_within={secret}"),
        Caller(f"Bearer {secret}").get("/clients/"),
    ):
        assert response.status_code >= 400
        assert secret not in response.content.decode()


def test_error_report_hides_variables(root: Caller) -> None:
    made = provisioned()
    seen: list[str] = []

    def look(execute: Any, sql: str, *arguments: Any) -> Any:
        frame = sys._getframe()
        shown_variables = SafeExceptionReporterFilter()
        request = type("Request", (), {"META": {}})()
        while frame is not None:
            if "edx_api_provisioning" in frame.f_code.co_filename:
                seen.append(repr(shown_variables.get_traceback_frame_variables(request, frame)))
            frame = frame.f_back
        return execute(sql, *arguments)

    with connection.execute_wrapper(look):
        rotated = good(root.post("/clients/report/token/"))

    assert seen
    for secret in (rotated["access_token"], shown(made.access_token)):
        assert not any(secret in variables for variables in seen)
