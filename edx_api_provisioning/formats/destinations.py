"""Deliver credentials to the caller, to a stream, or to a private file for each client.

:mod:`edx_api_provisioning.services.delivery` calls these in its order: check, settle and stage before the commit,
settle after it.
"""

from __future__ import annotations

import io
import os
import select
import stat
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import OutputFailure, ProvisioningError
from edx_api_provisioning.core.results import Credentials, IssueIds
from edx_api_provisioning.core.secrets import scrub_tracebacks
from edx_api_provisioning.formats import files, rendering

# Seconds to wait for the reader of a pipe: meanwhile rows of the database are locked.
PATIENCE = 10


class Destination:
    """Return credentials to the caller, who delivers them within a transaction of their own."""

    durable = False
    """Tell whether the transaction has to be the outermost one: what is delivered may not be rolled back later."""
    settles = False
    """Tell whether there is anything to publish after the commit."""
    spent = False
    """Tell whether it has failed in a way that nothing more can be delivered to it."""

    def left(self, names: Iterable[str]) -> list[str]:
        """Return the clients whose credentials an earlier run staged and did not publish."""
        return []

    def check(
        self, client_ids: Callable[[Collection[str]], Mapping[str, Collection[str]]], names: Iterable[str]
    ) -> dict[str, OutputFailure]:
        """Return why credentials cannot be delivered, by client.

        Args:
            client_ids: returns the client ids that clients have, by name.
        """
        return {}

    def settle(self, issues: Mapping[str, IssueIds]) -> dict[str, ProvisioningError]:
        """Publish what is staged for clients, if it is current; remove it if not. The clients' rows are locked.

        Args:
            issues: the ids of their current secrets and tokens, by name.

        Returns:
            Why something that is current could not be published, by name.
        """
        return {}

    def add(self, results: Sequence[Credentials]) -> None:
        """Show results that hold no secret, where that is what the destination is for."""

    def stage(self, issued: Sequence[Credentials]) -> None:
        """Deliver credentials as far as possible before they are committed, or raise OutputFailure."""

    def discard(self) -> None:
        """Take back what was staged, because its transaction was rolled back; raise OutputFailure if that fails."""

    def done(self) -> None:
        """Forget what was staged: it is committed, and published where it can be."""

    def unknown(self) -> str:
        """Leave what was staged, because it may be committed; return a sentence that says where it is."""
        return ""


class Stream(Destination):
    """Write credentials to standard output or another stream.

    Args:
        out: a text stream, with or without a file descriptor.
        render: returns the text of one result among others.
        array: write the elements of one JSON array.
    """

    durable = True

    def __init__(self, out: Any, render: Callable[[Credentials], str], *, array: bool = False) -> None:
        self._out, self._render, self._array = out, render, array
        self._count = 0

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if self._array:
            try:
                write(self._out, "\n]\n" if self._count else "[]\n")
            except OutputFailure:
                if kind is None:
                    raise

    @scrub_tracebacks()
    def add(self, results: Sequence[Credentials]) -> None:
        """Write results."""
        texts = [self._render(each) for each in results]
        if self._array:
            opening = "[\n" if not self._count else ",\n"
            texts = [opening + ",\n".join(text.rstrip("\n") for text in texts)]
        self._count += len(results)
        write(self._out, "".join(texts))

    def stage(self, issued: Sequence[Credentials]) -> None:
        """Write the credentials before they are committed."""
        self.spent = True  # until it is committed
        self.add(issued)

    def discard(self) -> None:
        """Report that what was written is void."""
        if self.spent:
            raise files.refuse(_("The credentials above do not work: the database has rolled them back."))

    def done(self) -> None:
        """Note that the credentials were committed."""
        self.spent = False

    def unknown(self) -> str:
        """Return a sentence about what was written, if the commit was not confirmed."""
        return _("The credentials above work only if the database has committed them.") if self.spent else ""


def write(out: Any, text: str) -> None:
    """Write all of a text to a stream now, or raise OutputFailure."""
    try:
        encoded = text.encode(getattr(out, "encoding", None) or "utf-8", getattr(out, "errors", None) or "strict")
        out.flush()
        try:
            descriptor = out.fileno()
        except io.UnsupportedOperation:  # a stream in memory
            out.write(text)
            out.flush()
            return
        _write(descriptor, encoded)
    except UnicodeEncodeError as error:
        why = _("its encoding (%s) lacks a character; set PYTHONIOENCODING=utf-8") % error.encoding
    except (AttributeError, OSError, ValueError) as error:  # AttributeError and ValueError: it is closed.
        why = getattr(error, "strerror", None) or _("standard output is closed")
    else:
        return
    raise OutputFailure(_("the result could not be written: %s.") % why) from None


