"""Test that a run killed or disconnected at any point leaves all of a client or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.djangoapps.student.models import UserProfile
from edx_api_provisioning.models import ApiClient
from tests.sampling import some, some_of
from tests.subprocesses import (
    FORK,
    KILLED,
    InterruptionPoints,
    Process,
    ProcessResult,
    Work,
    kill_process,
    lose_connection,
    provision,
    table_counts,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.databases,
    pytest.mark.usefixtures("shared_database"),
]

NOTHING: dict[str, int] = {}


@dataclass(frozen=True)
class Run:
    """The result of one run: how it ended, and the change of row counts."""

    name: str
    ended: ProcessResult
    changed: dict[str, int]


def runs(folder: Path, happens: Work, *, lines_of: tuple[str, ...] = ()) -> Iterator[Run]:
    """One run to which nothing happens, then one for each or some of its points, each for another client."""
    last = FORK.Value("i", 0)

    def numbers() -> Iterator[int]:
        yield 0
        yield from some_of(last.value, 5)

    for number in numbers():
        name = f"client-{number}"

        def work(number: int = number, name: str = name) -> None:
            points = InterruptionPoints(number, happens, lines_of=lines_of)
            points.install()
            provision(name)
            if number == 0:
                last.value = points.passed

        before = table_counts()
        ended = Process(work, folder / name).ended()
        after = table_counts()
        yield Run(name, ended, {table: after[table] - n for table, n in before.items() if after[table] != n})


def assert_once_more_and_all_is_well(runs_: list[Run], folder: Path) -> None:
    for run in runs_:
        ended = Process(lambda name=run.name: provision(name), folder / f"{run.name}-again").ended()
        assert (ended.code, ended.stderr.count("Traceback")) == (0, 0), ended.stderr
        client = ApiClient.objects.select_related("user", "application", "access_token").get(name=run.name)
        assert client.user is not None
        assert client.application.user == client.access_token.user == client.user
        assert client.access_token.application == client.application
        assert UserProfile.objects.filter(user=client.user).exists()


def one_of_each(runs_: list[Run]) -> list[Run]:
    """Return the last run of each outcome."""
    return list({tuple(run.changed): run for run in runs_}.values())


def assert_all_or_nothing(undisturbed: Run, disturbed: list[Run]) -> None:
    """Assert that each run left nothing or everything, with points on both sides of the commit."""
    outcomes = [run.changed for run in disturbed]
    assert [outcome for outcome in outcomes if outcome not in (NOTHING, undisturbed.changed)] == []
    assert outcomes.count(NOTHING) >= some(1, 5)
    assert outcomes.count(undisturbed.changed) >= 1


def test_killed_run_leaves_all_or_nothing(tmp_path: Path) -> None:
    undisturbed, *killed = runs(tmp_path, kill_process, lines_of=("IssuingCommand.", "Stream."))

    assert {run.ended.code for run in killed} == {KILLED}
    assert undisturbed.changed["auth_user"] == undisturbed.changed["oauth2_provider_accesstoken"] == 1
    assert_all_or_nothing(undisturbed, killed)
    # At every point: the server may still hold the locks of the killed process.
    assert_once_more_and_all_is_well(killed, tmp_path)


def test_lost_connection_is_reported(tmp_path: Path) -> None:
    undisturbed, *without = runs(tmp_path, lose_connection)

    outcomes = [run.changed for run in without]
    for run in without:
        if run.ended.code == 0:  # The connection was lost after the commit was confirmed.
            assert run.changed == undisturbed.changed
            continue
        assert run.ended.code == 1
        (line,) = run.ended.stderr.splitlines()
        assert line.startswith("CommandError: the database ")
        if run.changed == undisturbed.changed:  # The server committed but could not confirm it.
            assert "nothing was changed" not in line
            assert line.endswith("The credentials above work only if the database has committed them.")
        else:
            assert run.changed == NOTHING
            # What was written before the connection was lost is said not to work.
            assert run.ended.stdout == "" or "The credentials above" in line
    assert outcomes.count(NOTHING) >= some(1, 5)
    assert outcomes.count(undisturbed.changed) <= 1
    assert_once_more_and_all_is_well(one_of_each(without), tmp_path)
