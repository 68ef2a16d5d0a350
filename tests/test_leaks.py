"""Test that no entry point leaks a secret."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from edx_api_provisioning import api
from edx_api_provisioning.core.secrets import Secret
from openedx.core.djangoapps.oauth_dispatch.jwt import create_jwt
from tests.entry_points import ENTRY_POINTS, KNOWN, EntryPoint, create_rows
from tests.factories import OPERATOR, AccessTokenFactory, ApplicationFactory, run
from tests.leak_detection import OWN_TOKEN, LeakDetector, find_encodings
from tests.lifecycle_helpers import answer, client, granted, provisioned, shown
from tests.rest_api.callers import ALL, SITE, Caller, good
from tests.subprocesses import TIMEOUT, database_for_processes

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("entry_point", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_entry_points_leak_nothing(leak_detector: LeakDetector, entry_point: EntryPoint) -> None:
    create_rows()
    leak_detector.clear()

    printed = entry_point(leak_detector)()

    assert [page.status_code for page in leak_detector.pages if page.status_code >= 400] == []
    assert leak_detector.leaks(*printed, secrets=KNOWN) == []
    assert leak_detector.events == []


GUIDE = (Path(__file__).parents[1] / "docs/how-to/leak.rst").read_text()


def test_leak_guide_ends_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any) -> None:
    monkeypatch.chdir(tmp_path)
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, **SITE}
    rights = tuple(f"edx_api_provisioning.{right}_apiclient" for right in ALL)
    first = provisioned("reports", self_rotation=True, permissions=rights)
    second = api.rotate("reports", token=True, secret=True, grace=timedelta(days=1), authority=OPERATOR)
    secrets = [(each.client_id, each.client_secret) for each in (first, second)]
    thief = Caller(f"Bearer {shown(second.access_token)}")
    tokens = [first.access_token, second.access_token, good(thief.post("/self/rotate/"))["access_token"]]
    tokens += [granted(*secret) for secret in secrets]
    by_hand = AccessTokenFactory(application=ApplicationFactory(user=client("reports").user))
    jwt = Caller(f"JWT {create_jwt(by_hand, asymmetric=False)}")
    assert [answer(token) for token in tokens] == ["ok"] * 5

    rotate, retire = re.findall(r"\$ \./manage\.py lms ((?:rotate|revoke)_api_client .*)", GUIDE)
    for command in (rotate, retire):
        name, *arguments = shlex.split(command)
        assert run(*arguments, command=name).code == 0

        assert "ok" not in [answer(token) for token in tokens]
        assert [granted(*secret) for secret in secrets] == [None, None]
        assert jwt.post("/clients/", {"name": "another"}).status_code == 403
    new = dict(line.split("=", 1) for line in Path("reports.env").read_text().splitlines())
    assert granted(new["OPENEDX_CLIENT_ID"], Secret(new["OPENEDX_CLIENT_SECRET"])) is None
    assert answer(new["OPENEDX_ACCESS_TOKEN"]) != "ok"
    assert by_hand.application.client_id in run("--unmanaged", command="list_api_clients").stdout


# Stop before writing the result, when all secrets are in memory.
STOPPING = """
import os, signal, sys
import django
from django.core.management import execute_from_command_line
django.setup()
from edx_api_provisioning.formats.destinations import Stream
stage = Stream.stage
Stream.stage = lambda *arguments: os.kill(os.getpid(), signal.SIGSTOP) or stage(*arguments)
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


@pytest.mark.vendor("sqlite")
@pytest.mark.django_db(transaction=True)
def test_process_list_shows_no_secret(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    arguments = ("--access-token-from", "stdin", "--format", "json")
    with database_for_processes(tmp_path):
        process = subprocess.Popen(
            [sys.executable, "-c", STOPPING, "provision_api_client", *arguments],
            cwd=home,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(sys.path),
                "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
                "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
                **dict.fromkeys(("HOME", "TMPDIR"), str(home)),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(f"{OWN_TOKEN}\n")
        process.stdin.flush()
        _pid, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        proc = Path(f"/proc/{process.pid}")
        seen = {
            "ps": subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout,
            **{name: (proc / name).read_bytes().decode("latin-1") for name in ("cmdline", "environ", "comm", "status")},
            "open files": repr([os.readlink(file) for file in (proc / "fd").iterdir()]),
            **{str(path): path.read_bytes().decode("latin-1") for path in home.rglob("*") if path.is_file()},
        }
        children = "".join((task / "children").read_text() for task in (proc / "task").iterdir())
        process.send_signal(signal.SIGCONT)
        stdout, _none = process.communicate(timeout=TIMEOUT)

    result = json.loads(stdout)
    assert result["access_token"] == OWN_TOKEN
    assert str(process.pid) in seen["ps"]
    assert children == ""
    for secret in (result["client_secret"], OWN_TOKEN):
        assert [source for source, text in seen.items() if find_encodings(secret, text)] == []
