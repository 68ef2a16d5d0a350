"""Test that no request can create, take over or change credentials beyond the caller's rights."""

from __future__ import annotations

from typing import Any

import pytest

from tests.factories import row_counts
from tests.lifecycle_helpers import all_rows, provisioned
from tests.rest_api.callers import ALL, Caller, by_bearer, good, make_user, problem

pytestmark = pytest.mark.django_db


def test_provisioner_may_delegate_its_rights() -> None:
    caller = by_bearer(make_user(*ALL))
    mine = [f"edx_api_provisioning.{right}_apiclient" for right in ALL]

    made = good(caller.post("/clients/", {"name": "deputy", "permissions": mine}), 201)

    deputy = Caller(f"Bearer {made['access_token']}")
    problem(deputy.post("/clients/", {"name": "third", "staff": True}), 403, "beyond-own-rights")
    problem(deputy.post("/clients/", {"name": "third", "permissions": ["auth.view_user"]}), 403, "beyond-own-rights")
    good(deputy.post("/clients/", {"name": "third"}), 201)


def test_client_cannot_grant_itself_rights() -> None:
    made = provisioned(permissions=[f"edx_api_provisioning.{right}_apiclient" for right in ALL], self_rotation=True)
    itself = Caller(f"Bearer {made.access_token.reveal()}")
    before = all_rows()

    for body in (
        {"permissions": ["auth.change_user"]},
        {"scopes": ["read", "grades:read"]},
        {"global_roles": ["support"]},
    ):
        problem(itself.patch("/clients/report/", body), 403, "beyond-own-rights")
    assert all_rows() == before


def test_unknown_fields_are_rejected(root: Caller) -> None:
    sent: dict[str, Any] = {
        **dict.fromkeys(("client_secret", "access_token"), "x" * 40),
        **dict.fromkeys(("user", "application"), 1),
        **dict.fromkeys(("user_made", "is_superuser"), True),
        **dict.fromkeys(("authority", "actor", "manifest", "request_id", "state", "__class__"), "x"),
        "declared_rights": [],
    }
    before = row_counts()

    assert set(problem(root.post("/clients/", {"name": "report", **sent}), 400)["errors"]) == set(sent)
    assert row_counts() == before


def test_site_policy_binds_superuser(root: Caller, settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {
        **settings.EDX_API_PROVISIONING,
        "ALLOW_STAFF": False,
        "ALLOWED_SCOPES": ["read"],
        "MAX_TOKEN_LIFETIME": "30d",
        "REQUIRE_CONTACT": True,
    }
    good_one = {"name": "report", "contact": "ann@example.org", "scopes": ["read"]}

    for field, value in (("staff", True), ("scopes", ["write"]), ("expires_in", "31d"), ("contact", "")):
        said = problem(root.post("/clients/", {**good_one, field: value}), 400, "validation")
        assert set(said["errors"]) == {field}
    good(root.post("/clients/", good_one), 201)


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Original-Method", "X-Forwarded-User", "Remote-User"])
def test_headers_cannot_impersonate(header: str, db: None) -> None:
    make_user(is_superuser=True, username="admin")

    problem(Caller().post("/clients/", {"name": "report"}, **{header: "admin"}), 401)
    problem(Caller().get("/clients/?username=admin&user=admin&access_token=x", **{header: "POST"}), 401)
