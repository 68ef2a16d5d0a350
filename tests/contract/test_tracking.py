"""Test the tracking log: the LMS logs all form fields and censors only passwords."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.test import Client

from tests.contract.callers import SECRET, make_caller
from tests.leak_detection import LeakDetector

TOKEN = "/oauth2/access_token"


@pytest.fixture
def tracked(caplog: pytest.LogCaptureFixture) -> Any:
    """Return the last event of the tracking log."""
    caplog.set_level("INFO", "tracking")
    return lambda: json.loads([each for each in caplog.records if each.name == "tracking"][-1].getMessage())


def test_form_fields_are_logged(tracked: Any, db: None) -> None:
    Client().post(
        "/nowhere?a=1", {"client_secret": "s", "password": "p", "scope": ["x", "y"]}, headers={"Referer": "r"}
    )
    event = tracked()
    assert event["event"] == {
        "GET": {"a": ["1"]},
        "POST": {"client_secret": ["s"], "password": "*" * 8, "scope": ["x", "y"]},
    }
    assert (event["event_type"], event["referer"], event["ip"]) == ("/nowhere", "r", "127.0.0.1")


def test_fields_are_cut_at_512_characters(tracked: Any, db: None) -> None:
    Client().post(TOKEN, {"a": 600 * "b", "client_secret": "s"})
    assert tracked()["event"] == '{"GET": {}, "POST": {"a": ["' + 484 * "b"


def test_json_bodies_are_not_logged(tracked: Any, db: None) -> None:
    Client().post(TOKEN, {"client_secret": "s"}, "application/json")
    assert tracked()["event"] == {"GET": {}, "POST": {}}


def test_unreadable_form_is_answered(tracked: Any, db: None) -> None:
    answer = Client().post(TOKEN, "x", "multipart/form-data; boundary=\x00")
    assert answer.status_code == 400
    assert tracked()["event"]["event-type"] == "exception"


def test_login_is_not_logged(caplog: pytest.LogCaptureFixture, db: None) -> None:
    caplog.set_level("INFO", "tracking")
    Client().post("/login_ajax", {"password": "p"})
    assert "tracking" not in {record.name for record in caplog.records}


@pytest.mark.parametrize("basic", [False, True])
def test_leak_detector_hears_form_secret(basic: bool, leak_detector: LeakDetector, db: None) -> None:
    caller = make_caller("caller")
    form, headers = {"grant_type": "client_credentials"}, {}
    if basic:
        pair = f"{quote(caller.client_id, safe='')}:{quote(SECRET, safe='')}"
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    else:
        form |= {"client_id": caller.client_id, "client_secret": SECRET}
    leak_detector.clear()
    assert Client().post(TOKEN, form, headers=headers).status_code == 200
    heard = [leak for leak in leak_detector.leaks(secrets=(SECRET,)) if leak.endswith(": log")]
    assert bool(heard) is not basic


def test_unknown_user_is_left_to_the_view(tracked: Any, admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(SessionStore, "load", fail)
    with pytest.raises(OperationalError):
        admin_client.get("/admin/")
    assert tracked()["username"] == "anonymous"
