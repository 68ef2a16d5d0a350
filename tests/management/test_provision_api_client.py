"""Test the command: options, output, errors, and the resulting rows."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import socket
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class
from oauth2_provider.models import get_access_token_model

from common.djangoapps.student.models import UserProfile
from edx_api_provisioning.adapters import oauth, oauth_server
from edx_api_provisioning.core.exceptions import OutputFailure
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.factories import SECRET, TOKEN, UserFactory, provisioned, row_counts, run

pytestmark = pytest.mark.django_db

KEYS = [
    "name", "status", "username", "email", "client_id", "client_secret", "access_token", "token_type", "expires_at",
    "expires_in", "scope", "token_url", "api_docs_url", "verified",
]  # fmt: skip


def client(name: str = "api-client") -> ApiClient:
    return ApiClient.objects.select_related("user", "application", "access_token").get(name=name)


def authenticates(result: dict[str, Any]) -> bool:
    """Return whether the printed credentials authenticate the client with the site's own validator and table."""
    user = client(result["name"]).user
    by_secret = oauth_server.client_user(result["client_id"], Secret(result["client_secret"]))
    row = oauth.find_access_token(Secret(result["access_token"]))
    return by_secret == row.user == user and row.expires > datetime.now(UTC)


# Without options


@pytest.mark.databases
@pytest.mark.versions
def test_default_run_creates_working_client() -> None:
    ran = run()

    assert ran.code == 0
    shown = dict(re.findall(r"^(\w+): +(.+)$", ran.stdout, re.MULTILINE))
    assert (shown["name"], shown["status"], shown["username"]) == ("api-client", "created", "api-client")
    assert (shown["email"], shown["verified"], shown["scope"]) == (
        "api-client@localhost", "yes", "read write email profile",
    )  # fmt: skip
    assert authenticates(shown)
    assert "Test the access token (then paste it):\n  read -r OPENEDX_ACCESS_TOKEN; " in ran.stderr
    user = client().user
    assert (user.is_staff, user.is_superuser, user.has_usable_password()) == (False, False, False)
    assert UserProfile.objects.filter(user=user).exists()


def test_stdout_has_only_the_result() -> None:
    ran = run("--format", "json", "--staff")

    assert list(json.loads(ran.stdout)) == KEYS
    lines = ran.stderr.splitlines()
    assert [line for line in lines if not line.startswith(("Registered ", "Created ", "Issued ", "Warning: "))] == []
    assert sum(line.startswith(("Registered ", "Created ", "Issued ")) for line in lines) == 4
    assert lines[0].startswith("Warning: a staff client can read and change nearly every course")


def test_json_has_created_values() -> None:
    result = provisioned("report")

    made = client("report")
    assert result == {
        "name": "report",
        "status": "created",
        "username": "report",
        "email": "report@localhost",
        "client_id": made.application.client_id,
        "client_secret": result["client_secret"],
        "access_token": result["access_token"],
        "token_type": "Bearer",
        "expires_at": f"{made.access_token.expires:%Y-%m-%dT%H:%M:%SZ}",
        "expires_in": result["expires_in"],
        "scope": "read write email profile",
        "token_url": "http://localhost:8000/oauth2/access_token",
        "api_docs_url": "http://localhost:8000/api-docs/",
        "verified": True,
    }
    assert re.fullmatch(r"edxapi_[0-9a-z]{47}", result["access_token"])
    assert re.fullmatch(r"[A-Za-z0-9]{40}", result["client_id"])
    assert authenticates(result)


def test_verbosity_0_silences_stderr() -> None:
    ran = run("--verbosity", "0", "--superuser")

    assert (ran.code, ran.stderr) == (0, "")


# Options


WITHOUT_TOKEN = {
    "never wanted": lambda: provisioned("--no-token"),
    "restricted": lambda: provisioned("--restricted"),
    "revoked": lambda: provisioned() and run("api-client", command="revoke_api_client"),
}


@pytest.mark.parametrize("kind", WITHOUT_TOKEN)
def test_client_without_token_stays_so(kind: str) -> None:
    WITHOUT_TOKEN[kind]()
    changed = provisioned("--contact", "ops@example.org")

    assert (changed["status"], changed["access_token"]) == ("updated", None)
    assert client().contact == "ops@example.org"
    assert provisioned()["status"] == "unchanged"
    if kind == "restricted":
        assert "--no-token" in run("--token").refusal
    else:
        assert provisioned("--token")["access_token"]


def test_contact_purpose_and_reason_are_stored() -> None:
    provisioned("--contact", "ops@example.org", "--purpose", "weekly report", "--reason", "asked for by Ada")

    assert (client().contact, client().purpose) == ("ops@example.org", "weekly report")
    assert ApiClientEvent.objects.get().reason == "asked for by Ada"


