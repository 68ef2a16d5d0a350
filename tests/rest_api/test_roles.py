"""Test permissions: every method of every URL, for every kind of caller."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.rest_api.v1.urls import urlpatterns
from tests.factories import row_counts, statements
from tests.lifecycle_helpers import provisioned
from tests.rest_api.callers import ALL, SCOPES, Caller, by_bearer, by_jwt, by_session, make_user, problem

pytestmark = pytest.mark.django_db

# The permission each call needs besides view, in the admin's words; None if authentication is sufficient.
CALLS: dict[tuple[str, str], str | None] = {
    ("GET", "/whoami/"): None,
    ("POST", "/plan/"): "provision",
    ("POST", "/apply/"): "provision",
    ("GET", "/clients/"): "view",
    ("POST", "/clients/"): "provision",
    ("GET", "/clients/{name}/"): "view",
    ("PATCH", "/clients/{name}/"): "provision",
    ("POST", "/clients/{name}/token/"): "rotate",
    ("POST", "/clients/{name}/secret/"): "rotate",
    ("POST", "/clients/{name}/revoke/"): "revoke",
    ("GET", "/clients/{name}/events/"): "view",
}
SELF = ("POST", "/self/rotate/")
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/clients/"): {"name": "second"},
    ("POST", "/plan/"): {"clients": [{"name": "second"}]},
    ("POST", "/apply/"): {"clients": [{"name": "second"}]},
}

WHO: dict[str, Callable[[], tuple[Caller, set[str]]]] = {
    "a plain user": lambda: (by_session(make_user()), set()),
    "staff": lambda: (by_session(make_user(is_staff=True)), set()),
    **{
        f"a user who may {right} and view": lambda right=right: (
            by_session(make_user(*{"view", right})),
            {"view", right},
        )
        for right in ALL
    },
    **{
        f"a user who may {right} and not view": lambda right=right: (by_session(make_user(right)), set())
        for right in ALL[1:]
    },
    "a superuser": lambda: (by_session(make_user(is_superuser=True)), {*ALL}),
    "a superuser's token": lambda: (by_bearer(make_user(is_superuser=True)), {*ALL}),
    "a plain client by Bearer": lambda: (by_bearer(make_user()), set()),
    "a client that may all, by Bearer": lambda: (by_bearer(make_user(*ALL)), {*ALL}),
    "a client that may all, by JWT": lambda: (by_jwt(make_user(*ALL)), {*ALL}),
    "a restricted client by JWT without a scope of ours": lambda: (
        by_jwt(make_user(*ALL), "read", "write", restricted=True), set(),
    ),
    "a restricted client by JWT that may read": lambda: (
        by_jwt(make_user(*ALL), SCOPES[0], restricted=True), {"view"},
    ),
    "a restricted client by JWT with both scopes, whose user may nothing": lambda: (
        by_jwt(make_user(), *SCOPES, restricted=True), set(),
    ),
    "a restricted superuser by JWT without a scope of ours": lambda: (
        by_jwt(make_user(is_superuser=True), "read", restricted=True), set(),
    ),
    "a restricted client by an opaque token that should not work": lambda: (
        by_bearer(make_user(*ALL), restricted=True, scope=" ".join(SCOPES)), set(),
    ),
}  # fmt: skip


@pytest.fixture
def client(db: None) -> str:
    """Create an API client without rights and return its name."""
    return provisioned("report").name


def test_views_manage_their_own_transaction() -> None:
    assert all(pattern.callback._non_atomic_requests == {"default"} for pattern in urlpatterns)


def test_every_url_is_covered() -> None:
    known = {path for _method, path in [*CALLS, SELF]}
    assert {"/" + str(pattern.pattern).replace("<str:name>", "{name}") for pattern in urlpatterns} == known


@pytest.mark.parametrize("who", WHO)
def test_rights_table(who: str, client: str) -> None:
    caller, rights = WHO[who]()
    before = row_counts()

    for call, needed in CALLS.items():
        with transaction.atomic():
            response = caller(call[0], call[1].format(name=client), BODIES.get(call))
            if needed is None or {"view", needed} <= rights:
                assert response.status_code in (200, 201), (call, response.content)
            else:
                problem(response, 403, "authz")
                assert row_counts() == before, call
            transaction.set_rollback(True)


@pytest.mark.parametrize("call", [*CALLS, SELF], ids=" ".join)
def test_unusable_credentials_are_refused(call: tuple[str, str], client: str) -> None:
    user = make_user(*ALL, is_superuser=True)
    inactive = by_jwt(user)
    user.is_active = False
    user.save()

    for name in (client, "nobody"):
        path = call[1].format(name=name)
        anonymous = Caller()(call[0], path)
        problem(anonymous, 401, "authn")
        assert anonymous["WWW-Authenticate"] == 'JWT realm="api"'
        problem(Caller("Bearer edxapi_wrong")(call[0], path), 401, "authn")
        problem(inactive(call[0], path, BODIES.get(call)), 403, "authz")


@pytest.mark.parametrize("call", [call for call in CALLS if "{name}" in call[1]], ids=" ".join)
def test_hidden_client_looks_like_missing(call: tuple[str, str], client: str) -> None:
    caller = by_session(make_user("provision", "rotate", "revoke"))
    answers, queries = [], []
    for name in ("report", "nobody"):
        with statements() as sent:
            answers.append(caller(call[0], call[1].format(name=name)))
        queries.append(sent)

    assert answers[0].status_code == 403
    said = [answer.json() | {"instance": ""} for answer in answers]
    assert said[0] == said[1]
    # Nothing is looked up, so timing reveals nothing.
    assert [len(sent) for sent in queries] == [len(queries[0])] * 2
    table = re.compile(rf"{ApiClient._meta.db_table}\b")
    assert not any(table.search(sql) for sent in queries for sql in sent)


@pytest.mark.parametrize("call", [call for call in CALLS if "{name}" in call[1]], ids=" ".join)
def test_missing_client_is_not_found(call: tuple[str, str], root: Caller) -> None:
    for name in ("nobody", "a b", "no%00thing", "%F0%9F%92%A9", "x" * 300):
        problem(root(call[0], call[1].format(name=name)), 404, "client-not-found")


@pytest.mark.parametrize("call", [call for call in CALLS if call[0] != "GET"], ids=" ".join)
def test_session_needs_csrf_token(call: tuple[str, str], root: Caller, client: str) -> None:
    response = root(call[0], call[1].format(name=client), BODIES.get(call), X_CSRFToken="d" * 32)

    problem(response, 403, "authz")
    assert "CSRF" in response.json()["detail"]


@pytest.mark.parametrize("call", [*CALLS, SELF], ids=" ".join)
def test_disabled_api_is_not_found(call: tuple[str, str], settings: Any, client: str) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API": False}

    for caller in (Caller(), by_session(make_user(is_superuser=True))):
        response = caller(call[0], call[1].format(name=client))
        if call[1] == "/whoami/":
            assert response.status_code in (200, 401)
        else:
            problem(response, 404, "not-found")


@pytest.mark.parametrize("path", sorted({path for _method, path in [*CALLS, SELF]}))
def test_other_methods_are_rejected(path: str, root: Caller) -> None:
    for method, caller in itertools.product(("PUT", "DELETE", "OPTIONS", "TRACE"), (root, Caller())):
        response = caller(method, path.format(name="report"))
        problem(response, 405, "method-not-allowed")
        assert method not in response["Allow"]
