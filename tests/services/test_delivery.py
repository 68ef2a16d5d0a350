"""Whatever stops a run, and wherever: working credentials stay working, and new ones are never lost."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.management import execute_from_command_line
from django.db import OperationalError, connection, transaction
from django.db.models.signals import post_save
from django.utils import timezone

from edx_api_provisioning import api, tasks
from edx_api_provisioning.adapters import oauth, oauth_server
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats.destinations import Files
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import batch, rotation
from tests.factories import OPERATOR
from tests.lifecycle_helpers import answer, issued_long_ago
from tests.sampling import FULL, some, some_of
from tests.subprocesses import (
    FORK,
    KILLED,
    InterruptionPoints,
    Process,
    ProcessResult,
    Work,
    kill_process,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shared_database")]

NAMES = ("client-a", "client-b")
LINES = ("Run.", "Files.", "Stream.", "stage", "publish", "write", "_write", "sync_directory", "rotate_many", "apply")


# What a run may leave


@dataclass
class World:
    """A directory for credentials, the clients in it, and what the operator has seen on standard output."""

    folder: Path
    seen: list[str] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        return self.folder / "credentials"

    def file(self, name: str) -> Path:
        return self.directory / f"{name}.jsonl"

    def held(self, *, staged: bool = True) -> list[dict[str, Any]]:
        """All credentials that the operator has, or will have once staged files are published."""
        files = self.directory.iterdir() if self.directory.is_dir() else ()
        texts = [path.read_text() for path in files if staged or not path.name.startswith(".")]
        return [found for text in [*texts, *self.seen] for found in parsed(text)]

    def assert_nothing_is_lost(self) -> None:
        """Every secret and live token of every client is in somebody's hands; what worked has a working successor."""
        held = self.held()
        tokens = [oauth.find_access_token(Secret(each["access_token"])) for each in held if each["access_token"]]
        known = {token.pk for token in tokens if token is not None}
        for client in ApiClient.objects.select_related("application"):
            live = oauth.get_access_token_model().objects.filter(user=client.user, expires__gt=timezone.now())
            assert {*live.values_list("pk", flat=True)} <= known, client.name
            assert client.access_token_id in known, client.name
            assert any(authenticates(client.application.client_id, each) for each in held), client.name

    def assert_every_file_works(self, names: tuple[str, ...]) -> None:
        assert [path for path in self.directory.iterdir() if path.name.startswith(".")] == []
        for name in names:
            (found,) = parsed(self.file(name).read_text())
            assert answer(found["access_token"]) == "ok", name
            assert authenticates(found["client_id"], found), name
            assert self.file(name).stat().st_mode & 0o777 == 0o600


