"""Test the command: check presented credentials, in this process and over HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.test import Client
from oauth2_provider.models import get_access_token_model

from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.core.secrets import Secret, basic_authorization
from edx_api_provisioning.services.api_errors import ERROR_MEANINGS
from tests.factories import SECRET, CommandResult
from tests.factories import run as run_command
from tests.lifecycle_helpers import all_rows, clock_at, provisioned, shown, utc

pytestmark = pytest.mark.django_db

NOON = utc(2027, 5, 3, 12)


def run(*arguments: str, stdin: str | bytes = "") -> CommandResult:
    return run_command(*arguments, stdin=stdin, command="verify_api_client")


def token_state(value: str | bytes) -> tuple[int, dict[str, Any]]:
    ran = run("--token-from", "stdin", "--format", "json", stdin=value)
    return ran.code, json.loads(ran.stdout)["token"]


@pytest.fixture
def made() -> Credentials:
    return provisioned(staff=True, scopes=("read", "email"))


# A token


@pytest.mark.versions
def test_valid_token_is_described() -> None:
    with clock_at(NOON):
        made = provisioned(staff=True, scopes=("read", "email"), expires_in=timedelta(days=1))
        ran = run("--token-from", "stdin", "--format", "json", stdin=shown(made.access_token) + "\n")

    assert (ran.code, ran.stderr) == (0, "")
    assert {**json.loads(ran.stdout)["token"], "expires_in": None} == {
        "state": "valid",
        "scheme": "bearer",
        "meaning": "",
        "username": "report",
        "is_staff": True,
        "is_superuser": False,
        "rights": ["staff"],
        "scopes": ["read", "email"],
        "expires_at": "2027-05-04T12:00:00Z",
        "client_id": made.client_id,
        "restricted": False,
        "expires_in": None,
    }
    assert json.loads(ran.stdout)["token"]["expires_in"] == 86400
    assert shown(made.access_token) not in ran.stdout


def test_text_has_rights_and_time_left(monkeypatch: Any) -> None:
    with clock_at(NOON):
        made = provisioned("plain", expires_in=timedelta(days=90))
        other = provisioned(
            "other", superuser=True, permissions=("course_modes.change_coursemode",), scopes=("read", "grades:read")
        )
        monkeypatch.setenv("PLAIN", shown(made.access_token))
        monkeypatch.setenv("OTHER", shown(other.access_token))

        plain = run("--token-from", "env:PLAIN").stdout.splitlines()
        lines = run("--token-from", "env:OTHER").stdout.splitlines()

    assert plain == [
        "state:          valid",
        "scheme:         bearer",
        "username:       plain",
        "scopes:         read, write, email, profile",
        "expires at:     2027-08-01T12:00:00Z",
        f"client id:      {made.client_id}",
        "expires in:     7776000 (90 days)",
        "No issues found.",
    ]
    assert "rights:         superuser, staff, permission:course_modes.change_coursemode, scope:grades:read" in lines
    assert "scopes:         read, grades:read" in lines


def tokens() -> Any:
    return get_access_token_model().objects.all()


def test_unusable_token_is_explained(made: Credentials) -> None:
    tokens().update(expires=utc(2020, 1, 1))

    ran = run("--token-from", "stdin", "--format", "json", stdin=shown(made.access_token))

    told = json.loads(ran.stdout)["token"]
    assert (ran.code, told["state"]) == (1, "expired")
    assert ERROR_MEANINGS["token_expired"] in told["meaning"]
    assert ran.stderr == "CommandError: Issues found: expired.\n"
    assert shown(made.access_token) not in ran.stdout + ran.stderr


@pytest.mark.parametrize("value", ["no-such-token", "x" * 300, "\x00"])
def test_unknown_token_is_not_repeated(value: str) -> None:
    code, told = token_state(value)

    assert (code, told["state"]) == (1, "unknown")
    assert told["meaning"]
    assert (told["username"], told["expires_at"], told["expires_in"]) == (None, None, None)
    assert value not in told["meaning"]


def test_undecodable_stdin_is_rejected() -> None:
    assert run("--token-from", "stdin", stdin=b"\xff\xfe").refusal == (
        "--token-from: nothing could be read from standard input."
    )


# A JWT


def jwt_of(made: Credentials) -> str:
    header = basic_authorization(made.client_id, Secret(shown(made.client_secret)))
    form = {"grant_type": "client_credentials", "token_type": "jwt"}
    token: str = Client().post("/oauth2/access_token", form, headers={"Authorization": header}).json()["access_token"]
    return token


def test_jwt_is_examined(made: Credentials) -> None:
    code, told = token_state(jwt_of(made))

    assert (code, told["state"], told["scheme"], told["username"]) == (0, "valid", "jwt", "report")
    assert (told["client_id"], told["rights"]) == (made.client_id, ["staff"])
    assert 3500 < told["expires_in"] <= 3600


def resigned(token: str) -> str:
    return token[:-5] + token[-5:].swapcase()


@pytest.mark.parametrize(
    ("change", "state", "code"),
    [
        ("expired", "expired", "jwt_expired"),
        ("signature", "unknown", "jwt_invalid"),
        ("user", "unknown", "jwt_without_user"),
    ],
)
def test_unusable_jwt_is_explained(made: Credentials, caplog: Any, change: str, state: str, code: str) -> None:
    with mock.patch("openedx.core.djangoapps.oauth_dispatch.jwt.LIFETIME", -1 if change == "expired" else 60):
        token = jwt_of(made)
    if change == "user":
        User.objects.update(username="renamed")

    ran = run("--token-from", "stdin", stdin=resigned(token) if change == "signature" else token)

    assert ran.code == 1
    assert f"meaning:        {code}: " in ran.stdout
    assert ran.stderr == f"CommandError: Issues found: {state}.\n"
    assert token not in ran.stdout + caplog.text


def test_site_without_jwts_says_so(made: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    token = jwt_of(made)
    monkeypatch.setattr(lms, "_jwt_authentication", lambda: None)

    assert token_state(token)[1]["meaning"] == f"jwt_refused: {ERROR_MEANINGS['jwt_refused']}"


# Client id and secret


def grant(client_id: str, secret: str, *arguments: str) -> CommandResult:
    source = ("--client-id", client_id, "--client-secret-from", "stdin")
    return run(*source, *arguments, "--format", "json", stdin=secret)


@pytest.mark.databases
@pytest.mark.versions
def test_secret_is_verified_by_real_grant(made: Credentials) -> None:
    before = all_rows()

    ran = grant(made.client_id, shown(made.client_secret))

    assert (ran.code, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == {"checks": [{"what": "client credentials grant", "ok": True, "meaning": ""}]}
    assert all_rows() == before
    as_text = run("--client-id", made.client_id, "--client-secret-from", "stdin", stdin=shown(made.client_secret))
    assert as_text == CommandResult(0, "client credentials grant: works\nNo issues found.\n", "")


def test_wrong_secret_is_explained(made: Credentials, caplog: Any) -> None:
    caplog.set_level("DEBUG")

    ran = grant(made.client_id, SECRET)

    (check,) = json.loads(ran.stdout)["checks"]
    assert (ran.code, check["ok"]) == (1, False)
    assert check["meaning"] == f"invalid_client: {ERROR_MEANINGS['invalid_client']}"
    assert ran.stderr == "CommandError: Issues found: client credentials grant.\n"
    assert SECRET not in ran.stdout + ran.stderr + caplog.text


# A client by name


def test_healthy_client_is_reported(made: Credentials) -> None:
    ran = run("report", "--format", "json")

    assert ran.code == 0
    assert ran.stderr.startswith("The credentials were not verified: give --token-from, or --client-id")
    told = json.loads(ran.stdout)["client"]
    assert (told["name"], told["state"], told["issues"], told["client_id"]) == ("report", "active", [], made.client_id)


def test_client_issues_are_reported(made: Credentials) -> None:
    User.objects.update(is_superuser=True)
    tokens().delete()

    ran = run("report")

    assert ran.code == 1
    assert ran.stdout.splitlines()[-2:] == [
        "    user_promoted: the user has more rights than were granted here; remove them, or adopt the client again to "
        "accept them",
        "    token_gone: the access token was deleted, for example by a password reset; rotate the client",
    ]
    assert ran.stderr == "CommandError: Issues found: user_promoted, token_gone.\n"


def test_name_and_credentials_combine(made: Credentials, monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET", shown(made.client_secret))

    ran = run(
        *("report", "--token-from", "stdin", "--client-id", made.client_id, "--client-secret-from", "env:SECRET"),
        *("--format", "json"),
        stdin=shown(made.access_token),
    )

    assert ran.code == 0
    assert {*json.loads(ran.stdout)} == {"client", "token", "checks"}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nobody",), "NAME: no API client has this name; see list_api_clients."),
        (
            ("--token-from", "the-token-itself"),
            "--token-from: give env:VARIABLE, file:PATH or stdin, not the value itself.",
        ),
    ],
)
def test_refusal_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    assert run(*arguments).refusal == line


def test_similar_name_is_suggested(made: Credentials) -> None:
    assert run("reprot").refusal == ("NAME: no API client has this name; see list_api_clients. Did you mean report?")


def test_unsafe_url_is_rejected(made: Credentials) -> None:
    ran = run("--token-from", "stdin", "--url", "http://lms.example.org", stdin=shown(made.access_token))

    assert ran.refusal == "--url: secrets are not sent over http; use the https URL."


@pytest.mark.parametrize(("client_id", "secret"), [("b\udced", SECRET), ("report", "b\udced"), ("a\0", SECRET)])
def test_undecodable_values_are_unknown(client_id: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", secret)

    for url in ((), ("--url", "https://lms.example.org")):
        ran = run("--client-id", client_id, "--client-secret-from", "env:SECRET", *url, "--format", "json")

        (check,) = json.loads(ran.stdout)["checks"]
        assert (ran.code, check["meaning"].partition(":")[0]) == (1, "invalid_client")


# Over HTTP


@pytest.mark.django_db(transaction=True)
def test_url_sends_token_to_site(live_server: Any) -> None:
    made = provisioned()
    arguments = ("--token-from", "stdin", "--url", live_server.url, "--format", "json")

    ran = run(*arguments, stdin=shown(made.access_token))
    assert ran.code == 0, ran
    (check,) = json.loads(ran.stdout)["checks"]
    assert (check["ok"], "HTTP" in check["what"]) == (True, True)

    tokens().update(expires=utc(2020, 1, 1))
    ran = run(*arguments, stdin=shown(made.access_token))
    (check,) = json.loads(ran.stdout)["checks"]
    assert (ran.code, check["ok"]) == (1, False)
    assert check["meaning"].startswith("token_expired: ")


@pytest.mark.django_db(transaction=True)
def test_url_gets_opaque_token_and_jwt(live_server: Any) -> None:
    made = provisioned()

    ran = grant(made.client_id, shown(made.client_secret), "--url", live_server.url)

    assert ran.code == 0, ran
    assert [(check["what"], check["ok"]) for check in json.loads(ran.stdout)["checks"]] == [
        ("client credentials grant", True),
        ("opaque token for client id and secret over HTTP", True),
        ("JWT for client id and secret over HTTP", True),
    ]


@pytest.mark.django_db(transaction=True)
def test_url_gets_only_jwt_if_restricted(live_server: Any) -> None:
    made = provisioned(restricted=True, scopes=("grades:read",), filters=("content_org:edX",))

    ran = grant(made.client_id, shown(made.client_secret), "--url", live_server.url)

    assert [check["what"] for check in ran.result["checks"]] == [
        "client credentials grant",
        "JWT for client id and secret over HTTP",
    ]
