"""`make demo`: start the sandbox, provision API clients with the real command, and use them with the real curl.

Everything runs in a temporary directory; directory and server are removed at the end. Secrets go through standard
input and output, never through the arguments of a process; only their beginning is shown.
"""

# ruff: noqa: S603 - it runs our own commands, and the curl that the reader would run.
from __future__ import annotations

import base64
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn
from urllib.parse import quote, urlencode

ROOT = Path(__file__).resolve().parents[1]
COURSE = "course-v1:CET+GW_01+2021_2022_FA"
COURSE_MODES = f"/api/course_modes/v1/courses/{quote(COURSE, safe='')}/"
ME = "/api/user/v1/me"
TOKEN = "/oauth2/access_token"

_TIMEOUT = 60  # seconds for each step
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
# Variables that the sandbox's settings or curl would take from the user's environment. A proxy could not reach this
# machine, and would receive the tokens.
_NOT_FOR_CHILDREN = {"ALLOWED_HOSTS", "DEBUG", "DJANGO_SETTINGS_MODULE", "SECRET_KEY"} | {
    name for name in os.environ if name.lower().endswith("_proxy")
}
# The server runs as long as this process holds the other end of its standard input, so it ends however this process
# ends, even by SIGKILL.
_SERVER = """
import os, runpy, sys, threading
threading.Thread(target=lambda: os.read(0, 1) or os._exit(0), daemon=True).start()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class DemoFailure(Exception):
    """Raised when a step of the demo does not give the expected result."""


class Sandbox:
    """A stand-in LMS with its database and log in a directory; prints the commands it runs."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "server.log"
        self._secrets: list[str] = []
        self._environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_CHILDREN}
        self._environment["DATABASE_URL"] = f"sqlite:///{directory / 'db.sqlite3'}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the server on a free port; stop it afterwards."""
        for _attempt in range(5):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
            # By name, because this host also appears in a new service user's email address.
            self.url = self._environment["LMS_ROOT_URL"] = f"http://localhost:{port}"
            arguments = ("manage.py", "lms", "runserver", "--noreload", f"127.0.0.1:{port}")
            with (
                self._log.open("w") as log,
                self._process(sys.executable, "-c", _SERVER, *arguments, stdout=log, stderr=log) as server,
            ):
                if _answers(server, port):
                    self.show(f"$ LMS_ROOT_URL={self.url} python {shlex.join(arguments)} &")
                    yield
                    return
            if "port is already in use" not in self._log.read_text():
                raise DemoFailure(f"The server ended before it answered. It said:\n{self._log.read_text()}")
        raise DemoFailure("Each free port was taken by somebody else before the server had it.")

    def manage(self, *arguments: str) -> tuple[str, str]:
        """Run a management command; return its output and errors."""
        self.show(f"$ python manage.py lms {shlex.join(arguments)}")
        return self._run(sys.executable, "manage.py", "lms", *arguments)

    def provision(self, *arguments: str) -> dict[str, Any]:
        """Run provision_api_client; return its JSON object."""
        result, remarks = self.manage("provision_api_client", *arguments, "--format", "json")
        credentials: dict[str, Any] = json.loads(result)
        self._secrets += filter(None, (credentials["access_token"], credentials["client_secret"]))
        self.show(result + remarks)
        return credentials

    def curl(self, path: str, *, header: str = "", form: str = "") -> tuple[int, Any]:
        """Call the LMS; return status and JSON. The header goes through standard input, arguments being public."""
        arguments = ["-i", *(["-H", "@-"] if header else []), *(["-d", form] if form else []), self.url + path]
        self.show(f"$ {f'printf %s {shlex.quote(header)} | ' if header else ''}curl {shlex.join(arguments)}")
        # -q: ignore the user's .curlrc.
        response, _remarks = self._run("curl", "-q", "-sS", *arguments, stdin=header)
        head, _blank_line, body = response.partition("\n\n")
        status_line = head.partition("\n")[0]
        try:
            answer = json.loads(body)
        except ValueError:
            log = "\n".join(self._log.read_text().splitlines()[-20:])
            raise DemoFailure(f"The answer is {status_line}, without JSON. The server's log ends:\n{log}") from None
        if "access_token" in answer:
            self._secrets.append(answer["access_token"])
        self.show(f"{status_line}\n{body if len(body) < 120 else json.dumps(answer, indent=2)}")
        return int(status_line.split()[1]), answer

    def basic(self, credentials: dict[str, Any]) -> str:
        """Return the header of HTTP Basic (RFC 6749, 2.3.1)."""
        pair = ":".join(quote(credentials[name], safe="") for name in ("client_id", "client_secret"))
        encoded = base64.b64encode(pair.encode()).decode()
        self._secrets.append(encoded)
        return f"Authorization: Basic {encoded}"

    def _run(self, *command: str, stdin: str = "") -> tuple[str, str]:
        with self._process(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            stdout, stderr = process.communicate(stdin, timeout=_TIMEOUT)
        if process.returncode != 0:
            raise DemoFailure(f"This command ended with exit code {process.returncode}. It said:\n{stderr}")
        return stdout, stderr

    @contextmanager
    def _process(self, *command: str, stdout: IO[str] | int, stderr: IO[str] | int) -> Iterator[subprocess.Popen[str]]:
        """Run a process, and end it afterwards."""
        # A signal during the start would leave an unknown process behind, so signals are blocked. The child inherits
        # that, so only this process handles a Ctrl-C, which reaches all of them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        with subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, text=True
        ) as process:
            try:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
                yield process
            finally:
                process.kill()

    def show(self, text: str) -> None:
        print(textwrap.indent(self.shortened(text).rstrip(), "   "), flush=True)

    def shortened(self, text: str) -> str:
        """Return the text with each secret shortened to its beginning."""
        for secret in self._secrets:
            text = text.replace(secret, secret[:12] + "...")
        return text


