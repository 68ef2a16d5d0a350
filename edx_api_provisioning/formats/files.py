"""Write files that hold credentials: complete or not at all, and readable by their owner alone."""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import OutputFailure
from edx_api_provisioning.core.results import IssueIds

_HIDDEN = ".api-client-"
_STAGED = re.compile(
    r"(?P<prefix>\.api-client-[0-9a-f]{16}-)(?P<secret>[nk][0-9a-f]*)-(?P<token>[nk][0-9a-f]*)\.(?P<format>[a-z-]+)"
)

# The errors of link() where a file system has no hard links (exFAT, some network mounts).
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES}


def refuse(message: str) -> OutputFailure:
    """Return the error for an output that cannot be written."""
    return OutputFailure(message, field="output")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError into an OutputFailure of one line."""
    try:
        yield
    except OSError as error:
        raise refuse(_("%(path)s cannot be written: %(why)s.") % {"path": path, "why": error.strerror}) from None


def make_directory(path: str) -> None:
    """Create a directory of mode 0700 unless it exists."""
    with explained(Path(path)):
        os.makedirs(path, mode=0o700, exist_ok=True)


def check_directory(path: Path) -> None:
    """Raise OutputFailure if others can write the directory, or if files in it cannot have mode 0600."""
    with explained(path):
        found = os.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if found.st_uid not in (0, os.geteuid()):
            raise refuse(_("the directory %s belongs to another user, who could replace the file.") % path)
        by_group = found.st_mode & stat.S_IWGRP and (
            _has_acl(path) or not _is_private_group(found.st_gid, found.st_uid)
        )
        if (found.st_mode & stat.S_IWOTH or by_group) and not found.st_mode & stat.S_ISVTX:
            raise refuse(
                _("other users can write to the directory %(path)s; run: chmod go-w %(path)s.") % {"path": path}
            )
        probe = path / f"{_HIDDEN}{os.urandom(8).hex()}"
        descriptor = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            made = os.fstat(descriptor)
        finally:
            os.close(descriptor)
            os.unlink(probe)
    if made.st_mode & 0o077 or made.st_uid != os.geteuid():
        raise refuse(_("the file system of %s does not keep files private (mode 0600).") % path)


def _is_private_group(gid: int, owner: int) -> bool:
    """Return True if nobody but the owner is in the group, which has the same name: then a umask of 002 is harmless."""
    try:
        name, group = pwd.getpwuid(owner).pw_name, grp.getgrgid(gid)
    except KeyError:
        return False
    members = {*group.gr_mem, *(account.pw_name for account in pwd.getpwall() if account.pw_gid == gid)}
    return group.gr_name == name and members <= {name}


def _has_acl(path: Path) -> bool:
    """Return True if an access control list names more accounts: the mode shows then what each may do at most."""
    with suppress(OSError, AttributeError):  # Neither every file system nor every system has such lists.
        return "system.posix_acl_access" in os.listxattr(path)
    return False


def read_target(path: Path) -> str | None:
    """Return the contents of a file that is about to be replaced; None if there is no such file.

    Raises:
        OutputFailure: if it is not a regular file of ours that only we and its group can read.
    """
    with explained(path):
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if stat.S_ISLNK(found.st_mode):
            raise refuse(_("%s is a symbolic link; give the file that it names.") % path)
        if not stat.S_ISREG(found.st_mode):
            raise refuse(_("%s is not a regular file.") % path)
        if found.st_uid != os.geteuid():
            raise refuse(_("%s belongs to another user; give another file.") % path)
        if found.st_mode & 0o007:
            raise refuse(_("every user can access %(path)s; run: chmod o= %(path)s.") % {"path": path})
        return path.read_text(encoding="utf-8", errors="replace")


class Staged(NamedTuple):
    """A hidden file that holds credentials until they are committed, and the ids that its name says."""

    path: Path
    issues: IssueIds
    new: tuple[bool, bool]
    """Tell whether the run that wrote it issued the secret, and the token; the other one is only kept in the file."""
    format: str


def staged_path(target: Path, name: str, issues: IssueIds, new: tuple[bool, bool], format: str) -> Path:
    """Return the path of the file that is staged for a client beside a target; it is short."""
    ids = "-".join(f"{'n' if is_new else 'k'}{issue}" for issue, is_new in zip(issues, new, strict=True))
    return target.with_name(f"{staged_prefix(target, name)}{ids}.{format}")


def staged_prefix(target: Path, name: str) -> str:
    """Return the first part of the names of all files that are staged for a client and a target, always as long."""
    return f"{_HIDDEN}{hashlib.sha256(f'{target.name}/{name}'.encode()).hexdigest()[:16]}-"


def staged_in(directory: Path) -> dict[str, list[Staged]]:
    """Return the staged files in a directory by the first part of their names."""
    found: dict[str, list[Staged]] = {}
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if match := _STAGED.fullmatch(entry.name):
                secret, token = match["secret"], match["token"]
                issues, new = IssueIds(secret[1:], token[1:]), (secret[0] == "n", token[0] == "n")
                staged = Staged(directory / entry.name, issues, new, match["format"])
                found.setdefault(match["prefix"], []).append(staged)
    return found


def stage(staged: Path, text: str, target: Path) -> None:
    """Write and fsync a staged file, with the mode and the group of the file that it will replace, or leave none."""
    with explained(target):
        descriptor = os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                with suppress(FileNotFoundError):
                    old, new = os.lstat(target), os.fstat(descriptor)
                    if old.st_gid != new.st_gid:
                        os.fchown(descriptor, -1, old.st_gid)
                    if stat.S_IMODE(old.st_mode) != stat.S_IMODE(new.st_mode):
                        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
                file.write(text)
                file.flush()
                os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):
                os.unlink(staged)
            raise


def publish(staged: Path, target: Path, *, replace: bool) -> None:
    """Rename a staged file to its target.

    Args:
        replace: replace an existing target. Otherwise the target is created exclusively: by a hard link, or where the
            file system has none, by an empty file that is then replaced.

    Raises:
        FileExistsError: if the target exists and may not be replaced.
    """
    if not replace:
        try:
            os.link(staged, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            replace = True
    if replace:
        os.replace(staged, target)
    with suppress(FileNotFoundError):  # rename() does nothing if both are hard links to one file.
        os.unlink(staged)


def sync_directory(path: Path) -> None:
    """Flush the names in a directory to the disk, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
