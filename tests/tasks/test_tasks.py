"""Test the Celery tasks without workers; tests/tasks/test_workers.py uses real ones."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, current_app
from django.contrib.auth import get_user_model
from django.core import mail

from edx_api_provisioning import tasks
from edx_api_provisioning.core.exceptions import DatabaseFailure, InvalidSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.services import provisioning, rotation
from tests.lifecycle_helpers import answer, issued_long_ago, last_event, provisioned

pytestmark = pytest.mark.django_db

NAME = "edx_api_provisioning.notify_expiring"


def test_task_has_a_stable_name_and_is_discovered() -> None:
    app = Celery("lms", set_as_current=False)
    app.autodiscover_tasks(["edx_api_provisioning"], force=True)
    assert NAME in app.tasks
    assert tasks.notify_expiring.name == NAME
    assert NAME in current_app.tasks
    assert tasks.notify_expiring.ignore_result is True


@pytest.mark.versions
def test_task_sends_notices(settings: Any) -> None:
    provisioned(contact="owner@example.org", expires_in=timedelta(days=5))

    assert tasks.notify_expiring.apply(task_id="thetask").get() is None
    tasks.notify_expiring.apply().get()

    assert [message.to for message in mail.outbox] == [["owner@example.org"]]
    assert (last_event().kind, last_event().actor) == ("notified", "celery: thetask")


# Credentials


def manifest(*names: str, **wanted: Any) -> str:
    return json.dumps({"clients": [{"name": name} | wanted for name in names]})


def apply(task: Any, *arguments: Any, **options: Any) -> str:
    """Run the task and return its state."""
    return str(task.apply(arguments, {"format": "json"} | options, task_id="thetask").state)


def answers(directory: Path) -> dict[str, str]:
    """Return the site's answer to the token in each file."""
    return {path.stem: answer(json.loads(path.read_text())["access_token"]) for path in directory.glob("*.json")}


class Sent(list[tuple[tuple[Any, ...], dict[str, Any]]]):
    """Records what a task sends to other workers."""

    def __call__(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.append((arguments, options))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(tasks, "SHARD", 2)
    for task in (tasks.provision_manifest, tasks.rotate_expiring):
        monkeypatch.setattr(task, "apply_async", sent)
    return sent


@pytest.mark.databases
@pytest.mark.versions
def test_manifest_is_split_among_workers(sent: Sent, tmp_path: Path) -> None:
    text = manifest("aa", "bb", "cc", "dd", "ee")

    assert apply(tasks.provision_manifest, text, directory=str(tmp_path), reason="spring") == "SUCCESS"
    assert (len(sent), ApiClient.objects.count()) == (3, 0)
    for arguments, options in sent:
        assert apply(tasks.provision_manifest, *arguments, **options) == "SUCCESS"

    assert answers(tmp_path) == dict.fromkeys(("aa", "bb", "cc", "dd", "ee"), "ok")
    assert {*ApiClientEvent.objects.values_list("actor", "reason")} == {("celery: thetask", "spring")}


def test_refused_client_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    get_user_model().objects.create_user("taken", "taken@localhost")

    assert apply(tasks.provision_manifest, manifest("taken", "free"), directory=str(tmp_path)) == "SUCCESS"

    assert answers(tmp_path) == {"free": "ok"}
    (line,) = [record.getMessage() for record in caplog.records if record.name == tasks.logger.name]
    assert line.startswith("The credentials of API client taken were not issued: username: ")


@pytest.mark.versions
@pytest.mark.parametrize("task", ["provision_manifest", "rotate_expiring"])
def test_database_failure_is_retried(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [DatabaseFailure("not now"), DatabaseFailure("nor now")]

    def busy(do: Any) -> Any:
        def tried(*arguments: Any, **options: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return do(*arguments, **options)

        return tried

    if task == "provision_manifest":
        monkeypatch.setattr(provisioning, "provision_all", busy(provisioning.provision_all))
        apply(tasks.provision_manifest, manifest("report"), directory=str(tmp_path))
    else:
        provisioned(expires_in=timedelta(days=5))
        issued_long_ago()
        monkeypatch.setattr(rotation, "_rotate", busy(rotation._rotate))
        apply(tasks.rotate_expiring, ["report"], directory=str(tmp_path))

    assert answers(tmp_path) == {"report": "ok"}


@pytest.mark.versions
def test_due_clients_are_split_among_workers(sent: Sent, tmp_path: Path) -> None:
    for number in range(3):
        provisioned(f"due-{number}", username=f"due-{number}", expires_in=timedelta(days=5))
    provisioned("later")
    issued_long_ago()

    assert apply(tasks.rotate_expiring, directory=str(tmp_path), within="7d", grace=None, reason="May") == "SUCCESS"
    assert [arguments for arguments, _options in sent] == [(["due-0", "due-1"],), (["due-2"],)]
    for arguments, options in sent:
        assert apply(tasks.rotate_expiring, *arguments, **options) == "SUCCESS"

    assert answers(tmp_path) == {f"due-{number}": "ok" for number in range(3)}
    assert {*ApiClientEvent.objects.filter(kind="rotated").values_list("actor", "reason")} == {
        ("celery: thetask", "May")
    }


def test_failed_rotation_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("off", "due"):
        provisioned(name, username=name, expires_in=timedelta(days=5))
    provisioned("later")
    issued_long_ago()
    get_user_model().objects.filter(username="off").update(is_active=False)

    assert apply(tasks.rotate_expiring, ["off", "later", "due"], directory=str(tmp_path)) == "SUCCESS"

    assert answers(tmp_path) == {"due": "ok"}
    (line,) = [record.getMessage() for record in caplog.records if record.name == tasks.logger.name]
    assert line.startswith("The credentials of API client off were not issued: name: the user is not active")


def test_failed_write_is_retried(tmp_path: Path) -> None:
    provisioned(expires_in=timedelta(days=5))
    issued_long_ago()
    in_the_way = tmp_path / "credentials"
    in_the_way.touch()

    assert apply(tasks.rotate_expiring, ["report"], directory=str(in_the_way)) != "SUCCESS"
    in_the_way.unlink()
    assert apply(tasks.rotate_expiring, ["report"], directory=str(in_the_way)) == "SUCCESS"

    assert answers(in_the_way) == {"report": "ok"}


@pytest.mark.parametrize("task", [tasks.provision_manifest, tasks.rotate_expiring])
def test_unknown_format_is_refused(task: Any, tmp_path: Path) -> None:
    arguments = ("clients: [{name: report}]",) if task is tasks.provision_manifest else (["report"],)

    with pytest.raises(InvalidSpec, match="use one of text, json"):
        task.apply(arguments, {"directory": str(tmp_path), "format": "bogus"}).get()

    assert not ApiClient.objects.exists()
