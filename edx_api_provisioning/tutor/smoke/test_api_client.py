"""Verify client ID and secret over HTTP, for ``tutor local do tests``. Tutor runs it and sets the variables."""

# ruff: noqa: S101 - assert is how pytest tests

from __future__ import annotations

import json
import os
from base64 import b64encode
from urllib.error import HTTPError
from urllib.parse import quote_plus, urlencode
from urllib.request import Request, urlopen


def _call(path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, dict[str, str]]:
    scheme = "https" if os.environ["ENABLE_HTTPS"] == "true" else "http"
    port = f":{os.environ['LMS_PORT']}" if "LMS_PORT" in os.environ else ""
    data = urlencode(form).encode() if form is not None else None
    request = Request(f"{scheme}://{os.environ['LMS_HOST']}{port}{path}", data, headers)  # noqa: S310 - the site's own
    try:
        with urlopen(request, timeout=30) as response:  # noqa: S310 - as above
            return response.status, json.load(response)
    except HTTPError as error:
        return error.code, {}


def _token(secret: str) -> tuple[int, dict[str, str]]:
    # The LMS writes the form of a request into tracking.log, but no header.
    basic = b64encode(f"{quote_plus(os.environ['OAUTH2_CLIENT_ID'])}:{quote_plus(secret)}".encode()).decode()
    return _call("/oauth2/access_token", {"grant_type": "client_credentials"}, Authorization=f"Basic {basic}")


def test_token_opens_api() -> None:
    status, answer = _token(os.environ["OAUTH2_CLIENT_SECRET"])
    assert status == 200
    status, me = _call("/api/user/v1/me", Authorization=f"Bearer {answer['access_token']}")
    assert status == 200
    assert me["username"]


def test_wrong_secret_is_rejected() -> None:
    status, _answer = _token("wrong")
    assert status == 401
