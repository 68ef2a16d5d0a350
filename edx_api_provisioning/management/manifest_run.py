"""``provision_api_client --from-file``: a manifest of many clients."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import InvalidSpec, ProvisioningError
from edx_api_provisioning.data import Applied
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.formats.manifest import InvalidManifest, Manifest, read
from edx_api_provisioning.management.base import ClientCommand, IssuingCommand, operator


def read_file(path: str) -> Manifest:
    """Return the manifest in a file, or on standard input for ``-``."""
    try:
        if path == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
        return read(data.decode("utf-8-sig"))
    except InvalidManifest as error:
        lines = [f"{'standard input' if path == '-' else path}:{problem}" for problem in error.problems]
        count = ngettext("Nothing was done: %d problem.", "Nothing was done: %d problems.", len(lines)) % len(lines)
        raise ProvisioningError("\n".join([*lines, count])) from None
    except AttributeError:
        raise InvalidSpec(_("standard input is closed."), field="from_file") from None
    except UnicodeDecodeError:
        raise InvalidSpec(_("this is not UTF-8 text."), field="from_file") from None
    except OSError as error:
        raise InvalidSpec(_("cannot be read: %s.") % error.strerror, field="from_file") from None


def show_plan(command: ClientCommand, manifest: Manifest, options: dict[str, Any]) -> None:
    """Print the plans; exit with code 2 if there are changes to make."""
    counts: Counter[str] = Counter()
    changes, format = _changes(command, manifest, options, counts), options["format"]
    if format in ("json", "jsonl"):
        for text in rendering.render_list(changes, format=format):
            command.show(text)
    else:
        for change in changes:
            command.show(rendering.render_change(**change))
    says = (
        ("create", _("%d to create")),
        ("update", _("%d to update")),
        ("rotate", _("%d to rotate")),
        ("retire", _("%d to retire")),
        ("unchanged", _("%d unchanged")),
        ("failed", _("%d refused")),
    )
    command.say(_("Plan: %s.") % ", ".join(text % counts[key] for key, text in says if counts[key] or key != "failed"))
    if counts["failed"]:
        raise CommandError(_("Some clients are refused; see above."))
    if counts.total() > counts["unchanged"]:
        raise SystemExit(2)


def _changes(
    command: ClientCommand, manifest: Manifest, options: dict[str, Any], counts: Counter[str]
) -> Iterator[dict[str, Any]]:
    for spec, plan in api.plan_many(manifest.clients, authority=operator()):
        if isinstance(plan, ProvisioningError):
            counts["failed"] += 1
            command.warn(f"{spec.name}: {plan}")
        else:
            counts[plan.change] += 1
            yield rendering.change_as_dict(spec.name, plan.change, plan)
    # As a run: it retires nobody if a client is refused.
    for retired in [] if counts["failed"] else _pruned(manifest, options, authority=operator(), dry_run=True):
        counts["retire"] += 1
        yield rendering.change_as_dict(retired.name, "retire", None)


def apply(command: IssuingCommand, manifest: Manifest, options: dict[str, Any]) -> None:
    """Apply a manifest, and deliver what is issued batch by batch."""
    counts: Counter[str] = Counter()
    failed: list[str] = []
    request = {"authority": operator(), "reason": options["reason"]}
    with command.destination(options, many=True) as to:
        done = api.apply(
            manifest.clients, destination=to, verify=options["verify"], fail_fast=options["fail_fast"], **request
        )
        for applied in _with_progress(command, done, len(manifest.clients)):
            _tell(command, applied, counts, failed)
            credentials = applied.credentials
            if credentials and not credentials.issued and options["format"] in ("json", "jsonl"):
                to.add([credentials])
    if failed and options["prune"]:
        command.say(_("Nothing was pruned, because some clients failed."))
    for retired in [] if failed else _pruned(manifest, options, **request):
        _tell(command, retired, counts, failed)
    command.say(_("Result: %s.") % (", ".join(f"{count} {status}" for status, count in counts.items()) or _("nothing")))
    if failed:
        shown = ", ".join(failed[:10]) + ("…" if len(failed) > 10 else "")
        raise CommandError(_("Not provisioned: %s.") % shown)


def require_name(manifest: Manifest) -> None:
    """Raise InvalidSpec if the manifest has no name, by which --prune finds the clients that have left it."""
    if manifest.name is None:
        raise InvalidSpec(_("the manifest has no name; add manifest: NAME."), field="prune")


def _pruned(manifest: Manifest, options: dict[str, Any], **how: Any) -> Iterable[Applied]:
    if not options["prune"]:
        return []
    assert manifest.name is not None  # noqa: S101 - for the type checker: require_name() was called
    return api.prune(manifest.name, {spec.name for spec in manifest.clients}, **how)


def _tell(command: ClientCommand, applied: Applied, counts: Counter[str], failed: list[str]) -> None:
    if applied.error is not None:
        counts["failed"] += 1
        failed.append(applied.name)
        command.warn(f"{applied.name}: {applied.error}")
        return
    credentials = applied.unwrap()
    counts[str(credentials.status)] += 1
    for warning in credentials.warnings:
        command.say(f"{applied.name}: " + _("Warning: %s") % warning)


def _with_progress(command: ClientCommand, done: Iterator[Applied], total: int) -> Iterator[Applied]:
    """Yield the results, and show the progress on a terminal."""
    stderr = command.stderr
    shown = stderr.isatty() and not command.quiet
    began = last = time.monotonic()
    try:
        for number, applied in enumerate(done, 1):
            yield applied
            now = time.monotonic()
            if shown and now - last > 0.2:
                last, rate = now, number / (now - began)
                says = _("%(number)d of %(total)d clients, %(rate)d a second, %(left)d s left")
                values = {"number": number, "total": total, "rate": rate, "left": (total - number) / rate}
                stderr.write(f"\r\x1b[K{says % values}", ending="")
                stderr.flush()
    finally:
        if shown:
            stderr.write("\r\x1b[K", ending="")
