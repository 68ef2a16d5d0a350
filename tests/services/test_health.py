"""Test that foreign changes to a client are reported with a remedy, and that only some block issuing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import Conflict, ProvisioningError
from edx_api_provisioning.core.results import ISSUE_MEANINGS, Issue
from openedx.core.djangoapps.oauth_dispatch.models import RestrictedApplication
from tests.factories import OPERATOR, UserFactory
from tests.lifecycle_helpers import NOON, Clock, all_rows, provisioned

pytestmark = [pytest.mark.django_db, pytest.mark.versions, pytest.mark.usefixtures("clock")]


def users() -> Any:
    return User.objects.filter(username="report")


def applications() -> Any:
    return get_application_model().objects.filter(name="report")


def tokens() -> Any:
    return get_access_token_model().objects.all()


def found() -> tuple[str, ...]:
    (summary,) = api.list_clients(name="report")
    return summary.issues


DEEDS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "delete the user": (lambda: users().get().delete(), ("user_gone", "application_gone", "token_gone")),
    "retire the user": (lambda: users().update(username="retired__user_0a1b2c"), ("user_retired",)),
    "deactivate the user": (lambda: users().update(is_active=False), ("user_inactive",)),
    "make it staff": (lambda: users().update(is_staff=True), ("user_promoted",)),
    "make it a superuser": (lambda: users().update(is_superuser=True), ("user_promoted",)),
    "delete the application": (lambda: applications().get().delete(), ("application_gone", "token_gone")),
    "give the application to another": (lambda: applications().update(user=UserFactory()), ("application_changed",)),
    "take the application's user": (lambda: applications().update(user=None), ("application_changed",)),
    "make the application public": (lambda: applications().update(client_type="public"), ("application_changed",)),
    "change its grant type": (
        lambda: applications().update(authorization_grant_type="authorization-code"),
        ("application_changed",),
    ),
}
HARMLESS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "restrict it": (
        lambda: RestrictedApplication.objects.create(application=applications().get()),
        ("restricted",),
    ),
    "reset the password": (lambda: tokens().filter(user=users().get()).delete(), ("token_gone",)),
    "let the token expire": (lambda: tokens().update(expires=NOON - timedelta(seconds=1)), ("token_expired",)),
    "rename the application": (lambda: applications().update(name="Reports", redirect_uris="https://a.example"), ()),
    "change the address": (lambda: users().update(email="other@example.org"), ()),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_damage_is_reported_and_blocks_rotation(deed: str) -> None:
    provisioned()
    assert found() == ()
    do, issues = DEEDS[deed]

    do()

    assert found() == issues
    before = all_rows()
    for which in ({"token": True}, {"token": False, "secret": True}):
        with pytest.raises(Conflict) as refused:
            api.rotate("report", authority=OPERATOR, **which)
        assert str(refused.value) == f"name: {ISSUE_MEANINGS[Issue(issues[0])]}."
    if not {"user_gone", "application_gone"} & {
        *issues
    }:  # Missing rows are recreated; changed ones are left to people.
        with pytest.raises(ProvisioningError):
            provisioned()
    assert all_rows() == before


@pytest.mark.parametrize("deed", HARMLESS)
def test_other_changes_are_reported_only(deed: str) -> None:
    provisioned()
    do, issues = HARMLESS[deed]

    do()

    assert found() == issues
    api.rotate("report", token=False, secret=True, authority=OPERATOR)


@pytest.mark.parametrize("rights", [{"staff": True}, {"superuser": True}])
def test_demoted_user_may_still_rotate(rights: dict[str, bool]) -> None:
    provisioned(**rights)
    users().update(is_staff=False, is_superuser=False)

    assert found() == ("user_demoted",)
    api.rotate("report", authority=OPERATOR)
    assert found() == ("user_demoted",)


def test_one_right_gained_and_another_lost_are_two_issues() -> None:
    provisioned(staff=True)
    users().update(is_staff=False, is_superuser=True)

    assert found() == ("user_promoted", "user_demoted")


def test_issues_are_ordered_by_severity() -> None:
    provisioned()
    users().update(is_active=False, is_staff=True, username="retired__user_0a1b2c")
    applications().update(client_type="public")
    RestrictedApplication.objects.create(application=applications().get())
    tokens().update(expires=NOON)

    assert found() == (
        "user_retired",
        "user_inactive",
        "user_promoted",
        "application_changed",
        "restricted",
        "token_expired",
    )


@pytest.mark.databases
def test_token_is_expired_from_last_second(clock: Clock) -> None:
    made = provisioned(expires_in=timedelta(days=1))
    end = made.expires_at
    assert end == NOON + timedelta(days=1)

    clock.to(end - timedelta(microseconds=1))
    assert found() == ()
    clock.to(end)
    assert found() == ("token_expired",)


def test_old_secret_is_overdue(settings: Any, clock: Clock) -> None:
    provisioned()
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "MAX_SECRET_AGE": "90d"}

    clock.to(NOON + timedelta(days=90))
    assert found() == ()
    clock.forward(microseconds=1)
    assert found() == ("secret_overdue",)

    api.rotate("report", token=False, secret=True, authority=OPERATOR)
    assert found() == ()


def test_no_secret_age_means_never_overdue(clock: Clock) -> None:
    provisioned(expires_in=timedelta(days=730))
    clock.forward(days=729)

    assert found() == ()


def test_predecessor_is_overdue_after_grace(clock: Clock) -> None:
    provisioned()
    api.rotate("report", token=True, secret=True, grace=timedelta(days=1), authority=OPERATOR)

    clock.to(NOON + timedelta(days=1, microseconds=-1))
    assert found() == ()
    clock.to(NOON + timedelta(days=1))
    assert found() == ("predecessor_overdue",)


def test_lifted_restriction_is_reported() -> None:
    provisioned(restricted=True, scopes=("grades:read",))
    assert found() == ()

    RestrictedApplication.objects.all().delete()

    assert found() == ("unrestricted",)
    with pytest.raises(Conflict):
        api.rotate("report", token=False, secret=True, authority=OPERATOR)


def test_retired_client_has_no_issues() -> None:
    provisioned()
    api.revoke("report", retire=True, authority=OPERATOR)

    users().get().delete()

    assert found() == ()


def test_each_issue_names_a_remedy() -> None:
    assert set(ISSUE_MEANINGS) == set(Issue)
    assert len({str(meaning) for meaning in ISSUE_MEANINGS.values()}) == len(Issue)


# Missing rows are recreated; changed ones are left to people.
