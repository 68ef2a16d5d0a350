"""Callers of the REST API by session, opaque token and JWT."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.test import Client
from oauth2_provider.models import get_access_token_model

from openedx.core.djangoapps.oauth_dispatch.jwt import create_jwt
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication
from tests.factories import ApiClientFactory, ApplicationFactory
from tests.factories import make_user as make_user

ROOT = "/api/api-provisioning/v1"
SCOPES = ("api_provisioning:read", "api_provisioning:write")
ALL = ("view", "provision", "rotate", "revoke")


SITE = {"REST_API": True, "REST_API_BEARER": True, "REST_API_RATE": None}


class Caller:
    """Send requests with one credential."""

    def __init__(self, authorization: str | None = None, *, session: Any = None) -> None:
        self.headers = {"Authorization": authorization} if authorization else {}
        self.http = Client(enforce_csrf_checks=True)
        self.csrf = session is not None
        if session is not None:
            self.http.force_login(session)
            self.http.get("/admin/login/")
            self.http.cookies["csrftoken"] = "c" * 32

    def __call__(self, method: str, path: str, body: Any = None, **headers: str | None) -> HttpResponse:
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.csrf and "X-CSRFToken" not in sent:
            sent["X-CSRFToken"] = "c" * 32
        # Tests of the header send their own, or None.
        sent = {"If-Match": "*", **sent} if method in ("POST", "PATCH") else sent
        sent = {name: value for name, value in sent.items() if value is not None}
        if body is None and method in ("POST", "PATCH"):
            body = {}
        data = {} if body is None else {"data": body, "content_type": "application/json"}
        send = getattr(self.http, method.lower())
        return send(ROOT + path, headers=sent, **data)

    def get(self, path: str, **headers: str) -> HttpResponse:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str | None) -> HttpResponse:
        return self("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str | None) -> HttpResponse:
        return self("PATCH", path, body, **headers)


def by_session(user: Any) -> Caller:
    return Caller(session=user)


def token_of(user: Any, *, restricted: bool = False, scope: str = "read write", managed: bool = True) -> Any:
    """Return an opaque token, created past the receiver that ends those of restricted applications at once.

    Args:
        managed: whether the application is an API client's.
    """
    application = ApplicationFactory(user=user)
    if managed:
        ApiClientFactory(user=user, application=application, access_token=None)
    if restricted:
        RestrictedApplication.objects.create(application=application)
    row = get_access_token_model()(
        application=application, user=user, scope=scope, token=f"token-of-{user.pk}-{application.pk}-" + "x" * 20,
        expires=datetime.now(UTC) + timedelta(days=1),
    )  # fmt: skip
    get_access_token_model().objects.bulk_create([row])
    return get_access_token_model().objects.get(application=application)


def value_of(row: Any) -> str:
    return f"token-of-{row.user_id}-{row.application_id}-" + "x" * 20


def by_bearer(user: Any, **kinds: Any) -> Caller:
    return Caller(f"Bearer {value_of(token_of(user, **kinds))}")


def by_jwt(user: Any, *scopes: str, restricted: bool = False, managed: bool = True) -> Caller:
    row = token_of(user, restricted=restricted, managed=managed, scope=" ".join(scopes or ("read", "write")))
    return Caller(f"JWT {create_jwt(row, asymmetric=restricted)}")


def by_restricted(user: Any, *scopes: str, filters: tuple[str, ...] = ("content_org:edX",)) -> Caller:
    """Return a restricted client whose JWT has our scopes and others."""
    row = token_of(user, restricted=True, scope=" ".join((*SCOPES, *scopes)))
    ApplicationAccess.objects.create(application=row.application, scopes=[*SCOPES, *scopes], filters=list(filters))
    return Caller(f"JWT {create_jwt(row, asymmetric=True)}")


def problem(response: HttpResponse, status: int, code: str | None = None) -> dict[str, Any]:
    """Return the body of an error, whose type ends with the code."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["detail"] != ""
    assert body["title"]
    assert body["instance"] == response.wsgi_request.path
    assert body["type"].startswith("https://docs.openedx.org/errors/")
    assert code is None or body["type"].rpartition("/")[2] == code, body
    return body


def good(response: HttpResponse, status: int = 200) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    return response.json()
