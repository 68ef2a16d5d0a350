"""Test with generated calls that the command succeeds or fails in one line, completely and without leaks."""

from __future__ import annotations

import logging
import os
import string
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.factories import ApplicationFactory, UserFactory, provisioned, run
from tests.sampling import FULL, some
from tests.subprocesses import as_of_a_test, table_counts
from tests.test_secrecy import find_encodings

pytestmark = pytest.mark.django_db

# Part of every generated secret: if it appears, in any encoding, a secret leaked.
NEEDLE = "Needle-0123.zY_9"
VARIABLE = "SECRET_OF_THE_TEST"


@dataclass(frozen=True)
class Call:
    """One call of the command. Values are joined to their options because they may begin with a dash."""

    name: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    flags: frozenset[str] = frozenset()
    client_secret: str | None = None
    """From the environment."""
    access_token: bytes | None = None
    """From standard input."""

    def run(self, *more: str) -> Any:
        arguments = [f"{option}={value}" for option, value in self.options.items()]
        arguments += [f"--scope={scope}" for scope in self.scopes] + sorted(self.flags)
        environment = {}
        if self.client_secret is not None:
            arguments.append(f"--client-secret-from=env:{VARIABLE}")
            environment[VARIABLE] = self.client_secret
        if self.access_token is not None:
            arguments.append("--access-token-from=stdin")
        name = [] if self.name is None else ["--", self.name]
        with mock.patch.dict(os.environ, environment):
            return run(*arguments, "--format=json", *more, *name, stdin=self.access_token or b"")


def in_environment(text: str) -> str:
    """Return the text as an environment variable can hold it: no NUL, undecodable bytes escaped (PEP 383)."""
    return os.fsdecode(text.replace("\0", "").encode("utf-8", "surrogatepass"))


FRAGMENTS = [
    "'; DROP TABLE auth_user; --", '" OR 1=1 -- ', "%s%(name)s%", "{{ 7*7 }}{% debug %}", "${IFS}$(reboot)`id`",
    "../../etc/passwd", "<script>alert(1)</script>", "\r\nSet-Cookie: a=b",
    "\x1b[2J\x1b]0;title\x07", "\u202eevil\u202c",
    "\u200b", "\ufeff", "e\u0301", "\U0001f600", "\U0001d54f", "\ud800", "\udcff", "\u0130\u0131\u017f\xdf", "\ufb00",
    "\uff21\uff50\uff49", "null", "None", "-", "--", "-h", "--help", "=", "\\", "\t", " ", "nan", "1e400", "0d", "-1d",
    "P-1D",
    "PT0S", "P1Y", "999999w", "P999999999999999999D", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00",
]  # fmt: skip
nasty = st.one_of(
    st.text(),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Mn"]), min_size=1),
    st.text(st.characters(min_codepoint=0x590, max_codepoint=0x8FF)),
    st.text(st.characters(min_codepoint=0x10000)),
    st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=3).map("".join),
    st.builds(lambda text, times: text * times, st.sampled_from(["x", "ß", "\U0001f600", "a."]), st.integers(1, 5000)),
).map(in_environment)


def letters(alphabet: str, least: int, most: int) -> Any:
    return st.text(alphabet, min_size=least, max_size=most)


ALPHANUMERIC = string.ascii_letters + string.digits
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
# Taken in the state of these tests, on MariaDB in other spellings too.
TAKEN = ["taken", "TAKEN", "t\xe5ken", "staff", "existing", "retired__user_x"]
good_emails = st.emails() | st.sampled_from(["ops@b\xfccher.example", "Taken@Example.ORG", "existing@localhost"])
GOOD_YEARS = datetime(2027, 1, 1), datetime(2031, 1, 1)  # noqa: DTZ001 - the strategy adds the zone
good_instants = st.datetimes(*GOOD_YEARS, timezones=st.just(UTC)).map(datetime.isoformat)
good_spans = st.builds("{}{}".format, st.integers(1, 99), st.sampled_from("hdw")) | st.integers(1, 731).map(
    "P{}D".format
)
good = {
    "--username": letters(ALPHANUMERIC + "_-", 2, 30) | st.sampled_from(TAKEN),
    "--email": good_emails,
    "--contact": good_emails,
    "--purpose": st.text(st.characters(categories=["L", "N", "P"]), max_size=255),
    "--client-id": letters(PRINTABLE.replace(":", ""), 1, 100) | st.sampled_from(["taken-id", "TAKEN-ID"]),
}
good_names = st.none() | st.builds("{}{}".format, letters(ALPHANUMERIC, 1, 1), letters(ALPHANUMERIC + "_-", 1, 29))
good_scopes = st.lists(st.sampled_from(["read", "write", "email", "user_id", "grades:read"]), max_size=3, unique=True)
good_secrets = st.builds("{}{}{}".format, letters(PRINTABLE, 8, 100), st.just(NEEDLE), letters(PRINTABLE + " ", 8, 139))
good_tokens = letters(ALPHANUMERIC + "-._~+/", 16, 239).map(lambda text: f"{NEEDLE}{text}\n".encode())
flags = st.frozensets(
    st.sampled_from(["--staff", "--superuser", "--use-existing-user", "--no-verify"]),
    max_size=2
)  # fmt: skip

nasty_secrets = st.builds("{}{}{}".format, nasty, st.just(NEEDLE), nasty) | st.just("")
nasty_tokens = st.tuples(st.binary(), st.just(NEEDLE.encode()), st.binary()).map(b"".join) | st.just(b"")
OPTIONS = [*good, "--expires-in", "--expires-at"]


