"""Only current credentials of active API clients change anything at the REST API, and only within their own limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from oauth2_provider.models import get_access_token_model

from edx_api_provisioning import api
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from openedx.core.djangoapps.oauth_dispatch.models import RestrictedApplication
from tests.factories import ADMINS, OPERATOR, SECRET, ApplicationFactory, UserFactory
from tests.lifecycle_helpers import granted
from tests.rest_api.callers import (
    ALL,
    Caller,
    by_bearer,
    by_jwt,
    by_restricted,
    by_session,
    good,
    make_user,
    problem,
    token_of,
    value_of,
)

pytestmark = pytest.mark.django_db

NEW = {"name": "report"}
RIGHTS = tuple(f"edx_api_provisioning.{each}_apiclient" for each in ALL)


def refused(caller: Caller, **body: Any) -> str:
    """Return why a client is not created."""
    said = problem(caller.post("/clients/", {**NEW, **body}), 403)
    assert not ApiClient.objects.filter(name="report").exists()
    return str(said["detail"])


def created(caller: Caller, **body: Any) -> dict[str, Any]:
    return good(caller.post("/clients/", {**NEW, **body}), 201)


def cut(user: Any, at: datetime) -> None:
    ApiClient.objects.filter(user=user).update(last_cut=at)


@pytest.mark.parametrize("by", [by_bearer, by_jwt])
def test_unmanaged_application_may_read(by: Any) -> None:
    good(by(make_user(*ALL), managed=False).get("/clients/"))


def test_session_without_its_csrf_token_writes_no_history() -> None:
    caller = by_session(make_user(*ALL))

    for _again in range(3):
        assert caller.post("/clients/report/revoke/", {}, X_CSRFToken="d" * 32).status_code == 403

    assert not ApiClientEvent.objects.exists()


def test_token_of_other_user_may_not_change() -> None:
    """Somebody with the permission to add access tokens made one of a client's application for a superuser."""
    token = value_of(token_of(make_user(*ALL)))
    superuser = make_user(*ALL, is_superuser=True)
    ApplicationFactory(user=superuser)
    get_access_token_model().objects.update(user=superuser)

    refused(Caller(f"Bearer {token}"))


def test_jwt_of_the_second_of_the_cut_is_stale() -> None:
    user = make_user(*ALL)
    caller = by_jwt(user)
    row = get_access_token_model().objects.get(user=user)
    cut(user, row.created)

    assert "last rotation" in refused(caller)


@pytest.mark.parametrize(
    "change",
    [("/clients/{}/token/", {"grace": "1d"}), ("/clients/{}/secret/", {}), ("/clients/{}/revoke/", {})],
    ids=["token", "secret", "revoke"],
)
@pytest.mark.parametrize("by", [by_bearer, by_jwt])
def test_change_of_credentials_ends_older_ones(by: Any, change: tuple[str, dict[str, Any]]) -> None:
    user = make_user(*ALL)
    caller = by(user)
    client = ApiClient.objects.get(user=user)
    client.user_made = True
    client.save()

    path, body = change
    good(by_session(make_user(*ALL, is_superuser=True)).post(path.format(client.name), body))

    assert caller.post("/clients/", NEW).status_code in (401, 403)
    assert not ApiClient.objects.filter(name="report").exists()


@pytest.mark.parametrize("replaced", ["secret", "application"])
def test_jwt_of_replaced_credentials_is_stale(replaced: str) -> None:
    first = ClientSpec(name="caller", permissions=RIGHTS, client_secret=Secret(SECRET))
    leaked = api.provision(first, authority=OPERATOR)
    jwt = granted(leaked.client_id, leaked.client_secret, token_type="jwt")
    if replaced == "application":
        ApiClient.objects.get(name="caller").application.delete()

    api.provision(replace(first, client_secret=Secret(f"another-{SECRET}"), reissue=True), authority=OPERATOR)

    assert "last rotation" in refused(Caller(f"JWT {jwt}"))


