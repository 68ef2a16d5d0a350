"""Nobody but the operator sees a secret: not a log, a record, an error or a traceback, in whatever spelling."""

from __future__ import annotations

import base64
import copy
import html
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DataError, IntegrityError, connection
from django.db.models.signals import post_save, pre_save
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning import api, lms, output, registry, toolkit, verification
from edx_api_provisioning.data import ClientSpec, Secret
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.factories import SECRET, TOKEN, CredentialsFactory, Ran, row_counts, run

pytestmark = pytest.mark.django_db

# Characters that come out differently in each spelling.
OWN_SECRET = "own \"secret\" <with> 'quotes' & blanks/+=%\\ 0123456789"
OWN_TOKEN = "own-token/with+signs.and~more_0123456789=="


def spellings(secret: str) -> dict[str, str]:
    """How a secret looks in the places where it might turn up."""
    value = secret.encode()
    return {
        "in clear": secret,
        "as a literal": repr(secret)[1:-1],
        "in JSON": json.dumps(secret)[1:-1],
        "in a URL": quote(secret, safe=""),
        "in a form": quote_plus(secret),
        "in HTML": html.escape(secret),
        # Behind other bytes, as in HTTP Basic, it comes out in one of three ways; its ends depend on what is beside.
        **{f"in base64 at {at}": base64.b64encode(b"x" * at + value).decode()[4 : -6 if at else -4] for at in range(3)},
        "in URL-safe base64": base64.urlsafe_b64encode(value).decode()[:-4],
        "in hexadecimal": value.hex(),
    }


def found(secret: str, text: str) -> list[str]:
    """In which spellings a text holds a secret."""
    return [name for name, spelling in spellings(secret).items() if spelling in text]


@pytest.mark.parametrize("secret", [OWN_SECRET, OWN_TOKEN, SECRET])
@pytest.mark.parametrize(
    "spell",
    [
        str, repr, json.dumps, quote_plus, html.escape,
        lambda secret: base64.b64encode(f"client-id:{secret}".encode()).decode(),
        lambda secret: base64.b64encode(f"client-i:{secret}|".encode()).decode(),
        lambda secret: base64.b64encode(f"client-:{secret}||".encode()).decode(),
        lambda secret: repr(secret.encode()),
    ],
)  # fmt: skip
def test_a_secret_is_found_in_each_spelling(secret: str, spell: Callable[[str], str]) -> None:
    assert found(secret, f"before {spell(secret)} after")
    assert not found(secret, f"before {spell(secret[:20])} after")


