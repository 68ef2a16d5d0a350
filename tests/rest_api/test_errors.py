"""Test that every error has one form, contains no secret and rolls back."""

from __future__ import annotations

import inspect
import re
import zlib
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.http import Http404
from django.test import Client

from edx_api_provisioning.core import exceptions
from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.rest_api.v1 import errors
from tests.factories import row_counts
from tests.lifecycle_helpers import provisioned
from tests.rest_api.callers import ROOT, Caller, good, problem

pytestmark = pytest.mark.django_db

# Handled elsewhere, or never raised here.
_ELSEWHERE = {"ProvisioningError", "AlreadyDone", "OutputFailure"}


def test_each_error_has_status_and_code() -> None:
    ours = [each for _name, each in inspect.getmembers(exceptions, inspect.isclass)]
    said = {}
    for kind in ours:
        if issubclass(kind, ProvisioningError) and kind.__name__ not in _ELSEWHERE:
            response = errors.respond(kind("why"), {})
            assert response is not None
            said[kind] = response.data["type"]
    assert not any(kind.endswith("refused") for kind in said.values())
    assert len(set(said.values())) == len(said)


@pytest.mark.parametrize(
    ("error", "at"),
    [
        (OperationalError, "FROM .?edx_api_provisioning"),
        (IntegrityError, "INSERT INTO .?oauth2_provider"),
        (DatabaseError, "FROM .?auth_user"),
    ],
)
def test_database_error_hides_its_text(error: type[Exception], at: str, root: Caller) -> None:
    provisioned("other")
    before = row_counts()

    def fail(execute: Any, sql: str, *arguments: Any) -> Any:
        if re.search(at, sql):
            raise error(1205, "the words of the database: edxapi_secret")
        return execute(sql, *arguments)

    for send in (
        lambda: root.post("/clients/", {"name": "report"}),
        lambda: root.post("/clients/other/token/"),
        lambda: root.get("/clients/"),
        lambda: root.get("/clients/other/"),
    ):
        with connection.execute_wrapper(fail):
            response = send()
        if response.status_code in (200, 201):
            continue  # Read-only.
        said = problem(response, 503, "database-failure")
        assert "words of the database" not in str(said)
    with transaction.atomic():
        assert row_counts()["ApiClient"] == before["ApiClient"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic_requests", [True, False])
def test_unrenderable_credentials_roll_back(atomic_requests: bool, root: Caller) -> None:
    before = row_counts()
    root.http.raise_request_exception = False

    with (
        mock.patch.dict(connection.settings_dict, {"ATOMIC_REQUESTS": atomic_requests}),
        mock.patch("edx_api_provisioning.formats.rendering.as_dict", side_effect=RuntimeError("a mistake of ours")),
    ):
        response = root.post("/clients/", {"name": "report"})

    assert response.status_code == 500
    assert row_counts() == before


def test_responses_are_never_html(root: Caller) -> None:
    for response in (
        root.get("/clients/nobody/"),
        root.http.get(f"{ROOT}/clients/?format=api"),
        Client().get(f"{ROOT}/clients/"),
    ):
        assert "html" not in response["Content-Type"]


def test_name_in_other_case_is_not_mixed_up(root: Caller) -> None:
    provisioned("report")

    response = root.get("/clients/Report/")

    if connection.vendor == "mysql":
        problem(response, 409, "near-match")
        problem(root.post("/clients/Report/token/"), 409, "near-match")
        problem(root.post("/clients/", {"name": "Report"}), 409)
    else:
        problem(response, 404, "client-not-found")
        problem(root.post("/clients/Report/token/"), 404)
        good(root.post("/clients/", {"name": "Report", "email": "r@example.org"}), 201)


@pytest.mark.parametrize(
    ("error", "status", "code"), [(Http404("secret"), 404, "not-found"), (PermissionDenied("secret"), 403, "authz")]
)
def test_django_errors_are_converted(error: Exception, status: int, code: str) -> None:
    response = errors._of_drf(error)

    assert (response.status_code, response.data["type"].rpartition("/")[2]) == (status, code)
    assert "secret" not in str(response.data)


@pytest.mark.parametrize("charset", ["zlib", "bz2", "rot13", "utf-16", "nonsense"])
def test_json_is_utf_8_whatever_is_said_of_it(charset: str, root: Caller) -> None:
    """No body is unpacked, and none ends in an error of the server."""
    body = zlib.compress(b'{"name": "report"}')
    csrf = {"X-CSRFToken": "c" * 32}
    kind = f"application/json; charset={charset}"

    assert root.http.generic("POST", f"{ROOT}/clients/", body, content_type=kind, headers=csrf).status_code == 400
    plain = b'{"name": "report"}'
    assert root.http.generic("POST", f"{ROOT}/clients/", plain, content_type=kind, headers=csrf).status_code == 201


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("expiring_within=soon", "expiring_within"), ("unused_for=90", "unused_for"), ("username=a%00b", "username"),
        ("state=Retired", "state"),
    ],
)  # fmt: skip
def test_wrong_filter_is_named(query: str, field: str, root: Caller) -> None:
    assert [*problem(root.get(f"/clients/?{query}"), 400)["errors"]] == [field]
