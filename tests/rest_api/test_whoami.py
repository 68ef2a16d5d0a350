"""Test whoami: the user, the rights and the expiry of a credential."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from oauth2_provider.models import get_access_token_model

from openedx.core.djangoapps.oauth_dispatch.jwt import create_jwt
from tests.factories import ApplicationFactory
from tests.lifecycle_helpers import client, provisioned, shown
from tests.rest_api.callers import SCOPES, Caller, by_bearer, by_jwt, by_session, good, make_user, problem

pytestmark = pytest.mark.django_db


def whoami(caller: Caller) -> dict[str, Any]:
    return good(caller.get("/whoami/"))


@pytest.mark.versions
def test_client_token_is_described() -> None:
    made = provisioned(permissions=("course_modes.change_coursemode",), expires_in=timedelta(days=30))

    told = whoami(Caller(f"Bearer {shown(made.access_token)}"))

    assert timedelta(days=29) < timedelta(seconds=told.pop("expires_in")) <= timedelta(days=30)
    assert told == {
        "username": "report",
        "is_staff": False,
        "is_superuser": False,
        "scheme": "bearer",
        "client": "report",
        "client_id": made.client_id,
        "scopes": ["read", "write", "email", "profile"],
        "restricted": False,
        "rights": ["permission:course_modes.change_coursemode"],
        "self_rotation": False,
        "expires_at": f"{made.expires_at:%Y-%m-%dT%H:%M:%SZ}",
    }


def test_jwt_names_client_if_unambiguous() -> None:
    made = provisioned()
    jwt = Caller(f"JWT {create_jwt(client().access_token, asymmetric=False)}")

    told = whoami(jwt)
    assert (told["scheme"], told["client"], told["client_id"]) == ("jwt", "report", made.client_id)
    assert 3500 < told["expires_in"] <= 3600

    ApplicationFactory(user=client().user)
    assert (whoami(jwt)["client"], whoami(jwt)["client_id"]) == (None, None)


def test_restricted_client_has_no_user_rights() -> None:
    told = whoami(by_jwt(make_user("view", is_staff=True), SCOPES[0], restricted=True))

    assert (told["restricted"], told["rights"], told["scopes"]) == (True, [], [SCOPES[0]])


def test_session_has_no_scopes_or_expiry() -> None:
    told = whoami(by_session(make_user("view")))

    assert (told["scheme"], told["scopes"], told["expires_at"], told["expires_in"]) == ("session", None, None, None)
    assert (told["client"], told["rights"]) == (None, ["permission:edx_api_provisioning.view_apiclient"])


def test_predecessor_token_names_client(root: Caller) -> None:
    made = provisioned()
    good(root.post("/clients/report/secret/", {"grace": "1d", "token": True}))

    told = whoami(Caller(f"Bearer {shown(made.access_token)}"))

    assert (told["client"], told["client_id"]) == ("report", made.client_id)


def test_whoami_works_with_api_disabled(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API": False}

    assert whoami(by_bearer(make_user()))["scheme"] == "bearer"
    problem(Caller().get("/whoami/"), 401)


def test_opaque_tokens_are_opt_in(settings: Any) -> None:
    made = provisioned(self_rotation=True)
    opaque, jwt = Caller(f"Bearer {shown(made.access_token)}"), by_jwt(make_user())
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API_BEARER": False}

    for path in ("/whoami/", "/clients/"):
        assert "Send a JWT" in problem(opaque.get(path), 401, "authn")["detail"]
    assert whoami(jwt)["scheme"] == "jwt"
    assert good(opaque.post("/self/rotate/"))["access_token"]


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer a b", "Bearer t\xf6ken", "JWT nonsense", "JWT a.b.c", "Basic YTpi"]
)
def test_invalid_credentials_are_unauthorized(authorization: str) -> None:
    problem(Caller(authorization).get("/whoami/"), 401, "authn")


def test_token_without_user_is_unauthorized() -> None:
    caller = by_bearer(make_user())
    get_access_token_model().objects.update(user=None)

    problem(caller.get("/whoami/"), 401, "authn")