def parsed(text: str) -> list[dict[str, Any]]:
    """The results in JSON lines, of which the last may be cut off."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


def authenticates(client_id: str, held: dict[str, Any]) -> bool:
    secret = held["client_secret"]
    return secret is not None and oauth_server.client_user(client_id, Secret(secret)) is not None


# What is stopped


def command(*argv: str) -> None:
    execute_from_command_line(["manage.py", *argv, "--format", "jsonl", "--verbosity", "0"])


def provision_one(world: World) -> None:
    command("provision_api_client", NAMES[0], "--output", str(world.file(NAMES[0])))


def provision_to_stdout(_world: World) -> None:
    command("provision_api_client", NAMES[0])


def provision_many(world: World) -> None:
    manifest = world.folder / "manifest.json"
    manifest.write_text(json.dumps({"clients": [{"name": name} for name in NAMES]}))
    command("provision_api_client", "--from-file", str(manifest), "--output", str(world.directory))


def rotate_token(world: World) -> None:
    command("rotate_api_client", NAMES[0], "--output", str(world.file(NAMES[0])))


def rotate_secret(world: World) -> None:
    command("rotate_api_client", NAMES[0], "--secret", "--output", str(world.file(NAMES[0])))


def rotate_with_grace(world: World) -> None:
    both = ("--token", "--secret", "--grace", "1h")
    command("rotate_api_client", NAMES[0], *both, "--output", str(world.file(NAMES[0])))


def rotate_to_stdout(_world: World) -> None:
    command("rotate_api_client", NAMES[0], "--token", "--secret")


def rotate_due(world: World) -> None:
    command("rotate_api_client", "--expiring-within", "400d", "--output", str(world.directory))


def manifest_task(world: World) -> None:
    manifest = json.dumps({"clients": [{"name": name} for name in NAMES]})
    tasks.provision_manifest.apply((manifest,), {"directory": str(world.directory), "format": "jsonl"})


def rotation_task(world: World) -> None:
    options = {"directory": str(world.directory), "within": "400d", "grace": None, "format": "jsonl"}
    tasks.rotate_expiring.apply(([*NAMES],), options)


@dataclass(frozen=True)
class Stopped:
    run: Callable[[World], None]
    exists: bool
    """Whether there are clients already, with a file for each."""
    files: tuple[str, ...]
    """The clients whose files work in the end."""
    again: Callable[[World], None] | None = None
    """What is run once more, if it is something else."""


RUNS = (
    Stopped(provision_one, False, NAMES[:1]),
    Stopped(provision_to_stdout, False, ()),
    Stopped(provision_many, False, NAMES),
    Stopped(rotate_token, True, NAMES),
    Stopped(rotate_secret, True, NAMES),
    Stopped(rotate_with_grace, True, NAMES, again=rotate_token),
    Stopped(rotate_to_stdout, True, ()),
    Stopped(rotate_due, True, NAMES),
    Stopped(manifest_task, False, NAMES),
    Stopped(rotation_task, True, NAMES),
)
SOME = [stopped for stopped in RUNS if FULL or stopped.run in (provision_many, provision_to_stdout, rotate_with_grace)]
"""All, or one for each way of delivery."""


def new_world(folder: Path, *, exists: bool) -> World:
    """An empty site, or one with two clients whose credentials are in files."""
    for client in ApiClient.objects.all():
        api.revoke(client.name, delete=True, authority=OPERATOR)
    world = World(folder)
    world.directory.mkdir(mode=0o700, parents=True)
    if exists:
        to = Files(lambda name: str(world.file(name)), format="jsonl", force=False)
        specs = [ClientSpec(name=name) for name in NAMES]
        assert all(done.error is None for done in api.apply(specs, destination=to, authority=OPERATOR))
        issued_long_ago()
        # Whoever reads the files has what they hold, also when they are replaced.
        world.seen += [path.read_text() for path in world.directory.iterdir()]
    return world


def raises() -> None:
    raise ZeroDivisionError("as by a mistake in somebody's code")


def interrupts() -> None:
    raise KeyboardInterrupt


def ended(work: Work, world: World) -> ProcessResult:
    folder = world.folder / f"run-{time.monotonic_ns()}"
    done = Process(work, folder).ended()
    world.seen.append(done.stdout)
    return done


def passed_points(stopped: Stopped, folder: Path) -> int:
    """Return the number of points that a run passes if nothing stops it."""
    passed = FORK.Value("i", 0)
    world = new_world(folder, exists=stopped.exists)

    def work() -> None:
        points = InterruptionPoints(0, kill_process, lines_of=LINES)
        points.install()
        stopped.run(world)
        passed.value = points.passed

    assert ended(work, world).code == 0
    world.assert_nothing_is_lost()
    return passed.value


@pytest.mark.databases
@pytest.mark.parametrize("stopped", RUNS, ids=lambda stopped: stopped.run.__name__)
def test_stopped_run_loses_nothing(stopped: Stopped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if stopped.run in (provision_many, rotate_due):  # The tasks do the same in one transaction for all clients.
        for module in (batch, rotation):
            monkeypatch.setattr(module, "BATCH", 1)
    # Twice: what is looked up once for all in this process is not looked up again.
    last = [passed_points(stopped, tmp_path / name) for name in ("undisturbed", "again")][-1]
    ways = (kill_process, raises, interrupts)
    points = itertools.product(some_of(last, 3), ways) if FULL else zip(some_of(last, 3), ways, strict=True)

    for number, happens in points:
        world = new_world(tmp_path / f"{happens.__name__}-{number}", exists=stopped.exists)

        def work(number: int = number, world: World = world, happens: Work = happens) -> None:
            InterruptionPoints(number, happens, lines_of=LINES).install()
            stopped.run(world)

        done = ended(work, world)
        assert happens is not kill_process or done.code == KILLED, f"{number} of {last}"
        world.assert_nothing_is_lost()

        again = ended(lambda world=world: (stopped.again or stopped.run)(world), world)
        assert (again.code, again.stderr) == (0, ""), (number, again.stderr)
        world.assert_nothing_is_lost()
        world.assert_every_file_works(stopped.files)


@pytest.mark.databases
@pytest.mark.parametrize("stopped", SOME, ids=lambda stopped: stopped.run.__name__)
def test_failing_hook_of_the_site_does_no_harm(stopped: Stopped, tmp_path: Path) -> None:
    world = new_world(tmp_path, exists=stopped.exists)

    def hook(**_about: Any) -> None:
        transaction.on_commit(raises)

    def work() -> None:
        post_save.connect(hook, sender=ApiClient)
        stopped.run(world)

    assert ended(work, world).code == 0
    world.assert_nothing_is_lost()
    world.assert_every_file_works(stopped.files)


@pytest.mark.databases
@pytest.mark.parametrize("stopped", SOME, ids=lambda stopped: stopped.run.__name__)
def test_deadlock_at_commit_is_repeated_or_reported(stopped: Stopped, tmp_path: Path) -> None:
    world = new_world(tmp_path, exists=stopped.exists)

    def work() -> None:
        commit, deadlocks = connection._commit, iter([True])

        def deadlock_once() -> None:
            if next(deadlocks, False):
                connection._rollback()
                raise OperationalError(1213, "Deadlock found when trying to get lock")
            commit()

        connection._commit = deadlock_once
        stopped.run(world)

    done = ended(work, world)

    if stopped.files:
        assert done.code == 0, done.stderr
        world.assert_every_file_works(stopped.files)
    else:
        assert done.code == 1
        assert done.stderr == (
            "CommandError: --output: The credentials above do not work: the database has rolled them back.\n"
        )
    world.assert_nothing_is_lost() if stopped.exists or stopped.files else None


# Two runs for one client and one target


class Paused:
    """A run that stops itself at one of its points until it is told to go on."""

    def __init__(self, work: Work, number: int, folder: Path) -> None:
        def stopped() -> None:
            InterruptionPoints(number, self._stop, lines_of=LINES).install()
            work()

        self._stopped = FORK.Event()
        self.process = Process(stopped, folder)

    def _stop(self) -> None:
        self._stopped.set()
        os.kill(os.getpid(), signal.SIGSTOP)

    def wait(self) -> None:
        """Until it has stopped itself, or has come to its end without passing the point."""
        while self.process.is_alive() and not self._stopped.is_set():
            time.sleep(0.01)
        time.sleep(0.02)

    def go_on(self) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGCONT)


PAIRS = [
    (provision_one, provision_one, False),
    (rotate_token, rotate_token, True),
    (rotate_token, rotate_secret, True),
    (rotate_secret, rotate_token, True),
    (rotate_due, rotation_task, True),
]


@pytest.mark.databases
@pytest.mark.parametrize(("first", "second", "exists"), PAIRS, ids=lambda part: getattr(part, "__name__", None))
def test_interleaved_runs_end_with_one_working_file(
    first: Callable[[World], None], second: Callable[[World], None], exists: bool, tmp_path: Path
) -> None:
    stopped = Stopped(first, exists, NAMES if exists else NAMES[:1])
    last = passed_points(stopped, tmp_path / "undisturbed")
    others = passed_points(Stopped(second, exists, ()), tmp_path / "undisturbed-second")

    for number in some_of(last, 2):
        world = new_world(tmp_path / f"paused-{number}", exists=exists)
        one = Paused(lambda world=world: first(world), number, world.folder / "one")
        one.wait()
        # The other one waits for the first one's locks, or is stopped as well while the first one goes on.
        other = Paused(lambda world=world: second(world), random.randint(1, others), world.folder / "other")  # noqa: S311
        pause = time.monotonic()
        while other.process.is_alive() and not other._stopped.is_set() and time.monotonic() < pause + 0.5:
            time.sleep(0.01)
        one.go_on()
        time.sleep(0.2)
        while one.process.is_alive() or other.process.is_alive():
            other.go_on()
            time.sleep(0.05)
        ended_ = [one.process.ended(), other.process.ended()]

        assert not any("Traceback" in each.stderr for each in ended_), (number, ended_)
        world.seen += [each.stdout for each in ended_]
        world.assert_nothing_is_lost()
        # Whoever came too late for the lock of a row leaves what it found.
        world.assert_every_file_works(stopped.files)


# Many kills


@pytest.mark.databases
@pytest.mark.parametrize("exists", [False, True], ids=["manifest", "rotation"])
def test_killed_often_every_file_authenticates_in_the_end(exists: bool, tmp_path: Path) -> None:
    names = tuple(f"client-{number}" for number in range(some(30, 300)))
    world = new_world(tmp_path, exists=False)
    manifest = world.folder / "manifest.json"
    manifest.write_text(json.dumps({"clients": [{"name": name} for name in names]}))

    def provision_all() -> None:
        command("provision_api_client", "--from-file", str(manifest), "--output", str(world.directory))

    def rotate_all() -> None:
        issued_long_ago()
        rotate_due(world)

    if exists:
        assert ended(provision_all, world).code == 0
    work = rotate_all if exists else provision_all
    began = time.monotonic()
    assert ended(work, World(world.folder)).code == 0
    took = time.monotonic() - began
    if not exists:
        world = new_world(tmp_path / "killed", exists=False)

    for _time in range(some(8, 200)):
        folder = world.folder / f"killed-{time.monotonic_ns()}"
        process = Process(work, folder)
        time.sleep(random.uniform(0, took))  # noqa: S311
        process.kill()

    assert ended(work, world).code == 0
    world.assert_every_file_works(names)
    assert ApiClient.objects.count() == len(names)
