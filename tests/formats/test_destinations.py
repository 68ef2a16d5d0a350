"""Test the delivery of credentials: streams, and files that stay private."""

from __future__ import annotations

import errno
import grp
import io
import json
import os
import pwd
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edx_api_provisioning.core.exceptions import OutputFailure
from edx_api_provisioning.core.results import Credentials, IssueIds
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.formats import destinations, files, rendering
from edx_api_provisioning.formats.destinations import Files, Stream
from tests.factories import SECRET, TOKEN, CredentialsFactory

NEW = IssueIds("5" * 16, "7" * 16)
NEW_TOKEN = "another.token.of.my.own_0123456789"
NEW_SECRET = "incorrect-horse-battery-staple-0123456789"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.mkdir(mode=0o700)
    return path


def to(path: Path, *, force: bool = False, format: str = "json") -> Files:
    return Files(lambda _name: str(path), format=format, force=force)


def issued(issues: IssueIds = NEW, **changes: Any) -> Credentials:
    return CredentialsFactory(**{"issues": issues} | changes)


def deliver(destination: Files, credentials: Credentials, current: IssueIds | None = None) -> None:
    """Deliver them like a run that commits."""
    destination.stage([credentials])
    problems = destination.settle({credentials.name: current or credentials.issues})
    assert problems == {}
    destination.done()


def checked(destination: Files, *client_ids: str) -> str | None:
    problem = destination.check(lambda names: dict.fromkeys(names, client_ids), ["report"]).get("report")
    return problem.message if problem else None


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def values(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


# Files


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_file_is_private_from_its_first_byte(folder: Path, mask: int) -> None:
    path = folder / "report.json"

    with umask(mask):
        destination = to(path)
        destination.stage([issued()])
        (staged,) = folder.iterdir()
        assert staged.name.startswith(".api-client-")  # Whoever lists *.json does not find it.
        assert stat.S_IMODE(staged.stat().st_mode) == 0o600
        destination.settle({"report": NEW})

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (values(path)["access_token"], names(folder)) == (TOKEN, {"report.json"})


def test_file_system_without_hard_links_is_written_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_paths: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    for token in (TOKEN, NEW_TOKEN):
        deliver(to(folder / "report.json"), issued(access_token=Secret(token)))
        assert (values(folder / "report.json")["access_token"], names(folder)) == (token, {"report.json"})


@pytest.mark.parametrize("name", ["x" * 250, "x" * 255, "ü" * 127])
def test_long_file_names_work(folder: Path, name: str) -> None:
    deliver(to(folder / name), issued())

    assert names(folder) == {name}


@pytest.mark.parametrize(("uid", "words"), [(12345, "belongs to another user"), (0, None)])
def test_directory_of_another_user_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, uid: int, words: str | None
) -> None:
    real = os.stat

    def owned(path: Any, **options: Any) -> os.stat_result:
        found = real(path, **options)
        return os.stat_result((*found[:4], uid, *found[5:])) if path == folder else found

    monkeypatch.setattr(os, "stat", owned)

    problem = checked(to(folder / "report.json"))

    assert (problem is None) if words is None else (words in str(problem))


def test_file_system_without_modes_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstat

    def open_to_all(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        return os.stat_result((found.st_mode | 0o777, *found[1:]))

    monkeypatch.setattr(os, "fstat", open_to_all)

    assert "does not keep files private" in str(checked(to(folder / "report.json")))
    assert names(folder) == set()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.symlink_to("elsewhere"), "symbolic link"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: os.mkfifo(path), "not a regular file"),
        (lambda path: path.touch(0o604), "every user can access"),
        (lambda path: path.parent.chmod(0o777), "other users can write"),
        (lambda path: path.parent.rmdir(), "No such file or directory"),
        (lambda path: path.parent.rmdir() or path.parent.touch(), "Not a directory"),
    ],
)
def test_unsafe_place_is_refused(folder: Path, make: Any, words: str, force: bool) -> None:
    path = folder / "report.json"
    with umask(0):
        make(path)
    before = [*folder.glob("*")]

    problem = str(checked(to(path, force=force)))

    assert words in problem
    assert str(folder) in problem
    assert [*folder.glob("*")] == before


