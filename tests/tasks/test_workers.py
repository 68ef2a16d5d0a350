"""Test tasks on real workers with a real broker: killed, delivered twice, in parallel."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery import Celery
from django.contrib.auth import get_user_model
from django.db import connection
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning import api
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from tests.factories import OPERATOR
from tests.lifecycle_helpers import answer, issued_long_ago
from tests.subprocesses import database_for_processes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.databases]

ROOT = Path(__file__).parents[2]
BROKER = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
NAMES = [f"client-{number}" for number in range(24)]
TIMEOUT = 60  # seconds, for what takes a few


class Site:
    """The site's broker and workers in separate processes."""

    def __init__(self, folder: Path) -> None:
        self.queue = f"test-{uuid.uuid4()}"
        self.celery = Celery("tests", broker=BROKER, set_as_current=False)
        self.log = folder / "workers.log"
        url = connection.settings_dict
        database = {
            "sqlite": f"sqlite:///{url['NAME']}",
            "mysql": f"mysql://{url['USER']}@{url['HOST']}:{url['PORT']}/{url['NAME']}",
            "postgresql": f"postgres://{url['USER']}@{url['HOST']}:{url['PORT']}/{url['NAME']}",
        }
        self._environment = {
            **os.environ,
            "DATABASE_URL": database[connection.vendor],
            "TEST_BROKER": BROKER,
            "TEST_QUEUE": self.queue,
            "PYTHONPATH": str(ROOT),
        }
        self._environment.pop("PYTHONDEVMODE", None)
        self.workers: list[subprocess.Popen[bytes]] = []

    def work(self, count: int) -> None:
        """Start workers, each with a process for its tasks."""
        for _number in range(count):
            command = [sys.executable, "-m", "celery", "--app", "tests.celery_app", "worker", "--concurrency=1"]
            command += ["--without-gossip", "--without-mingle", "--prefetch-multiplier=1", f"--hostname={uuid.uuid4()}"]
            with self.log.open("ab") as log:
                self.workers.append(
                    subprocess.Popen(
                        command, cwd=ROOT, env=self._environment, stdout=log, stderr=log, start_new_session=True
                    )
                )

    def kill(self) -> None:
        """Kill workers and their child processes, like `kill -9`."""
        for worker in self.workers:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        self.workers = []

    def send(self, task: str, *args: Any, **options: Any) -> None:
        self.celery.send_task(f"edx_api_provisioning.{task}", args, options, queue=self.queue)

    def until(self, true: Any) -> None:
        """Wait until the condition holds."""
        end = time.monotonic() + TIMEOUT
        while not true():
            assert time.monotonic() < end, self.log.read_text()[-4000:]
            time.sleep(0.02)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    address = urlsplit(BROKER)
    socket.create_connection((address.hostname, address.port), timeout=5).close()  # It must exist.
    with database_for_processes(tmp_path):
        site = Site(tmp_path)
        try:
            yield site
        finally:
            site.kill()
            site.celery.close()


def written(directory: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in directory.glob("[!.]*.json")}


def assert_each_is_there_once_and_works(directory: Path) -> None:
    files = written(directory)
    assert sorted(files) == sorted(NAMES)
    assert {name: answer(file["access_token"]) for name, file in files.items()} == dict.fromkeys(NAMES, "ok")
    assert ApiClient.objects.count() == len(NAMES)
    assert not [*directory.glob(".api-client-*")]
    for model in (get_application_model(), get_access_token_model(), get_user_model()):
        assert model.objects.count() == len(NAMES)


@pytest.mark.vendor("mysql", "postgresql")
def test_killed_workers_lose_no_credentials(site: Site, tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    manifest = json.dumps({"clients": [{"name": name} for name in NAMES]})
    # Twice, as a broker may deliver it.
    for _time in range(2):
        site.send("provision_manifest", manifest, directory=str(directory), format="json")
    site.work(2)
    site.until(lambda: ApiClient.objects.exists() or written(directory))
    site.kill()

    site.work(2)
    site.until(lambda: len(written(directory)) == len(NAMES))
    site.until(lambda: not [*directory.glob(".api-client-*")])

    assert_each_is_there_once_and_works(directory)


@pytest.mark.vendor("mysql", "postgresql")
def test_parallel_workers_rotate_once(site: Site, tmp_path: Path) -> None:
    for name in NAMES:
        api.provision(ClientSpec(name=name, expires_in=timedelta(days=3)), authority=OPERATOR)
    issued_long_ago()
    api.provision(ClientSpec(name="later"), authority=OPERATOR)
    directory = tmp_path / "credentials"
    for _time in range(3):
        site.send("rotate_expiring", directory=str(directory), within="14d", grace=None, format="json")

    site.work(2)
    site.until(lambda: len(written(directory)) == len(NAMES))
    site.until(lambda: not [*directory.glob(".api-client-*")])

    assert {name: answer(file["access_token"]) for name, file in written(directory).items()} == dict.fromkeys(
        NAMES, "ok"
    )
    events = ApiClient.objects.get(name="client-0").events.filter(kind="rotated")
    assert [event.actor.partition(":")[0] for event in events] == ["celery"]
    assert ApiClient.objects.filter(events__kind="rotated").distinct().count() == len(NAMES)
    assert not ApiClient.objects.get(name="later").events.filter(kind="rotated").exists()