class Ears:
    """Everything that could be overheard: logs, SQL logs, and what was raised."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        self.raised: list[BaseException] = []

    def everything(self, *more: str) -> str:
        records = [f"{record.getMessage()} {record.args!r} {vars(record)!r}" for record in self.caplog.records]
        errors = ["".join(traceback.format_exception(error)) + repr(error.args) for error in self.raised]
        rows = [repr(list(model.objects.values())) for model in (ApiClient, ApiClientEvent)]
        return "\n".join([self.caplog.text, *records, repr(connection.queries), *errors, *rows, *more])


@pytest.fixture
def ears(caplog: pytest.LogCaptureFixture, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ears]:
    settings.DEBUG = True
    connection.queries_log.clear()
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    for logger in [logging.root, *loggers]:
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        logger.manager._clear_cache()
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MY_SECRET", OWN_SECRET)
    yield Ears(caplog)
    logging.root.manager._clear_cache()


OWN = ("--client-secret-from", "env:MY_SECRET", "--access-token-from", "stdin")


def run_with_own(*arguments: str) -> Ran:
    return run(*OWN, *arguments, stdin=f"{OWN_TOKEN}\n")


def silent(ears: Ears, *more: str, secrets: tuple[str, ...] = (OWN_SECRET, OWN_TOKEN)) -> bool:
    text = ears.everything(*more)
    return {secret: found(secret, text) for secret in secrets} == {secret: [] for secret in secrets}


def test_the_ears_hear_what_others_say(ears: Ears) -> None:
    get_access_token_model().objects.filter(token=OWN_TOKEN).first()
    logging.getLogger("oauth2_provider").debug("a secret: %s", OWN_SECRET)

    assert found(OWN_TOKEN, ears.everything())
    assert found(OWN_SECRET, ears.everything())


# Runs that succeed


def test_secrets_of_ones_own_are_printed_and_nothing_else(ears: Ears) -> None:
    ran = run_with_own("--format", "json")

    assert (ran.result["client_secret"], ran.result["access_token"]) == (OWN_SECRET, OWN_TOKEN)
    assert silent(ears, ran.stderr)


def test_generated_secrets_are_printed_and_nothing_else(ears: Ears) -> None:
    ran = run("--format", "json")

    secrets = (ran.result["client_secret"], ran.result["access_token"])
    assert all(secrets)
    assert silent(ears, ran.stderr, secrets=secrets)


@pytest.mark.parametrize("format", output.FORMATS)
def test_with_a_file_nothing_is_printed_in_any_format(ears: Ears, tmp_path: Path, format: str) -> None:
    ran = run_with_own("--format", format, "--output", str(tmp_path / "file"))

    assert ran.code == 0
    assert found(OWN_TOKEN, (tmp_path / "file").read_text())
    assert silent(ears, ran.stdout, ran.stderr)


def test_a_second_run_a_new_token_and_a_dry_run_tell_nothing(ears: Ears) -> None:
    run_with_own()
    again = run_with_own()
    get_access_token_model().objects.all().delete()
    dry = run_with_own("--dry-run")
    newer = run_with_own("--output", "/dev/null")

    assert (again.code, dry.code, newer.code) == (0, 0, 1)
    assert silent(ears, *(text for ran in (again, dry, newer) for text in (ran.stdout, ran.stderr)))


def test_the_proof_over_http_tells_nothing(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def echo(method: str, url: str, **parts: Any) -> Any:
        asked.append((method, url))
        return 401, {"error_code": OWN_TOKEN, "error": OWN_SECRET}

    monkeypatch.setattr(verification, "_call", echo)

    ran = run_with_own("--verify-url", "https://lms.example.org", "--format", "json")

    assert (ran.code, len(asked)) == (1, 3)
    assert silent(ears, ran.stderr, repr(asked))


# Runs that fail


REFUSED = {
    "short": ("x7!" * 10, TOKEN),
    "long": ("x7!" * 90, TOKEN),
    "not ASCII": ("x7!ß" * 10, TOKEN),
    "like a hash": ("md5$0123456789$0123456789abcdef0123456789abcdef", TOKEN),
    "token with a comma": (SECRET, "x7!," * 10),
}


@pytest.mark.parametrize(("secret", "token"), REFUSED.values(), ids=REFUSED)
def test_a_secret_that_is_refused_is_not_repeated(
    ears: Ears, monkeypatch: pytest.MonkeyPatch, secret: str, token: str
) -> None:
    monkeypatch.setenv("MY_SECRET", secret)

    ran = run(*OWN, stdin=token)

    assert ran.code == 1
    assert silent(ears, ran.stdout, ran.stderr, secrets=(secret, token))


@pytest.mark.parametrize("option", ["--client-secret-from", "--access-token-from", "--client-secret", "--access-token"])
def test_a_secret_typed_as_an_argument_is_not_repeated(ears: Ears, option: str) -> None:
    ran = run(option, OWN_SECRET)

    assert ran.code == 1
    assert silent(ears, ran.stdout, ran.stderr)


def test_secrets_that_differ_from_those_that_are_there_are_not_repeated(ears: Ears) -> None:
    shown = run("--format", "json").result

    for arguments, stdin in ((OWN[:2], ""), (OWN[2:], OWN_TOKEN)):
        ran = run(*arguments, stdin=stdin)
        assert ran.code == 1
        assert silent(ears, ran.stdout, ran.stderr)
    assert silent(ears, secrets=(shown["client_secret"], shown["access_token"]))


STEPS = [
    (lms, "create_users"),
    (toolkit, "create_applications"),
    (toolkit, "create_access_tokens"),
    (toolkit, "find_access_token"),
    (toolkit, "client_user"),
    (registry, "issue_tokens"),
    (registry, "record_all"),
    (verification, "in_process"),
    (ApiClient, "save"),
    (ApiClientEvent, "save"),
    (User, "save"),
    (get_application_model(), "save"),
    (get_access_token_model(), "save"),
]
ERRORS = {
    "of ours to be found": lambda: ZeroDivisionError(),
    "a value that is taken": lambda: IntegrityError(1062, f"Duplicate entry '{OWN_TOKEN}' for key 'token'"),
    "a value too long": lambda: DataError(1406, f"Data too long: {OWN_SECRET}"),
}


@pytest.mark.parametrize(("where", "name"), STEPS, ids=[f"{where.__name__}.{name}" for where, name in STEPS])
@pytest.mark.parametrize("make", ERRORS.values(), ids=ERRORS)
def test_an_error_after_any_step_tells_nothing(
    ears: Ears, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, make: Callable[[], Exception]
) -> None:
    real, before, passed = getattr(where, name), row_counts(), []

    def fail_afterwards(*arguments: Any, **options: Any) -> None:
        passed.append(name)
        real(*arguments, **options)
        raise make()

    monkeypatch.setattr(where, name, fail_afterwards)
    shown = ""
    try:
        ran = run_with_own("--format", "json")
        shown = ran.stdout + ran.stderr
        assert ran.code == 1
    except ZeroDivisionError as error:
        ears.raised.append(error)

    assert passed
    assert silent(ears, shown)
    assert {**row_counts(), "ApiClientEvent": 0} == {**before, "ApiClientEvent": 0}


@pytest.mark.parametrize("make", ERRORS.values(), ids=ERRORS)
def test_an_error_from_the_site_s_own_receivers_tells_nothing(ears: Ears, make: Callable[[], Exception]) -> None:
    for model in (User, get_application_model(), get_access_token_model()):
        for signal in (pre_save, post_save):

            def fail(**_signal: Any) -> None:
                raise make()

            signal.connect(fail, sender=model)
            shown = ""
            try:
                ran = run_with_own()
                shown = ran.stdout + ran.stderr
                assert ran.code == 1
            except ZeroDivisionError as error:
                ears.raised.append(error)
            finally:
                signal.disconnect(fail, sender=model)

            assert silent(ears, shown)


def test_an_error_while_it_is_written_out_tells_nothing(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = row_counts(), output.as_dict

    def fail_afterwards(*arguments: Any) -> None:
        real(*arguments)
        raise ZeroDivisionError

    monkeypatch.setattr(output, "as_dict", fail_afterwards)
    with pytest.raises(ZeroDivisionError) as raised:
        run_with_own()
    ears.raised.append(raised.value)

    assert silent(ears)
    assert row_counts() == {**before, "ApiClientEvent": 2}


def test_a_failing_proof_tells_nothing(ears: Ears, monkeypatch: pytest.MonkeyPatch) -> None:
    real = toolkit.create_access_tokens

    def create_expired(wanted: Any) -> Any:
        pks = real(wanted)
        get_access_token_model().objects.filter(pk__in=pks).update(expires=datetime.now(UTC) - timedelta(1))
        get_application_model().objects.update(client_secret="changed meanwhile")
        return pks

    monkeypatch.setattr(toolkit, "create_access_tokens", create_expired)

    ran = run_with_own("--format", "json")
    rolled_back = run_with_own("second", "--rollback-on-failure")

    assert "token_expired" in ran.stderr
    assert "invalid_client" in ran.stderr
    assert rolled_back.code == 1
    assert silent(ears, ran.stderr, rolled_back.stdout, rolled_back.stderr)


def test_a_caller_in_python_meets_no_secret_either(ears: Ears) -> None:
    spec = ClientSpec(name="report", client_secret=Secret(OWN_SECRET), access_token=Secret(OWN_TOKEN))

    plan = api.plan_client(spec)
    credentials = api.provision(spec, actor="the test")
    proof = api.verify(credentials)

    assert silent(ears, repr(spec), repr(plan), str(plan), repr(credentials), f"{credentials}", repr(proof))
    for holder in (spec, plan, credentials):
        for take in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError) as refusal:
                take(holder)
            assert silent(ears, str(refusal.value))


# What is kept


def test_the_history_has_none_of_it(ears: Ears) -> None:
    run_with_own("--reason", "weekly report")
    credentials = api.provision(ClientSpec(name="second"), actor="the test")
    api.undo(credentials, actor="the test")

    rows = repr(list(ApiClientEvent.objects.values())) + repr(list(ApiClient.objects.values()))
    assert ApiClientEvent.objects.count() == 3
    for secret in (OWN_SECRET, OWN_TOKEN, credentials.client_secret.reveal(), credentials.access_token.reveal()):
        assert found(secret, rows) == []


def test_credentials_shown_by_a_debugger_show_none() -> None:
    shown = f"{CredentialsFactory()!r} {CredentialsFactory()} {vars(CredentialsFactory)}"

    assert found(SECRET, shown) == []
    assert found(TOKEN, shown) == []


def test_the_result_of_the_command_is_not_returned_to_who_calls_it_from_python(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call_command("provision_api_client", "--format", "json") is None
    assert json.loads(capsys.readouterr().out)["status"] == "created"
