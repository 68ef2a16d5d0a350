"""Test clients over HTTP: create, read, change, rotate, revoke."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.factories import row_counts, statements
from tests.lifecycle_helpers import answer, client, granted, last_event, provisioned
from tests.rest_api.callers import ROOT, Caller, good, problem

pytestmark = pytest.mark.django_db


# Made


@pytest.mark.versions
def test_create_shows_credentials_once(root: Caller) -> None:
    response = root.post("/clients/", {"name": "report", "contact": "ann@example.org", "reason": "it is May"})

    made = good(response, 201)
    assert (made["name"], made["status"], made["username"], made["verified"]) == ("report", "created", "report", True)
    assert answer(made["access_token"]) == "ok"
    assert made["changes"][0] == "Registered the API client report."
    assert response["Location"] == f"http://testserver{ROOT}/clients/report/"
    for shows_secrets in (response, root.post("/clients/report/token/")):
        assert "no-store" in shows_secrets["Cache-Control"]
        assert (shows_secrets["Pragma"], shows_secrets["Referrer-Policy"]) == ("no-cache", "no-referrer")
    assert (client().user.is_staff, client().user.has_usable_password()) == (False, False)
    event = ApiClientEvent.objects.get(kind="created")
    assert (event.reason, event.actor.startswith("REST API: user-")) == ("it is May", True)


def test_create_keeps_existing_client(root: Caller) -> None:
    provisioned(purpose="mine")
    before = row_counts()

    problem(root.post("/clients/", {"name": "report", "purpose": "theirs"}), 409, "client-exists")

    assert client().purpose == "mine"
    assert row_counts() == before


def test_all_field_errors_are_listed(root: Caller) -> None:
    before = row_counts()

    sent = {"name": "a b", "staff": "yes", "expires_in": "soon", "owner": "ann", "groups": ["a\0b"]}
    said = problem(root.post("/clients/", sent), 400)

    assert set(said["errors"]) == set(sent)
    assert said["errors"]["staff"] == ["give true or false."]
    said = problem(root.post("/clients/", {"name": "report", "reason": "two\nlines"}), 400)
    assert set(said["errors"]) == {"reason"}
    assert row_counts() == before


@pytest.mark.versions
@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("[]", "Send a JSON object."),
        ('"text"', "Send a JSON object."),
        ("{", "JSON parse error"),
        ('{"name": NaN}', "JSON parse error"),
        ("[" * 100_000, "The JSON is nested too deep."),
        (b"\xff", "JSON parse error"),
        ("", "name: every client needs a name."),
        ('{"name": "\\ud800"}', "The JSON has characters that are no text."),
        ('{"\\ud800": 1}', "The JSON has characters that are no text."),
    ],
)
def test_invalid_body_is_rejected(root: Caller, body: Any, detail: str) -> None:
    assert problem(root.post("/clients/", body), 400, "validation")["detail"].startswith(detail)


def test_only_json_is_read_and_written(root: Caller) -> None:
    response = root.http.post(f"{ROOT}/clients/", {"name": "report"}, headers={"X-CSRFToken": "c" * 32})
    problem(response, 415, "unsupported-media-type")
    problem(root.get("/clients/", Accept="text/html"), 406, "not-acceptable")
    assert not ApiClient.objects.exists()


# Read


def test_client_has_all_but_secrets(root: Caller) -> None:
    made = provisioned(contact="ann@example.org", self_rotation=True)

    shown = good(root.get("/clients/report/"))

    assert (shown["name"], shown["contact"], shown["self_rotation"]) == ("report", "ann@example.org", True)
    assert shown["client_id"] == made.client_id
    assert not {"client_secret", "access_token"} & set(shown)


@pytest.mark.parametrize("size", ["0", "", "9" * 5_000])
def test_invalid_page_size_is_refused(root: Caller, size: str) -> None:
    response = root.get(f"/clients/?page_size={size}")

    assert (response.status_code, response.json()["detail"]) == (400, "page_size: give a whole number from 1.")


@pytest.mark.databases
@pytest.mark.versions
def test_clients_are_paginated(root: Caller) -> None:
    for number in range(12):
        ApiClient.objects.create(name=f"client-{number:02}")

    page = good(root.get("/clients/?page_size=5&page=2&ordering=-name"))

    assert [row["name"] for row in page["results"]] == [f"client-{number:02}" for number in (6, 5, 4, 3, 2)]
    assert (page["count"], page["num_pages"], page["current_page"], page["start"]) == (12, 3, 2, 5)
    assert "page=3" in page["next"]
    assert good(root.get("/clients/"))["results"][0]["name"] == "client-00"
    problem(root.get("/clients/?page=9"), 404)


def test_list_query_count_is_constant(root: Caller) -> None:
    def taken() -> int:
        with statements() as sent:
            good(root.get("/clients/?page_size=50"))
        return len(sent)

    for number in range(3):
        ApiClient.objects.create(name=f"client-{number:02}")
    few = taken()
    for number in range(3, 40):
        ApiClient.objects.create(name=f"client-{number:02}")

    assert taken() == few


LISTED = {
    "state=retired": ["old"],
    "username=reader": ["read"],
    "contact=ann@example.org": ["soon"],
    "profile=": ["late", "old", "read", "soon"],
    "manifest=team": ["late"],
    "expiring_within=30d": ["soon"],
    "expiring_within=999999w": ["late", "read", "soon"],
    "unused_for=1d": ["late"],
    "ordering=expires_at": ["soon", "late", "read", "old"],
    "ordering=-expires_at": ["read", "late", "soon", "old"],
    "ordering=created": ["late", "soon", "read", "old"],
}


@pytest.mark.databases
@pytest.mark.versions
def test_clients_are_filtered_and_ordered(root: Caller) -> None:
    provisioned("soon", contact="ann@example.org", expires_in=timedelta(days=5))
    provisioned("late", manifest="team", expires_in=timedelta(days=100))
    provisioned("read", username="reader", expires_in=timedelta(days=200))
    provisioned("old", token=False)
    ApiClient.objects.filter(name="old").update(state="retired")
    ApiClient.objects.filter(name="late").update(created=datetime.now(UTC) - timedelta(days=2))

    found = {query: [row["name"] for row in good(root.get(f"/clients/?{query}"))["results"]] for query in LISTED}
    assert found == LISTED


@pytest.mark.parametrize(
    "query", ["expiring_within=soon", "ordering=secret", "username=a%00b", "manifest=" + "x" * 300]
)
def test_invalid_filter_is_rejected(root: Caller, query: str) -> None:
    problem(root.get(f"/clients/?{query}"), 400, "validation")


def test_events_are_newest_first(root: Caller) -> None:
    provisioned()
    provisioned("other")
    good(root.post("/clients/report/revoke/", {"reason": "seen in a log"}))

    page = good(root.get("/clients/report/events/?page_size=1"))

    assert (page["count"], len(page["results"])) == (2, 1)
    assert (page["results"][0]["kind"], page["results"][0]["reason"]) == ("revoked", "seen in a log")
    assert page["results"][0]["actor"].startswith("REST API: user-")


# Changed


def test_patch_keeps_unnamed_fields(root: Caller) -> None:
    provisioned(contact="ann@example.org", purpose="reports", staff=True, groups=())
    token = client().access_token_id

    changed = good(root.patch("/clients/report/", {"contact": "bob@example.org", "reason": "ann has left"}))

    assert (changed["status"], changed["access_token"], changed["client_secret"]) == ("updated", None, None)
    assert (client().contact, client().purpose, client().access_token_id) == ("bob@example.org", "reports", token)
    assert client().user.is_staff
    assert last_event().reason == "ann has left"
    before = row_counts()
    assert good(root.patch("/clients/report/", {}))["status"] == "unchanged"
    assert row_counts() == before


def test_patch_keeps_other_kinds_of_rights(root: Caller) -> None:
    provisioned(permissions=("course_modes.view_coursemode",), global_roles=("support",))

    good(root.patch("/clients/report/", {"permissions": ["course_modes.change_coursemode"]}))

    assert client().declared_rights == ["global_role:support", "permission:course_modes.change_coursemode"]


@pytest.mark.parametrize("ended", ["expired", "deleted"])
def test_patch_issues_no_token_unasked(root: Caller, ended: str) -> None:
    provisioned()
    tokens = get_access_token_model().objects
    tokens.update(expires=timezone.now() - timedelta(days=1)) if ended == "expired" else tokens.all().delete()

    assert good(root.patch("/clients/report/", {"purpose": "reports"}))["access_token"] is None
    issued = good(root.patch("/clients/report/", {"expires_in": "5d"}))
    assert answer(issued["access_token"]) == "ok"


def test_name_and_client_id_are_immutable(root: Caller) -> None:
    provisioned()

    assert set(problem(root.patch("/clients/report/", {"name": "a", "client_id": "b"}), 400)["errors"]) == {
        "name",
        "client_id",
    }


# ETags and preconditions


@pytest.mark.versions
def test_patch_honors_if_match(root: Caller) -> None:
    provisioned()
    read = root.get("/clients/report/")["ETag"]

    changed = root.patch("/clients/report/", {"purpose": "first"}, If_Match=read)
    assert good(changed)["status"] == "updated"

    problem(root.patch("/clients/report/", {"purpose": "second"}, If_Match=read), 412, "precondition-failed")
    problem(root.patch("/clients/report/", {"purpose": "second"}, If_Match=None), 428, "precondition-required")
    assert client().purpose == "first"
    assert changed["ETag"] == root.get("/clients/report/")["ETag"] != read
    good(root.patch("/clients/report/", {"purpose": "second"}, If_Match=f'"other", {changed["ETag"]}'))


@pytest.mark.parametrize("address", ["/clients/report/token/", "/clients/report/secret/", "/clients/report/revoke/"])
def test_post_honors_if_match(root: Caller, address: str) -> None:
    provisioned()
    before = row_counts()

    for stale in ('"stale"', "nonsense", f"W/{root.get('/clients/report/')['ETag']}"):
        problem(root.post(address, {}, If_Match=stale), 412)
    problem(root.post(address, {}, If_Match=None), 428)
    assert row_counts() == before
    good(root.post(address, {}, If_Match="*"))


def test_etag_covers_rights_of_user(root: Caller) -> None:
    provisioned()
    read = root.get("/clients/report/")["ETag"]
    client().user.user_permissions.add(Permission.objects.get(codename="view_user"))

    problem(root.post("/clients/report/token/", {}, If_Match=read), 412)
    # Within a second too, each change makes another one.
    assert root.post("/clients/report/token/", {})["ETag"] != root.post("/clients/report/token/", {})["ETag"]


# Rotation and revocation


def test_new_token_honors_grace(root: Caller) -> None:
    first = provisioned().access_token

    second = good(root.post("/clients/report/token/", {"expires_in": "30d"}))
    third = good(root.post("/clients/report/token/", {"grace": "1h", "reason": "it is May"}))

    assert (second["status"], second["client_secret"], second["verified"]) == ("rotated", None, True)
    assert answer(first) == "token_nonexistent"
    assert [answer(each["access_token"]) for each in (second, third)] == ["ok", "ok"]
    assert timedelta(days=29) < datetime.fromisoformat(second["expires_at"]) - datetime.now(UTC) < timedelta(days=31)
    assert last_event().reason == "it is May"


def test_new_secret_keeps_token(root: Caller) -> None:
    made = provisioned()

    rotated = good(root.post("/clients/report/secret/"))

    assert rotated["access_token"] is None
    assert granted(made.client_id, made.client_secret) is None
    assert rotated["client_secret"]
    assert answer(made.access_token) == "ok"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"grace": "91d"}, {"grace"}),
        ({"expires_in": "1d", "expires_at": "2127-01-01"}, {"expires_at"}),
        ({"reason": "x" * 256, "name": "other"}, {"reason", "name"}),
    ],
)
def test_refused_rotation_names_fields(root: Caller, body: dict[str, str], fields: set[str]) -> None:
    made = provisioned()

    assert set(problem(root.post("/clients/report/token/", body), 400, "validation")["errors"]) == fields
    assert answer(made.access_token) == "ok"


def test_client_is_revoked_then_retired(root: Caller) -> None:
    made = provisioned()

    ended = good(root.post("/clients/report/revoke/"))
    assert (ended["status"], ended["expires_at"], ended["access_token"]) == ("revoked", None, None)
    assert answer(made.access_token) == "token_nonexistent"
    assert good(root.post("/clients/report/revoke/"))["status"] == "unchanged"

    assert good(root.post("/clients/report/revoke/", {"retire": True}))["status"] == "retired"
    assert granted(made.client_id, made.client_secret) is None
    problem(root.post("/clients/report/token/"), 409, "conflict")
    assert ApiClientEvent.objects.count() == 3
