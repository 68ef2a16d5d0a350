"""Many clients in one request: planned, and applied."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import DatabaseFailure
from edx_api_provisioning.models import ApiClient
from tests.factories import row_counts
from tests.lifecycle_helpers import answer, client, everything, last_event, provisioned
from tests.rest_api.callers import Caller, good, problem

pytestmark = pytest.mark.django_db

TWO: dict[str, Any] = {
    "manifest": "team",
    "defaults": {"contact": "ann@example.org", "expires_in": "30d"},
    "clients": [{"name": "report"}, {"name": "grades", "staff": True, "contact": "bob@example.org"}],
}


def by_name(response: Any) -> dict[str, Any]:
    return {each["name"]: each for each in good(response)["clients"]}


@pytest.mark.databases
@pytest.mark.versions
def test_a_plan_says_what_would_be_done_and_does_nothing(root: Caller) -> None:
    before = everything()

    planned = by_name(root.post("/plan/", TWO))

    assert everything() == before
    assert {each["status"] for each in planned.values()} == {"created"}
    assert planned["report"]["steps"][0] == "Would register the API client report."
    assert "staff client" in planned["grades"]["warnings"][0]


@pytest.mark.databases
@pytest.mark.versions
def test_what_is_applied_is_shown_once_and_again_is_unchanged(root: Caller) -> None:
    made = by_name(root.post("/apply/", {**TWO, "reason": "the new term"}))

    for each in made.values():
        assert (each["credentials"]["status"], each["credentials"]["verified"], each["error"]) == (
            "created",
            True,
            None,
        )
        assert answer(each["credentials"]["access_token"]) == "ok"
    assert (client().manifest, client().contact, client("grades").contact) == (
        "team", "ann@example.org", "bob@example.org",
    )  # fmt: skip
    assert last_event().reason == "the new term"

    again = root.post("/apply/", TWO)
    assert {each["credentials"]["status"] for each in by_name(again).values()} == {"unchanged"}
    assert {each["credentials"]["client_secret"] for each in by_name(again).values()} == {None}
    assert {each["status"] for each in by_name(root.post("/plan/", TWO)).values()} == {"unchanged"}


def test_one_that_is_refused_does_not_keep_the_others_from_being_made(root: Caller, helper: Caller) -> None:
    for path in ("/plan/", "/apply/"):
        done = by_name(helper.post(path, TWO))

        assert done["grades"]["error"]["type"].endswith("/beyond-own-rights")
        assert done["report"]["error"] is None
    assert [*ApiClient.objects.values_list("name", flat=True)] == ["report"]


def test_under_the_same_key_nothing_more_is_issued_whatever_happened_since(root: Caller) -> None:
    by_name(root.post("/apply/", TWO, Idempotency_Key="k"))
    good(root.post("/clients/report/revoke/"))
    before = row_counts()

    again = by_name(root.post("/apply/", TWO, Idempotency_Key="k"))

    assert again["report"]["credentials"]["access_token"] is None
    assert row_counts() == before


def test_the_same_key_with_another_manifest_is_refused_client_by_client(root: Caller) -> None:
    by_name(root.post("/apply/", TWO, Idempotency_Key="k"))

    again = by_name(root.post("/apply/", {"clients": [{"name": "report"}, {"name": "third"}]}, Idempotency_Key="k"))

    assert again["report"]["error"]["type"].endswith("/idempotency-key-reused")
    assert again["third"]["credentials"]["status"] == "created"


def test_all_that_is_wrong_is_said_with_its_place(root: Caller) -> None:
    sent = {
        "defaults": {"staff": "yes"},
        "clients": [
            {"name": "a b", "staff": True},
            {"name": "report"},
            {"name": "two", "staff": None},
            {"name": "two"},
        ],
    }

    for path in ("/plan/", "/apply/"):
        said = problem(root.post(path, sent), 400, "validation")
        assert set(said["errors"]) == {"clients[0].name", "clients[1].staff", "clients[3].staff"}
    said = problem(root.post("/plan/", {"clients": [{"name": "two"}, {"name": "two"}]}), 400, "validation")
    assert set(said["errors"]) == {"clients[1].name"}
    assert not ApiClient.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "clients"),
        ({"clients": "report"}, "clients"),
        ({"clients": ["report"]}, "clients"),
        ({"clients": [], "defaults": ["x"]}, "clients"),
        ({"clients": [], "owner": "ann"}, "owner"),
        ({"clients": [], "manifest": 5}, "manifest"),
        ({"clients": [{"name": f"client-{number}"} for number in range(101)]}, "clients"),
        ({"clients": [{"name": "report", "client_secret_from": "env:SECRET_KEY"}]}, "clients[0].client_secret_from"),
        ({"clients": [{"name": "report"}], "manifest": "a b"}, "manifest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_manifest_is_refused(root: Caller, body: Any, field: str) -> None:
    assert set(problem(root.post("/apply/", body), 400, "validation")["errors"]) == {field}


@pytest.mark.databases
@pytest.mark.versions
def test_where_the_database_fails_nothing_is_kept(root: Caller) -> None:
    provision = api.provision

    def fail_at_the_second(spec: Any, **request: Any) -> Any:
        if spec.name == "grades":
            raise DatabaseFailure("gone")
        return provision(spec, **request)

    provisioned("other")
    before = row_counts()
    with mock.patch.object(api, "provision", fail_at_the_second):
        problem(root.post("/apply/", TWO), 503, "database-failure")

    assert row_counts() == before
