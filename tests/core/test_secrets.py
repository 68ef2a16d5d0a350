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


def refused(source: str, **options: Any) -> tuple[str | None, str]:
    """Return the field and the whole message of a refusal."""
    with pytest.raises(InvalidSpec) as refusal:
        read_secret(FIELD, source, **options)
    return refusal.value.field, refusal.value.message


def test_secret_is_shown_by_reveal_alone() -> None:
    secret = Secret(SECRET)

    assert (repr(secret), str(secret), f"{secret}") == ("Secret(***)",) * 3
    assert secret.reveal() == SECRET
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=r"^A Secret is not serialised; reveal\(\) it where it is written out\.$"):
            leak(secret)
    with pytest.raises(TypeError):
        hash(secret)


def test_secrets_are_compared_with_secrets_only() -> None:
    assert Secret(SECRET) == Secret(SECRET)
    assert Secret(SECRET) != Secret(f"{SECRET}.")
    assert Secret(SECRET) != SECRET


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nmore\n"])
def test_first_line_is_read(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the end of the line is no part of the secret.
    value = f" X{SECRET} ü X "
    path = tmp_path / "the:secret"
    path.write_bytes(f"{value}{end}".encode())
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{value}{end}\n"))
    monkeypatch.setenv("THE_SECRET", SECRET)

    assert read_secret(FIELD, f"file:{path}") == Secret(value)
    assert read_secret(FIELD, "stdin") == Secret(value)
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
    assert refused(source, **options) == (FIELD, message)


def test_bytes_are_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\xff\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8"))

    assert refused(f"file:{path}") == (FIELD, "the file cannot be read: it is not text in UTF-8.")
    for closed in (sys.stdin, None):
        monkeypatch.setattr(sys, "stdin", closed)
        assert refused("stdin") == (FIELD, "nothing could be read from standard input.")


def test_both_parts_of_basic_authorization_are_quoted() -> None:
    pair = b64encode(b"aX%2Fb%3A:cX%2Fd%20%C3%BC%3A").decode()

    assert basic_authorization("aX/b:", Secret("cX/d ü:")) == f"Basic {pair}"


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