@st.composite
def good_calls(draw: Any) -> Call:
    """Draw calls that are likely to succeed."""
    options = {option: draw(good[option]) for option in draw(st.sets(st.sampled_from(sorted(good)), max_size=3))}
    life = draw(st.sampled_from(["", "--expires-in", "--expires-at", "--no-token"]))
    if life.startswith("--e"):
        options[life] = draw(good_spans if life == "--expires-in" else good_instants)
    no_token = life == "--no-token"
    return Call(
        name=draw(good_names | st.just("existing")),
        options=options,
        scopes=tuple(draw(good_scopes)),
        flags=draw(flags) | ({life} if no_token else set()),
        client_secret=draw(st.none() | good_secrets),
        access_token=None if no_token else draw(st.none() | good_tokens),
    )


@st.composite
def spoiled_calls(draw: Any) -> Call:
    """Draw good calls with one bad value."""
    call = draw(good_calls())
    part = draw(st.sampled_from(["name", "scopes", "client_secret", "access_token", *OPTIONS]))
    if part in OPTIONS:
        return replace(call, options={**call.options, part: draw(nasty)})
    spoiled = {"name": nasty, "scopes": st.tuples(nasty), "client_secret": nasty_secrets, "access_token": nasty_tokens}
    return replace(call, **{part: draw(spoiled[part])})


@pytest.fixture(autouse=True)
def world(db: None) -> None:
    """Create conflicting accounts, an application and a client."""
    UserFactory(username="taken", email="taken@example.org")
    UserFactory(username="staff", is_staff=True)
    ApplicationFactory(client_id="taken-id")
    provisioned("existing")


@contextmanager
def captured_logs() -> Iterator[Callable[[], str]]:
    """Capture all log records and all SQL that Django records with DEBUG on."""
    records: list[logging.LogRecord] = []
    connection.queries_log.clear()

    def text() -> str:
        told = (f"{record.getMessage()} {vars(record)!r}" for record in records)
        return "\n".join([*told, *map(repr, connection.queries_log)])

    with (
        mock.patch.object(logging.Logger, "isEnabledFor", return_value=True),
        mock.patch.object(logging.Logger, "callHandlers", records.append),
        mock.patch.object(connection, "force_debug_cursor", True),
    ):
        yield text


def check(call: Call, *, dry_first: bool) -> str:
    """Run the call, twice if it succeeds, roll back, and return the outcome."""
    with transaction.atomic(), captured_logs() as captured:
        as_of_a_test()
        before = table_counts()
        dry = call.run("--dry-run") if dry_first else None
        assert table_counts() == before
        ran = call.run()
        after = table_counts()
        secrets = [NEEDLE]
        if ran.code == 0:
            result = ran.result
            secrets += [secret for secret in (result["client_secret"], result["access_token"]) if secret]
            assert_done(call, result, {model: after[model] - before[model] for model in after})
            again = call.run()
            assert (again.result["status"], table_counts()) == ("unchanged", after)
            assert (again.result["client_secret"], again.result["access_token"]) == (None, None)
            told = ran.stderr + again.stdout + again.stderr
        else:
            told = ran.stderr + ran.refusal
            assert after == before
        if dry is not None:
            assert dry.code == ran.code, dry
            told += dry.stdout + dry.stderr
        rows = [repr(list(model.objects.values())) for model in (ApiClient, ApiClientEvent)]
        told += captured() + "".join(rows)
        assert {secret: find_encodings(secret, told) for secret in secrets} == {secret: [] for secret in secrets}
        transaction.set_rollback(True)
    return "refused" if ran.code else ran.result["status"]


def assert_done(call: Call, result: dict[str, Any], made: dict[str, int]) -> None:
    assert result["name"] == (call.name or "api-client")
    assert made["auth_userprofile"] == made["auth_user"]
    assert made["edx_api_provisioning_apiclientevent"] == (result["status"] != "unchanged")
    assert (
        made["edx_api_provisioning_apiclient"] == made["oauth2_provider_application"] == (result["status"] == "created")
    )
    assert made["oauth2_provider_accesstoken"] == (result["access_token"] is not None)
    if result["status"] == "created":
        assert (result["access_token"] is None) == ("--no-token" in call.flags)
        assert call.client_secret in (None, result["client_secret"])
        assert call.access_token in (None, f"{result['access_token']}\n".encode())
        assert result["verified"] is (None if "--no-verify" in call.flags else True)


def test_leaked_needle_is_detected() -> None:
    with captured_logs() as captured:
        logging.getLogger("of.anybody").debug("a %s", NEEDLE)
        assert find_encodings(NEEDLE, captured())
    with captured_logs() as captured:
        User.objects.filter(username=NEEDLE).first()
        assert find_encodings(NEEDLE, captured())
    with captured_logs() as captured:
        assert not find_encodings(NEEDLE, captured())


def test_calls_succeed_or_fail_cleanly() -> None:
    outcomes: Counter[str] = Counter()

    @settings(
        max_examples=some(300, 10_000),
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(call=good_calls() | spoiled_calls(), dry_first=st.booleans())
    def one(call: Call, dry_first: bool) -> None:
        outcomes[check(call, dry_first=dry_first)] += 1

    one()

    assert set(outcomes) >= {"refused", "created", *(["unchanged"] if FULL else [])}
    assert outcomes["created"] > outcomes.total() / 20
