"""Replay every recorded HTTP exchange."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

pytestmark = pytest.mark.versions

EXCHANGES = json.loads(Path(__file__).with_name("contract.json").read_text())["http"]
BY_NAME = {exchange["name"]: exchange for exchange in EXCHANGES}


def _grant(kind: str, **fields: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": f"client-{kind}",
        "client_secret": f"secret-{kind}",
        **fields,
    }


# Posted forms by the name of the exchange.
FORMS = {
    "grant: right secret in body": _grant("plain"),
    "grant: right secret in HTTP Basic": {"grant_type": "client_credentials"},
    "grant: wrong secret": _grant("plain", client_secret="wrong"),
    "grant: wrong client id": _grant("plain", client_id="wrong"),
    "grant: unknown scope": _grant("plain", scope="nonsense"),
    "grant: extra scope not allowed": _grant("plain", scope="read grades:read"),
    "grant: extra scope allowed by ApplicationAccess": _grant("scoped", scope="read grades:read"),
    "grant: JWT for plain": _grant("plain", token_type="jwt"),
    "grant: JWT for scoped": _grant("scoped", token_type="jwt"),
    "grant: JWT for super": _grant("super", token_type="jwt"),
    "grant: JWT for restricted": _grant("restricted", token_type="jwt"),
    "grant: JWT for noprofile": _grant("noprofile", token_type="jwt"),
    "grant: restricted opaque": _grant("restricted"),
    "revoke": {"client_id": "client-plain", "client_secret": "secret-plain", "token": "<TOKEN>"},
}
BASIC = {"grant: right secret in HTTP Basic": "client-plain:secret-plain"}
# Exchanges that provide the <TOKEN> or <JWT> of another one run before it.
BEFORE = {
    "grant token as Bearer on me": ["grant: right secret in body"],
    "restricted grant token on me": ["grant: restricted opaque"],
    "revoke": ["grant: right secret in body"],
    "revoked token on me": ["grant: right secret in body", "revoke"],
    **{
        f"JWT of {kind} on {view}": [f"grant: JWT for {kind}"]
        for kind in ("plain", "scoped", "super", "restricted", "noprofile")
        for view in ("me", "course_modes")
    },
}
# A database that folds case finds the token in another case, unless it looks up a checksum. Otherwise the token does
# not exist, and the LMS's answer to that was recorded too.
NOT_FOUND_UNLESS_CASE_IS_FOLDED = {
    f"{view}: uppercased token": f"{view}: nonexistent" for view in ("me", "course_modes", "courses", "enrollments")
}
# The recorded LMS could not render its own error page: compare only its status and content type.
UNRENDERED = "Encountered error while rendering error page."


@pytest.fixture
def lms(recorded: None) -> Client:
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("exchange", EXCHANGES, ids=[exchange["name"] for exchange in EXCHANGES])
def test_response_matches_recording(exchange: dict[str, Any], lms: Client, capabilities: SimpleNamespace) -> None:
    response = _replay(lms, exchange["name"])

    folded = capabilities.database_folds_case and not capabilities.token_is_looked_up_by_checksum
    if not folded:
        exchange = BY_NAME[NOT_FOUND_UNLESS_CASE_IS_FOLDED.get(exchange["name"], exchange["name"])]
    assert {
        "status": response.status_code,
        "www_authenticate": response.headers.get("WWW-Authenticate"),
        "content_type": response.headers["Content-Type"],
        "location": response.headers.get("Location"),
    } == {key: exchange[key] for key in ("status", "www_authenticate", "content_type", "location")}
    if isinstance(exchange["body"], str):
        _compare_text(response.content.decode(), exchange["body"])
    else:
        _compare_json(response.json(), exchange["body"])
    if "jwt_payload" in exchange:
        _compare_jwt(response.json()["access_token"], exchange)


def _replay(lms: Client, name: str) -> HttpResponse:
    """Send the request, after the requests whose token it uses."""
    token = ""
    for earlier in BEFORE.get(name, []):
        answer = _send(lms, earlier, token)
        token = token or answer.json()["access_token"]
    return _send(lms, name, token)


def _send(lms: Client, name: str, token: str) -> HttpResponse:
    exchange = BY_NAME[name]
    authorization = exchange["auth"] and exchange["auth"].replace("<TOKEN>", token).replace("<JWT>", token)
    if name in BASIC:
        authorization = "Basic " + base64.b64encode(BASIC[name].encode()).decode()
    headers = {"Authorization": authorization} if authorization else {}
    if exchange["method"] == "GET":
        return lms.get(exchange["path"], headers=headers)
    form = {key: value.replace("<TOKEN>", token) for key, value in FORMS[name].items()}
    return lms.post(exchange["path"], form, headers=headers)


def _compare_text(actual: str, expected: str) -> None:
    if expected == UNRENDERED:
        return
    if expected.startswith("\n<!DOCTYPE html>"):  # only the beginning of the page was kept
        actual = actual[: len(expected)]
    assert actual == expected


def _compare_json(actual: Any, expected: Any) -> None:
    if isinstance(expected, dict) and "access_token" in expected:
        issued = actual["access_token"]
        assert len(issued) == 30 if expected["token_type"] == "Bearer" else issued.count(".") == 2
        expected = {**expected, "access_token": issued}
        if expected["expires_in"] < 0:  # expired since 1970: the seconds up to now
            assert actual["expires_in"] == pytest.approx(-time.time(), abs=60)
            expected["expires_in"] = actual["expires_in"]
    assert actual == expected


def _compare_jwt(token: str, exchange: dict[str, Any]) -> None:
    """Compare all claims except time and account; the signature is checked where the JWT is used."""
    payload = jwt.decode(token, options={"verify_signature": False})
    expected = dict(exchange["jwt_payload"])
    assert jwt.get_unverified_header(token) == exchange["jwt_header"]
    assert payload["exp"] - payload["iat"] == expected["exp"] - expected["iat"]
    assert payload["iat"] == pytest.approx(time.time(), abs=60)
    assert re.fullmatch("[0-9a-f]{32}", payload["sub"])
    expected |= {key: payload[key] for key in ("exp", "iat", "sub")}
    if "user_id" in expected:
        expected["user_id"] = User.objects.get(username=expected["preferred_username"]).pk
    assert payload == expected


def test_each_user_has_its_own_sub(lms: Client) -> None:
    grants = [name for name in FORMS if name.startswith("grant: JWT for")]
    tokens = [_replay(lms, name).json()["access_token"] for name in [*grants, grants[0]]]
    subs = [jwt.decode(token, options={"verify_signature": False})["sub"] for token in tokens]
    assert len(set(subs)) == len(grants)
