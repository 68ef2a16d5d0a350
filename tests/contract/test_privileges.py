"""Test permissions: every row of the recorded matrix, for every caller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

pytestmark = pytest.mark.versions

COURSE = "course-v1:CET+GW_01+2021_2022_FA"
ROWS = json.loads(Path(__file__).with_name("contract.json").read_text())["privileges"]
CALLERS = {
    "anonymous": None,
    "plain": "tok-plain",
    "course_staff_role": "tok-courserole",
    "staff": "tok-staffer",
    "superuser": "tok-super",
}
BODIES = {
    "/api/enrollment/v1/enrollment": {"user": "k-plain", "course_details": {"course_id": COURSE}},
    "/api/bulk_enroll/v1/bulk_enroll": {
        "action": "enroll",
        "courses": COURSE,
        "identifiers": "k-plain@example.com",
        "auto_enroll": True,
        "email_students": False,
    },
}


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['method']} {row['path']}" for row in ROWS])
def test_status_matches_recording(row: dict[str, Any], recorded: None) -> None:
    client = Client(raise_request_exception=False)
    path = row["path"].replace("{course_key}", quote(COURSE, safe=""))
    statuses = {}
    for caller, token in CALLERS.items():
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if row["method"] == "POST":
            response = client.post(path, BODIES[row["path"]], "application/json", headers=headers)
        else:
            response = client.get(path, headers=headers)
        statuses[caller] = response.status_code
    assert {"method": row["method"], "path": row["path"], **statuses} == row
