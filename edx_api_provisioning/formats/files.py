"""Write files atomically, readable by their owner only."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import OutputFailure


def make_directory(path: str) -> None:
    """See to it that a directory is there; a new one is its owner's alone.

    Raises:
        OutputFailure: if that cannot be.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        message = _("the directory %(path)s cannot be made: %(why)s.") % {"path": path, "why": error.strerror}
        raise OutputFailure(message, field="output") from None


def write_files(texts: Mapping[str, str], *, force: bool) -> None:
    """Write a text to a new file under each path: to all of them, or to none.

    Raises:
        OutputFailure: as :class:`NewFile`. What ``force`` has replaced by then is gone.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(NewFile(path, force=force)) for path in texts]
        for file, text in zip(files, texts.values(), strict=True):
            file.fill(text)
        seen: list[NewFile] = []
        try:
            for file in files:
                file.appear()
                seen.append(file)
        except OutputFailure:
            for file in seen:
                file.disappear()
            raise


class NewFile:
    """A file that appears under its name whole or not at all, and is its owner's alone from the first byte.

    Used as a context; leaving it without :meth:`write` leaves nothing behind.

    Raises:
        OutputFailure: if the file exists and ``force`` is off, or cannot be written.
    """

    def __init__(self, path: str, *, force: bool) -> None:
        self._target, self._force = Path(path), force

    def __enter__(self) -> NewFile:
        with self._explained():
            if self._target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if self._target.exists() and not self._target.is_file():
                # A device or a pipe; replacing /dev/null would be felt.
                raise OutputFailure(_("%s is not a regular file.") % self._target, field="output")
            if not self._force and os.path.lexists(self._target):
                raise OutputFailure(_("%s exists; give --force to replace it.") % self._target, field="output")
            # mkstemp gives mode 0600 and a name of nobody else's.
            descriptor, self._draft = tempfile.mkstemp(dir=self._target.parent, prefix=f".{self._target.name}.")
            self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        return self

    def write(self, text: str) -> None:
        """Fill it and let it appear."""
        self.fill(text)
        self.appear()

    def fill(self, text: str) -> None:
        """Have all of it on the disk, under no name that anybody looks for yet."""
        with self._explained():
            self._file.write(text)
            self._file.flush()
            os.fsync(self._file.fileno())

    def appear(self) -> None:
        """Give it its name."""
        with self._explained():
            if self._force:
                os.replace(self._draft, self._target)
            else:
                os.link(self._draft, self._target)  # Unlike a rename, it fails if somebody was faster.

    def disappear(self) -> None:
        """Take it away again."""
        with suppress(OSError):
            os.unlink(self._target)

    def __exit__(self, *_error: object) -> None:
        # What could not be flushed to a full disk is tried again on closing.
        with suppress(OSError):
            self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._draft)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputFailure(
                _("%(path)s cannot be written: %(why)s.") % {"path": self._target, "why": error.strerror},
                field="output",
            ) from None
