"""Test that credentials are verified by the site's own code, and that each error is explained."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import pytest
from oauth2_provider.models import get_access_token_model, get_application_model
from rest_framework.exceptions import AuthenticationFailed

from edx_api_provisioning.adapters import oauth_server
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.core.secrets import Secret, basic_authorization
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.services import http_verification, verification
from edx_api_provisioning.services.batch import provision
from tests.factories import OPERATOR, SECRET, TOKEN, ApplicationFactory, CredentialsFactory, UserFactory, statements
from tests.leak_detection import OWN_SECRET

pytestmark = pytest.mark.versions

ME, GRANT = ("GET", "/api/user/v1/me"), ("POST", "/oauth2/access_token")
REVOKE = ("POST", "/oauth2/revoke_token")


def meanings(checks: Any) -> list[str]:
    """Return the meaning of each check; empty if it passed."""
    assert all(bool(check.meaning) is not check.ok for check in checks)
    return [check.meaning for check in checks]


# In this process


@pytest.fixture
def issued(db: None) -> Credentials:
    return provision(ClientSpec(name="report"), authority=OPERATOR)


def test_issued_credentials_work(issued: Credentials) -> None:
    checks = verification.in_process(issued)

    assert [(check.what, check.ok, check.meaning) for check in checks] == [
        ("access token with the site's Bearer authentication", True, ""),
        ("client id and secret with the site's OAuth2 validator", True, ""),
    ]
    assert verification.in_process(replace(issued, access_token=None)) == checks[1:]
    assert verification.in_process(replace(issued, client_secret=None)) == checks[:1]


def tokens() -> Any:
    return get_access_token_model().objects.all()


def past() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=1)


BREAKAGES = {
    "token of another": (lambda user: tokens().update(user=UserFactory()), ["user_is_disabled: ", ""]),
    "token of a person": (
        lambda user: tokens().update(user=ApplicationFactory().user), ["other_user: the credentials belong to", ""]
    ),
    "application of another": (
        lambda user: get_application_model().objects.update(user=ApplicationFactory().user),
        ["user_is_disabled: the service user has an unusable password and no application", "other_user: "],
    ),
    "application deleted": (
        lambda user: get_application_model().objects.all().delete(),
        ["token_nonexistent: ", "invalid_client: the client id and secret do not match"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("breakage", "expected"), BREAKAGES.values(), ids=BREAKAGES)
def test_breakage_is_explained(issued: Credentials, breakage: Any, expected: list[str]) -> None:
    breakage(get_application_model().objects.get(client_id=issued.client_id).user)

    for meaning, beginning in zip(meanings(verification.in_process(issued)), expected, strict=True):
        assert meaning.startswith(beginning)
        assert bool(meaning) is bool(beginning)


def test_wrong_secret_is_explained(issued: Credentials) -> None:
    wrong = CredentialsFactory(
        client_id=issued.client_id, client_secret=Secret(SECRET), access_token=None, username=issued.username
    )

    assert meanings(verification.in_process(wrong)) == [
        "invalid_client: the client id and secret do not match on this site."
    ]


def test_bearer_class_without_user_is_explained(settings: Any, issued: Credentials) -> None:
    tokens().delete()
    settings.EDX_API_PROVISIONING = {}  # django-oauth-toolkit's own class returns None where the LMS's raises

    assert meanings(verification.in_process(issued))[0].startswith("token_nonexistent: ")


class Failing:
    """Bearer class that fails like the LMS's for a token without a user."""

    def authenticate(self, request: Any) -> Any:
        raise AttributeError("'NoneType' object has no attribute 'is_active'")


def test_failing_bearer_class_is_explained(settings: Any, issued: Credentials) -> None:
    settings.EDX_API_PROVISIONING = {"BEARER_AUTHENTICATION": f"{__name__}.Failing"}

    assert meanings(verification.in_process(issued))[0].startswith("500: the site failed; see its log.")


# Presented tokens


