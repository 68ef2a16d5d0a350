"""Follow the instructions for plain Django on a bare machine: real pip, a real project and a real server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pages import DJANGO, ROOT, Step, assert_as_shown, script_of, steps_of_block

_BLOCK = re.compile(
    r"^(\.\. Django\n\n)?\.\. code-block:: (\w+)\n(?:   :caption: (\S+)\n)?\n((?:^ +.*\n|^\n)+)", re.MULTILINE
)
_NOT_IN_A_CLONE = shutil.ignore_patterns(".*", "build", "dist", "tests", "mutants", "*.egg-info", "__pycache__")


def _followed(page: Path) -> Iterator[Step]:
    """Return the commands of the tutorial; a block with the name of a file becomes a command that writes it.

    Of another page, return the commands in the marked blocks.
    """
    for mark, language, path, block in _BLOCK.findall(page.read_text()):
        if page != DJANGO and not mark:
            continue
        if language == "console":
            yield from steps_of_block(block)
        else:
            write = ">" if "urlpatterns = [" in block else ">>"
            yield Step(f"cat {write} {path} <<'END'\n{re.sub('^    ', '', block, flags=re.MULTILINE)}END", [])


@pytest.mark.parametrize(("page", "least"), [(DJANGO, 15), (ROOT / "README.rst", 9)], ids=["tutorial", "README"])
def test_plain_django_commands_work_on_bare_project(page: Path, least: int, tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "edx-api-provisioning", ignore=_NOT_IN_A_CLONE, symlinks=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(sys._base_executable)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    followed = list(_followed(page))
    assert len(followed) >= least
    script = (
        script_of(followed)
        .replace("localhost:8000", f"localhost:{port}")
        .replace(
            "manage.py runserver",
            f"manage.py runserver --noreload {port} >server.log 2>&1 & "
            f"curl --silent --retry 60 --retry-delay 1 --retry-connrefused localhost:{port} >/dev/null",
        )
    )
    networking = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "REQUESTS_", "SSL_", "http"))
    }
    environment = {
        **networking,
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "PIP_CONSTRAINT": str(ROOT / "requirements/newest.txt"),
    }
    with subprocess.Popen(
        ["sh", "-c", script], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as shell:  # fmt: skip
        try:
            said, _none = shell.communicate(timeout=600)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)  # the server

    assert_as_shown(followed, said)
