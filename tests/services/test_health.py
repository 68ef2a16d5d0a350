"""Test that foreign changes to a client are reported with a remedy, and that only some block issuing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import Conflict, ProvisioningError
from edx_api_provisioning.core.results import ISSUE_MEANINGS, Issue
from edx_api_provisioning.services.health import BLOCKING
from openedx.core.djangoapps.oauth_dispatch.models import RestrictedApplication
from tests.factories import OPERATOR, UserFactory
from tests.lifecycle_helpers import Clock, client, clock_at, provisioned, utc

pytestmark = [pytest.mark.django_db, pytest.mark.versions]

NOON = utc(2027, 5, 3, 12)


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    with clock_at(NOON) as clock:
        yield clock


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
def test_foreign_changes_are_reported(deed: str) -> None:
    provisioned()
    assert found() == ()

    do, issues = DEEDS[deed]
    do()

    assert found() == issues


@pytest.mark.parametrize("deed", DEEDS)
def test_rotate_and_list_agree_on_blocking(deed: str) -> None:
    provisioned()
    do, issues = DEEDS[deed]
    do()
    blocking = [issue for issue in issues if issue in BLOCKING]

    if blocking:
        with pytest.raises(Conflict) as refused:
            api.rotate("report", token=False, secret=True, authority=OPERATOR)
        assert refused.value.message == f"{ISSUE_MEANINGS[Issue(blocking[0])]}."
    else:
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


def test_missing_token_is_fine_if_unwanted() -> None:
    provisioned(token=False)

    assert found() == ()


def test_lifted_restriction_is_reported() -> None:
    provisioned(restricted=True, scopes=("grades:read",))
    assert found() == ()

    RestrictedApplication.objects.all().delete()

    assert found() == ("unrestricted",)
    with pytest.raises(Conflict):
        api.rotate("report", token=False, secret=True, authority=OPERATOR)


@pytest.mark.parametrize("deed", DEEDS)
def test_retired_client_has_no_issues(deed: str) -> None:
    provisioned()
    api.revoke("report", retire=True, authority=OPERATOR)

    DEEDS[deed][0]()

    assert found() == ()


@pytest.mark.parametrize("deed", ["delete the user", "delete the application", "reset the password"])
def test_provisioning_fixes_missing_rows(deed: str) -> None:
    provisioned()
    DEEDS[deed][0]()

    provisioned()

    assert found() == ()
    assert client().access_token is not None


@pytest.mark.parametrize("deed", ["reset the password", "let the token expire"])
def test_rotation_fixes_lost_token(deed: str) -> None:
    provisioned()
    DEEDS[deed][0]()

    api.rotate("report", authority=OPERATOR)

    assert found() == ()


@pytest.mark.parametrize("deed", ["make it staff", "give the application to another"])
def test_adoption_fixes_later_changes(deed: str) -> None:
    made = provisioned()
    DEEDS[deed][0]()

    api.adopt("report", client_id=made.client_id, authority=OPERATOR)

    assert not BLOCKING & {Issue(issue) for issue in found()}
    api.rotate("report", authority=OPERATOR)
    assert found() == ()


def test_each_issue_names_a_remedy() -> None:
    assert set(ISSUE_MEANINGS) == set(Issue)
    assert len({str(meaning) for meaning in ISSUE_MEANINGS.values()}) == len(Issue)


# Missing rows are recreated; changed ones are left to people.
ISSUES_NOTHING = [
    deed
    for deed, (_do, found) in DEEDS.items()
    if BLOCKING & {*found} and not {"user_gone", "application_gone"} & {*found}
]


@pytest.mark.parametrize("deed", ISSUES_NOTHING)
def test_blocking_issue_prevents_provisioning(deed: str) -> None:
    provisioned(token=False)
    DEEDS[deed][0]()
    with pytest.raises(ProvisioningError):
        provisioned()
    assert not tokens().exists()