STATES = {
    "valid": (lambda user: None, "valid", ""),
    "token deleted": (lambda user: tokens().delete(), "unknown", "token_nonexistent: "),
    "token expired": (lambda user: tokens().update(expires=past()), "expired", "token_expired: "),
    "user not active": (
        lambda user: type(user).objects.filter(pk=user.pk).update(is_active=False), "disabled", "user_not_active: "
    ),
    "application given away": (
        lambda user: get_application_model().objects.update(user=ApplicationFactory().user),
        "disabled", "user_is_disabled: ",
    ),
    "token without a user": (lambda user: tokens().update(user=None), "unusable", "the token has no user"),
}  # fmt: skip


@pytest.mark.parametrize(("breakage", "state", "meaning"), STATES.values(), ids=STATES)
def test_token_states_are_explained(issued: Credentials, breakage: Any, state: str, meaning: str) -> None:
    breakage(get_application_model().objects.get().user)

    found = verification.examine(issued.access_token)

    assert found.state == state
    if state == "valid":
        assert (found.username, found.is_staff, found.is_superuser) == ("report", False, False)
        assert (found.scopes, found.expires_at, found.client_id) == (
            issued.scopes, issued.expires_at, issued.client_id
        )  # fmt: skip
    assert found.meaning.startswith(meaning)
    assert bool(found.meaning) is bool(meaning)


@pytest.mark.parametrize("word", ["", "two words", "tökén", "line\n"])
def test_malformed_token_is_not_looked_up(db: None, word: str) -> None:
    with statements() as sent:
        found = verification.examine(Secret(word))

    assert (found.state, sent) == ("unknown", [])


def test_tried_grant_leaves_no_token(issued: Credentials) -> None:
    check = verification.grant_in_process(issued.client_id, issued.client_secret)

    assert check.ok
    assert tokens().count() == 1
    assert meanings([verification.grant_in_process(issued.client_id, Secret(SECRET))])[0].startswith("invalid_client: ")


# Over HTTP, with every possible response


