"""Test value objects: accepted input, and masked secrets."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, asdict
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.parsing import in_words, parse_instant, parse_lifetime, parse_site_url, spell_lifetime
from edx_api_provisioning.core.results import Applied, Check, Credentials, Verification
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec, change_client, check_email, check_line
from tests.factories import SECRET, TOKEN, CredentialsFactory

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
NO_SPAN = "not a positive time span; write it like 90d, 12h, 52w or P90D."
NO_UNIT = "unknown unit %s; use h (hours), d (days) or w (weeks), such as 90d."
NO_INSTANT = "not a date; write it like 2027-01-31 or 2027-01-31T12:00Z."
NO_URL = "not a URL; write it like https://lms.example.org"
NOT_OVER_HTTP = "secrets are not sent over http; use the https URL."
NO_TOKEN = "not allowed together with --no-token or --restricted, which issue no access token."


def refused(read: Callable[..., object], *args: Any, **options: Any) -> tuple[str | None, str]:
    """Return the field and the whole message of a refusal."""
    with pytest.raises(InvalidSpec) as refusal:
        read(*args, **options)
    return refusal.value.field, refusal.value.message


def called(value: object) -> str:
    """Return a test id without characters that pytest escapes again on each collection."""
    return ascii(value).replace("\\", "/")[:60]


# Time spans and instants


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90d", timedelta(days=90)),
        ("12h", timedelta(hours=12)),
        ("52w", timedelta(weeks=52)),
        ("1h", timedelta(hours=1)),
        ("999999d", timedelta(days=999999)),
        ("P90D", timedelta(days=90)),
        ("PT12H", timedelta(hours=12)),
        ("P1DT30M", timedelta(days=1, minutes=30)),
        ("PT1S", timedelta(seconds=1)),
    ],
)
def test_parse_lifetime_reads_units_and_iso(text: str, span: timedelta) -> None:
    assert parse_lifetime(text) == span


@pytest.mark.parametrize(
    "text",
    [
        "", "0d", "0h", "P0D", "PT0S", "PT0.5S", "-90d", "-P90D", "P-90D", "+90d", "90 d", " 90d", "90d\n", "1.5d",
        "9999999d", "1 02:03:04", "02:03:04", "P1Y", "P1M", "P", "PT", "PD",
        "P99999999999D", "P999999999999999999999D", "٩٠d", "P٩D", "forever", "P90D; DROP",
    ],
)  # fmt: skip
def test_parse_lifetime_rejects_other_text(text: str) -> None:
    assert refused(parse_lifetime, text) == ("expires_in", NO_SPAN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("90", "the unit is missing; for days, write 90d."),
        ("20y", NO_UNIT % "y"),
        ("90D", NO_UNIT % "D"),
        ("3 months", NO_UNIT % "months"),
    ],
)
def test_parse_lifetime_names_the_unit(text: str, message: str) -> None:
    assert refused(parse_lifetime, text) == ("expires_in", message)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00:30Z", datetime(2027, 1, 31, 12, 0, 30, tzinfo=UTC)),
        ("2027-01-31T12:00", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
        ("2027-01-31 12:00", datetime(2027, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_instant_without_offset_is_utc(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant
    assert parse_instant(text).tzinfo is UTC


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use another local time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def test_parse_instant_ignores_local_zone(in_tokyo: None) -> None:
    assert parse_instant("2027-01-31T12:00") == datetime(2027, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(days=730), "730 days"),
        (timedelta(hours=48), "2 days"),
        (timedelta(hours=48, seconds=-1), "47 hours"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(hours=2, seconds=-1), "119 minutes"),
        (timedelta(minutes=2), "2 minutes"),
        (timedelta(seconds=119), "119 seconds"),
    ],
    ids=str,
)
def test_in_words_uses_largest_unit_above_one(span: timedelta, words: str) -> None:
    assert in_words(span) == words


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2027-02-30", "2027-13-01", "31.01.2027", "2027-01-31T25:00", "0001-01-01T00:00+23:00"]
)
def test_parse_instant_rejects_other_text(text: str) -> None:
    assert refused(parse_instant, text) == ("expires_at", NO_INSTANT)


# URLs for secrets


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("https://lms.example.org", "https://lms.example.org"),
        ("https://lms.example.org/", "https://lms.example.org"),
        ("https://lms.example.org:8443/sub/", "https://lms.example.org:8443/sub"),
        ("https://lms.example.org/X/", "https://lms.example.org/X"),
        ("https://lms.example.org/?next=/x#here", "https://lms.example.org"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.1.2.3", "http://127.1.2.3"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_site_url_allows_https_and_localhost(text: str, root: str) -> None:
    assert parse_site_url(text) == root


@pytest.mark.parametrize("text", ["30d", "36h", "P0DT90S", "52w"])
def test_spelled_lifetime_parses_to_the_same(text: str) -> None:
    span = parse_lifetime(text)

    assert parse_lifetime(spell_lifetime(span)) == span


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://lms.example.org", NOT_OVER_HTTP),
        ("http://localhost.example.org", NOT_OVER_HTTP),
        ("http://127.0.0.1.example.org", NOT_OVER_HTTP),
        ("http://127.evil.example", NOT_OVER_HTTP),
        ("lms.example.org", NO_URL),
        ("ftp://lms.example.org", NO_URL),
        ("https://", NO_URL),
        ("https://user:password@lms.example.org", NO_URL),  # pragma: allowlist secret
        ("https://lms.example.org:port", NO_URL),
        ("https://[::1", NO_URL),
        ("https://lms..example.org", NO_URL),
        (f"https://{'l' * 64}.example.org", NO_URL),
        ("", NO_URL),
    ],
)
def test_site_url_rejects_other_hosts(text: str, message: str) -> None:
    assert refused(parse_site_url, text) == ("verify_url", message)


# ClientSpec

TOMORROW = datetime.now(UTC) + timedelta(days=1)


def test_default_spec_is_plain_client() -> None:
    spec = ClientSpec()

    assert spec.name == "api-client"
    assert (spec.token, spec.staff, spec.superuser, spec.is_staff, spec.use_existing_user) == (
        None, None, None, False, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "spec", "message"),
    [
        ("token", {"token": True, "restricted": True}, NO_TOKEN),
        ("expires_in", {"token": False, "expires_in": timedelta(days=1)}, NO_TOKEN),
        ("expires_at", {"token": False, "expires_at": TOMORROW}, NO_TOKEN),
        ("access_token", {"token": False, "access_token": Secret("t" * 32)}, NO_TOKEN),
        (
            "expires_at",
            {"expires_in": timedelta(days=1), "expires_at": TOMORROW},
            "use either a lifetime or an expiry date, not both.",
        ),
        ("expires_in", {"expires_in": timedelta(0)}, "use a time span above zero."),
        ("expires_in", {"expires_in": timedelta(seconds=-1)}, "use a time span above zero."),
        ("expires_at", {"expires_at": datetime(2100, 1, 1)}, "the time needs a time zone."),  # noqa: DTZ001
    ],
    ids=called,
)
def test_contradiction_is_refused(field: str, spec: dict[str, Any], message: str) -> None:
    assert refused(ClientSpec, **spec) == (field, message)


@pytest.mark.parametrize(
    ("rights", "is_staff"), [({}, False), ({"staff": True}, True), ({"superuser": True}, True)], ids=str
)
def test_superuser_implies_staff(rights: dict[str, bool], is_staff: bool) -> None:
    assert ClientSpec(**rights).is_staff is is_staff


def test_change_keeps_other_declared_rights() -> None:
    declared = ("course_role:staff@edX", "global_role:support", "permission:course_modes.change_coursemode")

    changed = change_client("report", declared, {"global_roles": ("other",), "purpose": "Grades"})

    assert changed == ClientSpec(
        name="report", purpose="Grades", global_roles=("other",), course_roles=("staff@edX",), groups=(),
        permissions=("course_modes.change_coursemode",),
    )  # fmt: skip
    assert change_client("report", declared, {"purpose": "Grades"}) == ClientSpec(name="report", purpose="Grades")


def test_spec_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        ClientSpec().name = "other"


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "a"},
        {"name": "9"},
        {"name": "a" * 100},
        {"name": "Grades.export_2-b"},
        {"email": "bot@example.org"},
        {"email": f"{'b' * 242}@example.org"},
        {"contact": ""},
        {"contact": "team@example.org"},
        {"purpose": "x" * 255},
        {"purpose": "Ünïcode, for people"},
        {"expires_in": timedelta(seconds=1)},
        {"expires_at": datetime(2000, 1, 1, tzinfo=timezone(timedelta(hours=2)))},
        {"token": False},
        {"scopes": ()},
        {"scopes": ("read", "grades:read", "!#$%&'()*+,-./[]^_`{|}~")},
        {"restricted": True, "filters": ("content_org:edX",)},
        {"permissions": ("course_modes.change_coursemode",), "groups": ("API users",)},
        {"course_roles": ("staff@edX", "staff@course-v1:edX+DemoX+2026"), "global_roles": ("support",)},
        {"client_id": "x"},
        {"client_id": "x" * 100},
        {"client_id": "!\"#$%&'()*+,-./09;<=>?@AZ[\\]^_`az{|}~"},
        {"client_secret": Secret("s" * 32)},
        {"client_secret": Secret("s" * 255)},
        {"client_secret": Secret(PRINTABLE)},
        {"access_token": Secret("t" * 32)},
        {"access_token": Secret("t" * 255)},
        {"access_token": Secret("ABCabc019-._~+/" * 3 + "==")},
    ],
    ids=called,
)
def test_valid_spec_is_accepted(spec: dict[str, Any]) -> None:
    ClientSpec(**spec)


@pytest.mark.parametrize(
    ("field", "spec", "words"),
    [
        ("name", {"name": ""}, "cannot be empty"),
        ("name", {"name": "a" * 101}, "at most 100"),
        ("name", {"name": "-a"}, "begin with a letter"),
        ("name", {"name": ".a"}, "begin with a letter"),
        ("name", {"name": "a b"}, "letters, digits"),
        ("name", {"name": "apí"}, "letters, digits"),
        ("name", {"name": "a\n"}, "letters, digits"),
        ("name", {"name": "a/b"}, "letters, digits"),
        ("manifest", {"manifest": "a b"}, "letters, digits"),
        ("username", {"username": ""}, "leave it out"),
        ("username", {"username": "b\udced"}, "printable"),  # as an undecodable byte arrives
        ("username", {"username": "b\x00"}, "printable"),
        ("email", {"email": ""}, "leave it out"),
        ("email", {"email": "nonsense"}, "not an email address"),
        ("email", {"email": "a b@example.org"}, "not an email address"),
        ("email", {"email": f"a@{'b.' * 125}example.org"}, "at most 254"),
        ("email", {"email": f"{'b' * 243}@example.org"}, "at most 254"),
        ("contact", {"contact": "nonsense"}, "not an email address"),
        ("purpose", {"purpose": "x" * 256}, "at most 255"),
        ("purpose", {"purpose": "two\nlines"}, "printable"),
        ("purpose", {"purpose": "esc\x1b[31m"}, "printable"),
        ("scopes", {"scopes": ("",)}, "cannot be empty"),
        ("scopes", {"scopes": ("read write",)}, "one scope at a time"),
        ("scopes", {"scopes": ("read", 'wr"ite')}, "one scope at a time"),
        ("scopes", {"scopes": ("wr\\ite",)}, "one scope at a time"),
        ("scopes", {"scopes": ("grádes",)}, "one scope at a time"),
        ("permissions", {"permissions": ("change_coursemode",)}, "like app_label.change_model"),
        ("permissions", {"permissions": ("course_modes.",)}, "like app_label.change_model"),
        ("permissions", {"permissions": ("Course.Change",)}, "like app_label.change_model"),
        ("groups", {"groups": ("",)}, "cannot be empty"),
        ("course_roles", {"course_roles": ("staff",)}, "staff@edX"),
        ("course_roles", {"course_roles": ("staff@course-v1:edX",)}, "staff@edX"),
        ("course_roles", {"course_roles": ("staff@course-v1:edX+DemoX+1+2",)}, "staff@edX"),
        ("course_roles", {"course_roles": ("staff@library-v1:edX+Lib",)}, "staff@edX"),
        ("course_roles", {"course_roles": ("staff@edX/DemoX/2021",)}, "staff@edX"),
        ("course_roles", {"course_roles": ("staff@",)}, "staff@edX"),
        ("course_roles", {"course_roles": ("@edX",)}, "staff@edX"),
        ("course_roles", {"course_roles": ("Staff@edX",)}, "staff@edX"),
        ("global_roles", {"global_roles": ("Support",)}, "name of a role"),
        ("global_roles", {"global_roles": ("support@edX",)}, "name of a role"),
        ("filters", {"filters": ("content_org",)}, "like content_org:edX"),
        ("filters", {"filters": ("content_org:a,b",)}, "like content_org:edX"),
        ("filters", {"filters": ("content_org:",)}, "like content_org:edX"),
        ("filters", {"filters": (":edX",)}, "like content_org:edX"),
        ("client_id", {"client_id": ""}, "cannot be empty"),
        ("client_id", {"client_id": "x" * 101}, "at most 100"),
        ("client_id", {"client_id": "a b"}, "without spaces"),
        ("client_id", {"client_id": "a:b"}, "':'"),
        ("client_id", {"client_id": "ä"}, "ASCII"),
        ("client_secret", {"client_secret": Secret("s" * 31)}, "32 to 255"),
        ("client_secret", {"client_secret": Secret("s" * 256)}, "32 to 255"),
        ("client_secret", {"client_secret": Secret("")}, "cannot be empty"),
        ("client_secret", {"client_secret": Secret("ß" * 40)}, "printable ASCII"),
        ("client_secret", {"client_secret": Secret("s" * 32 + "\n")}, "printable ASCII"),
        ("client_secret", {"client_secret": Secret("s" * 32 + "\x7f")}, "printable ASCII"),
        ("client_secret", {"client_secret": Secret("s" * 32 + "\x00")}, "printable ASCII"),
        ("access_token", {"access_token": Secret("t" * 31)}, "32 to 255"),
        ("access_token", {"access_token": Secret("t" * 256)}, "32 to 255"),
        ("access_token", {"access_token": Secret("t" * 32 + " x")}, "RFC 6750"),
        ("access_token", {"access_token": Secret("t" * 32 + "é")}, "RFC 6750"),
        ("access_token", {"access_token": Secret("t" * 32 + "=x")}, "RFC 6750"),
        ("access_token", {"access_token": Secret("t" * 32 + ",")}, "RFC 6750"),
    ],
    ids=called,
)
def test_invalid_spec_names_field_and_remedy(field: str, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as refusal:
        ClientSpec(**spec)

    assert refusal.value.field == field
    assert "\n" not in str(refusal.value)


@given(st.text(PRINTABLE, min_size=32, max_size=255))
def test_printable_ascii_secret_is_accepted(value: str) -> None:
    assert ClientSpec(client_secret=Secret(value)).client_secret.reveal() == value


def refusal_of(value: str) -> str:
    with pytest.raises(InvalidSpec) as refusal:
        ClientSpec(client_secret=Secret(value))

    return str(refusal.value)


@given(st.text().filter(lambda text: not (32 <= len(text) <= 255 and set(text) <= set(PRINTABLE))))
def test_other_secret_is_rejected_unrepeated(value: str) -> None:
    # A value may be a word of the message: no message depends on the value.
    assert refusal_of(value) in {refusal_of(""), refusal_of("s"), refusal_of("ß" * 40)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x" * 256, "use at most 255 characters."),
        ("two\nlines", "use printable characters only."),
        ("a\tb", "use printable characters only."),
        ("\x00", "use printable characters only."),
    ],
)
def test_other_text_is_rejected_by_field(text: str, message: str) -> None:
    assert refused(check_line, "actor", text) == ("actor", message)


# Credentials


def test_applied_gives_credentials_or_raises() -> None:
    credentials, error = CredentialsFactory(), InvalidSpec("Why.", field="name")

    assert Applied(name="report", credentials=credentials).unwrap() is credentials
    with pytest.raises(InvalidSpec) as refusal:
        Applied(name="report", error=error).unwrap()
    assert refusal.value is error


HOLDERS = {
    "Secret": lambda: Secret(SECRET),
    "ClientSpec": lambda: ClientSpec(client_secret=Secret(SECRET), access_token=Secret(TOKEN)),
    "Credentials": CredentialsFactory,
}


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize("show", [str, repr, format, "{}".format, "{!r:>9}".format, "%s".__mod__, ascii])
def test_secret_holders_mask_their_secrets(make: Any, show: Any) -> None:
    shown = show(make())

    assert SECRET not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize(
    "write_out",
    [pickle.dumps, lambda value: pickle.dumps(value, 0), copy.deepcopy, json.dumps],
    ids=["pickle", "pickle of old", "deepcopy", "JSON"],
)
def test_secret_holders_are_not_serializable(make: Any, write_out: Any) -> None:
    with pytest.raises(TypeError) as refusal:
        write_out(make())

    assert SECRET not in str(refusal.value)


def test_secret_cannot_be_copied() -> None:
    secret = Secret(SECRET)

    with pytest.raises(TypeError):
        copy.copy(secret)
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(TypeError):
        asdict(CredentialsFactory())
    with pytest.raises(TypeError):
        list(secret)


def test_secret_equals_only_same_secret() -> None:
    assert Secret(SECRET) == Secret(SECRET)
    assert Secret("ü") == Secret("ü")
    assert Secret(SECRET) != Secret(TOKEN)
    assert Secret(SECRET) != SECRET


def test_secret_is_not_hashable() -> None:
    with pytest.raises(TypeError):
        hash(Secret(SECRET))


@pytest.mark.parametrize(
    ("secret", "token", "issued"),
    [(SECRET, TOKEN, True), (SECRET, None, True), (None, TOKEN, True), (None, None, False)],
)
def test_credentials_issued_with_either_secret(secret: str | None, token: str | None, issued: bool) -> None:
    credentials: Credentials = CredentialsFactory(
        client_secret=secret and Secret(secret), access_token=token and Secret(token)
    )

    assert credentials.issued is issued


@pytest.mark.parametrize(
    ("checks", "ok"),
    [
        ((), False),
        ((Check("token", True),), True),
        ((Check("token", True), Check("secret", False, "why")), False),
        ((Check("token", True), Check("secret", True)), True),
    ],
)
def test_verification_needs_a_passed_check(checks: tuple[Check, ...], ok: bool) -> None:
    assert Verification(checks).ok is ok


@pytest.mark.parametrize("address", ["", "nonsense", "a@b", f"{'b' * 243}@example.org"])
def test_address_that_is_none_is_refused_for_its_field(address: str) -> None:
    assert refused(check_email, "somebody", address) == ("somebody", "not an email address.")
    check_email("somebody", f"{'b' * 242}@example.org")
