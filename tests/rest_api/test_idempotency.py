"""Test that requests with the same Idempotency-Key run once and show their secrets once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.db import connection
from django.http import HttpResponse
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.services import registry
from tests.factories import row_counts
from tests.lifecycle_helpers import answer, client, provisioned, shown
from tests.rest_api.callers import ALL, Caller, by_session, good, make_user, problem
from tests.subprocesses import FORK, TIMEOUT, Process, Work, database_for_processes

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "create": ("POST", "/clients/", {"name": "second"}),
    "change": ("PATCH", "/clients/report/", {"token": True, "expires_in": "5d"}),
    "token": ("POST", "/clients/report/token/", {"grace": "1d"}),
    "secret": ("POST", "/clients/report/secret/", {}),
    "revoke": ("POST", "/clients/report/revoke/", {}),
}


@pytest.mark.parametrize("call", CALLS)
def test_replay_returns_no_secret(call: str, root: Caller) -> None:
    provisioned()
    if call == "change":
        get_access_token_model().objects.all().delete()
    method, path, body = CALLS[call]
    first = root(method, path, body, Idempotency_Key="k-1")
    made = good(first, 201 if call == "create" else 200)
    assert "Idempotency-Replayed" not in first
    before = row_counts()

    again = root(method, path, body, Idempotency_Key="k-1")

    told = good(again)
    assert again["Idempotency-Replayed"] == "true"
    assert (told["status"], told["client_secret"], told["access_token"]) == ("unchanged", None, None)
    same = ("name", "username", "client_id", "expires_at", "scope")
    assert {name: told[name] for name in same} == {name: made[name] for name in same}
    assert row_counts() == before
    secrets = {value for value in (made["client_secret"], made["access_token"]) if value}
    assert (call == "revoke") is (not secrets)
    assert not any(secret in again.content.decode() + str(again.headers) for secret in secrets)
    for headers in ({}, {"Idempotency_Key": "k-2"}):
        assert "Idempotency-Replayed" not in root(method, path, body, **headers)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/clients/", {"name": "other"}),
        ("POST", "/clients/", {"name": "report", "staff": True}),
        ("POST", "/clients/report/token/", {"name": "report"}),
        ("POST", "/clients/report/token/", {}),
        ("PATCH", "/clients/report/", {"purpose": "x"}),
        ("POST", "/self/rotate/", {}),
    ],
)
def test_key_reuse_is_rejected(method: str, path: str, body: dict[str, Any], root: Caller) -> None:
    good(root.post("/clients/", {"name": "report"}, Idempotency_Key="k"), 201)
    before = row_counts()

    response = root(method, path, body, Idempotency_Key="k")

    if "name" in body and path.endswith("token/"):
        problem(response, 400, "validation")
    else:
        problem(response, 422, "idempotency-key-reused")
    assert row_counts() == before


@pytest.mark.parametrize(
    ("path", "body", "meanwhile"),
    [
        ("revoke/", {}, lambda root: root.post("/clients/report/token/")),
        ("", {"purpose": "old"}, lambda root: root.patch("/clients/report/", {"purpose": "new"})),
    ],
    ids=["revoke", "patch"],
)
def test_key_of_a_request_that_changed_nothing_is_kept(
    path: str, body: dict[str, Any], meanwhile: Callable[[Caller], Any], root: Caller
) -> None:
    provisioned(token=False, purpose="old")
    send = root.post if path else root.patch
    good(send(f"/clients/report/{path}", body, Idempotency_Key="k"))
    good(meanwhile(root))
    row = client()

    again = send(f"/clients/report/{path}", body, Idempotency_Key="k")

    assert again["Idempotency-Replayed"] == "true"
    assert (client().purpose, client().access_token) == (row.purpose, row.access_token)
    problem(send(f"/clients/report/{path}", {**body, "reason": "another"}, Idempotency_Key="k"), 422)


def test_field_order_is_irrelevant(root: Caller) -> None:
    good(root.post("/clients/", '{"name": "report", "purpose": "x"}', Idempotency_Key="k"), 201)

    assert root.post("/clients/", '{"purpose": "x", "name": "report"}', Idempotency_Key="k")["Idempotency-Replayed"]


def test_keys_are_scoped_to_caller_and_not_stored(root: Caller, helper: Caller) -> None:
    good(root.post("/clients/", {"name": "report"}, Idempotency_Key="my-own-key"), 201)

    problem(helper.post("/clients/", {"name": "report"}, Idempotency_Key="my-own-key"), 409)
    # A failed request may be retried.
    good(helper.post("/clients/", {"name": "second"}, Idempotency_Key="my-own-key"), 201)
    assert "my-own-key" not in repr(list(ApiClientEvent.objects.values()))


def test_replay_ignores_stale_if_match(root: Caller) -> None:
    provisioned()
    read = root.get("/clients/report/")["ETag"]
    good(root.post("/clients/report/token/", {}, Idempotency_Key="k", If_Match=read))

    again = root.post("/clients/report/token/", {}, Idempotency_Key="k", If_Match=read)

    assert good(again)["status"] == "unchanged"
    assert again["Idempotency-Replayed"]


def test_replay_of_deleted_client_is_not_found(root: Caller) -> None:
    good(root.post("/clients/", {"name": "report"}, Idempotency_Key="k"), 201)
    ApiClient.objects.all().delete()

    problem(root.post("/clients/", {"name": "report"}, Idempotency_Key="k"), 404, "client-not-found")


@pytest.mark.parametrize("key", ["", "   ", "x" * 256, "k\xe9y", "tab\tbed"])
def test_invalid_key_is_rejected(key: str, root: Caller) -> None:
    problem(root.post("/clients/", {"name": "report"}, Idempotency_Key=key), 400, "validation")
    assert not ApiClient.objects.exists()


# Parallel requests


@pytest.fixture
def crowd(transactional_db: None, tmp_path: Path) -> Iterator[Callable[..., list[HttpResponse]]]:
    """Send all requests at the same time, each from its own process, and return the answers."""

    def run(works: list[Callable[[], HttpResponse]]) -> list[dict[str, Any]]:
        barrier = FORK.Barrier(len(works))

        def member(work: Callable[[], HttpResponse]) -> Work:
            def joined() -> None:
                barrier.wait(TIMEOUT)
                response = work()
                print(json.dumps({"status": response.status_code, "body": response.json(), **dict(response.headers)}))

            return joined

        processes = [Process(member(work), tmp_path / str(number)) for number, work in enumerate(works)]
        ended = [process.ended() for process in processes]
        failures = {(each.code, each.stderr) for each in ended if each.code != 0 or "Traceback" in each.stderr}
        assert not failures
        return [json.loads(each.stdout.splitlines()[-1]) for each in ended]

    with database_for_processes(tmp_path):
        yield run


concurrent = pytest.mark.vendor("mysql", "postgresql")


def test_client_created_meanwhile_is_found() -> None:
    provisioned("report")
    missed = mock.Mock(return_value=[])
    real = registry.find_all

    def find_all(*arguments: Any, **options: Any) -> Any:
        return real(*arguments, **options) if missed.called else missed()

    with mock.patch.object(registry, "find_all", find_all):
        problem(by_session(make_user(*ALL)).post("/clients/", {"name": "report"}), 409, "client-exists")


@concurrent
@pytest.mark.django_db(transaction=True)
def test_concurrent_replays_make_one_client(crowd: Any) -> None:
    caller = by_session(make_user(*ALL))
    answers = crowd([lambda: caller.post("/clients/", {"name": "report"}, Idempotency_Key="k")] * 16)

    assert Counter(each["status"] for each in answers) == {201: 1, 200: 15}
    (made,) = (each["body"] for each in answers if each["status"] == 201)
    others = [each for each in answers if each["status"] == 200]
    assert {each["Idempotency-Replayed"] for each in others} == {"true"}
    assert {(each["body"]["client_secret"], each["body"]["access_token"]) for each in others} == {(None, None)}
    assert {each["body"]["client_id"] for each in others} == {made["client_id"]}
    assert_one_client(made)


def assert_one_client(made: dict[str, Any]) -> None:
    assert client().application == get_application_model().objects.get()
    assert get_access_token_model().objects.count() == 1
    assert ApiClientEvent.objects.count() == 1
    assert made["client_id"] == client().application.client_id
    assert answer(made["access_token"]) == "ok"


@concurrent
@pytest.mark.django_db(transaction=True)
def test_concurrent_key_reuse_runs_once(crowd: Any) -> None:
    caller = by_session(make_user(*ALL))
    bodies = [{"name": f"report-{number}"} for number in range(16)]
    answers = crowd([lambda body=body: caller.post("/clients/", body, Idempotency_Key="k") for body in bodies])

    assert Counter(each["status"] for each in answers) == {201: 1, 422: 15}
    assert ApiClient.objects.count() == get_application_model().objects.count() == 1


@concurrent
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", [None, "k"])
def test_concurrent_self_rotations_run_once(crowd: Any, key: str | None) -> None:
    made = provisioned(self_rotation=True)
    caller = Caller(f"Bearer {shown(made.access_token)}")
    headers = {"Idempotency_Key": key} if key else {}
    answers = crowd([lambda: caller.post("/self/rotate/", **headers)] * 16)

    assert Counter(each["status"] for each in answers) == ({200: 16} if key else {200: 1, 409: 15})
    (token,) = (each["body"]["access_token"] for each in answers if each["body"].get("access_token"))
    assert get_access_token_model().objects.count() == 2
    assert answer(token) == answer(made.access_token) == "ok"


@concurrent
@pytest.mark.django_db(transaction=True)
def test_concurrent_if_match_changes_run_once(crowd: Any) -> None:
    provisioned()
    caller = by_session(make_user(*ALL, is_superuser=True))
    read = caller.get("/clients/report/")["ETag"]
    works = [
        lambda number=number: caller.patch("/clients/report/", {"purpose": f"no. {number}"}, If_Match=read)
        for number in range(16)
    ]
    answers = crowd(works)

    assert Counter(each["status"] for each in answers) == {200: 1, 412: 15}


def test_keys_work_without_atomic_requests(root: Caller) -> None:
    with mock.patch.dict(connection.settings_dict, {"ATOMIC_REQUESTS": False}):
        good(root.post("/clients/", {"name": "report"}, Idempotency_Key="k"), 201)
        assert root.post("/clients/", {"name": "report"}, Idempotency_Key="k")["Idempotency-Replayed"]