class Site:
    """Local site that returns prepared answers and records requests."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], tuple[int, dict[str, str], bytes]] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.hold = threading.Event()
        self.hold.set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                site.requests.append((self.command, self.path, dict(self.headers), body))
                site.hold.wait(30)
                status, headers, answer = site.answers.get((self.command, self.path), (404, {}, b"Not found"))
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except ConnectionError:
                    self.close_connection = True  # The caller has hung up.

            do_POST = do_GET

            def log_message(self, format: str, *arguments: Any) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.block_on_close = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, what: tuple[str, str], status: int, body: object, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[what] = (status, {"Content-Type": "application/json", **headers}, content)

    def close(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def site(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    site = Site()
    site.answer(ME, 200, {"username": "report"})
    yield site
    site.close()


def with_token(site: Site) -> str:
    """Return the meaning for the token."""
    (meaning,) = meanings(http_verification.over_http(CredentialsFactory(client_secret=None), site.url))
    return meaning


def with_secret(site: Site) -> list[str]:
    """Return the meanings for id and secret: one for an opaque token, one for a JWT."""
    return meanings(http_verification.over_http(CredentialsFactory(access_token=None), site.url))


HTML = b"<!doctype html><title>Sorry</title>"
EXPIRED = {"error_code": "token_expired", "developer_message": "The provided access token has expired."}
ANSWERS = {
    "right": (200, {"username": "report"}, ""),
    "another user": (200, {"username": "ada"}, "other_user: the credentials belong to another user."),
    "expired": (401, EXPIRED, "token_expired: the token has expired, or its application is restricted."),
    "expired, wrapped": (401, {"developer_message": EXPIRED}, "token_expired: the token has expired"),
    "inactive": (401, {"developer_message": {"error_code": "user_not_active"}}, "user_not_active: the service user"),
    "no credentials seen": (
        401,
        {"detail": "Authentication credentials were not provided."},
        "anonymous: the endpoint",
    ),
    "no credentials seen, wrapped": (
        401,
        {"developer_message": "Authentication credentials …"},
        "anonymous: the endpoint",
    ),
    "forbidden": (403, {"detail": "No permission."}, "403: the credentials are valid, but the client may not do this"),
    "absent": (404, HTML, "404: nothing found at this URL. Check that it is that of the site."),
    "too often": (429, HTML, "429: the site limits the rate of requests. Wait a minute."),
    "failed": (500, HTML, "500: the site failed; see its log."),
    "a new code": (401, {"error_code": "token_frozen"}, "token_frozen: the site refused; see its log."),
    "a code that is none": (401, {"error_code": "<b>no & never</b>"}, "the site refused; see its log."),
    "a strange code": (401, {"error_code": {"a": 1}}, "the site refused; see its log."),
    "redirect": (302, b"", "302: the site refused"),
}


@pytest.mark.parametrize(("status", "body", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_token_responses_are_explained(site: Site, status: int, body: object, expected: str) -> None:
    site.answer(ME, status, body)

    meaning = with_token(site)

    assert meaning.startswith(expected)
    assert bool(meaning) is bool(expected)
    assert "<" not in meaning


@pytest.mark.parametrize("body", [HTML, b"[]", b'"report"', b"null", b"{}", b"\xff\xfe"])
def test_other_page_is_not_another_user(site: Site, body: bytes) -> None:
    site.answer(ME, 200, body)

    assert "another user" not in with_token(site)
    assert "Check that the URL is that of the site." in with_token(site)


@pytest.mark.parametrize("echoed", [TOKEN, "edxapi_" + "0123456789abcdef" * 3, "S3cr3t" * 6])
def test_echoed_secret_is_not_shown(site: Site, echoed: str) -> None:
    for key in ("error", "error_code"):
        site.answer(ME, 401, {key: echoed})

        assert echoed not in with_token(site)


GRANTS = {
    "wrong client": (401, {"error": "invalid_client"}, "invalid_client: the client id and secret do not match"),
    "other grant": (400, {"error": "unauthorized_client"}, "unauthorized_client: the application does not have the"),
    "not a form": (400, {"error": "unsupported_grant_type"}, "unsupported_grant_type: the site did not read"),
    "failed": (500, HTML, "500: the site failed"),
}


@pytest.mark.parametrize(("status", "body", "expected"), GRANTS.values(), ids=GRANTS)
def test_grant_responses_are_explained(site: Site, status: int, body: object, expected: str) -> None:
    site.answer(GRANT, status, body)

    for meaning in with_secret(site):
        assert meaning.startswith(expected)


def test_grant_tries_opaque_token_and_jwt(site: Site) -> None:
    site.answer(GRANT, 200, {"access_token": "granted", "token_type": "JWT"})

    assert with_secret(site) == ["", ""]

    assert [(method, path) for method, path, _headers, _body in site.requests] == [GRANT, ME, REVOKE, GRANT, ME]
    forms = [parse_qs(body.decode()) for method, _path, _headers, body in site.requests if method == "POST"]
    grants = [{"grant_type": ["client_credentials"], "token_type": [kind]} for kind in ("bearer", "jwt")]
    assert forms == [grants[0], {"token": ["granted"]}, grants[1]]
    used = [headers["Authorization"] for method, _path, headers, _body in site.requests if method == "GET"]
    assert used == ["Bearer granted", "JWT granted"]


def test_grant_uses_http_basic(site: Site) -> None:
    site.answer(GRANT, 200, {"access_token": "granted", "token_type": "JWT"})
    own = CredentialsFactory(access_token=None, client_id="own+id%2B", client_secret=Secret(OWN_SECRET))

    http_verification.over_http(own, site.url)

    pairs = {headers["Authorization"] for method, _path, headers, _body in site.requests if method == "POST"}
    [pair] = [base64.b64decode(header.removeprefix("Basic ")).decode() for header in pairs]
    # As django-oauth-toolkit reads it.
    assert [*map(unquote_plus, pair.split(":"))] == ["own+id%2B", OWN_SECRET]


@pytest.mark.parametrize("scheme", ["http", "https", "all"])
def test_loopback_uses_no_proxy(site: Site, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{closed_port()}")
    site.answer(GRANT, 200, {"access_token": "granted", "token_type": "JWT"})

    assert with_token(site) == ""
    assert with_secret(site) == ["", ""]


def test_public_address_uses_the_proxy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", site.url)

    http_verification.over_http(CredentialsFactory(client_secret=None), "http://lms.example.org")

    assert [path for _method, path, _headers, _body in site.requests] == ["http://lms.example.org/api/user/v1/me"]


def nested(key: str, depth: int) -> bytes:
    return b'{"%s": ' % key.encode() * depth + b"{}" + b"}" * depth


@pytest.mark.parametrize("depth", [900, 100_000])
def test_nested_answer_is_explained(site: Site, depth: int) -> None:
    keys = ("developer_message", "error", "error_code", "access_token", "username")
    for key, status in itertools.product(keys, (200, 401)):
        for what in (ME, GRANT):
            site.answer(what, status, nested(key, depth))

        assert all(meaning and "\n" not in meaning for meaning in [with_token(site), *with_secret(site)])


def test_missing_jwt_is_explained(site: Site) -> None:
    site.answer(GRANT, 200, {"access_token": "granted", "token_type": "Bearer"})

    assert with_secret(site) == ["", "not_jwt: the site returned a token that is not a JWT."]


def test_unusable_granted_token_is_explained(site: Site) -> None:
    site.answer(GRANT, 200, {"access_token": "granted", "token_type": "JWT"})
    site.answer(ME, 401, {"error_code": "token_expired"})

    assert [meaning.partition(":")[0] for meaning in with_secret(site)] == ["token_expired", "token_expired"]


@pytest.mark.parametrize("body", [HTML, b"[]", b"{}"])
def test_other_page_is_not_a_grant(site: Site, body: bytes) -> None:
    site.answer(GRANT, 200, body)

    assert all(with_secret(site))
    assert {(method, path) for method, path, _headers, _body in site.requests} == {GRANT}


def test_redirect_gets_no_secret(site: Site) -> None:
    for what in (ME, GRANT):
        site.answer(what, 307, b"", Location=f"{site.url}/elsewhere")

    checks = http_verification.over_http(CredentialsFactory(), site.url)

    assert all(meaning.startswith("307: ") for meaning in meanings(checks))
    assert {(method, path) for method, path, _headers, _body in site.requests} == {ME, GRANT}


def test_netrc_does_not_replace_token(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    site.answer(GRANT, 200, {"access_token": "granted", "token_type": "JWT"})

    http_verification.over_http(CredentialsFactory(), site.url)

    used = [headers.get("Authorization") for _method, _path, headers, _body in site.requests]
    basic = basic_authorization("the-client-id", Secret(SECRET))
    assert used == [f"Bearer {TOKEN}", basic, "Bearer granted", basic, basic, "JWT granted"]


def test_secrets_stay_out_of_urls_and_logs(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site.answer(GRANT, 200, {"access_token": "granted", "token_type": "JWT"})

    http_verification.over_http(CredentialsFactory(), site.url)

    seen = caplog.text + " ".join(path for _method, path, _headers, _body in site.requests)
    assert [word for word in (SECRET, TOKEN, "granted") if word in seen] == []


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_unreachable_site_is_not_a_refusal(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    checks = http_verification.over_http(CredentialsFactory(), f"http://127.0.0.1:{closed_port()}")

    assert len(checks) == 3
    for meaning in meanings(checks):
        assert "refused" not in meaning
        assert "no connection" in meaning


def test_slow_site_times_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_verification, "_TIMEOUT", 0.05)
    site.hold.clear()

    meaning = with_token(site)

    assert "refused" not in meaning
    assert "answer" in meaning


# Every recorded error


@pytest.mark.django_db
def test_custom_class_may_refuse_without_code(monkeypatch: pytest.MonkeyPatch) -> None:
    class InWords:
        def authenticate(self, _request: object) -> None:
            raise AuthenticationFailed("We do not know you.")

    issued = provision(ClientSpec(name="report"), authority=OPERATOR)
    monkeypatch.setattr(verification, "import_string", lambda _path: InWords)
    assert issued.access_token is not None

    presented = verification.examine(issued.access_token)

    assert (presented.state, presented.meaning) == ("refused", "the site refused; see its log.")
    assert not verification.in_process(issued)[0].ok


def recorded_codes() -> set[str]:
    """Return the error codes in the recorded bodies, in every shape."""
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.update(value[key] for key in ("error_code", "error") if isinstance(value.get(key), str))
            value = list(value.values())
        for inner in value if isinstance(value, list) else ():
            walk(inner)

    recorded = json.loads((Path(__file__).parents[1] / "contract" / "contract.json").read_text())
    walk([exchange["body"] for exchange in recorded["http"]])
    return found


def test_every_recorded_error_is_explained(site: Site) -> None:
    codes = recorded_codes() | {"user_not_active"}
    assert codes > {"token_nonexistent", "token_expired", "invalid_client"}
    for code, key in itertools.product(codes, ("error_code", "error")):
        site.answer(ME, 401, {key: code})

        meaning = with_token(site)

        assert meaning.startswith(f"{code}: ")
        assert not meaning.endswith("the site refused; see its log.")


# The sandbox over HTTP


OVER_HTTP = [
    "access token over HTTP",
    "opaque token for client id and secret over HTTP",
    "JWT for client id and secret over HTTP",
]


@pytest.mark.parametrize("restricted", [False, True])
def test_verification_leaves_no_token(live_server: Any, restricted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    spec = ClientSpec(name="report", restricted=restricted, scopes=("grades:read",) if restricted else None)
    credentials = provision(spec, authority=OPERATOR)
    before = set(tokens().values_list("pk", flat=True))

    found = verification.verify(credentials, url=live_server.url)
    assert found.ok, meanings(found.checks)
    assert [check.what for check in found.checks if "HTTP" in check.what] == OVER_HTTP[2 * restricted :]
    assert verification.verify_client(credentials.client_id, credentials.client_secret, url=live_server.url).ok

    assert set(tokens().values_list("pk", flat=True)) == before


def test_token_of_another_site_is_revoked_there(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of another site are not in this database."""
    credentials = provision(ClientSpec(name="report", token=False), authority=OPERATOR)
    monkeypatch.setattr(oauth_server, "revoke_granted", lambda *_arguments, **_options: False)
    real, paths = http_verification._call, []

    def called(method: str, url: str, *arguments: Any) -> Any:
        paths.append((method, url.removeprefix(live_server.url)))
        return real(method, url, *arguments)

    monkeypatch.setattr(http_verification, "_call", called)

    http_verification.over_http(credentials, live_server.url)

    assert tokens().count() == 1  # The row of the JWT cannot be revoked over HTTP.
    assert [path for path in paths if "revoke" in path[1]] == [("POST", "/oauth2/revoke_token")]


def test_verification_leaves_tokens_of_others(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that is granted a token at the same moment keeps it."""
    credentials = provision(ClientSpec(name="report", token=False), authority=OPERATOR)
    real = http_verification._grant

    def beside_another(*arguments: Any) -> Any:
        oauth_server.grant(credentials.client_id, credentials.client_secret)
        return real(*arguments)

    monkeypatch.setattr(http_verification, "_grant", beside_another)

    http_verification.over_http(credentials, live_server.url)

    # The opaque token is found by its value. Which of the two rows is that of the JWT, nobody can tell.
    assert tokens().count() == 3


def test_tracking_log_has_no_secret(live_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tracking")
    credentials = provision(ClientSpec(name="report"), authority=OPERATOR)

    http_verification.over_http(credentials, live_server.url)

    tracked = [record.getMessage() for record in caplog.records if record.name == "tracking"]
    assert any("client_credentials" in line for line in tracked)
    assert credentials.client_secret.reveal() not in " ".join(tracked)
