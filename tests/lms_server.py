"""Start the sandbox LMS once, and run each ``manage.py lms`` command in a fork of it: a start costs a second.

The command's own process is ``lms_manage.py``, which hands over its arguments, environment, folder and streams. Nothing
of the LMS but its modules is shared: settings are read again in the fork, and no database is open before.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
MANAGE = Path(__file__).with_name("lms_manage.py")


def write_manage(folder: Path, python: str) -> None:
    """Write a ``manage.py`` whose commands the server at LMS_SERVER runs."""
    path = folder / "manage.py"
    path.write_text(f"#!{python} -IS\n{MANAGE.read_text()}")
    path.chmod(0o755)


@contextmanager
def running(python: str) -> Iterator[str]:
    """Run the server with a Python that has the LMS, and return its address."""
    # The address of a socket has at most 107 characters.
    folder = tempfile.mkdtemp(prefix="lms-")
    address = f"{folder}/socket"
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    with subprocess.Popen([python, "-P", __file__, address], stdout=subprocess.PIPE, env=environment) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.read(1), "the sandbox LMS does not start"
            yield address
        finally:
            server.terminate()
            shutil.rmtree(folder)


@contextmanager
def web_server(python: str, environment: dict[str, str]) -> Iterator[str]:
    """Run the LMS's web server in a process of its own, and return its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [python, str(ROOT / "manage.py"), "lms", "runserver", "--noreload", str(port)],
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _attempt in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            time.sleep(0.1)
        else:
            raise AssertionError("the web server does not answer")
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait()


def serve(address: str) -> None:
    """Answer until the process is terminated, or has lost the one that started it."""
    import django
    from django.core.management import get_commands, load_command_class

    sys.path.insert(0, str(ROOT / "sandbox"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "lms.envs.sandbox"
    django.setup()
    import lms.urls  # noqa: F401 - most commands need it

    for name, app in get_commands().items():
        if app == "edx_api_provisioning":
            load_command_class(app, name)
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    listener.settimeout(10)
    starter = os.getppid()
    os.write(1, b".")
    while os.getppid() == starter:  # It may have been killed.
        try:
            connection, _address = listener.accept()
        except TimeoutError:
            continue
        if os.fork() == 0:
            # A child of a child is not left behind as a zombie.
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            os._exit(0)
        os.wait()
        connection.close()


def _answer(connection: socket.socket) -> NoReturn:
    """Run the command that the other end asks for, as its process, and return its exit code."""
    message, streams, _flags, _address = socket.recv_fds(connection, 1 << 20, 3)
    asked = json.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(asked["environment"], DJANGO_SETTINGS_MODULE="lms.envs.sandbox")
    os.chdir(asked["folder"])
    os.umask(asked["umask"])
    code = 1
    try:
        code = _run(asked["arguments"])
    finally:
        connection.send(bytes([code]))
        os._exit(code)


def _run(arguments: list[str]) -> int:
    import importlib
    import logging
    import traceback

    from django.conf import Settings, settings
    from django.core.management import execute_from_command_line
    from django.db import connections

    # Logging is set up already, and a process of its own would not log this.
    logging.disable()
    importlib.reload(sys.modules["lms.envs.sandbox"])
    logging.disable(logging.NOTSET)
    settings._wrapped = Settings("lms.envs.sandbox")
    connections.settings = connections.configure_settings(None)
    connections["default"] = connections.create_connection("default")
    try:
        execute_from_command_line([arguments[0], *arguments[2:]])
        return 0
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
