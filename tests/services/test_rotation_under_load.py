"""Test changing credentials under load, and by parallel runs."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from oauth2_provider.models import get_access_token_model, get_application_model
from oauth2_provider.settings import oauth2_settings

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import AlreadyDone, Conflict
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.models import ApiClientEvent
from tests.factories import OPERATOR, ApplicationFactory
from tests.lifecycle_helpers import all_rows, answer, client, granted, provisioned, shown
from tests.subprocesses import TIMEOUT, at_once

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.databases,
    pytest.mark.usefixtures("shared_database"),
]

HOUR = timedelta(hours=1)


# Callers


class Caller(threading.Thread):
    """Call repeatedly until stopped or until a call fails."""

    def __init__(self, call: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self._call, self._enough = call, threading.Event()
        self._calls, self._changed = 0, threading.Condition()
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                try:
                    answered = self._call()
                except Exception as error:
                    answered = repr(error)
                with self._changed:
                    self.answers[answered] += 1
                    self._calls += 1
                    self._changed.notify_all()
        finally:
            connections.close_all()

    def calls_more(self, number: int = 2) -> None:
        """Wait for this many more calls; two, so that one of them began after now."""
        with self._changed:
            enough = self._calls + number
            assert self._changed.wait_for(lambda: self._calls >= enough, TIMEOUT)

    def stop(self) -> Counter[str]:
        self._enough.set()
        self.join(TIMEOUT)
        return self.answers


@contextmanager
def calling(*calls: Callable[[], str]) -> Iterator[list[Caller]]:
    callers = [Caller(call) for call in calls]
    for caller in callers:
        caller.start()
    try:
        yield callers
    finally:
        for caller in callers:
            caller.stop()


def stepwise(callers: list[Caller]) -> Callable[..., Any]:
    """Let all callers call between any two statements of this connection."""

    def statement(execute: Callable[..., Any], *arguments: Any) -> Any:
        for caller in callers:
            caller.calls_more()
        return execute(*arguments)

    return statement


@pytest.mark.parametrize("secret", [False, True], ids=["token", "token and secret"])
def test_calls_succeed_during_each_statement(secret: bool) -> None:
    made = provisioned()
    first = api.rotate("report", grace=HOUR, authority=OPERATOR)

    with calling(lambda: answer(made.access_token), lambda: answer(first.access_token)) as callers:
        with connection.execute_wrapper(stepwise(callers)):
            second = api.rotate("report", secret=secret, grace=HOUR, authority=OPERATOR)
        for caller in callers:
            caller.calls_more()
        answers = [caller.stop() for caller in callers]

    assert [{*counts} for counts in answers] == [{"ok"}, {"ok"}]
    assert min(counts["ok"] for counts in answers) > 10
    assert answer(second.access_token) == "ok"


def test_calls_succeed_during_rotations() -> None:
    def calls_of(credentials: Credentials) -> list[Callable[[], str]]:
        calls = [lambda: answer(credentials.access_token)]
        # A grant reads and then writes in a transaction: SQLite allows only one at a time.
        if credentials.client_secret is not None and connection.vendor != "sqlite":
            calls.append(lambda: "ok" if granted(credentials.client_id, credentials.client_secret) else "refused")
        return calls

    issued, callers = [provisioned()], []
    with ExitStack() as stack:
        for number in range(3):
            callers += stack.enter_context(calling(*calls_of(issued[-1])))
            for caller in callers:
                caller.calls_more()
            issued.append(api.rotate("report", secret=number == 1, grace=HOUR, authority=OPERATOR))
        for caller in callers:
            caller.calls_more()

    assert {answered for caller in callers for answered in caller.answers} == {"ok"}
    assert len(callers) == (3 if connection.vendor == "sqlite" else 5)


def test_token_ends_exactly_at_commit() -> None:
    made = provisioned()

    with calling(lambda: answer(made.access_token)) as callers:
        with connection.execute_wrapper(stepwise(callers)):
            api.rotate("report", authority=OPERATOR)
        (caller,) = callers
        caller.calls_more()
        before = Counter(caller.answers)
        caller.calls_more()
        answers = caller.stop()

    assert {*answers} == {"ok", "token_nonexistent"}
    assert answers["ok"] == before["ok"] > 10


@pytest.mark.vendor("mysql", "postgresql")  # SQLite refuses a grant that reads and then writes in a transaction.
def test_grant_in_flight_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that has authenticated with the old secret is answered after the commit."""
    made = provisioned()
    validator, table = oauth2_settings.OAUTH2_VALIDATOR_CLASS, get_application_model()._meta.db_table
    authenticate = validator.authenticate_client
    authenticated, replaced = threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> bool:
        result = authenticate(*arguments)
        authenticated.set()
        assert replaced.wait(TIMEOUT)
        return bool(result)

    def request_token() -> str | None:
        try:
            return granted(made.client_id, made.client_secret)
        finally:
            connections.close_all()

    def statement(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        result = execute(sql, *arguments)
        if sql.startswith("UPDATE") and table in sql:
            replaced.set()
        return result

    with ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(validator, "authenticate_client", slowly)
            answered = pool.submit(request_token)
            assert authenticated.wait(TIMEOUT)
        with connection.execute_wrapper(statement):
            api.rotate("report", secret=True, authority=OPERATOR)
        assert answered.result(TIMEOUT) is None
    assert get_access_token_model().objects.count() == 1


# Parallel runs


def results_at_once(folder: Path, works: list[Callable[[int], object]]) -> list[Any]:
    """Run all works at the same time in separate processes and return their results."""
    printing = [lambda n=number, work=work: print(json.dumps(work(n))) for number, work in enumerate(works)]
    ended = at_once(folder, printing)
    assert {(one.code, one.stderr) for one in ended} == {(0, "")}
    return [json.loads(one.stdout) for one in ended]


def told(credentials: Credentials) -> dict[str, Any]:
    return {
        "status": str(credentials.status),
        "client_id": credentials.client_id,
        "token": credentials.access_token and shown(credentials.access_token),
        "secret": credentials.client_secret and shown(credentials.client_secret),
    }


def rotation(**wanted: Any) -> Callable[[int], object]:
    return lambda number: told(api.rotate("report", authority=OPERATOR, request_id=str(number), **wanted))


def revocation(number: int) -> object:
    return told(api.revoke("report", authority=OPERATOR, request_id=str(number)))


WORKS: list[Callable[[int], object]] = [
    rotation(),
    rotation(secret=True),
    rotation(grace=HOUR),
    rotation(token=False, secret=True),
    revocation,
]


def test_parallel_changes_are_serialized(tmp_path: Path) -> None:
    made = provisioned()
    works = [*itertools.islice(itertools.cycle(WORKS), 32)]

    results = results_at_once(tmp_path, works)

    # The client is locked while its event is written: events are in serial order.
    done = ApiClientEvent.objects.filter(kind__in=("rotated", "revoked")).order_by("pk")
    live, current, secret = {shown(made.access_token)}, shown(made.access_token), shown(made.client_secret)
    all_tokens, all_secrets = {*live}, {secret}
    for event in done:
        result = results[int(event.request_id)]
        if result["token"]:
            live = {*live, result["token"]} if event.details["grace_seconds"] else {result["token"]}
            current = result["token"]
        if event.kind == "revoked":
            live, current = set(), None
        secret = result["secret"] or secret
        all_tokens |= {result["token"]} - {None}
        all_secrets |= {result["secret"]} - {None}
    assert {token for token in all_tokens if answer(token) == "ok"} == live
    assert get_access_token_model().objects.count() == len(live)
    assert (client().access_token_id is None) is (current is None)
    if current is not None:
        assert answer(current) == "ok"
        assert client().access_token == max(get_access_token_model().objects.all(), key=lambda row: row.pk)
    assert {value for value in all_secrets if granted(made.client_id, Secret(value))} == {secret}
    assert get_application_model().objects.count() == 1

    # A run with nothing to revoke came after a revocation; all others are in the history.
    undone = [number for number, result in enumerate(results) if result["status"] == "unchanged"]
    assert {works[number] for number in undone} <= {revocation}
    assert sorted(undone + [int(event.request_id) for event in done]) == [*range(32)]
    assert not undone or done.filter(kind="revoked").exists()


def test_parallel_rotations_make_one_successor(tmp_path: Path) -> None:
    made = provisioned()

    def rotate(number: int) -> object:
        try:
            return rotation(secret=True, grace=HOUR)(number)
        except Conflict as refused:
            return str(refused)

    results = results_at_once(tmp_path, [rotate] * 8)

    (successor,) = (result for result in results if isinstance(result, dict))
    assert sum("the grace period of the last rotation ends at" in str(result) for result in results) == 7
    assert {row.client_id for row in get_application_model().objects.all()} == {made.client_id, successor["client_id"]}
    assert answer(successor["token"]) == answer(made.access_token) == "ok"


def test_parallel_requests_run_once(tmp_path: Path) -> None:
    provisioned()

    def request(_number: int) -> object:
        try:
            return told(api.rotate("report", authority=OPERATOR, request_id="the-same"))
        except AlreadyDone:
            return None

    (issued,) = filter(None, results_at_once(tmp_path, [request] * 8))

    assert ApiClientEvent.objects.filter(request_id="the-same").count() == 1
    assert answer(issued["token"]) == "ok"


def test_parallel_adoptions_run_once(tmp_path: Path) -> None:
    ApplicationFactory(client_id="the-id")

    def adopt(number: int) -> object:
        try:
            return told(api.adopt(f"client-{number % 2}", client_id="the-id", authority=OPERATOR))["status"]
        except Conflict:
            return "conflict"

    results = Counter(results_at_once(tmp_path, [adopt] * 8))

    assert results == {"adopted": 1, "unchanged": 3, "conflict": 4}
    assert ApiClientEvent.objects.filter(kind="adopted").count() == 1


def test_parallel_delete_and_rotate_are_consistent(tmp_path: Path) -> None:
    made = provisioned()

    def delete(number: int) -> object:
        return told(api.revoke("report", delete=True, authority=OPERATOR, request_id=str(number)))["status"]

    def rotate(number: int) -> object:
        try:
            return rotation(secret=True, grace=HOUR)(number)
        except Exception as refused:
            return type(refused).__name__

    results = results_at_once(tmp_path, [delete if number % 2 else rotate for number in range(8)])

    assert Counter(results[1::2]) == {"deleted": 1, "unchanged": 3}
    assert {result for result in results[::2] if isinstance(result, str)} <= {"ClientNotFound", "Conflict"}
    assert not get_application_model().objects.exists()
    assert answer(made.access_token) == "token_nonexistent"
    after = all_rows()
    assert (after["User"], after["ApiClient"]) == ([], [])
