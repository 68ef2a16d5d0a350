"""Test that a client can rotate its own token."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from edx_api_provisioning import api
from edx_api_provisioning.core.results import Credentials
from openedx.core.djangoapps.oauth_dispatch.jwt import create_jwt
from tests.factories import OPERATOR, row_counts
from tests.lifecycle_helpers import answer, client, clock_at, last_event, provisioned, shown, utc
from tests.rest_api.callers import Caller, by_bearer, by_session, good, make_user, problem

pytestmark = pytest.mark.django_db

ADDRESS = "/self/rotate/"
NOON = utc(2027, 5, 3, 12)


def own(made: Credentials | dict[str, Any]) -> Caller:
    """Return the client as caller, with the token it was issued."""
    token = made["access_token"] if isinstance(made, dict) else shown(made.access_token)
    return Caller(f"Bearer {token}")


@pytest.mark.versions
def test_next_token_keeps_scopes_and_lifetime() -> None:
    made = provisioned(self_rotation=True, expires_in=timedelta(days=30), scopes=("read", "email"))
    with clock_at(timezone.now() + timedelta(days=10)) as clock:
        following = good(own(made).post(ADDRESS))

        assert (following["name"], following["status"], following["verified"]) == ("report", "rotated", True)
        assert (following["scope"], following["client_secret"]) == ("read email", None)
        assert abs(following["expires_in"] - timedelta(days=30).total_seconds()) < 5
        assert (last_event().kind, last_event().actor) == ("rotated", "itself: report")
        assert answer(made.access_token) == answer(following["access_token"]) == "ok"
        clock.forward(hours=25)
        assert (answer(made.access_token), answer(following["access_token"])) == ("token_expired", "ok")


def test_self_rotation_loses_no_lifetime() -> None:
    with clock_at(NOON) as clock:
        made = provisioned(self_rotation=True, expires_in=timedelta(days=30))
        for turn in range(3):
            clock.forward(seconds=0.7)
            made = good(own(made).post(ADDRESS, {"expires_in": "30d"} if turn == 1 else {}))

        ends = timedelta(days=30, seconds=2)  # in whole seconds
        assert datetime.fromisoformat(made["expires_at"]) == NOON + ends


def test_lifetime_may_only_be_shortened() -> None:
    made = provisioned(self_rotation=True, expires_in=timedelta(days=30))

    said = problem(own(made).post(ADDRESS, {"expires_in": "31d"}), 400, "validation")
    assert set(said["errors"]) == {"expires_in"}
    shorter = good(own(made).post(ADDRESS, {"expires_in": "1d", "grace": "1h"}))

    assert shorter["expires_in"] <= timedelta(days=1).total_seconds()
    problem(own(shorter).post(ADDRESS, {"expires_in": "30d"}), 400, "validation")
    # The client keeps the one that it was given.
    assert api.rotate("report", authority=OPERATOR).expires_at > timezone.now() + timedelta(days=29)


def test_grace_never_extends_old_token() -> None:
    made = provisioned(self_rotation=True, expires_in=timedelta(hours=2))

    good(own(made).post(ADDRESS, {"grace": "90d"}))

    assert get_access_token_model().objects.filter(expires__gt=timezone.now() + timedelta(hours=3)).count() == 0


def test_replaced_token_cannot_rotate() -> None:
    made = provisioned(self_rotation=True)
    good(own(made).post(ADDRESS))
    before = row_counts()

    problem(own(made).post(ADDRESS), 409, "conflict")

    assert row_counts() == before


def test_self_rotation_must_be_enabled(root: Caller) -> None:
    made = provisioned()
    before = row_counts()
    problem(own(made).post(ADDRESS), 403, "beyond-own-rights")
    assert row_counts() == before
    assert last_event().kind == "refused"

    good(root.patch("/clients/report/", {"self_rotation": True}))
    made = good(own(made).post(ADDRESS))
    good(root.patch("/clients/report/", {"self_rotation": False}))

    problem(own(made).post(ADDRESS), 403, "beyond-own-rights")


def test_only_current_opaque_token_rotates() -> None:
    provisioned(self_rotation=True)
    user, token = client().user, client().access_token
    user.is_superuser = True

    for caller in (
        Caller(f"JWT {create_jwt(token, asymmetric=False)}"),
        by_session(user),
        by_bearer(user),  # Of another application of the same user
        by_bearer(make_user(is_superuser=True)),
    ):
        problem(caller.post(ADDRESS), 403, "beyond-own-rights")
    assert client().access_token_id == token.pk


def test_moved_token_cannot_rotate() -> None:
    made = provisioned(self_rotation=True)
    other = provisioned("other", self_rotation=True)
    get_access_token_model().objects.filter(pk=client().access_token_id).update(
        application=client("other").application_id
    )

    problem(own(made).post(ADDRESS), 409, "conflict")
    assert answer(other.access_token) == "ok"


@pytest.mark.parametrize("change", ["promoted", "retired", "application changed"])
def test_unfit_client_cannot_rotate_itself(change: str) -> None:
    made = provisioned(self_rotation=True)
    row = client()
    if change == "promoted":
        row.user.is_superuser = True
        row.user.save()
    elif change == "retired":
        row.state = "retired"
        row.save()
    else:
        row.application.client_type = "public"
        row.application.save()

    problem(own(made).post(ADDRESS), 409, "conflict")


def test_site_limit_applies(settings: Any) -> None:
    made = provisioned(self_rotation=True, expires_in=timedelta(days=300))
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "MAX_TOKEN_LIFETIME": "30d"}

    problem(own(made).post(ADDRESS, {"expires_in": "31d"}), 400, "validation")
    assert good(own(made).post(ADDRESS))["expires_in"] <= timedelta(days=30).total_seconds()


def test_replay_returns_no_token() -> None:
    made = provisioned(self_rotation=True)
    first = own(made).post(ADDRESS, {}, Idempotency_Key="k")
    assert good(first)["access_token"]
    before = row_counts()

    again = own(made).post(ADDRESS, {}, Idempotency_Key="k")

    assert (good(again)["access_token"], again["Idempotency-Replayed"]) == (None, "true")
    assert row_counts() == before
