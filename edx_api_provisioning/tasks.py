"""The door for Celery: the same as the commands, on the LMS's own workers.

A task may be delivered twice, and its worker may be killed at any point: what was done is not done again, and what was
issued and not written out is issued anew. Credentials go to files in a directory that outlives the worker, never into a
message or a result.
"""

from __future__ import annotations

import logging
import secrets
import uuid
from functools import partial
from typing import Any

from celery import shared_task

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import DatabaseFailure, OutputFailure, ProvisioningError
from edx_api_provisioning.core.parsing import parse_lifetime
from edx_api_provisioning.core.secrets import scrub_tracebacks
from edx_api_provisioning.data import Authority, Credentials
from edx_api_provisioning.formats import files, rendering
from edx_api_provisioning.formats.manifest import read

# As many as one message is about: some seconds of work, where nothing has to be hashed.
SHARD = 200
logger = logging.getLogger(__name__)
_RELIABLE: dict[str, Any] = {
    "bind": True,
    "ignore_result": True,
    "acks_late": True,
    "reject_on_worker_lost": True,
    # What may pass; all else is said in the log, and the same the next time.
    "autoretry_for": (DatabaseFailure, OutputFailure),
    "retry_backoff": True,
    "max_retries": 8,
}


@shared_task(bind=True, name="edx_api_provisioning.notify_expiring", ignore_result=True)  # type: ignore[untyped-decorator]
def notify_expiring(self: Any) -> None:
    """As the command ``notify_expiring_api_clients``: safe to run twice, and by two workers at once."""
    api.notify_expiring(authority=_authority(self))


@shared_task(name="edx_api_provisioning.provision_manifest", **_RELIABLE)  # type: ignore[untyped-decorator]
def provision_manifest(self: Any, manifest: str, *, directory: str, format: str = "env", reason: str = "") -> None:
    """Provision the clients of a manifest, side by side on all workers if they are many.

    Args:
        manifest: its text, YAML or JSON. Secrets of the operator's own are in the worker's environment.
        directory: where each client's credentials are written, in a file of mode 0600; an older one is replaced.
        format: of these files, as of the command.

    Raises:
        ProvisioningError: if the manifest is wrong.
    """
    declared = read(manifest)
    if len(declared.clients) > SHARD:
        for part in declared.split(SHARD):
            self.apply_async((part,), {"directory": directory, "format": format, "reason": reason})
        return
    passing: list[DatabaseFailure] = []
    give = partial(_write, directory=directory, format=format)
    request: dict[str, Any] = {"authority": _authority(self), "reason": reason, "run_id": _run_id(self)}
    for applied in api.apply(declared.clients, hand_over=give, **request):
        if applied.error is not None:
            logger.error("The API client %s was not provisioned: %s", applied.name, applied.error)
            passing += [applied.error] if isinstance(applied.error, DatabaseFailure) else []
    if passing:
        raise passing[0]


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
        options = {"directory": directory, "within": within, "grace": grace, "secret": secret, "format": format}
        # By name, so that a task that is delivered again finds what it has rotated and not written out.
        for start in range(0, len(due), SHARD):
            self.apply_async((due[start : start + SHARD],), {**options, "reason": reason})
        return
    passing: list[DatabaseFailure] = []
    give = partial(_write, directory=directory, format=format)
    request: dict[str, Any] = {"authority": _authority(self), "reason": reason, "run_id": _run_id(self)}
    for name in names:
        try:
            rotated = api.rotate_due(name, within=span, grace=left, secret=secret, **request)
            if rotated is not None:
                api.hand_over([rotated], give, run_id=request["run_id"], alone=False)
        except OutputFailure:
            raise
        except ProvisioningError as error:
            logger.error("The API client %s was not rotated: %s", name, error)
            passing += [error] if isinstance(error, DatabaseFailure) else []
    if passing:
        raise passing[0]


def _authority(task: Any) -> Authority:
    return Authority.operator(f"celery: {_task_id(task)}")


def _run_id(task: Any) -> str:
    """Up to the dot the same for a task that is delivered or tried again, perhaps while it still goes on elsewhere."""
    return f"{_task_id(task) or uuid.uuid4().hex}.{secrets.token_hex(4)}"


def _task_id(task: Any) -> str:
    return str(task.request.id or "").replace("-", "")[:32]


@scrub_tracebacks()
def _write(issued: list[Credentials], directory: str, format: str) -> None:
    files.make_directory(directory)
    texts = {
        rendering.path_of(credentials.name, directory, format=format): rendering.render(
            credentials, api.verify(credentials), format=format
        )
        for credentials in issued
    }
    files.write_files(texts, force=True)