def test_own_values_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", SECRET)

    result = provisioned(
        "--client-id", "the-id", "--client-secret-from", "env:MY_SECRET", "--access-token-from", "stdin",
        stdin=f"{TOKEN}\n",
    )  # fmt: skip

    assert (result["client_id"], result["client_secret"], result["access_token"]) == ("the-id", SECRET, TOKEN)
    assert authenticates(result)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nand another line\n"])
def test_secret_is_first_line_of_stdin(ending: str) -> None:
    secret = "a secret with blanks, 'quotes' and \\ "

    assert provisioned("--client-secret-from", "stdin", stdin=secret + ending)["client_secret"] == secret


def test_event_names_system_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    provisioned()

    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", no_name)
    provisioned("second")

    actors = list(ApiClientEvent.objects.order_by("pk").values_list("actor", flat=True))
    assert actors == ["command line: ada", f"command line: uid {os.getuid()}"]


# Again


def test_second_run_changes_nothing() -> None:
    first = provisioned("--staff")
    before, row = row_counts(), ApiClient.objects.values().get()

    ran = run("--staff", "--format", "json")

    again = ran.result
    assert {key: again[key] for key in KEYS if again[key] != first[key] and key != "expires_in"} == {
        "status": "unchanged", "client_secret": None, "access_token": None, "verified": None,
    }  # fmt: skip
    assert ran.stderr == ("No credentials were issued; to issue new ones, run: rotate_api_client api-client\n")
    assert (row_counts(), ApiClient.objects.values().get()) == (before, row)


# Refusals


# Preparation, arguments, standard input, and a pattern for the one-line error.


def nothing() -> None:
    """Create nothing."""


# Preparation, arguments, standard input, and a pattern for the one-line error. The rules have their own tests: here an
# error of each layer becomes the option that the operator typed.
REFUSALS: dict[str, tuple[Callable[[], Any], list[str], str, str]] = {
    "name": (nothing, ["a b"], "", "NAME: use letters, digits"),
    "taken email": (
        lambda: UserFactory(username="ada", email="a@example.org"), ["--email", "a@example.org"], "",
        "--email: a@example.org belongs to the user ada; choose another address",
    ),
    "reason": (nothing, ["--reason", "two\nlines"], "", "--reason: use printable characters only"),
    "time without unit": (nothing, ["--expires-in", "90"], "", "--expires-in: the unit is missing; for days"),
    "mistyped profile": (nothing, ["--profile", "enrolments"], "", "--profile: .*Did you mean enrollments"),
    "mistyped scope": (nothing, ["--scope", "profle"], "", "--scope: .* profle. Did you mean profile"),
    "no token where there is one": (
        provisioned, ["--no-token"], "", "--no-token: .*has an access token; .*revoke_api_client api-client"
    ),
    "short secret": (nothing, ["--client-secret-from", "stdin"], "x" * 31, "--client-secret-from: use 32 to 255"),
    "secret in the arguments": (
        nothing, ["--client-secret-from", SECRET], "", "--client-secret-from: give env:VARIABLE, file:PATH or stdin"
    ),
    "address without https": (
        nothing, ["--verify-url", "http://lms.example.org"], "", "--verify-url: secrets are not sent over http"
    ),
    "output to a folder": (nothing, ["--output", str(Path(__file__).parent)], "", "--output: .*Is a directory"),
    "double dash": (nothing, ["--expires-in=--"], "", "--expires-in: "),  # as a value
    "double dash in a list": (nothing, ["--scope=--"], "", "--scope: "),
}  # fmt: skip


@pytest.mark.parametrize(("before", "arguments", "stdin", "line"), REFUSALS.values(), ids=REFUSALS)
def test_refusal_names_option_and_writes_nothing(
    before: Callable[[], Any], arguments: list[str], stdin: str, line: str
) -> None:
    before()
    rows, clients = row_counts(), list(ApiClient.objects.values())

    refusal = run(*arguments, stdin=stdin).refusal

    assert re.match(line, refusal), refusal
    assert (row_counts(), list(ApiClient.objects.values())) == (rows, clients)
    assert not stdin or stdin not in refusal
    assert SECRET not in refusal


# A dry run


def test_dry_run_writes_nothing() -> None:
    before = row_counts()

    given = ("--output", "/no/such/folder/x", "--client-secret-from", "stdin")
    ran = run("--dry-run", "--format", "json", *given, stdin=SECRET)

    assert (ran.result["status"], ran.stderr) == ("created", "")
    assert "Would create the user api-client <api-client@localhost>" in ran.stdout
    assert SECRET not in ran.stdout
    assert row_counts() == before


# A file


def written(*arguments: str) -> Any:
    ran = run("--format", "json", *arguments)
    assert (ran.code, ran.stdout) == (0, ""), ran
    return ran


def test_output_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "client.json"

    before = os.umask(0)
    try:
        ran = written("--output", str(path))
    finally:
        os.umask(before)

    result = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert authenticates(result)
    assert result["client_secret"] not in ran.stderr
    assert result["access_token"] not in ran.stderr
    assert f"The credentials are in {path}." in ran.stderr
    assert "rotate_api_client api-client" in ran.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["client.json"]


