"""Test planning and applying many clients in one request."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from edx_api_provisioning import api
from edx_api_provisioning.adapters import oauth
from edx_api_provisioning.core.exceptions import DatabaseFailure
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import provisioning
from tests.factories import row_counts
from tests.lifecycle_helpers import all_rows, answer, client, last_event, provisioned
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
def test_manifest_is_planned_and_applied_once(root: Caller) -> None:
    before = all_rows()
    planned = by_name(root.post("/plan/", TWO))
    assert all_rows() == before
    assert {each["status"] for each in planned.values()} == {"created"}
    assert planned["report"]["steps"][0] == "Would register the API client report."
    assert "staff client" in planned["grades"]["warnings"][0]

    made = by_name(root.post("/apply/", {**TWO, "reason": "the new term"}))

    for each in made.values():
        credentials = each["credentials"]
        assert (credentials["status"], credentials["verified"], each["error"]) == ("created", True, None)
        assert answer(credentials["access_token"]) == "ok"
    assert "staff client" in made["grades"]["credentials"]["warnings"][0]
    assert (client().manifest, client().contact, client("grades").contact) == (
        "team", "ann@example.org", "bob@example.org",
    )  # fmt: skip
    assert last_event().reason == "the new term"

    again = root.post("/apply/", TWO)
    assert {each["credentials"]["status"] for each in by_name(again).values()} == {"unchanged"}
    assert {each["credentials"]["client_secret"] for each in by_name(again).values()} == {None}
    assert {each["status"] for each in by_name(root.post("/plan/", TWO)).values()} == {"unchanged"}


@pytest.mark.parametrize("change", ["created", "changed", "deleted"])
def test_apply_requires_planned_state(change: str, root: Caller) -> None:
    manifest = {"manifest": "team", "clients": [{"name": "report"}, {"name": "grades"}]}
    if change != "created":
        provisioned("grades")
    planned = root.post("/plan/", manifest)["ETag"]
    if change == "deleted":
        ApiClient.objects.all().delete()
    else:
        provisioned("grades", purpose="another")
    before = all_rows()

    problem(root.post("/apply/", manifest, If_Match=planned), 412)
    if change != "deleted":
        problem(root.post("/apply/", manifest, If_Match=None), 428)
    assert all_rows() == before
    by_name(root.post("/apply/", manifest, If_Match=root.post("/plan/", manifest)["ETag"]))
    assert client("report").manifest == "team"


def test_apply_of_new_clients_needs_no_etag(root: Caller) -> None:
    planned = root.post("/plan/", TWO)["ETag"]
    made = by_name(root.post("/apply/", TWO, Idempotency_Key="k", If_Match=None))

    again = by_name(root.post("/apply/", TWO, Idempotency_Key="k", If_Match=planned))

    assert made["report"]["credentials"]["client_secret"]
    assert again["report"]["credentials"]["status"] == "unchanged"


def test_refused_client_does_not_stop_others(root: Caller, helper: Caller) -> None:
    for path in ("/plan/", "/apply/"):
        done = by_name(helper.post(path, TWO))

        assert done["grades"]["error"]["type"].endswith("/beyond-own-rights")
        assert done["report"]["error"] is None
    assert [*ApiClient.objects.values_list("name", flat=True)] == ["report"]


def test_replay_changes_nobody_whose_state_is_another(root: Caller) -> None:
    provisioned("grades", purpose="first")
    manifest = {"clients": [{"name": "report"}, {"name": "grades", "purpose": "mine", "email": "other@example.org"}]}
    planned = root.post("/plan/", manifest)["ETag"]
    first = by_name(root.post("/apply/", manifest, Idempotency_Key="k", If_Match=planned))
    assert (first["report"]["error"], first["grades"]["credentials"]) == (None, None)
    # What it was refused for is mended, and somebody else has changed it.
    User.objects.filter(username="grades").update(email="other@example.org")
    provisioned("grades", purpose="theirs")

    again = by_name(root.post("/apply/", manifest, Idempotency_Key="k", If_Match=planned))

    assert "has changed since you read it" in again["grades"]["error"]["detail"]
    assert client("grades").purpose == "theirs"


def test_replay_issues_nothing_and_other_clients_are_refused(root: Caller) -> None:
    by_name(root.post("/apply/", TWO, Idempotency_Key="k"))
    good(root.post("/clients/report/revoke/"))
    before = row_counts()

    again = by_name(root.post("/apply/", TWO, Idempotency_Key="k"))

    assert again["report"]["credentials"]["access_token"] is None
    assert row_counts() == before
    other = by_name(root.post("/apply/", {"clients": [{"name": "report"}, {"name": "third"}]}, Idempotency_Key="k"))
    assert other["report"]["error"]["type"].endswith("/idempotency-key-reused")
    assert other["third"]["credentials"]["status"] == "created"
    problem(root.post("/apply/", {"clients": [{"name": "report"}]}, Idempotency_Key="k", If_Match='"stale"'), 412)


def test_all_errors_have_their_place(root: Caller) -> None:
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
        ({"clients": [], "defaults": {"staff": "yes"}}, "staff"),
        ({"clients": [{"name": "report"}], "defaults": {"name": "report"}}, "name"),
        ({"clients": [], "manifest": 5}, "manifest"),
        ({"clients": [{"name": f"client-{number}"} for number in range(101)]}, "clients"),
        ({"clients": [{"name": "report", "client_secret_from": "env:SECRET_KEY"}]}, "clients[0].client_secret_from"),
        ({"clients": [{"name": "report"}], "manifest": "a b"}, "manifest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_manifest_is_rejected(root: Caller, body: Any, field: str) -> None:
    assert set(problem(root.post("/apply/", body), 400, "validation")["errors"]) == {field}


def test_database_failure_is_told_per_client(root: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    provision_all = provisioning.provision_all

    def fail_at_the_second(specs: Any, *arguments: Any) -> Any:
        if "grades" in [spec.name for spec in specs]:
            raise DatabaseFailure("gone")
        return provision_all(specs, *arguments)

    monkeypatch.setattr(provisioning, "provision_all", fail_at_the_second)
    done = by_name(root.post("/apply/", TWO))

    assert done["grades"]["error"]["type"].endswith("/database-failure")
    assert answer(done["report"]["credentials"]["access_token"]) == "ok"
    assert [*ApiClient.objects.values_list("name", flat=True)] == ["report"]


def test_client_changed_after_the_check_is_refused(root: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    provisioned("grades")
    versions = api.versions

    def then_changed(names: Any) -> Any:
        seen = versions(names)
        provisioned("grades", purpose="another")
        return seen

    monkeypatch.setattr(api, "versions", then_changed)
    done = by_name(root.post("/apply/", TWO))

    assert (done["grades"]["error"]["status"], done["report"]["error"]) == (409, None)
    assert (client("grades").manifest, client().manifest) == ("", "team")


def test_apply_hashes_before_its_transaction(root: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes, depth = [], len(connection.savepoint_ids)
    new_secrets = oauth.new_secrets

    def counted(brought: Any, **options: Any) -> Any:
        hashes.append((len(brought), len(connection.savepoint_ids) - depth))
        return new_secrets(brought, **options)

    monkeypatch.setattr(oauth, "new_secrets", counted)
    by_name(root.post("/apply/", TWO))

    assert hashes == [(2, 0)]