@pytest.mark.parametrize(
    ("group", "members", "accounts", "accepted"),
    [
        ("me", [], ["me"], True),
        ("me", ["me"], ["me"], True),
        ("me", ["me", "you"], ["me"], False),
        ("me", [], ["me", "you"], False),
        ("users", [], [], False),
        (None, [], [], False),
    ],
)
def test_group_of_others_is_refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    group: str | None,
    members: list[str],
    accounts: list[str],
    accepted: bool,
) -> None:
    def found(gid: int) -> Any:
        if group is None:
            raise KeyError(gid)
        return SimpleNamespace(gr_name=group, gr_mem=members)

    folder.chmod(0o775)
    gid = folder.stat().st_gid
    monkeypatch.setattr(grp, "getgrgid", found)
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: SimpleNamespace(pw_name="me"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_name=name, pw_gid=gid) for name in accounts])

    problem = checked(to(folder / "report.json"))

    assert (problem is None) if accepted else ("other users can write to the directory" in str(problem))


def test_access_control_list_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_is_private_group", lambda _gid, _owner: True)
    folder.chmod(0o775)
    assert checked(to(folder / "report.json")) is None

    monkeypatch.setattr(os, "listxattr", lambda _path: ["system.posix_acl_access"])

    assert "other users can write to the directory" in str(checked(to(folder / "report.json")))


@pytest.mark.parametrize("mode", [0o1777, 0o755])
def test_directory_that_protects_files_is_accepted(folder: Path, mode: int) -> None:
    folder.chmod(mode)

    assert checked(to(folder / "report.json")) is None
    assert names(folder) == set()
    destination = to(folder / "report.json")
    destination.stage([issued()])
    destination.discard()
    assert names(folder) == set()


def test_file_of_another_client_needs_force(folder: Path) -> None:
    path = folder / "report.json"
    deliver(to(path), issued(name="other"))

    assert "exists and holds something else; give --force" in str(checked(to(path), "the-client-id"))
    assert checked(to(path, force=True)) is None
    deliver(to(path, force=True), issued(access_token=None))
    # Nothing of the other client is kept.
    assert (values(path)["name"], values(path)["access_token"]) == ("report", None)


@pytest.mark.parametrize(("client_id", "words"), [("the-client-id", None), ("of-another-site", "give --force")])
def test_file_of_the_same_client_may_be_replaced(folder: Path, client_id: str, words: str | None) -> None:
    path = folder / "report.json"
    deliver(to(path), issued())

    problem = checked(to(path), client_id)

    assert (problem is None) if words is None else (words in str(problem))


# What a file keeps