def deleted_client_of_that_name() -> str:
    """Return the JWT of a client that was deleted; another one has its name, and its user's."""
    first = api.provision(ClientSpec(name="caller"), authority=OPERATOR)
    jwt = granted(first.client_id, first.client_secret, token_type="jwt")
    api.revoke("caller", delete=True, authority=OPERATOR)
    api.provision(ClientSpec(name="caller", permissions=RIGHTS), authority=OPERATOR)
    return str(jwt)


def ended_predecessor() -> str:
    """Return a JWT of the old secret that was granted in its grace period, which is over."""
    old = api.provision(ClientSpec(name="caller", permissions=RIGHTS, token=False), authority=OPERATOR)
    api.rotate("caller", token=False, secret=True, grace=timedelta(days=1), authority=OPERATOR)
    jwt = granted(old.client_id, old.client_secret, token_type="jwt")
    now = datetime.now(UTC)
    ApiClient.objects.update(last_cut=now - timedelta(hours=1), predecessor_ends=now)
    api.notify_expiring(authority=OPERATOR)
    return str(jwt)


def deleted_client_of_that_user() -> str:
    """Return the JWT of another client of the same user, which was deleted."""
    api.provision(ClientSpec(name="caller", permissions=RIGHTS), authority=OPERATOR)
    ApplicationFactory(user=get_user_model().objects.get(username="caller"), client_id="the-id")
    api.adopt("adopted", client_id="the-id", authority=OPERATOR)
    jwt = granted("the-id", Secret(SECRET), token_type="jwt")
    api.revoke("adopted", delete=True, authority=OPERATOR)
    return str(jwt)


@pytest.mark.databases
@pytest.mark.parametrize("jwt", [deleted_client_of_that_name, ended_predecessor, deleted_client_of_that_user])
def test_jwt_of_an_application_that_has_ended_is_stale(jwt: Callable[[], str]) -> None:
    assert "last rotation" in refused(Caller(f"JWT {jwt()}"))


def test_jwt_stays_good_beside_the_end_of_others() -> None:
    provision = partial(api.provision, authority=OPERATOR)
    other = provision(ClientSpec(name="other"))
    made = provision(ClientSpec(name="caller", permissions=RIGHTS))
    jwt = granted(made.client_id, made.client_secret, token_type="jwt")
    api.revoke(other.name, delete=True, authority=OPERATOR)

    created(Caller(f"JWT {jwt}"))


WITHIN = {"restricted": True, "token": False, "filters": ["content_org:edX"]}


def test_restricted_caller_creates_restricted() -> None:
    created(by_restricted(make_user(*ALL), "grades:read"), **WITHIN, scopes=["grades:read"])

    application = ApiClient.objects.get(name="report").application
    assert RestrictedApplication.objects.filter(application=application).exists()


def test_restricted_caller_changes_restricted() -> None:
    caller = by_restricted(make_user(*ALL))
    created(caller, **WITHIN)

    good(caller.patch("/clients/report/", {"contact": "ann@example.org"}))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filters": ["content_org:edX"]},
        {"restricted": True, "token": False},
        {**WITHIN, "filters": ["content_org:other"]},
        {**WITHIN, "filters": ["content_org:edX", "content_org:other"]},
        {**WITHIN, "filters": ["user:me"]},
        {**WITHIN, "scopes": ["grades:read"]},
        {**WITHIN, "staff": True},
        {**WITHIN, "superuser": True},
        {**WITHIN, "permissions": ["auth.view_user"]},
    ],
    ids=str,
)
def test_restricted_caller_stays_within_limits(body: dict[str, Any]) -> None:
    refused(by_restricted(make_user(*ALL)), **body)


ACCOUNTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "superuser": {"is_superuser": True},
    "staff": {"is_staff": True},
    "inactive": {"is_active": False},
}


@pytest.mark.parametrize("body", [{}, {"use_existing_user": True}, {"staff": True, "use_existing_user": True}], ids=str)
def test_answers_do_not_depend_on_the_account(body: dict[str, Any]) -> None:
    caller = by_session(make_user(*ALL))
    answers = set()
    for name, flags in ACCOUNTS.items():
        UserFactory(username=name, **flags)
        answers.add(caller.post("/clients/", {"name": "report", **body, "username": name}).content)
        answers.add(caller.post("/plan/", {"clients": [{"name": "report", **body, "username": name}]}).content)

    if "staff" not in body:
        assert len(answers) == 2
    assert not any(word in answer for answer in answers for word in (b"example.org", b"superuser,", b"active"))


