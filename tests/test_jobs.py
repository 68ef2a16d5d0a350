"""`make test` runs on the Pythons that are there, beside servers of its own, and says what it did not test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests import jobs, servers

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("python", "pythons", "first", "newest"),
    [
        ("py311", ["py311", "py312", "py313"], "py311-dj42-dot171", "py312-dj52-dot34-edges"),
        ("py311", ["py311"], "py311-dj42-dot171", "py311-dj52-dot34-edges"),
        ("py312", ["py312"], "py312-dj42-dot171", "py312-dj52-dot34-edges"),
        ("py313", ["py313"], "py313-dj52-dot34", None),
    ],
)
def test_jobs_match_pythons(
    python: str, pythons: list[str], first: str, newest: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "TOOLS", python)

    chosen, missing = jobs.select_jobs("test", pythons)

    assert {*chosen} - {newest} == {
        *(f"{first}-{part}" for part in ("others", "browser", "mysql", "postgres")), "docs", "tutor22", "lint"
    }  # fmt: skip
    assert (newest in chosen) is (newest is not None)
    assert bool(missing) is (python == "py313")


@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM])
def test_servers_end_with_the_command(number: signal.Signals | None) -> None:
    """The exit code is the command's, and a server that is named is not started."""
    environment = {**os.environ, "TEST_MYSQL_URL": "named", "TEST_POSTGRES_URL": "named"}
    environment.pop("TEST_REDIS_URL", None)
    script = "echo $TEST_MYSQL_URL $TEST_REDIS_URL $TEST_PROGRESS; read line; exit 3"
    process = subprocess.Popen(
        [sys.executable, servers.__file__, "sh", "-c", script],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    named, url, progress = process.stdout.readline().split()
    assert named == "named"
    address = urlsplit(url)
    socket.create_connection((address.hostname, address.port)).close()

    if number is None:
        process.communicate("\n")
    else:
        # Ctrl-C reaches every process of the terminal; kill only the one.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        process.wait(timeout=30)  # Its input stays open, or the script would end by itself.
        process.communicate()

    assert process.returncode == (3 if number is None else 256 - signal.SIGINT)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port))
    assert not Path(progress).parent.exists()


def test_missing_server_is_named() -> None:
    with pytest.raises(SystemExit, match="no-such-server is not installed"):
        servers.program("no-such-server")
