"""Test that secrets stay out of logs, events, errors and tracebacks, in every encoding."""

from __future__ import annotations

import base64
import html
import json
import logging
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.db import DataError, Error, IntegrityError, connection, transaction
from django.db.models.signals import post_save, pre_save
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning.adapters import oauth
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.services import http_verification
from tests.factories import SECRET, TOKEN, CommandResult, row_counts, run
from tests.leak_detection import OWN_SECRET, OWN_TOKEN, LeakDetector, find_encodings

pytestmark = pytest.mark.django_db


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
def test_secret_is_found_in_each_spelling(spell: Callable[[str], str]) -> None:
    for secret in (OWN_SECRET, OWN_TOKEN, SECRET):
        assert find_encodings(secret, f"before {spell(secret)} after")
        assert not find_encodings(secret, f"before {spell(secret[:20])} after")


OWN = ("--client-secret-from", "env:MY_SECRET", "--access-token-from", "stdin")


def run_with_own(*arguments: str) -> CommandResult:
    return run(*OWN, *arguments, stdin=f"{OWN_TOKEN}\n")


def leaks_nothing(leak_detector: LeakDetector, *more: str, secrets: tuple[str, ...] = (OWN_SECRET, OWN_TOKEN)) -> bool:
    return leak_detector.leaks(*more, secrets=secrets) == []


def test_leak_detector_detects_leaks(leak_detector: LeakDetector, tmp_path: Path) -> None:
    def heard() -> set[str]:
        return {
            leak.rpartition(": ")[2].partition(" ")[0] for leak in leak_detector.leaks(secrets=(OWN_SECRET, OWN_TOKEN))
        }

    assert heard() == set()

    get_access_token_model().objects.filter(token=OWN_TOKEN).first()
    assert heard() == {"SQL", "log"}
    leak_detector.clear()
    logging.getLogger("oauth2_provider").debug("a secret: %s", OWN_SECRET)
    assert heard() == {"log"}
    leak_detector.clear()
    User.objects.create(username="somebody", email="somebody@example.org", last_name=OWN_SECRET)
    leak_detector.clear()
    assert heard() == {"table"}
    User.objects.all().delete()
    leak_detector.clear()
    for path in (leak_detector.folder / ".bash_history", tmp_path / "elsewhere"):
        path.write_text(quote(OWN_SECRET))
        assert heard() == {"file"}
        path.unlink()
    subprocess.run(["true"], env={"TOKEN": OWN_TOKEN}, check=True)
    assert heard() == {"processes"}
    leak_detector.clear()
    mail.send_mail("Report", OWN_TOKEN, None, ["somebody@example.org"])
    assert heard() == {"mails"}
    leak_detector.clear()
    with pytest.raises(Error) as raised, transaction.atomic():
        connection.cursor().execute("SELECT %s FROM nowhere", [OWN_TOKEN])
    leak_detector.clear()
    leak_detector.raised.append(raised.value)
    assert heard() == {"errors"}


# Successful runs


# No quoting in an env file is read alike by all readers for this secret.


def test_unquotable_secret_is_not_repeated(leak_detector: LeakDetector, tmp_path: Path) -> None:
    ran = run_with_own("--format", "env", "--output", str(tmp_path / "file"))

    assert ran.code == 1
    assert "OPENEDX_CLIENT_SECRET" in ran.stderr
    assert not (tmp_path / "file").exists()
    assert leaks_nothing(leak_detector, ran.stdout, ran.stderr)


def test_http_verification_leaks_nothing(leak_detector: LeakDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def echo(method: str, url: str, *_sent: Any) -> Any:
        asked.append((method, url))
        return 401, {"error_code": OWN_TOKEN, "error": OWN_SECRET}

    monkeypatch.setattr(http_verification, "_call", echo)

    ran = run_with_own("--verify-url", "https://lms.example.org", "--format", "json")

    assert (ran.code, len(asked)) == (1, 3)
    assert leaks_nothing(leak_detector, ran.stderr, repr(asked))


# Failing runs


REFUSED = {
    "short": ("x7!" * 10, TOKEN),
    "long": ("x7!" * 90, TOKEN),
    "not ASCII": ("x7!ß" * 10, TOKEN),
    "like a hash": ("md5$0123456789$0123456789abcdef0123456789abcdef", TOKEN),
    "token with a comma": (SECRET, "x7!," * 10),
}


def test_rejected_secret_is_not_repeated(leak_detector: LeakDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    for secret, token in REFUSED.values():
        monkeypatch.setenv("MY_SECRET", secret)
        leak_detector.clear()

        ran = run(*OWN, stdin=token)

        assert ran.code == 1
        assert leaks_nothing(leak_detector, ran.stdout, ran.stderr, secrets=(secret, token))


def test_secret_as_argument_is_not_repeated(leak_detector: LeakDetector) -> None:
    for option in ("--client-secret-from", "--access-token-from", "--client-secret", "--access-token"):
        ran = run(option, OWN_SECRET)

        assert ran.code == 1
        assert leaks_nothing(leak_detector, ran.stdout, ran.stderr)


def test_differing_secret_is_not_repeated(leak_detector: LeakDetector) -> None:
    shown = run("--format", "json").result

    for arguments, stdin in ((OWN[:2], ""), (OWN[2:], OWN_TOKEN)):
        ran = run(*arguments, stdin=stdin)
        assert ran.code == 1
        assert leaks_nothing(leak_detector, ran.stdout, ran.stderr)
    assert leaks_nothing(leak_detector, secrets=(shown["client_secret"], shown["access_token"]))


ERRORS = {
    "of ours to be found": lambda: ZeroDivisionError(),
    "a value that is taken": lambda: IntegrityError(1062, f"Duplicate entry '{OWN_TOKEN}' for key 'token'"),
    "a value too long": lambda: DataError(1406, f"Data too long: {OWN_SECRET}"),
}


@pytest.mark.parametrize("make", ERRORS.values(), ids=ERRORS)
def test_receiver_errors_leak_nothing(leak_detector: LeakDetector, make: Callable[[], Exception]) -> None:
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
                leak_detector.raised.append(error)
            finally:
                signal.disconnect(fail, sender=model)

            assert leaks_nothing(leak_detector, shown)


def test_rendering_error_leaks_nothing(leak_detector: LeakDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = row_counts(), rendering.as_dict

    def fail_afterwards(*arguments: Any) -> None:
        real(*arguments)
        raise ZeroDivisionError

    monkeypatch.setattr(rendering, "as_dict", fail_afterwards)
    with pytest.raises(ZeroDivisionError) as raised:
        run_with_own()
    leak_detector.raised.append(raised.value)

    assert leaks_nothing(leak_detector)
    assert row_counts() == before


def test_failed_verification_leaks_nothing(leak_detector: LeakDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    real = oauth.create_access_tokens

    def create_expired(wanted: Any) -> Any:
        pks = real(wanted)
        get_access_token_model().objects.filter(pk__in=pks).update(expires=datetime.now(UTC) - timedelta(1))
        get_application_model().objects.update(client_secret="changed meanwhile")
        return pks

    monkeypatch.setattr(oauth, "create_access_tokens", create_expired)

    ran = run_with_own("--format", "json")
    rolled_back = run_with_own("second", "--contact", "ops@example.org")

    assert "token_expired" in ran.stderr
    assert "invalid_client" in ran.stderr
    assert rolled_back.code == 1
    assert leaks_nothing(leak_detector, ran.stderr, rolled_back.stdout, rolled_back.stderr)


def test_call_command_returns_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert call_command("provision_api_client", "--format", "json") is None
    assert json.loads(capsys.readouterr().out)["status"] == "created"