def _answers(server: subprocess.Popen[str], port: int) -> bool:
    """Wait until the server answers; False if it ends instead."""
    deadline = time.monotonic() + _TIMEOUT
    while server.poll() is None:
        if time.monotonic() > deadline:
            raise DemoFailure(f"The server gave no answer in {_TIMEOUT} seconds.")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
        try:
            connection.request("GET", ME)
            connection.getresponse()
            # Another server may have answered: then ours did not get the port and has ended or is about to.
            return server.poll() is None
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    return False


def expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise DemoFailure(f"{what} should be {wanted!r}, and is {found!r}.")


def tour(sandbox: Sandbox) -> None:
    """Show the use of a new API client, from nothing to the answers of the LMS."""
    print(
        "An API client for Open edX, made in one command. It is tried here on a small stand-in for the LMS, with\n"
        "an empty database. Of secrets you see the beginning; in a terminal of your own you would see all."
    )

    _heading("1. Start the LMS.")
    applied = sandbox.manage("migrate")[0].count("... OK")
    sandbox.show(f"{applied} migrations applied.")
    with sandbox.running():
        _heading("2. Make an API client with staff rights, and prove over HTTP that its credentials work.")
        staff = sandbox.provision("demo-staff", "--staff", "--verify-url", sandbox.url)
        expect("The status", staff["status"], "created")
        expect("Whether the credentials were verified", staff["verified"], True)

        _heading("3. Call the API with its access token. In the URL, the course key's : is %3A and its + is %2B.")
        status, answer = sandbox.curl(COURSE_MODES, header=_bearer(staff["access_token"]))
        expect("The status of the answer", status, 200)
        expect("Whether the answer tells of the course", COURSE in str(answer), True)

        _heading("4. A client without staff rights is known, and refused.")
        plain = sandbox.provision("demo-plain")
        status, _answer = sandbox.curl(COURSE_MODES, header=_bearer(plain["access_token"]))
        expect("The status of the answer", status, 403)

        _heading("5. A wrong token is told apart from no token.")
        status, answer = sandbox.curl(COURSE_MODES, header=_bearer("not-a-token"))
        expect("The status of the answer", status, 401)
        expect("The error code", answer.get("error_code"), "token_nonexistent")
        status, answer = sandbox.curl(COURSE_MODES)
        expect("The status of the answer", status, 401)
        expect("The detail", answer.get("detail"), "Authentication credentials were not provided.")

        _heading(
            "6. Client id and secret get a JWT, which the API takes as well. They are sent by HTTP Basic, both parts\n"
            "percent-encoded: the LMS writes the fields of every form to its tracking log."
        )
        form = urlencode({"grant_type": "client_credentials", "token_type": "jwt"})
        status, grant = sandbox.curl(TOKEN, header=sandbox.basic(staff), form=form)
        expect("The status of the answer", status, 200)
        expect("The token's type", grant.get("token_type"), "JWT")
        status, answer = sandbox.curl(ME, header=f"Authorization: JWT {grant['access_token']}")
        expect("The status of the answer", status, 200)
        expect("The answer", answer, {"username": "demo-staff"})

        _heading("7. The same command again changes nothing and shows no secret: it is safe to repeat.")
        again = sandbox.provision("demo-staff", "--staff")
        expect("The status", again["status"], "unchanged")
        expect("The access token", again["access_token"], None)
        expect("The client secret", again["client_secret"], None)


def _heading(text: str) -> None:
    print(f"\n{text}", flush=True)


def _bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """Exit through every clean-up; ignore further signals meanwhile."""
    for other in _SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> None:
    for number in _SIGNALS:
        signal.signal(number, _stop)
    if shutil.which("curl") is None:
        sys.exit("The demo needs curl, and there is none on the PATH. Install it (on Debian: apt install curl).")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edx-api-demo-") as directory:
        sandbox = Sandbox(Path(directory))
        try:
            tour(sandbox)
        except (DemoFailure, subprocess.TimeoutExpired) as failure:
            sys.exit(sandbox.shortened(f"\nThe demo failed. {failure}"))
    print(
        f"\nEvery answer is as it should be. This took {time.monotonic() - began:.0f} seconds; the server and its\n"
        "database are gone. On your own LMS it is the same command: see README.rst."
    )


if __name__ == "__main__":
    main()