def _write(descriptor: int, data: bytes) -> None:
    # A pipe that polls as writable takes as much as this without blocking (POSIX).
    poll, last = select.poll(), time.monotonic() + PATIENCE
    poll.register(descriptor, select.POLLOUT)
    while data:
        if not poll.poll(max(0, 1000 * (last - time.monotonic()))):
            raise TimeoutError(0, _("nobody reads it"))
        data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]


def open_stream(path: str, stdout: Any) -> Any:
    """Return the stream that a path names: standard output for ``-``, a FIFO or a terminal; None for a file.

    Raises:
        OutputFailure: if the path is empty or names another kind of file.
    """
    if not path:
        raise files.refuse(_("the path is empty."))
    if path == "-":
        if stdout is None:
            raise OutputFailure(_("standard output is closed."))
        return stdout
    with files.explained(Path(path)):
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        with suppress(AttributeError, OSError, ValueError):
            if os.path.samestat(found, os.fstat(stdout.fileno())):
                return stdout
        if stat.S_ISFIFO(found.st_mode):
            if found.st_uid not in (0, os.geteuid()):
                raise files.refuse(_("%s belongs to another user; give another file.") % path)
            return open(path, "w", encoding="utf-8")
        if stat.S_ISCHR(found.st_mode):
            terminal = open(path, "w", encoding="utf-8")  # noqa: SIM115
            if terminal.isatty():
                return terminal
            terminal.close()
    return None


