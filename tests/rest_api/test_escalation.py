"""Test that no request can create, take over or change credentials beyond the caller's rights."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission

from tests.factories import ApplicationFactory, UserFactory, row_counts
from tests.lifecycle_helpers import all_rows, client, provisioned
from tests.rest_api.callers import ALL, SCOPES, Caller, by_bearer, by_jwt, good, make_user, problem

pytestmark = pytest.mark.django_db

MORE: dict[str, dict[str, Any]] = {
    "staff": {"staff": True},
    "superuser": {"superuser": True},
    "a permission": {"permissions": ["auth.change_user"]},
    "a group": {"groups": ["admins"]},
    "a course role": {"course_roles": ["staff@edX"]},
    "a global role": {"global_roles": ["support"]},
    "a scope": {"scopes": ["read", "grades:read"]},
    "a filter": {"filters": ["content_org:edX"]},
    "a profile": {"profile": "grades", "filters": ["content_org:edX"]},
    "the account of the retirement service": {"username": "RETIREMENT_SERVICE_USER"},
    "somebody else's account": {"username": "person", "use_existing_user": True},
    "an administrator's account": {"username": "admin", "use_existing_user": True, "staff": True, "superuser": True},
}


@pytest.fixture
def others(settings: Any, db: None) -> None:
    settings.RETIREMENT_SERVICE_WORKER_USERNAME = "RETIREMENT_SERVICE_USER"
    group = Group.objects.create(name="admins")
    group.permissions.set(Permission.objects.filter(codename="change_user"))
    UserFactory(username="person")
    UserFactory(username="admin", is_staff=True, is_superuser=True)


def callers() -> list[Caller]:
    return [by_bearer(make_user(*ALL)), by_jwt(make_user(*ALL)), by_jwt(make_user(*ALL), *SCOPES, restricted=True)]


@pytest.mark.parametrize("more", MORE)
def test_cannot_create_beyond_own_rights(more: str, others: None) -> None:
    for caller in callers():
        before = all_rows()

        said = problem(caller.post("/clients/", {"name": "report", **MORE[more]}), 403, "beyond-own-rights")

        words = ("rights that you do not have", "username is taken", "restricted credential", "your own credential")
        assert any(each in said["detail"] for each in words), said
        assert all_rows() == before


@pytest.mark.parametrize("more", [name for name in MORE if "account" not in name])
def test_cannot_extend_beyond_own_rights(more: str, others: None) -> None:
    provisioned()
    for caller in callers():
        before = all_rows()

        response = caller.patch("/clients/report/", MORE[more])

        assert response.status_code in (403, 409), response.content
        assert all_rows() == before


@pytest.mark.parametrize(
    "powerful",
    [
        {"staff": True},
        {"superuser": True},
        {"permissions": ("auth.change_user",)},
        {"groups": ("admins",)},
        {"global_roles": ("support",)},
        {"scopes": ("read", "grades:read")},
        {"username": "person", "use_existing_user": True},
    ],
    ids=repr,
)
def test_cannot_take_over_stronger_client(powerful: dict[str, Any], others: None) -> None:
    provisioned(self_rotation=True, **powerful)
    for caller in callers():
        before = all_rows()
        for path in ("token", "secret"):
            problem(caller.post(f"/clients/report/{path}/", {"token": True}
                    if path == "secret" else {}), 403, "beyond-own-rights")  # fmt: skip
        for body in ({"token": True}, {"contact": "mine@example.org"}, {"self_rotation": True}, {"purpose": "mine"}):
            assert caller.patch("/clients/report/", body).status_code in (403, 200)
            if body.keys() != {"self_rotation"}:
                assert all_rows() == before
        assert all_rows() == before


def test_provisioner_may_delegate_its_rights(others: None) -> None:
    caller = by_bearer(make_user(*ALL))
    mine = [f"edx_api_provisioning.{right}_apiclient" for right in ALL]

    made = good(caller.post("/clients/", {"name": "deputy", "permissions": mine}), 201)

    deputy = Caller(f"Bearer {made['access_token']}")
    problem(deputy.post("/clients/", {"name": "third", "staff": True}), 403, "beyond-own-rights")
    problem(deputy.post("/clients/", {"name": "third", "permissions": ["auth.view_user"]}), 403, "beyond-own-rights")
    good(deputy.post("/clients/", {"name": "third"}), 201)


def test_client_cannot_grant_itself_rights(others: None) -> None:
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


@pytest.mark.parametrize(
    "sent",
    [
        {"client_secret": "x" * 40},
        {"access_token": "x" * 40},
        {"user_made": True},
        {"user": 1},
        {"application": 1},
        {"is_superuser": True},
        {"declared_rights": []},
        {"authority": "operator", "actor": "root"},
        {"manifest": "team"},
        {"request_id": "x"},
        {"state": "active"},
        {"__class__": "x"},
    ],
    ids=lambda sent: next(iter(sent)),
)
def test_unknown_fields_are_rejected(sent: dict[str, Any], root: Caller) -> None:
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


def test_existing_account_needs_option(root: Caller, others: None) -> None:
    problem(root.post("/clients/", {"name": "report", "username": "person"}), 409, "conflict")
    good(root.post("/clients/", {"name": "report", "username": "person", "use_existing_user": True}), 201)
    assert not client().user_made


def test_foreign_client_id_is_taken(root: Caller) -> None:
    ApplicationFactory(client_id="theirs")

    problem(root.post("/clients/", {"name": "report", "client_id": "theirs"}), 409, "conflict")


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Original-Method", "X-Forwarded-User", "Remote-User"])
def test_headers_cannot_impersonate(header: str, db: None) -> None:
    make_user(is_superuser=True, username="admin")

    problem(Caller().post("/clients/", {"name": "report"}, **{header: "admin"}), 401)
    problem(Caller().get("/clients/?username=admin&user=admin&access_token=x", **{header: "POST"}), 401)
