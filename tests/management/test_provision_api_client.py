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
import yaml
from django.contrib.auth.models import User
from django.core.management import load_command_class
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from oauth2_provider.models import get_access_token_model, get_application_model

from common.djangoapps.student.models import UserProfile
from edx_api_provisioning.adapters import lms, oauth, oauth_server
from edx_api_provisioning.core.exceptions import OutputFailure
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from openedx.core.djangoapps.oauth_dispatch.models import RestrictedApplication
from tests.factories import (
    SECRET,
    TOKEN,
    AccessTokenFactory,
    ApplicationFactory,
    UserFactory,
    provisioned,
    row_counts,
    run,
    statements,
)

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
    assert "curl" in ran.stdout
    user = client().user
    assert (user.is_staff, user.is_superuser, user.has_usable_password()) == (False, False, False)
    assert UserProfile.objects.filter(user=user).exists()


def test_token_lives_for_a_year() -> None:
    result = provisioned()

    left = datetime.fromisoformat(result["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=365) - timedelta(minutes=1) < left <= timedelta(days=365)
    assert abs(result["expires_in"] - left.total_seconds()) < 60


def test_stdout_has_only_the_result() -> None:
    ran = run("--format", "json", "--staff")

    assert list(json.loads(ran.stdout)) == KEYS
    lines = ran.stderr.splitlines()
    assert [line for line in lines if not line.startswith(("Registered ", "Created ", "Issued ", "Warning: "))] == []
    assert sum(line.startswith(("Registered ", "Created ", "Issued ")) for line in lines) == 4
    assert lines[0].startswith("Warning: a staff client can read and change nearly every course")
    assert run("--staff").stderr == (
        "No credentials were issued; to issue new ones, run: rotate_api_client api-client\n"
    )


@pytest.mark.databases
@pytest.mark.versions
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


# Each option


def test_username_and_email_are_used() -> None:
    result = provisioned("--username", "grades-bot", "--email", "bots@example.org")

    assert (result["username"], result["email"]) == ("grades-bot", "bots@example.org")
    assert User.objects.get().email == "bots@example.org"


@pytest.mark.parametrize(
    ("option", "rights"), [(None, (False, False)), ("--staff", (True, False)), ("--superuser", (True, True))]
)
def test_new_user_gets_requested_flags(option: str | None, rights: tuple[bool, bool]) -> None:
    provisioned(*filter(None, [option]))

    assert (client().user.is_staff, client().user.is_superuser) == rights


@pytest.mark.parametrize(
    ("option", "value", "span"),
    [
        ("--expires-in", "90d", timedelta(days=90)),
        ("--expires-in", "12h", timedelta(hours=12)),
        ("--expires-in", "52w", timedelta(weeks=52)),
        ("--expires-in", "P90D", timedelta(days=90)),
    ],
)
def test_expires_in_sets_lifetime(option: str, value: str, span: timedelta) -> None:
    ends = datetime.fromisoformat(provisioned(option, value)["expires_at"])

    assert span - timedelta(minutes=1) < ends - datetime.now(UTC) <= span


def test_expires_at_sets_expiry() -> None:
    end = (datetime.now(UTC) + timedelta(days=40)).date()

    assert provisioned("--expires-at", f"{end}")["expires_at"] == f"{end}T00:00:00Z"
    assert provisioned("second", "--expires-at", f"{end}T12:00+02:00")["expires_at"] == f"{end}T10:00:00Z"


def test_no_token_issues_only_id_and_secret() -> None:
    result = provisioned("--no-token")

    nulls = {key for key, value in result.items() if value is None}
    assert nulls == {"access_token", "token_type", "expires_at", "expires_in", "scope"}
    assert result["verified"] is True
    assert not get_access_token_model().objects.exists()


def test_scope_sets_token_scopes() -> None:
    assert provisioned("--scope", "read", "--scope", "email")["scope"] == "read email"
    assert client().access_token.scope == "read email"


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


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_data_formats_are_equal(format: str) -> None:
    ran = run("--format", format)

    assert list(yaml.safe_load(ran.stdout)) == KEYS
    assert authenticates(yaml.safe_load(ran.stdout))


def test_format_kubernetes_secret() -> None:
    manifest = yaml.safe_load(run("Report.2", "--username", "report", "--format", "kubernetes-secret").stdout)

    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Secret", "report-2.bbb0f496c33fb9b2")
    assert set(manifest["stringData"]) == {f"OPENEDX_{key.upper()}" for key in KEYS}


def test_format_env() -> None:
    lines = run("--format", "env").stdout.splitlines()

    assert [line.partition("=")[0] for line in lines] == [f"OPENEDX_{key.upper()}" for key in KEYS]


# Again


@pytest.mark.databases
@pytest.mark.versions
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


def test_second_run_text_shows_no_secret() -> None:
    first = provisioned()

    ran = run()

    assert ran.code == 0
    assert "unchanged" in ran.stdout
    assert first["client_secret"] not in ran.stdout + ran.stderr
    assert first["access_token"] not in ran.stdout + ran.stderr
    assert "curl" not in ran.stdout


@pytest.mark.parametrize(
    "end",
    [
        lambda tokens: tokens.update(expires=datetime.now(UTC) - timedelta(seconds=1)),
        lambda tokens: tokens.all().delete(),
    ],
    ids=["expired", "deleted"],
)
def test_missing_token_is_reissued(end: Callable[[Any], Any]) -> None:
    first = provisioned()
    end(get_access_token_model().objects)

    again = provisioned()

    assert (again["status"], again["client_secret"], again["verified"]) == ("updated", None, True)
    assert authenticates({**again, "client_secret": first["client_secret"]})
    assert provisioned()["status"] == "unchanged"


@pytest.mark.parametrize("what", ["application", "user"])
def test_deleted_rows_are_recreated(what: str) -> None:
    first = provisioned()
    getattr(client(), what).delete()

    again = provisioned()

    assert again["status"] == "updated"
    assert again["client_id"] != first["client_id"]
    assert authenticates(again)


def test_harmless_changes_are_applied() -> None:
    provisioned()

    ran = run("--contact", "ops@example.org", "--purpose", "weekly report", "--scope", "read", "--format", "json")

    assert (ran.result["status"], ran.result["scope"], ran.result["access_token"]) == ("updated", "read", None)
    assert "Changed the contact from - to ops@example.org." in ran.stderr
    assert "Changed the purpose from - to weekly report." in ran.stderr
    assert "Changed the scopes of the access token from read write email profile to read." in ran.stderr


@pytest.mark.databases
@pytest.mark.versions
def test_existing_account_is_used_on_request() -> None:
    user = UserFactory(username="api-client", email="somebody@example.org", password="their-own")

    result = provisioned("--use-existing-user")

    assert (result["email"], client().user, client().user_made) == ("somebody@example.org", user, False)
    user.refresh_from_db()
    assert user.password == "their-own"
    assert authenticates(result)


# Refusals


def existing(**changes: Any) -> None:
    UserFactory(username="api-client", **changes)


def made_then(**changes: Any) -> Callable[[], None]:
    def change() -> None:
        provisioned()
        get_application_model().objects.update(**changes)

    return change


def retired() -> None:
    provisioned()
    ApiClient.objects.update(state=ApiClient.State.RETIRED)


def restricted() -> None:
    provisioned("--no-token")
    RestrictedApplication.objects.create(application=client().application)


def promoted() -> None:
    provisioned()
    User.objects.update(is_staff=True)


PAST = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
FAR = f"{datetime.now(UTC) + timedelta(days=731):%Y-%m-%d}"
NEAR = f"{datetime.now(UTC) + timedelta(days=40):%Y-%m-%d}"


def nothing() -> None:
    """Create nothing."""


# Preparation, arguments, standard input, and a pattern for the one-line error.
REFUSALS: dict[str, tuple[Callable[[], Any], list[str], str, str]] = {
    "name": (nothing, ["a b"], "", "NAME: use letters, digits"),
    "long name": (nothing, ["a" * 101], "", "NAME: .* at most 100"),
    "empty name": (nothing, [""], "", "NAME: "),
    "user name": (nothing, ["--username", "a b"], "", "--username: use letters"),
    "empty user name": (nothing, ["--username", ""], "", "--username: .*leave it out"),
    "retired user name": (nothing, ["--username", "retired__user_x"], "", "--username: names that begin with"),
    "name that is no user name": (nothing, ["report.2026"], "", "--username: use letters"),
    "long user name": (nothing, ["--username", "a" * 31], "", "--username: use 2 to 30"),
    "email": (nothing, ["--email", "nonsense"], "", "--email: not an email address"),
    "empty email": (nothing, ["--email", ""], "", "--email: .*leave it out"),
    "taken email": (
        lambda: UserFactory(username="ada", email="a@example.org"), ["--email", "a@example.org"], "",
        "--email: a@example.org belongs to the user ada; choose another address",
    ),
    "contact": (nothing, ["--contact", "nonsense"], "", "--contact: not an email address"),
    "purpose": (nothing, ["--purpose", "x" * 256], "", "--purpose: use at most 255"),
    "reason": (nothing, ["--reason", "two\nlines"], "", "--reason: use printable characters only"),
    "account of others": (existing, [], "", "--username: the account api-client exists.*--use-existing-user"),
    "account with more rights": (
        lambda: existing(is_staff=True), ["--use-existing-user"], "",
        "--username: the account api-client is staff, but this request says neither staff nor superuser;",
    ),
    "account with fewer rights": (
        existing, ["--use-existing-user", "--superuser"], "", "--username: .* this request says a superuser;"
    ),
    "inactive account": (
        lambda: existing(is_active=False), ["--use-existing-user"], "", "--username: .*not active; activate it"
    ),
    "promoted user": (promoted, [], "", "--username: the account api-client is staff, but this"),
    "user to be promoted": (provisioned, ["--staff"], "", "--username: .*superuser, but this request says staff;"),
    "another user": (provisioned, ["--username", "other"], "", "--username: api-client belongs to the user api-client"),
    "another email": (provisioned, ["--email", "b@example.org"], "", "--email: the account api-client has the email"),
    "zero time": (nothing, ["--expires-in", "0d"], "", "--expires-in: not a positive time span"),
    "no time": (nothing, ["--expires-in", ""], "", "--expires-in: .*write it like 90d"),
    "odd time": (nothing, ["--expires-in", "90"], "", "--expires-in: .*write it like 90d"),
    "long time": (nothing, ["--expires-in", "731d"], "", "--expires-in: the maximum is 730 days.*MAX_TOKEN_LIFETIME"),
    "endless time": (nothing, ["--expires-in", "999999w"], "", "--expires-in: "),
    "past end": (nothing, ["--expires-at", PAST], "", "--expires-at: this date is in the past"),
    "far end": (nothing, ["--expires-at", FAR], "", "--expires-at: the maximum is 730 days"),
    "odd end": (nothing, ["--expires-at", "soon"], "", "--expires-at: not a date; write it like"),
    "empty end": (nothing, ["--expires-at", ""], "", "--expires-at: not a date"),
    "two ends": (
        nothing, ["--expires-at", FAR, "--expires-in", "1d"], "", "--expires-at: use either a lifetime or an expiry"
    ),
    "end of no token": (nothing, ["--no-token", "--expires-in", "1d"], "", "--expires-in: not allowed together"),
    "another end": (
        lambda: provisioned("--expires-in", "9d"), ["--expires-at", NEAR], "",
        "--expires-at: the access token of api-client expires at .*rotate_api_client api-client --expires-at 2",
    ),
    "another lifetime": (
        lambda: provisioned("--expires-in", "9d"), ["--expires-in", "30d"], "",
        "--expires-in: .*issued for 9 days; .*rotate_api_client api-client --expires-in 30d",
    ),
    "no token where there is one": (
        provisioned, ["--no-token"], "", "--token: .*has an access token; .*revoke_api_client api-client"
    ),
    "scope": (nothing, ["--scope", "nonsense"], "", "--scope: unknown scope nonsense; available: .*read"),
    "undefined scope of the LMS": (nothing, ["--scope", "course_modes:read"], "", "--scope: unknown scope course"),
    "scopes in one": (nothing, ["--scope", "read write"], "", "--scope: give one scope at a time"),
    "empty scope": (nothing, ["--scope", ""], "", "--scope: cannot be empty"),
    "client_id": (nothing, ["--client-id", "a:b"], "", "--client-id: use printable ASCII"),
    "long client_id": (nothing, ["--client-id", "x" * 101], "", "--client-id: use at most 100"),
    "taken client_id": (
        lambda: ApplicationFactory(client_id="the-id"), ["--client-id", "the-id"], "",
        "--client-id: another application has this client id; choose another",
    ),
    "another client_id": (provisioned, ["--client-id", "other"], "", "--client-id: api-client has the client id"),
    "short secret": (nothing, ["--client-secret-from", "stdin"], "x" * 31, "--client-secret-from: use 32 to 255"),
    "long secret": (nothing, ["--client-secret-from", "stdin"], "x" * 256, "--client-secret-from: use 32 to 255"),
    "no secret": (nothing, ["--client-secret-from", "stdin"], "", "--client-secret-from: cannot be empty"),
    "foreign secret": (nothing, ["--client-secret-from", "stdin"], "ß" * 40, "--client-secret-from: .*printable ASCII"),
    "secret like a hash": (
        nothing, ["--client-secret-from", "stdin"], "md5$0123456789$0123456789abcdef0123456789abcdef",
        "--client-secret-from: looks like a password hash",
    ),
    "another secret": (
        provisioned, ["--client-secret-from", "stdin"], SECRET,
        "--client-secret-from: api-client has another secret; omit it",
    ),
    "token with a blank": (
        nothing, ["--access-token-from", "stdin"], "a" * 32 + " b", "--access-token-from: .*RFC 6750"
    ),
    "taken token": (
        lambda: AccessTokenFactory(token=TOKEN), ["--access-token-from", "stdin"], TOKEN,
        "--access-token-from: another access token has this value",
    ),
    "another token": (provisioned, ["--access-token-from", "stdin"], TOKEN, "--access-token-from: .*omit it"),
    "secret in the arguments": (
        nothing, ["--client-secret-from", SECRET], "", "--client-secret-from: give env:VARIABLE, file:PATH or stdin"
    ),
    "secret of an unset variable": (
        nothing, ["--client-secret-from", "env:NO_SUCH_VARIABLE"], "", "--client-secret-from: no such variable"
    ),
    "secret of no variable": (nothing, ["--client-secret-from", "env:"], "", "--client-secret-from: give env:VARIABLE"),
    "both from standard input": (
        nothing, ["--client-secret-from", "stdin", "--access-token-from", "stdin"], SECRET,
        "--stdin: only one value can come from stdin",
    ),
    "public application": (made_then(client_type="public"), [], "", "NAME: .*was changed; correct it"),
    "other grant": (made_then(authorization_grant_type="password"), [], "", "NAME: .*correct it in the admin"),
    "application without a user": (made_then(user=None), [], "", "NAME: .*was changed; correct it"),
    "retired": (retired, [], "", "NAME: api-client is retired; provision a new client"),
    "restricted": (restricted, [], "", "--token: the application is restricted"),
    "address without https": (
        nothing, ["--verify-url", "http://lms.example.org"], "", "--verify-url: secrets are not sent over http"
    ),
    "no address": (nothing, ["--verify-url", ""], "", "--verify-url: not a URL"),
    "output in no folder": (nothing, ["--output", "/no/such/folder/x"], "", "--output: .*No such file or directory"),
    "output to a folder": (nothing, ["--output", "/"], "", "--output: .*Is a directory"),
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


@pytest.mark.parametrize("stdin", [b"\xff\xfe" + b"x" * 40])
def test_undecodable_stdin_is_rejected(stdin: bytes) -> None:
    assert run("--client-secret-from", "stdin", stdin=stdin).refusal.startswith("--client-secret-from: ")


@pytest.mark.parametrize(
    "arguments",
    [["--format", "xml"], ["--client-secret", SECRET, "--nonsense"], ["a", "b"]],
    ids=["format", "option", "two names"],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    before = row_counts()

    ran = run(*arguments)

    assert (ran.code, ran.stdout) == (2, "")
    assert row_counts() == before


@pytest.mark.databases
@pytest.mark.versions
def test_email_in_other_case_is_taken() -> None:
    UserFactory(email="Bots@Example.org")
    before = row_counts()

    assert "address" in run("--email", "bots@example.org").refusal
    assert row_counts() == before


@pytest.mark.vendor("mysql")
def test_mysql_near_match_names_both() -> None:
    provisioned("report")
    before = row_counts()

    for arguments, option in ((["REPORT"], "NAME"), (["other", "--username", "Report"], "--username")):
        refusal = run(*arguments).refusal
        assert refusal.startswith(f"{option}: {arguments[-1]} conflicts with the existing report")
    assert row_counts() == before


def test_site_policies_apply(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {
        **settings.EDX_API_PROVISIONING,
        "MAX_TOKEN_LIFETIME": "90d",
        "ALLOWED_SCOPES": ["read"],
        "ALLOW_STAFF": False,
        "REQUIRE_CONTACT": True,
    }

    assert run("--expires-in", "91d", "--contact", "a@example.org").refusal.startswith(
        "--expires-in: the maximum is 90 days"
    )
    assert run("--scope", "write", "--contact", "a@example.org").refusal.startswith("--scope: ")
    assert run("--superuser", "--contact", "a@example.org").refusal.startswith("--staff: ")
    assert run().refusal.startswith("--contact: ")
    assert provisioned("--contact", "a@example.org")["expires_in"] <= 90 * 24 * 3600


@pytest.mark.databases
@pytest.mark.versions
@pytest.mark.django_db(transaction=True)
def test_missing_migration_names_command() -> None:
    table, away = ApiClient._meta.db_table, "not_yet_there"
    ours = MigrationRecorder.Migration.objects.filter(app="edx_api_provisioning")
    kept = list(ours.values("app", "name"))
    with connection.schema_editor() as editor:
        editor.alter_db_table(ApiClient, table, away)
    ours.delete()
    try:
        refusals = [run(*arguments).refusal for arguments in ([], ["--dry-run"])]
    finally:
        for migration in kept:
            MigrationRecorder.Migration.objects.create(**migration)
        with connection.schema_editor() as editor:
            editor.alter_db_table(ApiClient, away, table)

    assert set(refusals) == {
        "the tables of this package are missing or outdated; run manage.py migrate edx_api_provisioning"
    }
    assert User.objects.count() == 0


@pytest.mark.databases
@pytest.mark.versions
def test_lost_database_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_arguments: Any, **_options: Any) -> None:
        raise OperationalError(2006, f"Server has gone away while it was told {SECRET}")

    monkeypatch.setattr(oauth, "create_applications", gone)
    before = row_counts()

    assert run().refusal == (
        "the database failed (OperationalError 2006); nothing was changed. "
        "See the database log, then run the command again."
    )
    assert row_counts() == before


# A dry run


@pytest.mark.databases
@pytest.mark.versions
@pytest.mark.parametrize("format", rendering.FORMATS)
def test_dry_run_writes_nothing(format: str) -> None:
    before = row_counts()

    ran = run(
        "--dry-run", "--format", format, "--output", "/no/such/folder/x", "--client-secret-from", "stdin", stdin=SECRET
    )

    assert (ran.code, ran.stderr) == (0, "")
    assert "Would create the user api-client <api-client@localhost>" in ran.stdout
    assert SECRET not in ran.stdout
    assert row_counts() == before


def test_dry_run_without_changes_says_so() -> None:
    provisioned()

    assert run("--dry-run").stdout == "No changes: the client already matches.\n"


def test_dry_run_refuses_like_a_run() -> None:
    existing()

    assert run("--dry-run").refusal == run().refusal


# A file


def written(*arguments: str) -> Any:
    ran = run("--format", "json", *arguments)
    assert (ran.code, ran.stdout) == (0, ""), ran
    return ran


@pytest.mark.databases
@pytest.mark.versions
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
    assert [file.name for file in tmp_path.iterdir()] == ["client.json"]


def test_existing_file_is_found_early(tmp_path: Path) -> None:
    path = tmp_path / "client.json"
    path.write_text("mine")
    path.chmod(0o600)
    before = row_counts()

    refusal = run("--output", str(path)).refusal

    assert refusal == f"--output: {path} exists and holds something else; give --force to replace it."
    assert (path.read_text(), row_counts()) == ("mine", before)


@pytest.mark.parametrize("content", ["mine", ""])
def test_force_replaces_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "client.json"
    path.write_text(content)
    path.chmod(0o640)

    written("--output", str(path), *(["--force"] if content else []))

    assert authenticates(json.loads(path.read_text()))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["plain", "force"])
def test_unchanged_run_keeps_file(tmp_path: Path, force: list[str]) -> None:
    path = tmp_path / "client.json"
    written("--output", str(path))
    first = path.read_text()

    ran = run("--format", "json", "--output", str(path), *force)

    assert (ran.code, path.read_text()) == (0, first)
    assert json.loads(ran.stdout)["status"] == "unchanged"


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["plain", "force"])
def test_run_without_credentials_writes_no_file(tmp_path: Path, force: list[str]) -> None:
    provisioned()
    path = tmp_path / "client.json"

    ran = run("--contact", "ops@example.org", "--format", "json", "--output", str(path), *force)

    assert (ran.code, json.loads(ran.stdout)["status"]) == (0, "updated")
    assert list(tmp_path.iterdir()) == []


def full(*_arguments: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.databases
@pytest.mark.versions
def test_unwritable_file_rolls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = row_counts()
    monkeypatch.setattr(os, "fsync", full)

    ran = run("--output", str(tmp_path / "client.json"), "--client-secret-from", "stdin", stdin=SECRET)

    assert (ran.code, ran.stdout) == (1, "")
    assert ran.refusal == f"--output: {tmp_path}/client.json cannot be written: No space left on device."
    assert list(tmp_path.iterdir()) == []
    assert row_counts() == before


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


def test_file_system_without_hard_links_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "client.json"

    def link(*_paths: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)

    written("--output", str(path))

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


@pytest.mark.parametrize("method", ["write", "flush"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EPIPE], ids=["full", "pipe"])
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


def test_interrupt_rolls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = row_counts()

    def interrupt(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rendering, "render", interrupt)

    with pytest.raises(KeyboardInterrupt):
        run()

    assert row_counts() == before


# The proof


def break_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new tokens invalid."""
    real = oauth.create_access_tokens

    def create_expired(wanted: Any) -> Any:
        pks = real(wanted)
        get_access_token_model().objects.filter(pk__in=pks).update(expires=datetime.now(UTC) - timedelta(seconds=1))
        return pks

    monkeypatch.setattr(oauth, "create_access_tokens", create_expired)


def test_failed_verification_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = row_counts()
    break_token(monkeypatch)

    for arguments in ((), ("--output", str(tmp_path / "client.json"))):
        ran = run("--format", "json", "--client-secret-from", "stdin", *arguments, stdin=SECRET)

        assert (ran.stdout, [*tmp_path.iterdir()], row_counts()) == ("", [], before)
        assert ran.refusal == (
            "Nothing was changed, because: access token with the site's Bearer authentication: token_expired: "
            "the token has expired, or its application is restricted. Issue a new one."
        )


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
    assert "access token over HTTP: " in ran.stderr


def test_verify_url_asks_running_site(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")

    assert provisioned("--verify-url", live_server.url)["verified"] is True


def test_restricted_token_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    restricted()
    before = row_counts()
    monkeypatch.setattr(lms, "restricted_among", lambda application_pks: frozenset())

    assert "RestrictedApplication" in run().refusal
    assert row_counts() == before


# Number of statements


@pytest.mark.databases
@pytest.mark.versions
@pytest.mark.django_db(transaction=True)
def test_statement_counts_are_bounded() -> None:
    connection.ensure_connection()

    with statements() as new:
        provisioned("--no-verify")
    with statements() as unchanged:
        provisioned()

    assert len(new) <= 20, new
    assert len(unchanged) <= 6, unchanged


def test_command_needs_no_system_checks() -> None:
    assert load_command_class("edx_api_provisioning", "provision_api_client").requires_system_checks == []


# Help


def test_help_lists_every_option() -> None:
    ran = run("--help")

    assert ran.code == 0
    for option in (
        "--username", "--email", "--use-existing-user", "--staff", "--superuser", "--expires-in", "--expires-at",
        "--no-token", "--scope", "--client-id", "--client-secret-from", "--access-token-from", "--format", "--output",
        "--force", "--dry-run", "--verify", "--no-verify", "--verify-url", "--contact",
        "--purpose", "--reason",
    ):  # fmt: skip
        assert option in ran.stdout
    assert "Running it again changes nothing and shows no secret." in ran.stdout


@pytest.mark.parametrize("option", ["--expires-in", "--expires-at", "--email", "--contact", "--client-id", "--scope"])
def test_double_dash_is_a_value(option: str) -> None:
    refused = run(f"{option}=--", "--client-id=--") if option == "--scope" else run(f"{option}=--", "--scope=none")

    assert refused.refusal.partition(":")[0] in (option, "--scope")
