"""Test parallel runs: one creates the client and shows its secrets, the others find it unchanged."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_application_model

from common.djangoapps.student.models import UserProfile
from edx_api_provisioning import api
from edx_api_provisioning.adapters import oauth
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.factories import OPERATOR
from tests.sampling import some
from tests.subprocesses import FORK, TIMEOUT, Process, ProcessResult, Work, provision

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.databases,
    pytest.mark.usefixtures("shared_database"),
]

PROCESSES = 64
MANY = some(16, 64)
# Queries after which all processes wait for each other: no process has found anything yet.
AT_THE_CLIENT = r"FROM .edx_api_provisioning_apiclient. .+ FOR UPDATE"
AT_THE_USER = r"FROM .auth_user. .+ FOR UPDATE"


def crowd(folder: Path, works: list[Work], *, meet: str | None = None) -> tuple[list[ProcessResult], Counter[str]]:
    """Run all works at once in separate processes, and count the database errors by class.

    Args:
        meet: the statement after which each process waits for all others; None waits before the first one.
    """
    barrier = FORK.Barrier(len(works))
    errors = folder / "errors"
    errors.touch()

    def member(work: Work) -> Work:
        expected = True

        def meet_the_others() -> None:
            nonlocal expected
            expected = False
            barrier.wait(TIMEOUT)

        def statement(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
            if expected and meet is None:
                meet_the_others()
            try:
                result = execute(sql, *args)
            except DatabaseError as error:
                with errors.open("a") as log:
                    log.write(f"{type(error).__name__}\n")
                raise
            if expected and meet is not None and re.search(meet, sql, re.DOTALL):
                meet_the_others()
            return result

        def joined() -> None:
            try:
                connection.ensure_connection()  # Before the barrier, because the server admits one after the other.
                connection.execute_wrappers.append(statement)
                work()
            finally:
                if expected:
                    barrier.abort()  # Do not wait for a process that failed earlier.

        return joined

    processes = [Process(member(work), folder / str(number)) for number, work in enumerate(works)]
    ended = [process.ended() for process in processes]
    return ended, Counter(errors.read_text().split())


def results(ended: list[ProcessResult]) -> list[dict[str, Any]]:
    """Return the printed results; every run must have succeeded."""
    failures = {(run.code, run.stderr) for run in ended if run.code != 0 or "Traceback" in run.stderr}
    assert not failures
    return [json.loads(run.stdout) for run in ended]


def assert_one_client(shown: list[dict[str, Any]]) -> None:
    """Assert that one run created the client with working secrets, and that the others have none."""
    (made,) = (result for result in shown if result["status"] == "created")
    others = [result for result in shown if result is not made]
    assert Counter(result["status"] for result in others) == {"unchanged": len(shown) - 1}
    assert {(result["client_secret"], result["access_token"]) for result in others} == {(None, None)}
    assert {result["client_id"] for result in shown} == {made["client_id"]}
    assert made["verified"] is True

    client = ApiClient.objects.get()
    assert client.user == User.objects.get()
    assert client.application == get_application_model().objects.get()
    assert client.access_token == get_access_token_model().objects.get()
    assert client.application.client_id == made["client_id"]
    assert ApiClientEvent.objects.get().kind == "created"
    assert UserProfile.objects.filter(user=client.user).count() == 1


def shared() -> None:
    provision("shared", "--format", "json")


@pytest.mark.vendor("mysql", "postgresql")
def test_racing_processes_create_one_client(tmp_path: Path) -> None:
    ended, errors = crowd(tmp_path, [shared] * MANY, meet=AT_THE_CLIENT)

    assert_one_client(results(ended))
    # The unique name refused each of the others first; they looked again.
    assert errors["IntegrityError"] == MANY - 1


def test_parallel_processes_create_one_client(tmp_path: Path) -> None:
    ended, _errors = crowd(tmp_path, [shared] * PROCESSES)

    assert_one_client(results(ended))


@pytest.mark.vendor("mysql", "postgresql")
def test_parallel_runs_share_existing_user(tmp_path: Path) -> None:
    User.objects.create_user("shared", "shared@example.org")
    UserProfile.objects.create(user=User.objects.get())

    def with_user() -> None:
        provision("shared", "--use-existing-user", "--format", "json")

    ended, _errors = crowd(tmp_path, [with_user] * MANY, meet=AT_THE_CLIENT)

    assert_one_client(results(ended))


@pytest.mark.vendor("mysql", "postgresql")
def test_parallel_requests_create_one_client(tmp_path: Path) -> None:
    def request() -> None:
        with transaction.atomic():
            made = api.provision(ClientSpec(name="shared"), authority=OPERATOR)
        print(rendering.render(made, format="json"))

    ended, _errors = crowd(tmp_path, [request] * MANY, meet=AT_THE_CLIENT)

    # MySQL ends the transaction of a caller for a deadlock: only the caller can repeat it.
    assert all("OperationalError 1213" in run.stderr for run in ended if run.code)
    assert_one_client([json.loads(run.stdout) for run in ended if not run.code])


@pytest.mark.vendor("mysql", "postgresql")
def test_parallel_clients_do_not_share_new_user(tmp_path: Path) -> None:
    def named(name: str) -> Work:
        return lambda: provision(name, "--username", "shared", "--format", "json")

    # Names that no other test uses: MariaDB still locks around recently deleted rows.
    works = [named(f"command-{number}") for number in range(16)]
    ended, errors = crowd(tmp_path, works, meet=AT_THE_USER)

    # The user belongs to the client that created it; the others are refused.
    shown = [json.loads(run.stdout) for run in ended if run.stdout]
    assert [result["status"] for result in shown] == ["created"], {run.stderr for run in ended}
    assert all("was created for the API client" in run.stderr for run in ended if run.code)
    user = User.objects.get()
    assert list(ApiClient.objects.values_list("name", "user", "user_made")) == [(shown[0]["name"], user.pk, True)]
    assert get_application_model().objects.filter(user=user).count() == 1
    assert get_access_token_model().objects.filter(user=user).count() == 1
    # The others met the taken name, or found the new account in time.
    assert errors["IntegrityError"] >= 1


def test_parallel_runs_reissue_token_once(tmp_path: Path) -> None:
    results([Process(shared, tmp_path / "first").ended()])
    get_access_token_model().objects.update(expires=timezone.now() - timedelta(days=1))

    ended, _errors = crowd(tmp_path, [shared] * MANY)

    shown = results(ended)
    assert Counter(result["status"] for result in shown) == {"updated": 1, "unchanged": MANY - 1}
    (issued,) = (result["access_token"] for result in shown if result["access_token"])
    current = ApiClient.objects.get().access_token
    assert oauth.find_access_token(Secret(issued)) == current
    assert get_access_token_model().objects.exclude(pk=current.pk).count() == 1


@pytest.mark.vendor("mysql", "postgresql")
def test_deadlocked_run_is_retried(tmp_path: Path) -> None:
    results([Process(shared, tmp_path / "first").ended()])
    get_access_token_model().objects.all().delete()
    go, has_the_client = FORK.Event(), FORK.Event()

    def run() -> None:
        errors = []

        def statement(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
            if re.search(AT_THE_USER, sql, re.DOTALL):
                has_the_client.set()
            try:
                return execute(sql, *args)
            except DatabaseError as error:
                errors.append(error)
                raise

        connection.execute_wrappers.append(statement)
        go.wait(TIMEOUT)
        shared()
        # More than one if the retry was faster than the transaction that had been waiting.
        assert {type(error) for error in errors} == {OperationalError}

    process = Process(run, tmp_path / "second")
    with transaction.atomic():
        if connection.vendor == "postgresql":  # It ends the connection it finds waiting longest: not this one.
            connection.cursor().execute("SET LOCAL deadlock_timeout = '1min'")
        # MariaDB ends the transaction with the fewest changes: not this one.
        User.objects.bulk_create(User(username=f"user-{n}", email=f"user-{n}@example.org") for n in range(100))
        User.objects.select_for_update().get(username="shared")
        go.set()
        assert has_the_client.wait(TIMEOUT)
        ApiClient.objects.select_for_update().get()

    (shown,) = results([process.ended()])
    assert shown["status"] == "updated"
    assert oauth.find_access_token(Secret(shown["access_token"])) == get_access_token_model().objects.get()


@pytest.mark.vendor("sqlite")
def test_parallel_web_requests_create_one_client() -> None:
    barrier = Barrier(MANY)

    def thread(_number: int) -> str:
        barrier.wait(TIMEOUT)
        try:
            with transaction.atomic():
                made = api.provision(ClientSpec(name="shared"), authority=OPERATOR)
            return rendering.render(made, format="json")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(MANY) as threads:
        printed = list(threads.map(thread, range(MANY)))

    assert_one_client([json.loads(text) for text in printed])
