"""Run a command beside throw-away servers: ``python -m tests.servers COMMAND...``.

Start MariaDB, PostgreSQL and Redis on free ports of 127.0.0.1, with their data in a temporary directory, and name them
to the command in TEST_MYSQL_URL, TEST_POSTGRES_URL and TEST_REDIS_URL. A server that such a variable names already is
not started. Print what the tests write to the named pipe in TEST_PROGRESS. Needs nothing but the standard library.
"""

from __future__ import annotations

import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

TIMEOUT = 60  # seconds, for what takes two
# MariaDB and PostgreSQL refuse to run as root.
ACCOUNT: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def program(name: str) -> str:
    """Return the path of a program, which Debian may keep off the PATH."""
    folders = ["/usr/sbin", *glob.glob("/usr/lib/postgresql/*/bin")]
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *reversed(folders)]))
    if found is None:
        raise SystemExit(f"{name} is not installed. Run `make test`: it installs or names what is missing.")
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def mariadb(folder: Path, port: int) -> list[list[str]]:
    """Return what prepares MariaDB, then what runs it."""
    data = f"--datadir={folder}/data"
    return [
        [
            *(program("mariadb-install-db"), "--no-defaults", data, "--auth-root-authentication-method=normal"),
            *("--skip-test-db", "--skip-name-resolve"),
        ],
        [
            *(program("mariadbd"), "--no-defaults", data, f"--socket={folder}/socket", f"--pid-file={folder}/pid"),
            *("--bind-address=127.0.0.1", f"--port={port}", "--max-connections=300", "--character-set-server=utf8mb4"),
            # As MySQL and all of MariaDB before 11.5 collate; where it knows the option, it collates otherwise without.
            "--loose-character-set-collations=utf8mb3=utf8mb3_general_ci,utf8mb4=utf8mb4_general_ci",
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0", "--skip-name-resolve"),
        ],
    ]


def postgres(folder: Path, port: int) -> list[list[str]]:
    """Return what prepares PostgreSQL, then what runs it."""
    data = f"{folder}/data"
    return [
        [program("initdb"), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", data],
        [
            *(program("postgres"), "-D", data, "-k", str(folder), "-p", str(port), "-c", "listen_addresses=127.0.0.1"),
            *("-c", "max_connections=300", "-c", "fsync=off", "-c", "full_page_writes=off"),
        ],
    ]


def redis(folder: Path, port: int) -> list[list[str]]:
    return [[program("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]]


SERVERS: dict[str, tuple[Callable[[Path, int], list[list[str]]], str]] = {
    "TEST_MYSQL_URL": (mariadb, "mysql://root@127.0.0.1:{port}/edx_api_provisioning"),
    "TEST_POSTGRES_URL": (postgres, "postgres://postgres@127.0.0.1:{port}/edx_api_provisioning"),
    "TEST_REDIS_URL": (redis, "redis://127.0.0.1:{port}/0"),
}


@contextmanager
def running(commands: list[list[str]], folder: Path, port: int) -> Iterator[None]:
    """Prepare a server and run it, in a session of its own: Ctrl-C is for the command."""
    folder.mkdir()
    if ACCOUNT:
        shutil.chown(folder, ACCOUNT["user"], ACCOUNT["group"])
    options: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL, "start_new_session": True, **ACCOUNT}
    with (folder / "log").open("wb") as log:
        options |= {"stdout": log, "stderr": log}
        for prepare in commands[:-1]:
            if subprocess.run(prepare, check=False, **options).returncode:
                raise SystemExit(f"{prepare[0]} failed:\n{(folder / 'log').read_text()}")
        server = subprocess.Popen(commands[-1], **options)
    try:
        wait(server, folder, port)
        yield
    finally:
        server.send_signal(signal.SIGINT if commands[-1][0].endswith("/postgres") else signal.SIGTERM)
        try:
            server.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait(server: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    """Return when the server answers."""
    end = time.monotonic() + TIMEOUT
    while True:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"{server.args[0]} does not run:\n{(folder / 'log').read_text()}")  # type: ignore[index]
        time.sleep(0.05)


def show_progress(pipe: Path) -> None:
    """Print whatever is written to the pipe, from now on."""
    os.mkfifo(pipe)
    lines = os.fdopen(os.open(pipe, os.O_RDWR))  # Keep a writer open, so that reading never ends.
    Thread(target=lambda: [print(line, end="", flush=True) for line in lines], daemon=True).start()


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run the command to its end, whatever signal comes, and return its exit code."""
    started: list[subprocess.Popen[bytes]] = []
    received: list[int] = []

    def forward(number: int, _frame: Any) -> None:
        # Ctrl-C reaches the command by itself, and is what makes tox end the jobs that it runs.
        if number != signal.SIGINT:
            received.append(number)
            for process in started:
                process.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    started.append(subprocess.Popen(command, env=environment))
    if received:  # before there was a command to forward it to
        started[0].send_signal(signal.SIGINT)
    return started[0].wait()


def main(command: list[str]) -> int:
    with ExitStack() as stack:
        # Where another account gets to.
        private = tempfile.TemporaryDirectory(prefix="edx-api-provisioning-", dir="/tmp" if ACCOUNT else None)  # noqa: S108
        folder = Path(stack.enter_context(private))
        folder.chmod(0o711)
        show_progress(folder / "progress")
        environment = {**os.environ, "TEST_PROGRESS": str(folder / "progress")}
        for variable, (server, url) in SERVERS.items():
            if not environment.get(variable):
                port = free_port()
                stack.enter_context(running(server(folder / server.__name__, port), folder / server.__name__, port))
                environment[variable] = url.format(port=port)
        return run(command, environment)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # While the servers start; the command gets it later.
    sys.exit(main(sys.argv[1:]))