class Files(Destination):
    """Write the credentials of each client to a private file.

    They are staged in a hidden file beside it, whose name says of which secret and token they are, and renamed after
    the commit. A file of the same client and format keeps what was not issued anew; any other one is replaced only by
    ``force``.

    Args:
        path_of: returns the path of the file for a client's name.
        format: one of :data:`~edx_api_provisioning.formats.rendering.FORMATS`.
    """

    durable = settles = True

    def __init__(self, path_of: Callable[[str], str], *, format: str, force: bool) -> None:
        self._path_of, self._format, self._force = path_of, format, force
        self._checked: set[Path] = set()
        self._staged: list[Path] = []

    def left(self, names: Iterable[str]) -> list[str]:
        """Return the names of the clients with staged files of an earlier run."""
        targets = {name: self._target(name) for name in names}
        found = {directory: files.staged_in(directory) for directory in {path.parent for path in targets.values()}}
        return [name for name, target in targets.items() if files.staged_prefix(target, name) in found[target.parent]]

    def check(
        self, client_ids: Callable[[Collection[str]], Mapping[str, Collection[str]]], names: Iterable[str]
    ) -> dict[str, OutputFailure]:
        """Return the clients whose files cannot be written, with the reason."""
        problems, existing = {}, {}
        for name in names:
            target = self._target(name)
            try:
                if target.parent not in self._checked:
                    files.check_directory(target.parent)
                    self._checked.add(target.parent)
                if text := files.read_target(target):
                    existing[name] = rendering.parse(text, format=self._format) or {}
            except OutputFailure as problem:
                problems[name] = problem
        allowed = client_ids(existing.keys()) if existing and not self._force else {}
        for name, values in existing.items():
            if not self._force and not (values.get("name") == name and values["client_id"] in allowed.get(name, ())):
                problems[name] = _in_the_way(self._target(name))
        return problems

    def settle(self, issues: Mapping[str, IssueIds]) -> dict[str, ProvisioningError]:
        """Publish the staged files that hold the current credentials, and delete the others."""
        problems: dict[str, ProvisioningError] = {}
        targets = {name: self._target(name) for name in issues}
        directories = {target.parent for target in targets.values()}
        found = {directory: files.staged_in(directory) for directory in directories}
        for name, target in targets.items():
            staged = found[target.parent].get(files.staged_prefix(target, name), [])
            # One that is entirely current first: nothing has to be merged then.
            for each in sorted(staged, key=lambda each: each.issues != issues[name]):
                try:
                    self._settle(name, each, target, issues[name])
                except OutputFailure as problem:
                    problems[name] = files.refuse(f"{problem.message} {_says([each.path])}")
        if self._staged:
            for directory in directories:
                files.sync_directory(directory)
        return problems

    def _settle(self, name: str, staged: files.Staged, target: Path, current: IssueIds) -> None:
        # What its run did not issue is in the target as well, or has been replaced there since.
        secret, token = (new and ours == now for new, ours, now in zip(staged.new, staged.issues, current, strict=True))
        if not secret and not token:
            staged.path.unlink(missing_ok=True)
            return
        exists, held = self._held(name, target)
        with files.explained(target):
            path = staged.path
            if staged.issues != current:
                text = _merged(path.read_text(encoding="utf-8"), held, format=staged.format, secret=secret, token=token)
                # Nothing in it is new by its name: if this run ends here, the next one removes it.
                path = files.staged_path(target, name, current, (False, False), staged.format)
                path.unlink(missing_ok=True)
                files.stage(path, text, target)
            try:
                files.publish(path, target, replace=exists)
            except FileExistsError:
                raise _in_the_way(target) from None
            staged.path.unlink(missing_ok=True)

    def _held(self, name: str, target: Path) -> tuple[bool, dict[str, Any]]:
        """Return whether the target exists, and what it holds of the client; raise if it may not be replaced."""
        text = files.read_target(target)
        held = (rendering.parse(text, format=self._format) if text else None) or {}
        if text and held.get("name") != name:
            if not self._force:
                raise _in_the_way(target)
            held = {}
        return text is not None, held

    @scrub_tracebacks()
    def stage(self, issued: Sequence[Credentials]) -> None:
        """Write the credentials to files beside their targets, before they are committed."""
        for credentials in issued:
            target = self._target(credentials.name)
            values = rendering.as_dict(credentials)
            _exists, held = self._held(credentials.name, target)
            values |= _kept(values, held, target=None if self._force else target)
            text = rendering.render_values(values, format=self._format)
            new = (credentials.client_secret is not None, credentials.access_token is not None)
            staged = files.staged_path(target, credentials.name, credentials.issues, new, self._format)
            files.stage(staged, text, target)
            self._staged.append(staged)
        for directory in {path.parent for path in self._staged}:
            files.sync_directory(directory)

    def discard(self) -> None:
        """Delete the staged files."""
        while self._staged:
            with suppress(OSError):
                os.unlink(self._staged.pop())

    def done(self) -> None:
        """Note that the staged files were published."""
        self._staged = []

    def unknown(self) -> str:
        """Return a sentence about the staged files, if the commit was not confirmed."""
        staged = [path for path in self._staged if path.exists()]
        self._staged = []
        return _says(staged) if staged else ""

    def _target(self, name: str) -> Path:
        return Path(self._path_of(name))


def _says(staged: Sequence[Path]) -> str:
    return _("The credentials are in %s; the same command again renames it.") % ", ".join(map(str, staged))


def _in_the_way(target: Path) -> OutputFailure:
    return files.refuse(_("%s exists and holds something else; give --force to replace it.") % target)


_OF_TOKEN = ("access_token", "token_type", "expires_at", "expires_in", "scope")


def _kept(values: Mapping[str, Any], held: Mapping[str, Any], *, target: Path | None) -> dict[str, Any]:
    """Return what a file holds of the secrets that were not issued anew.

    If it holds credentials of another application, raise OutputFailure that names the target; without one give them up.
    """
    # A client without a token has revoked the one in the file.
    current = ("client_secret", "access_token") if values["expires_at"] else ("client_secret",)
    kept = {key: held[key] for key in current if not values[key] and held.get(key)}
    if kept and held["client_id"] != values["client_id"]:
        if target is not None:
            raise files.refuse(_("%s holds credentials of another application; give another file.") % target)
        return {}
    return kept


def _merged(text: str, held: Mapping[str, Any], *, format: str, secret: bool, token: bool) -> str:
    """Return the part of staged credentials that is current, with the rest of the target."""
    values = rendering.parse(text, format=format) if format in rendering.FORMATS else None
    if values is None:
        raise files.refuse(_("its staged file cannot be read."))
    known = held if held.get("client_id") == values["client_id"] else {}
    for key in () if secret else ("client_secret",):
        values[key] = known.get(key)
    for key in () if token else _OF_TOKEN:
        values[key] = known.get(key)
    return rendering.render_values(values, format=format)
