"""The LMS's Celery workers send the notices as the command does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery, current_app
from django.core import mail

from edx_api_provisioning import tasks
from tests.life import last_event, provisioned

pytestmark = pytest.mark.django_db

NAME = "edx_api_provisioning.notify_expiring"


def test_the_task_has_the_name_that_schedules_are_written_with() -> None:
    assert tasks.notify_expiring.name == NAME
    assert NAME in current_app.tasks
    assert tasks.notify_expiring.ignore_result is True


def test_an_app_like_the_lms_finds_the_task_where_celery_looks_for_it() -> None:
    app = Celery("lms", set_as_current=False)
    app.autodiscover_tasks(["edx_api_provisioning"], force=True)

    assert NAME in app.tasks


def test_the_task_notifies(settings: Any) -> None:
    provisioned(contact="owner@example.org", expires_in=timedelta(days=5))

    assert tasks.notify_expiring.apply(task_id="thetask").get() is None
    tasks.notify_expiring.apply().get()

    assert [message.to for message in mail.outbox] == [["owner@example.org"]]
    assert (last_event().kind, last_event().actor) == ("notified", "celery: thetask")