@pytest.mark.parametrize("format", ["text", "json", "jsonl", "env", "docker-env", "yaml", "kubernetes-secret"])
def test_rotated_token_keeps_the_secret(folder: Path, format: str) -> None:
    path = folder / "report"
    deliver(to(path, format=format), issued())
    path.chmod(0o640)

    rotated = issued(NEW._replace(token="8" * 16), client_secret=None, access_token=Secret(NEW_TOKEN))
    deliver(to(path, format=format), rotated)

    text = path.read_text()
    assert (SECRET in text, TOKEN in text, NEW_TOKEN in text) == (True, False, True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_rotated_secret_keeps_the_token(folder: Path) -> None:
    path = folder / "report.json"
    deliver(to(path), issued())

    deliver(to(path), issued(NEW._replace(secret="6" * 16), client_secret=Secret(NEW_SECRET), access_token=None))

    assert (values(path)["client_secret"], values(path)["access_token"]) == (NEW_SECRET, TOKEN)


@pytest.mark.parametrize(("first", "second"), [("env", "docker-env"), ("docker-env", "env")])
def test_another_format_is_something_else(folder: Path, first: str, second: str) -> None:
    path, secret = folder / "report.env", "aZ9 kLm$2pQ!rT&uV4 wX*yB7cD(eF)gH3jN"
    deliver(to(path, format=first), issued(client_secret=Secret(secret)))

    said = checked(to(path, format=second), issued().client_id)

    assert said is not None
    assert said.endswith("holds something else; give --force to replace it.")
    deliver(to(path, format=first), issued(client_secret=None))
    held = rendering.parse(path.read_text(), format=first)
    assert held is not None
    assert held["client_secret"] == secret


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("kubernetes-secret", "stringData:\n"), ("yaml", "!!bool x"), ("yaml", "!!int ''"), ("json", "[" * 100_000),
        ("env", "A='"), ("text", "\x00"),
    ],
)  # fmt: skip
def test_whatever_is_in_the_way_is_named(folder: Path, format: str, text: str) -> None:
    path = folder / "report"
    path.write_text(text)
    path.chmod(0o600)

    said = checked(to(path, format=format))

    assert said is not None
    assert said.endswith("holds something else; give --force to replace it.")


def test_secret_of_another_application_is_not_kept(folder: Path) -> None:
    path = folder / "report.json"
    deliver(to(path), issued(client_id="its-predecessor"))

    with pytest.raises(OutputFailure, match="credentials of another application"):
        to(path).stage([issued(client_secret=None)])
    deliver(to(path, force=True), issued(client_secret=None))

    assert values(path)["client_secret"] is None


def test_revoked_token_is_not_kept(folder: Path) -> None:
    path = folder / "report.json"
    deliver(to(path), issued())

    deliver(to(path), issued(access_token=None, expires_at=None, client_secret=Secret(NEW_SECRET)))

    assert (values(path)["client_secret"], values(path)["access_token"]) == (NEW_SECRET, None)


# What an earlier run left


def stage(path: Path, credentials: Credentials) -> None:
    """Stage them like a run that is killed after its commit, or before it."""
    to(path).stage([credentials])


def test_current_staged_file_is_published(folder: Path) -> None:
    path = folder / "report.json"
    stage(path, issued())

    assert to(path).left(["report"]) == ["report"]
    assert to(path).settle({"report": NEW}) == {}
    assert (values(path)["access_token"], names(folder)) == (TOKEN, {"report.json"})
    assert to(path).left(["report"]) == []


def test_stale_staged_file_is_removed(folder: Path) -> None:
    path = folder / "report.json"
    stage(path, issued())

    to(path).settle({"report": IssueIds("1" * 16, "2" * 16)})

    assert names(folder) == set()


def test_cut_off_staged_file_of_a_rotation_is_removed(folder: Path) -> None:
    path = folder / "report.json"
    deliver(to(path), issued())
    stage(path, issued(NEW._replace(token="8" * 16), client_secret=None))
    (staged,) = folder.glob(".api-client-*")
    staged.write_text("{")

    # Its transaction was rolled back: the secret in it is current, but only kept.
    assert to(path).settle({"report": NEW}) == {}

    assert (values(path)["access_token"], names(folder)) == (TOKEN, {"report.json"})


@pytest.mark.parametrize("exists", [False, True])
def test_partly_current_staged_file_is_merged(folder: Path, exists: bool) -> None:
    path = folder / "report.json"
    if exists:
        deliver(to(path), issued(IssueIds("1" * 16, "8" * 16), client_secret=Secret(NEW_SECRET)))
    stage(path, issued(access_token=Secret(NEW_TOKEN)))

    # Its secret is current; its token was replaced by another run, whose own was delivered.
    to(path).settle({"report": NEW._replace(token="8" * 16)})

    assert values(path)["client_secret"] == SECRET
    assert values(path)["access_token"] == (TOKEN if exists else None)
    assert names(folder) == {"report.json"}


