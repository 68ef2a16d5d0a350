"""Test that secrets are read from where they are named, shown to nobody, and hard to guess."""

from __future__ import annotations

import copy
import io
import pickle
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.secrets import Secret, basic_authorization, is_guessable, read_secret
from tests.factories import SECRET

FIELD = "client_secret"
SOURCES = "give env:VARIABLE, file:PATH or stdin, not the value itself."
SOURCES_WITHOUT_STDIN = "give env:VARIABLE or file:PATH."


def test_secret_is_shown_by_reveal_alone() -> None:
    secret = Secret(SECRET)

    assert (repr(secret), str(secret), f"{secret}") == ("Secret(***)",) * 3
    assert secret.reveal() == SECRET
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"A Secret is not serialised; reveal\(\) it where it is written out\."):
            leak(secret)
    with pytest.raises(TypeError):
        hash(secret)


def test_secrets_are_compared_with_secrets_only() -> None:
    assert Secret(SECRET) == Secret(SECRET)
    assert Secret(SECRET) != Secret(f"{SECRET}.")
    assert Secret(SECRET) != SECRET


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nmore\n"])
def test_first_line_is_read(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_bytes(f"{SECRET} ü{end}".encode())
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{SECRET} ü{end}\n"))
    monkeypatch.setenv("THE_SECRET", SECRET)

    assert read_secret(FIELD, f"file:{path}") == Secret(f"{SECRET} ü")
    assert read_secret(FIELD, "stdin") == Secret(f"{SECRET} ü")
    assert read_secret(FIELD, "env:THE_SECRET") == Secret(SECRET)
    assert read_secret(FIELD, None) is None


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("env:NOT_THERE", {}, "no such variable in the environment."),
        ("env:", {}, SOURCES),
        ("file:", {}, SOURCES),
        ("pass:THE_SECRET", {}, SOURCES),
        (SECRET, {}, SOURCES),
        ("stdin", {"stdin": False}, SOURCES_WITHOUT_STDIN),
        ("", {"stdin": False}, SOURCES_WITHOUT_STDIN),
        ("file:/not/there", {}, "the file cannot be read: No such file or directory."),
        ("file:/", {}, "the file cannot be read: Is a directory."),
        ("file:\0", {}, "the file cannot be read: it is not text in UTF-8."),
    ],
)
def test_wrong_source_is_refused(source: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        read_secret(FIELD, source, **options)

    assert (refused.value.field, refused.value.message) == (FIELD, message)


def test_bytes_are_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\xff\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8"))

    with pytest.raises(InvalidSpec, match="the file cannot be read: it is not text in UTF-8"):
        read_secret(FIELD, f"file:{path}")
    for closed in (sys.stdin, None):
        monkeypatch.setattr(sys, "stdin", closed)
        with pytest.raises(InvalidSpec, match="nothing could be read from standard input"):
            read_secret(FIELD, "stdin")


def test_both_parts_of_basic_authorization_are_quoted() -> None:
    pair = b64encode(b"a%2Fb%3A:c%2Fd%20%C3%BC%3A").decode()

    assert basic_authorization("a/b:", Secret("c/d ü:")) == f"Basic {pair}"


@pytest.mark.parametrize(
    ("value", "guessable"),
    [
        ("a" * 64, True),
        ("0123456789abcdef" * 2, True),
        ("a" * 60 + "b" * 3 + "c", True),
        ("0123456789abcdef", True),
        ("correct horse battery staple", False),
        # 80 bits are enough: forty times two.
        ("abcd" * 9 + "abdc", False),
    ],
)
def test_secret_that_repeats_itself_is_guessable(value: str, guessable: bool) -> None:
    assert is_guessable(value) == guessable
