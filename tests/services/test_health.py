"""What others do to a client is found and named, each with its remedy, and only some of it forbids new credentials."""

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
def test_what_others_do_is_noticed(deed: str) -> None:
    provisioned()
    assert found() == ()

    do, issues = DEEDS[deed]
    do()

    assert found() == issues


@pytest.mark.parametrize("deed", DEEDS)
def test_rotating_and_listing_agree_about_what_blocks(deed: str) -> None:
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
def test_a_user_that_lost_rights_is_noticed_and_may_still_be_issued_a_token(rights: dict[str, bool]) -> None:
    provisioned(**rights)
    users().update(is_staff=False, is_superuser=False)

    assert found() == ("user_demoted",)
    api.rotate("report", authority=OPERATOR)
    assert found() == ("user_demoted",)


def test_one_right_gained_and_another_lost_are_two_issues() -> None:
    provisioned(staff=True)
    users().update(is_staff=False, is_superuser=True)

    assert found() == ("user_promoted", "user_demoted")


def test_troubles_are_told_in_the_order_of_their_weight() -> None:
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
def test_a_token_is_listed_as_expired_from_its_last_second_on(clock: Clock) -> None:
    made = provisioned(expires_in=timedelta(days=1))
    end = made.expires_at
    assert end == NOON + timedelta(days=1)

    clock.to(end - timedelta(microseconds=1))
    assert found() == ()
    clock.to(end)
    assert found() == ("token_expired",)


def test_a_secret_is_overdue_when_it_is_older_than_the_site_allows(settings: Any, clock: Clock) -> None:
    provisioned()
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "MAX_SECRET_AGE": "90d"}

    clock.to(NOON + timedelta(days=90))
    assert found() == ()
    clock.forward(microseconds=1)
    assert found() == ("secret_overdue",)

    api.rotate("report", token=False, secret=True, authority=OPERATOR)
    assert found() == ()


def test_without_an_age_no_secret_is_overdue(clock: Clock) -> None:
    provisioned(expires_in=timedelta(days=730))
    clock.forward(days=729)

    assert found() == ()


def test_an_old_application_is_overdue_when_its_grace_is_over(clock: Clock) -> None:
    provisioned()
    api.rotate("report", token=True, secret=True, grace=timedelta(days=1), authority=OPERATOR)

    clock.to(NOON + timedelta(days=1, microseconds=-1))
    assert found() == ()
    clock.to(NOON + timedelta(days=1))
    assert found() == ("predecessor_overdue",)


def test_a_client_without_a_token_has_no_trouble_with_it() -> None:
    provisioned(token=False)

    assert found() == ()


def test_a_client_that_is_meant_to_be_restricted_has_no_trouble_until_it_is_not() -> None:
    provisioned(restricted=True, scopes=("grades:read",))
    assert found() == ()

    RestrictedApplication.objects.all().delete()

    assert found() == ("unrestricted",)
    with pytest.raises(Conflict):
        api.rotate("report", token=False, secret=True, authority=OPERATOR)


@pytest.mark.parametrize("deed", DEEDS)
def test_of_a_retired_client_nothing_is_expected(deed: str) -> None:
    provisioned()
    api.revoke("report", retire=True, authority=OPERATOR)

    DEEDS[deed][0]()

    assert found() == ()


@pytest.mark.parametrize("deed", ["delete the user", "delete the application", "reset the password"])
def test_provisioning_again_is_the_remedy_for_what_is_gone(deed: str) -> None:
    provisioned()
    DEEDS[deed][0]()

    provisioned()

    assert found() == ()
    assert client().access_token is not None


@pytest.mark.parametrize("deed", ["reset the password", "let the token expire"])
def test_rotating_is_the_remedy_for_a_lost_token(deed: str) -> None:
    provisioned()
    DEEDS[deed][0]()

    api.rotate("report", authority=OPERATOR)

    assert found() == ()


@pytest.mark.parametrize("deed", ["make it staff", "give the application to another"])
def test_adopting_is_the_remedy_for_what_was_agreed_later(deed: str) -> None:
    made = provisioned()
    DEEDS[deed][0]()

    api.adopt("report", client_id=made.client_id, authority=OPERATOR)

    assert not BLOCKING & {Issue(issue) for issue in found()}
    api.rotate("report", authority=OPERATOR)
    assert found() == ()


def test_each_trouble_has_a_meaning_with_a_remedy() -> None:
    assert set(ISSUE_MEANINGS) == set(Issue)
    assert len({str(meaning) for meaning in ISSUE_MEANINGS.values()}) == len(Issue)


# What is gone is made anew; what is another now is left to people.
ISSUES_NOTHING = [
    deed
    for deed, (_do, found) in DEEDS.items()
    if BLOCKING & {*found} and not {"user_gone", "application_gone"} & {*found}
]


@pytest.mark.parametrize("deed", ISSUES_NOTHING)
def test_provisioning_issues_nothing_in_a_state_that_blocks(deed: str) -> None:
    provisioned(token=False)
    DEEDS[deed][0]()
    with pytest.raises(ProvisioningError):
        provisioned()
    assert not tokens().exists()
