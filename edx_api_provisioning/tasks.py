"""Celery tasks: the same as the commands, on the LMS's own workers.

A task may be delivered twice, and its worker may be killed at any point: the next run finds its clients unchanged, or
files to publish. Credentials go to files in a directory that outlives the worker, never into a message or a result.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from celery import shared_task
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import DatabaseFailure, InvalidSpec, OutputFailure
from edx_api_provisioning.core.parsing import parse_lifetime
from edx_api_provisioning.core.secrets import scrub_tracebacks
from edx_api_provisioning.data import Applied, Authority
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.formats.destinations import Files
from edx_api_provisioning.formats.files import make_directory
from edx_api_provisioning.formats.manifest import read

# As many as one message is about: some seconds of work, where nothing has to be hashed.
SHARD = 200
logger = logging.getLogger(__name__)
# What may succeed the next time.
_PASSING = (DatabaseFailure, OutputFailure)
_RELIABLE: dict[str, Any] = {
    "bind": True,
    "ignore_result": True,
    "acks_late": True,
    "reject_on_worker_lost": True,
    "autoretry_for": _PASSING,
    "retry_backoff": True,
    "max_retries": 8,
}


@shared_task(bind=True, name="edx_api_provisioning.notify_expiring", ignore_result=True)  # type: ignore[untyped-decorator]
def notify_expiring(self: Any) -> None:
    """Run ``notify_expiring_api_clients``; safe to run twice, and by two workers at once."""
    api.notify_expiring(authority=_authority(self))


@shared_task(name="edx_api_provisioning.provision_manifest", **_RELIABLE)  # type: ignore[untyped-decorator]
def provision_manifest(self: Any, manifest: str, *, directory: str, format: str = "env", reason: str = "") -> None:
    """Provision the clients of a manifest, side by side on all workers if they are many.

    Args:
        manifest: its text, YAML or JSON. Secrets of the operator's own are in the worker's environment.
        directory: where each client's credentials are written, in a file of mode 0600; an older one
            keeps what was not issued anew.
        format: of these files, as of the command.

    Raises:
        ProvisioningError: if the manifest is wrong.
    """
    declared = read(manifest)
    if len(declared.clients) > SHARD:
        for part in declared.split(SHARD):
            self.apply_async((part,), {"directory": directory, "format": format, "reason": reason})
        return
    files = _files(directory, format)
    _finish(api.apply(declared.clients, authority=_authority(self), destination=files, reason=reason))


@shared_task(name="edx_api_provisioning.rotate_expiring", **_RELIABLE)  # type: ignore[untyped-decorator]
def rotate_expiring(
    self: Any,
    names: list[str] | None = None,
    *,
    directory: str,
    within: str = "14d",
    grace: str | None = "7d",
    secret: bool = False,
    format: str = "env",
    reason: str = "",
) -> None:
    """Rotate every client whose token ends soon, side by side on all workers if they are many.

    Args:
        names: of the clients to look at; None for all.
        directory, format: as for :func:`provision_manifest`.
        within, grace, secret: as for the command ``rotate_api_client``.

    Raises:
        ProvisioningError: if an argument is wrong.
    """
    span, left = parse_lifetime(within), parse_lifetime(grace) if grace is not None else None
    if names is None:
        due = [client.name for client in api.list_clients(expiring_within=span)]
        limits = {"within": within, "grace": grace, "secret": secret}
        options = {"directory": directory, **limits, "format": format, "reason": reason}
        # By name, so that a task that is delivered again publishes what it has rotated and not published.
        for start in range(0, len(due), SHARD):
            self.apply_async((due[start : start + SHARD],), options)
        return
    wanted: dict[str, Any] = {"within": span, "grace": left, "secret": secret, "reason": reason}
    _finish(api.rotate_many(names, authority=_authority(self), destination=_files(directory, format), **wanted))


def _files(directory: str, format: str) -> Files:
    if format not in rendering.FORMATS:
        raise InvalidSpec(_("use one of %s.") % ", ".join(rendering.FORMATS), field="format")
    make_directory(directory)
    return Files(partial(rendering.path_of, directory=directory, format=format), format=format, force=True)


@scrub_tracebacks()
def _finish(done: Iterable[Applied]) -> None:
    """Log who was refused; what may succeed the next time is raised, so that the task is tried again."""
    passing = None
    for applied in done:
        if applied.error is not None:
            logger.error("The credentials of API client %s were not issued: %s", applied.name, applied.error)
            passing = applied.error if isinstance(applied.error, _PASSING) else passing
    if passing is not None:
        raise passing


def _authority(task: Any) -> Authority:
    task_id = str(task.request.id or "").replace("-", "")[:32]
    return Authority.operator(f"celery: {task_id}")
