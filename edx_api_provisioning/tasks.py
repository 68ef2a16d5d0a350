"""The door for Celery: the same as the commands, on the LMS's own workers."""

from __future__ import annotations

from celery import shared_task

from edx_api_provisioning import api


@shared_task(name="edx_api_provisioning.notify_expiring", ignore_result=True)  # type: ignore[untyped-decorator]
def notify_expiring() -> None:
    """As the command ``notify_expiring_api_clients``: safe to run twice, and by two workers at once."""
    api.notify_expiring(actor="celery")