def test_dry_run_refuses_the_reason_too() -> None:
    reason = ("--reason", "r" * 256)

    assert run("report", *reason, "--dry-run").refusal == run("report", *reason).refusal != ""


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["plain", "force"])
def test_run_without_credentials_keeps_file(tmp_path: Path, force: list[str]) -> None:
    path = tmp_path / "client.json"
    written("--output", str(path))
    first = path.read_text()

    ran = run("--format", "json", "--output", str(path), *force)
    assert (ran.result["status"], path.read_text()) == ("unchanged", first)
    path.unlink()
    ran = run("--contact", "ops@example.org", "--format", "json", "--output", str(path), *force)
    assert (ran.result["status"], [*tmp_path.iterdir()]) == ("updated", [])


def full(*_arguments: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_rolls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = row_counts()
    monkeypatch.setattr(os, "fsync", full)

    refusal = run("--output", str(tmp_path / "client.json")).refusal

    assert refusal == f"--output: {tmp_path}/client.json cannot be written: No space left on device."
    assert ([*tmp_path.iterdir()], row_counts()) == ([], before)


def test_unpublished_file_is_published_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "client.json"
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        refusal = run("--output", str(path), "--format", "json").refusal

    (staged,) = tmp_path.iterdir()
    assert refusal == (
        f"--output: the credentials exist, but: {path} cannot be written: No space left on device. "
        f"The credentials are in {staged}; the same command again renames it."
    )
    assert run("--output", str(path), "--format", "json").code == 0
    assert authenticates(json.loads(path.read_text()))
    assert [*tmp_path.iterdir()] == [path]


class Unread(io.StringIO):
    """A closed pipe or a file on a full disk: some fail only when flushed."""

    def __init__(self, method: str, error: int) -> None:
        super().__init__()
        self.method, self.error = method, error
        setattr(self, method, self.fail)

    def fail(self, *_arguments: Any) -> None:
        delattr(self, self.method)  # Python flushes again when the object is deleted.
        raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize(("method", "error"), [("write", errno.EPIPE), ("flush", errno.ENOSPC)])
def test_unread_result_is_rolled_back(method: str, error: int) -> None:
    before = row_counts()

    ran = run(stdout=Unread(method, error))

    assert (ran.code, row_counts()) == (1, before)
    assert ran.stderr == (
        f"CommandError: the result could not be written: {os.strerror(error)}. "
        "The credentials above do not work: the database has rolled them back.\n"
    )


def test_closed_stdout_is_an_output_failure() -> None:
    command = load_command_class("edx_api_provisioning", "provision_api_client")
    command.stdout._out = None  # As Python sets it after `>&-`.

    with pytest.raises(OutputFailure, match="result could not be written"):
        command.show("the result")


# The proof


def break_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new tokens invalid."""
    real = oauth.create_access_tokens

    def create_expired(wanted: Any) -> Any:
        pks = real(wanted)
        get_access_token_model().objects.filter(pk__in=pks).update(expires=datetime.now(UTC) - timedelta(seconds=1))
        return pks

    monkeypatch.setattr(oauth, "create_access_tokens", create_expired)


def test_no_verify_leaves_verified_null(monkeypatch: pytest.MonkeyPatch) -> None:
    break_token(monkeypatch)

    assert provisioned("--no-verify")["verified"] is None


def test_failed_http_verification_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    ran = run("--format", "json", "--verify-url", f"http://127.0.0.1:{port}")

    assert (ran.code, json.loads(ran.stdout)["verified"]) == (1, True)  # in this process
    assert "The credentials exist and were delivered, but: access token over HTTP: " in ran.stderr


def test_verify_url_asks_running_site(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")

    assert provisioned("--verify-url", live_server.url)["verified"] is True


def test_command_needs_no_system_checks() -> None:
    assert load_command_class("edx_api_provisioning", "provision_api_client").requires_system_checks == []


def test_site_may_issue_no_tokens(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "ISSUE_TOKENS": False}

    made = provisioned("report")
    assert (made["status"], made["access_token"], made["verified"]) == ("created", None, True)
    assert provisioned("report")["status"] == "unchanged"
    manifest = json.dumps({"clients": [{"name": "none"}, {"name": "one", "token": True}]})
    several = run("--from-file", "-", "--format", "jsonl", stdin=manifest).stdout.splitlines()
    assert [json.loads(line)["access_token"] is None for line in several] == [True, False]

    # Whoever asks for a token gets one, and keeps it.
    assert provisioned("asked", "--token")["access_token"] is not None
    assert provisioned("dated", "--expires-in", "30d")["access_token"] is not None
    assert provisioned("asked", "--contact", "ops@example.org")["status"] == "updated"
    assert client("asked").access_token is not None
