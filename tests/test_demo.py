"""Test `make demo`: its output, its errors and its clean-up."""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.once
DEMO = Path(__file__).parents[1] / "sandbox/demo.py"
TIMEOUT = 120  # seconds for the whole demo


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the empty directory in which the demo creates temporary directories."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an empty directory first on the PATH."""
    path = tmp_path / "programs"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path), prepend=os.pathsep)
    return path


def write_curl(programs: Path, script: str) -> None:
    curl = programs / "curl"
    curl.write_text(f"#!/bin/sh\n{script}\n")
    curl.chmod(0o755)


def start() -> subprocess.Popen[str]:
    """Start the demo in its own process group."""
    return subprocess.Popen(
        [sys.executable, DEMO],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def assert_nothing_is_left(demo: subprocess.Popen[str], shown: str, temporary: Path) -> None:
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)
    for port in re.findall(r"runserver --noreload 127\.0\.0\.1:(\d+)", shown):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(port))).close()
    assert list(temporary.iterdir()) == []


def test_demo_shows_answers_and_no_secret(tmp_path: Path, temporary: Path, programs: Path) -> None:
    record = tmp_path / "record"
    record.mkdir()
    real_curl = shutil.which("curl", path=os.environ["PATH"])
    write_curl(programs, f"echo $* >>{record}/arguments\ntee -a {record}/stdin | {real_curl} $*\necho >>{record}/stdin")

    with start() as demo:
        shown, complaints = demo.communicate(timeout=TIMEOUT)

    assert (demo.returncode, complaints) == (0, "")
    assert_nothing_is_left(demo, shown, temporary)
    assert re.findall(r"HTTP/1.1 (\d+)", shown) == ["200", "403", "401", "401", "200", "200"]
    for answer in (
        '"course_id": "course-v1:CET+GW_01+2021_2022_FA"',
        '"error_code":"token_nonexistent"',
        '{"detail":"Authentication credentials were not provided."}',
        '"token_type": "JWT"',
        '{"username":"demo-staff"}',
        '"status": "unchanged"',
    ):
        assert answer in shown

    arguments, stdin = (record / "arguments").read_text(), (record / "stdin").read_text()
    assert arguments.count("/api/course_modes/v1/courses/course-v1%3ACET%2BGW_01%2B2021_2022_FA/") == 4
    basic = re.findall(r"Basic (\S+)", stdin)
    assert len(basic) == 1
    client_secret = base64.b64decode(basic[0]).decode().partition(":")[2]
    secrets = {*basic, client_secret, *re.findall(r"(?:Bearer |JWT )(\S{32,})", stdin)}
    assert len(secrets) == 5  # HTTP Basic and its client secret, two access tokens, a JWT
    for secret in secrets:
        assert secret not in shown
        assert secret not in arguments
    # No other secret: the longest text shown is a client_id.
    assert max(map(len, re.findall(r"[A-Za-z0-9]+", shown))) == 40


# Ctrl-C reaches every process of the terminal; kill reaches only one.
@pytest.mark.parametrize(
    ("number", "kill", "at"), [(signal.SIGINT, os.killpg, "runserver"), (signal.SIGTERM, os.kill, "migrate")]
)
def test_interrupted_demo_cleans_up(number: signal.Signals, kill: Any, at: str, temporary: Path) -> None:
    with start() as demo:
        shown = ""
        while at not in shown:
            line = demo.stdout.readline()
            assert line, demo.stderr.read()
            shown += line
        kill(demo.pid, number)
        rest, complaints = demo.communicate(timeout=TIMEOUT)

    assert (demo.returncode, complaints) == (128 + number, "")
    assert_nothing_is_left(demo, shown + rest, temporary)


def test_unexpected_answer_fails_demo(temporary: Path, programs: Path) -> None:
    write_curl(programs, r"""printf 'HTTP/1.1 418 Teapot\r\n\r\n{"detail": "short and stout"}'""")

    with start() as demo:
        shown, complaints = demo.communicate(timeout=TIMEOUT)

    assert demo.returncode == 1
    assert complaints == "\nThe demo failed. The status of the answer should be 200, and is 418.\n"
    assert_nothing_is_left(demo, shown, temporary)


def test_missing_curl_is_reported(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs))

    with start() as demo:
        shown, complaints = demo.communicate(timeout=TIMEOUT)

    assert (demo.returncode, shown) == (1, "")
    assert (
        complaints == "The demo needs curl, and there is none on the PATH. Install it (on Debian: apt install curl).\n"
    )