@pytest.mark.parametrize("format", ["jsonl", "docker-env", "env", "kubernetes-secret"])
def test_merged_file_keeps_its_format(folder: Path, format: str) -> None:
    path, secret = folder / "report", "blanks  in  a secret of 32 letters"
    to(path, format=format).stage([issued(client_secret=Secret(secret))])

    # By a run with another format, after its token was replaced.
    to(path).settle({"report": NEW._replace(token="8" * 16)})

    held = rendering.parse(path.read_text(), format=format)
    assert (held["client_secret"], held["access_token"]) == (secret, None)
    (folder / "whole").write_text(rendering.render_values(held, format=format))
    assert path.read_text() == (folder / "whole").read_text()


def test_staged_file_of_another_client_is_kept(folder: Path) -> None:
    """Two clients were given one target: the first is committed and not published, or about to be committed."""
    path = folder / "credentials.json"
    stage(path, issued())

    assert to(path).left(["other"]) == []
    assert to(path).settle({"other": IssueIds()}) == {}

    assert to(path).settle({"report": NEW}) == {}
    assert values(path)["name"] == "report"


def test_staged_file_waits_for_its_place(folder: Path) -> None:
    path = folder / "report.json"
    stage(path, issued())
    path.write_text("mine")
    path.chmod(0o600)

    problem = to(path).settle({"report": NEW})["report"]

    (staged,) = folder.glob(".api-client-*")
    assert f"The credentials are in {staged}" in str(problem)
    assert path.read_text() == "mine"


def test_file_that_appears_meanwhile_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "report.json"
    stage(path, issued())
    real = files.publish

    def too_late(staged: Path, target: Path, **options: Any) -> None:
        path.write_text("somebody was faster")
        real(staged, target, **options)

    monkeypatch.setattr(files, "publish", too_late)

    assert "give --force" in str(to(path).settle({"report": NEW})["report"])
    assert path.read_text() == "somebody was faster"


# Streams


def render(credentials: Credentials) -> str:
    return f"{credentials.name}\n"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_array_is_valid_json(count: int) -> None:
    out = io.StringIO()
    with Stream(out, lambda each: f'"{each.name}"\n', array=True) as stream:
        for number in range(count):
            stream.add([issued(name=f"client-{number}")])

    assert json.loads(out.getvalue()) == [f"client-{number}" for number in range(count)]


def test_written_credentials_cannot_be_discarded() -> None:
    stream = Stream(io.StringIO(), render)
    stream.stage([issued()])

    with pytest.raises(OutputFailure, match="The credentials above do not work"):
        stream.discard()
    assert "only if the database has committed them" in stream.unknown()
    stream.done()
    stream.discard()


def test_encoding_is_named() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    with pytest.raises(OutputFailure, match=r"its encoding .ascii. lacks a character; set PYTHONIOENCODING=utf-8"):
        destinations.write(out, "ключ")


def test_unread_pipe_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "PATIENCE", 0.1)
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as out, pytest.raises(OutputFailure, match="nobody reads it"):
        destinations.write(out, "x" * 1_000_000)


def test_fifo_is_written_to(folder: Path) -> None:
    path = folder / "fifo"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()

    out = destinations.open_stream(str(path), None)
    destinations.write(out, "x" * 100_000)
    out.close()
    reader.join()

    assert read == ["x" * 100_000]


def test_paths_of_standard_output(folder: Path) -> None:
    with (folder / "stdout").open("w") as stdout:
        assert destinations.open_stream("-", stdout) is stdout
        assert destinations.open_stream(f"/dev/fd/{stdout.fileno()}", stdout) is stdout
        assert destinations.open_stream(str(folder / "report.json"), stdout) is None
        assert destinations.open_stream("/dev/null", stdout) is None
    for path, out in (("", stdout), ("-", None)):
        with pytest.raises(OutputFailure):
            destinations.open_stream(path, out)