def test_email_owner_is_not_told() -> None:
    UserFactory(username="secret-name", email="taken@example.org")
    body = {**NEW, "email": "taken@example.org"}

    said = problem(by_session(make_user(*ALL)).post("/clients/", body), 409)

    assert "secret-name" not in str(said)
    assert "secret-name" in str(problem(by_session(make_user(*ALL, "view_user")).post("/clients/", body), 409))


def test_refusals_are_recorded() -> None:
    user = make_user(*ALL)
    UserFactory(username="taken")
    caller = by_session(user)
    names = ["first", "second"]

    caller.post("/plan/", {"clients": [{"name": name, "username": "taken"} for name in names]})
    caller.post("/clients/", {"name": "third", "superuser": True})
    by_bearer(user, managed=False).post("/clients/fourth/token/")

    events = ApiClientEvent.objects.filter(kind="refused").order_by("pk").values_list("client_name", "actor")
    assert [*events] == [(name, f"REST API: {user.username}") for name in (*names, "third", "fourth")]


def test_refusals_count_toward_the_rate(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API_RATE": "5/min"}
    caller = by_session(make_user("view"))
    other = by_session(make_user(*ALL))
    UserFactory(username="taken")

    assert [caller.post("/clients/", NEW).status_code for _ in range(6)] == [403] * 5 + [429]
    other.post("/plan/", {"clients": [{"name": f"c{number}", "username": "taken"} for number in range(6)]})
    assert other.get("/clients/").status_code == 429


def test_idempotency_key_belongs_to_the_client() -> None:
    """Two clients of one user: the second is not told that the first one's request is its own."""
    user = make_user(*ALL)
    first, second = by_bearer(user), by_bearer(user)
    target = ApiClient.objects.filter(user=user).first()
    assert target is not None

    answers = [caller.post(f"/clients/{target.name}/revoke/", {}, Idempotency_Key="k") for caller in (second, first)]

    assert "Idempotency-Replayed" not in answers[1]


@pytest.mark.parametrize("debug", [False, True])
def test_error_reports_hold_no_credential(
    debug: bool, settings: Any, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[Any]
) -> None:
    settings.DEBUG = debug
    settings.ADMINS = ADMINS
    settings.DEBUG_PROPAGATE_EXCEPTIONS = False
    row = token_of(make_user(*ALL))
    caller = Caller(f"Bearer {value_of(row)}")
    caller.http.raise_request_exception = False
    cookie = "-".join(("cookie", "of", "the", "caller"))  # Not as it stands in this line, which the report shows
    caller.http.cookies["sessionid"] = cookie

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("edx_api_provisioning.rest_api.v1.views.api.provision", fail)
    response = caller.post("/clients/", NEW)

    assert response.status_code == 500
    reports = [response.content.decode(), *(str(mail.message()) + str(mail.alternatives) for mail in mailoutbox)]
    assert len(reports) > (0 if debug else 1)
    for report in reports:
        for secret in (value_of(row), cookie):
            assert secret not in report, report[max(report.find(secret) - 300, 0) :][:600]


class Impersonate:
    """Replace the user as django-impersonate does (impersonate/middleware.py)."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        request.impersonator, request.user = request.user, get_user_model().objects.get(username="service")
        return self.get_response(request)


@pytest.mark.parametrize("by", ["django-hijack", "django-impersonate"])
def test_impersonator_is_named(by: str, settings: Any) -> None:
    user, real = make_user(*ALL, username="service"), UserFactory(username="real-person")
    if by == "django-hijack":
        caller = by_session(user)
        session = caller.http.session
        session["hijack_history"] = [str(real.pk)]
        session.save()
    else:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.Impersonate"]
        caller = by_session(real)

    created(caller)

    event = ApiClientEvent.objects.get(kind="created")
    assert event.actor == f"REST API: {user.username} (used by real-person)"
