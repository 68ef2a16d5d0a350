"""Run the real Tutor with its own root, stand-ins for docker and kubectl, and the sandbox LMS behind them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import lms_server
import pytest
import tutor.__about__
import yaml

REPOSITORY = Path(__file__).parents[2]
CLUSTER = Path(__file__).with_name("cluster.py")
LMS_PYTHON = Path(os.environ.get("TEST_LMS_PYTHON", REPOSITORY / ".venv/bin/python"))
TUTOR_VERSION = int(tutor.__about__.__version__.split(".")[0])


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str


class Site:
    """An operator's machine: a Tutor root, and what its docker and kubectl do."""

    def __init__(self, folder: Path, database: Path, kubernetes: str, lms: str) -> None:
        self.root, self.state, self.programs = folder / "root", folder / "state", folder / "bin"
        self.folder = folder
        self.state.mkdir()
        self.programs.mkdir()
        self.lms_folder = folder / "edx-platform"
        self.lms_folder.mkdir()
        lms_server.write_manage(self.lms_folder, str(LMS_PYTHON))
        for program in ("docker", "kubectl"):
            path = self.programs / program
            path.write_text(f'#!/bin/sh\nexec {sys.executable} {CLUSTER} {program} "$@"\n')
            path.chmod(0o755)
        # The tested tutor is next to pytest's Python.
        path = [str(self.programs), str(Path(sys.executable).parent), "/usr/bin", "/bin"]
        self.environment = {
            "PATH": ":".join(path),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "TUTOR_ROOT": str(self.root),
            "TUTOR_PLUGINS_ROOT": str(folder / "plugins"),
            "KUBECONFIG": str(folder / "kubeconfig"),
            "DATABASE_URL": f"sqlite:///{database}",
            "FAKE_STATE": str(self.state),
            "FAKE_LMS_PYTHON": str(LMS_PYTHON),
            "FAKE_LMS_FOLDER": str(self.lms_folder),
            "LMS_SERVER": lms,
            # Measure coverage in this process too.
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
        }
        (folder / "kubeconfig").write_text(json.dumps(_kubeconfig(kubernetes)))

    def run(self, *command: str, input: str | None = None) -> Done:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def tutor(self, *arguments: str, input: str | None = None) -> Done:
        return self.run("tutor", *arguments, input=input)

    def works(self, *arguments: str, input: str | None = None) -> Done:
        done = self.tutor(*arguments, input=input)
        assert done.code == 0, done.stdout + done.stderr
        return done

    def lms(self, *arguments: str, input: str | None = None) -> Done:
        """Run a management command in the LMS without Tutor."""
        environment = {name: self.environment[name] for name in ("DATABASE_URL", "LMS_SERVER")}
        command = [str(LMS_PYTHON), "./manage.py", "lms", *arguments]
        done = subprocess.run(
            command, cwd=self.lms_folder, env=environment, input=input, capture_output=True, text=True
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def accepts(self, token: str) -> bool:
        """Return whether the LMS takes an access token."""
        return self.lms("verify_api_client", "--token-from", "stdin", input=token).code == 0

    def clients(self) -> list[dict[str, Any]]:
        listed = self.lms("list_api_clients", "--format=json")
        assert listed.code == 0, listed.stderr
        return json.loads(listed.stdout or "[]")

    def configure(self, **values: Any) -> None:
        """Write config.yml, as an operator does with an editor."""
        path = self.root / "config.yml"
        config = yaml.safe_load(path.read_text()) if path.exists() else {}
        path.write_text(yaml.safe_dump({**config, **values}))

    def rendered(self, path: str) -> str:
        return (self.root / "env" / path).read_text()

    def calls(self, program: str) -> list[list[str]]:
        calls = map(json.loads, (self.state / "calls.jsonl").read_text().splitlines())
        return [arguments for name, *arguments in calls if name == program]

    def pod_logs(self) -> str:
        return (self.state / "pods.log").read_text()

    def everything_said(self) -> str:
        """Return all arguments of docker and kubectl, and all output of pods."""
        return "".join(path.read_text() for path in self.state.glob("*.*"))


def _kubeconfig(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


@pytest.fixture(scope="session")
def lms() -> Iterator[str]:
    assert LMS_PYTHON.exists(), f"{LMS_PYTHON} is missing: run `make demo`, or set TEST_LMS_PYTHON"
    with lms_server.running(str(LMS_PYTHON)) as address:
        yield address


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, lms: str) -> Path:
    """Create a folder with a root saved by Tutor with the plugin enabled, and a migrated database."""
    folder = tmp_path_factory.mktemp("template")
    site = Site(folder, folder / "lms.sqlite3", "http://127.0.0.1:1", lms)
    site.works("config", "save", "--set", "PLUGINS=[]")
    shutil.copytree(site.root, folder / "plain")
    site.works("plugins", "enable", "api-provisioning")
    migrated = site.lms("migrate")
    assert migrated.code == 0, migrated.stderr
    return folder


@pytest.fixture
def site(template: Path, tmp_path: Path, lms: str) -> Iterator[Site]:
    shutil.copy(template / "lms.sqlite3", tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Kubernetes,), {"jobs": tmp_path / "state/jobs"}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    site = Site(tmp_path, tmp_path / "lms.sqlite3", f"http://127.0.0.1:{server.server_port}", lms)
    shutil.copytree(template / "root", site.root)
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(site: Site) -> Iterator[str]:
    """Run the LMS and return its URL."""
    with lms_server.web_server(str(LMS_PYTHON), {"DATABASE_URL": site.environment["DATABASE_URL"]}) as url:
        yield url


@pytest.fixture
def mounted() -> Iterator[Path]:
    """Return a directory on another device than the root's, like a container's mount."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    assert folder.stat().st_dev != Path("/").stat().st_dev
    yield folder
    shutil.rmtree(folder)


class _Kubernetes(BaseHTTPRequestHandler):
    """The part of the Kubernetes API that Tutor asks for the state of its jobs."""

    jobs: Path

    def do_GET(self) -> None:
        wanted = parse_qs(urlsplit(self.path).query).get("fieldSelector", [""])[0].removeprefix("metadata.name=")
        jobs = [json.loads(path.read_text()) for path in self.jobs.glob("*.json")]
        items = [job for job in jobs if job["metadata"]["name"] == wanted]
        body = json.dumps({"apiVersion": "batch/v1", "kind": "JobList", "items": items}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass
