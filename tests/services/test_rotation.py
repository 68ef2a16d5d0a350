"""Test rotate, revoke, retire, delete and adopt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.utils import timezone
from oauth2_provider.models import (
    get_access_token_model,
    get_application_model,
)

from common.djangoapps.student.models import CourseAccessRole, UserProfile
from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import (
    AlreadyDone,
    ClientNotFound,
    Conflict,
    InvalidSpec,
    NearMatch,
)
from edx_api_provisioning.core.results import Credentials, Status
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.services import registry
from openedx.core.djangoapps.oauth_dispatch import api as oauth_dispatch_api
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication
from tests.factories import OPERATOR, TOKEN, AccessTokenFactory, ApplicationFactory, UserFactory, operator
from tests.lifecycle_helpers import (
    NOON,
    Clock,
    all_rows,
    answer,
    client,
    clock_at,
    granted,
    issued_long_ago,
    last_event,
    provisioned,
    utc,
)

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def rotate(name: str = "report", **wanted: Any) -> Credentials:
    return api.rotate(name, authority=OPERATOR, **wanted)


def revoke(name: str = "report", **wanted: Any) -> Credentials:
    return api.revoke(name, authority=OPERATOR, **wanted)


def adopt(name: str = "report", **wanted: Any) -> Credentials:
    return api.adopt(name, authority=OPERATOR, **wanted)


def tokens() -> Any:
    return get_access_token_model().objects


def applications() -> Any:
    return get_application_model().objects


@pytest.mark.parametrize("state", ["unknown", "retired", "not due", "without a token"])
def test_client_not_due_is_not_rotated(state: str) -> None:
    if state != "unknown":
        provisioned(expires_in=timedelta(days=5), token=True)
    if state in ("retired", "without a token"):
        api.revoke("report", retire=state == "retired", authority=OPERATOR)
    before = all_rows()

    assert [*api.rotate_many(["report"], within=timedelta(days=4), authority=OPERATOR)] == []

    assert all_rows() == before


def test_short_lived_token_is_due_past_half_its_lifetime(clock: Clock) -> None:
    provisioned(expires_in=timedelta(days=10))
    due = []

    for day in range(12):
        clock.to(NOON + timedelta(days=day))
        due += [day for _applied in api.rotate_many(["report"], within=timedelta(days=30), authority=OPERATOR)]

    assert due == [5, 10]


# Rotating


@pytest.mark.versions
def test_token_rotation_replaces_only_token() -> None:
    made = provisioned(staff=True, contact="owner@example.org", purpose="reports")
    user, application = User.objects.get(), applications().get()

    rotated = rotate()

    assert rotated.status is Status.ROTATED
    assert rotated.client_secret is None
    assert (answer(made.access_token), answer(rotated.access_token)) == ("token_nonexistent", "ok")
    assert granted(made.client_id, made.client_secret)
    assert (User.objects.get(), applications().get()) == (user, application)
    assert (rotated.username, rotated.email, rotated.client_id) == (made.username, made.email, made.client_id)
    assert (rotated.scopes, rotated.expires_at) == (made.scopes, client().access_token.expires)
    assert (client().contact, client().purpose, client().is_staff) == ("owner@example.org", "reports", True)
    assert rotated.changes == ("Issued a new access token; older tokens no longer work.",)


def test_rotation_keeps_foreign_rights() -> None:
    provisioned(scopes=("read", "grades:read"))
    user = User.objects.get()
    user.groups.add(Group.objects.create(name="reporters"))
    user.user_permissions.add(Permission.objects.get(codename="change_coursemode"))
    CourseAccessRole.objects.create(user=user, role="staff", org="edX", course_id="")

    rotate(token=True, secret=True)
    rotate(token=True, secret=True, grace=timedelta(days=90))  # The longest one.

    assert client().user == user
    assert [*user.groups.values_list("name", flat=True)] == ["reporters"]
    assert user.has_perm("course_modes.change_coursemode")
    assert CourseAccessRole.objects.get().user == user
    assert [row.scopes for row in ApplicationAccess.objects.all()] == [["grades:read"]] * 2


def test_expired_token_is_rotated(clock: Clock) -> None:
    made = provisioned(scopes=("read", "email"), expires_in=timedelta(days=1))
    clock.forward(days=2)

    rotated = rotate(expires_in=timedelta(days=90))

    assert (answer(made.access_token), answer(rotated.access_token)) == ("token_nonexistent", "ok")
    assert rotated.scopes == ("read", "email")
    assert rotated.expires_at == clock.now + timedelta(days=90)
    assert client().token_issued == clock.now


def delete_token() -> None:
    """Delete it as a password reset does."""
    provisioned()
    tokens().all().delete()


def revoke_token() -> None:
    provisioned()
    revoke()


@pytest.mark.parametrize("without", [lambda: provisioned(token=False), delete_token, revoke_token])
def test_missing_token_is_issued(without: Callable[[], object]) -> None:
    without()

    rotated = rotate()

    assert answer(rotated.access_token) == "ok"
    assert rotated.scopes == ("read", "write", "email", "profile")


def test_secret_rotation_keeps_tokens() -> None:
    made = provisioned()
    other = granted(made.client_id, made.client_secret)

    rotated = rotate(token=False, secret=True)

    assert rotated.access_token is None
    assert granted(made.client_id, made.client_secret) is None
    assert granted(rotated.client_id, rotated.client_secret)
    assert rotated.client_id == made.client_id
    assert (answer(made.access_token), answer(other)) == ("ok", "ok")
    assert rotated.changes == (
        "Replaced the client secret; the old one no longer works.",
        "Kept the access tokens that were issued with the old secret; they remain valid.",
    )


@pytest.mark.versions
def test_full_rotation_ends_everything() -> None:
    made = provisioned()
    other = granted(made.client_id, made.client_secret)

    rotated = rotate(token=True, secret=True)

    assert {answer(made.access_token), answer(other)} == {"token_nonexistent"}
    assert granted(made.client_id, made.client_secret) is None
    assert answer(rotated.access_token) == "ok"
    assert granted(rotated.client_id, rotated.client_secret)
    assert rotated.changes == (
        "Issued a new access token; older tokens no longer work.",
        "Replaced the client secret; the old one no longer works.",
    )


def test_issue_dates_are_recorded(clock: Clock) -> None:
    provisioned()
    clock.forward(days=1)
    rotate(token=True)
    assert (client().secret_issued, client().token_issued) == (NOON, clock.now)

    clock.forward(days=1)
    rotate(token=False, secret=True)
    assert (client().secret_issued, client().token_issued) == (clock.now, clock.now - timedelta(days=1))


# Grace


@pytest.mark.versions
def test_tokens_work_until_grace_ends(clock: Clock) -> None:
    made = provisioned(expires_in=timedelta(days=30))
    other = granted(made.client_id, made.client_secret)

    rotated = rotate(grace=timedelta(hours=2), expires_in=timedelta(days=365))

    old = (made.access_token, other)
    assert [answer(token) for token in (*old, rotated.access_token)] == ["ok", "ok", "ok"]
    clock.to(NOON + timedelta(hours=2))  # The LMS refuses tokens that ended before now: the last moment still counts.
    assert [answer(token) for token in (*old, rotated.access_token)] == ["ok", "ok", "ok"]
    clock.forward(microseconds=1)
    assert [answer(token) for token in (*old, rotated.access_token)] == ["token_expired", "token_expired", "ok"]
    assert rotated.changes == ("Issued a new access token; older tokens keep working until the grace period ends.",)


def succeeded() -> tuple[Credentials, Credentials]:
    """Rotate the secret with one day of grace; return the credentials before and after."""
    made = provisioned(scopes=("read", "write", "grades:read"), filters=("content_org:edX",))
    return made, rotate(token=True, secret=True, grace=timedelta(days=1))


@pytest.mark.versions
def test_secret_grace_creates_successor(clock: Clock) -> None:
    made, rotated = succeeded()

    assert rotated.client_id != made.client_id
    assert granted(made.client_id, made.client_secret)
    assert granted(rotated.client_id, rotated.client_secret)
    assert (answer(made.access_token), answer(rotated.access_token)) == ("ok", "ok")
    old, new = applications().get(client_id=made.client_id), applications().get(client_id=rotated.client_id)
    assert (client().application, client().predecessor) == (new, old)
    assert client().predecessor_ends == NOON + timedelta(days=1)
    assert (new.user, new.name) == (old.user, old.name)
    assert (new.client_type, new.authorization_grant_type) == ("confidential", "client-credentials")
    for application in (old, new):
        access = ApplicationAccess.objects.get(application=application)
        assert (access.scopes, access.filters) == (["grades:read"], ["content_org:edX"])
    assert not RestrictedApplication.objects.exists()
    assert rotated.changes == (
        "Issued a new access token; older tokens keep working until the grace period ends.",
        "Created a new application; the old client id and secret keep working until the grace period ends.",
    )


def test_successor_of_restricted_is_restricted(clock: Clock) -> None:
    made = provisioned(restricted=True, scopes=("grades:read",), filters=("content_org:edX",))

    rotated = rotate(token=False, secret=True, grace=timedelta(days=1))

    restricted = RestrictedApplication.objects.values_list("application__client_id", flat=True)
    assert {*restricted} == {made.client_id, rotated.client_id}


def by_rotating() -> None:
    rotate()


def by_rotating_its_secret_again() -> None:
    rotate(token=True, secret=True, grace=timedelta(days=1))


@pytest.mark.versions
@pytest.mark.parametrize("end", [by_rotating, by_rotating_its_secret_again])
def test_predecessor_is_deleted_after_grace(clock: Clock, end: Callable[[], None]) -> None:
    made, _rotated = succeeded()
    clock.to(NOON + timedelta(days=1, microseconds=-1))
    rotate()
    assert granted(made.client_id, made.client_secret)
    clock.forward(microseconds=1)

    end()

    assert not applications().filter(client_id=made.client_id).exists()
    assert granted(made.client_id, made.client_secret) is None
    assert answer(made.access_token) == "token_nonexistent"
    assert client().predecessor is None or client().predecessor.client_id != made.client_id


def test_revoke_ends_predecessor(clock: Clock) -> None:
    made, rotated = succeeded()

    revoked = revoke()

    assert revoked.changes == ("Revoked 1 access token.", "Deleted the old application of the last rotation.")
    assert granted(made.client_id, made.client_secret) is None
    assert answer(made.access_token) == answer(rotated.access_token) == "token_nonexistent"
    assert granted(rotated.client_id, rotated.client_secret)
    assert (client().predecessor, client().predecessor_ends) == (None, None)


def test_rotation_without_grace_ends_predecessor(clock: Clock) -> None:
    made, first = succeeded()

    second = rotate(token=True, secret=True)

    assert granted(made.client_id, made.client_secret) is None
    assert granted(first.client_id, first.client_secret) is None
    assert granted(second.client_id, second.client_secret)
    assert answer(made.access_token) == answer(first.access_token) == "token_nonexistent"
    assert client().predecessor is None


@pytest.mark.parametrize(
    ("wanted", "error", "line"),
    [
        ({"token": False}, InvalidSpec, "token: choose what to rotate: the token, the secret, or both."),
        ({"grace": timedelta(0)}, InvalidSpec, "grace: at most 90 days."),
        ({"grace": timedelta(days=-1)}, InvalidSpec, "grace: at most 90 days."),
        ({"grace": timedelta(days=90, microseconds=1)}, InvalidSpec, "grace: at most 90 days."),
        (
            {"token": False, "secret": True, "expires_in": timedelta(days=1)},
            InvalidSpec,
            "expires_in: not allowed together with --no-token or --restricted, which issue no access token.",
        ),
        ({"expires_at": NOON}, InvalidSpec, "expires_at: this date is in the past."),
        (
            {"expires_in": timedelta(days=731)},
            InvalidSpec,
            "expires_in: the maximum is 730 days (EDX_API_PROVISIONING['MAX_TOKEN_LIFETIME']).",
        ),
        (
            {"token": False, "secret": True, "grace": timedelta(days=1)},
            Conflict,
            "grace: with a grace period the client gets a new application, and its access token would be deleted "
            "with the old one; rotate the token too.",
        ),
        ({"name": "nobody"}, ClientNotFound, "name: no API client has this name; see list_api_clients."),
        ({"reason": "two\nlines"}, InvalidSpec, "reason: use printable characters only."),
    ],
)
def test_refused_rotation_changes_nothing(
    clock: Clock, wanted: dict[str, Any], error: type[Exception], line: str
) -> None:
    provisioned()
    before = all_rows()

    with pytest.raises(error) as refused:
        rotate(**wanted)

    assert str(refused.value) == line
    assert all_rows() == before


def test_second_successor_is_refused(clock: Clock) -> None:
    succeeded()
    before = all_rows()

    with pytest.raises(Conflict) as refused:
        rotate(token=True, secret=True, grace=timedelta(hours=1))

    assert str(refused.value) == (
        "grace: the grace period of the last rotation ends at 2027-05-04 12:00 UTC; wait until then, or "
        "rotate without a grace period."
    )
    assert all_rows() == before


@pytest.mark.vendor("mysql")
@pytest.mark.parametrize("work", [rotate, revoke])
def test_near_match_name_changes_nothing(work: Callable[..., Any]) -> None:
    provisioned()
    before = all_rows()

    with pytest.raises(NearMatch):
        work("Report")

    assert all_rows() == before


def delete_user() -> None:
    User.objects.get(username="report").delete()


def retire_user() -> None:
    User.objects.update(username="retired__user_0123456789")


def deactivate_user() -> None:
    User.objects.update(is_active=False)


def promote_user() -> None:
    User.objects.update(is_staff=True)


def delete_application() -> None:
    applications().get().delete()


def change_grant_type() -> None:
    applications().update(authorization_grant_type="password")


def test_restricted_client_rotates_only_secret() -> None:
    provisioned()
    RestrictedApplication.objects.create(application=applications().get())
    before = all_rows()

    with pytest.raises(Conflict, match="the application is restricted, so its access tokens expire at once; use JWTs"):
        rotate()
    assert all_rows() == before
    assert rotate(token=False, secret=True).client_secret is not None


def test_retired_client_is_neither_rotated_nor_adopted() -> None:
    made = provisioned()
    revoke(retire=True)
    before = all_rows()

    for work in (rotate, lambda: adopt(client_id=made.client_id)):
        with pytest.raises(Conflict) as refused:
            work()
        assert str(refused.value) == "name: report is retired; provision a new client with another name."
    assert all_rows() == before


# Policies


@pytest.mark.parametrize(
    ("spec", "policy", "field"),
    [
        ({}, {"REQUIRE_CONTACT": True}, "contact"),
        ({"staff": True}, {"ALLOW_STAFF": False}, "staff"),
        ({"scopes": ("read", "write")}, {"ALLOWED_SCOPES": ["read"]}, "scopes"),
    ],
)
def test_disallowed_client_is_not_rotated(
    settings: Any, spec: dict[str, Any], policy: dict[str, Any], field: str
) -> None:
    provisioned(**spec)
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, **policy}
    before = all_rows()

    with pytest.raises(InvalidSpec) as refused:
        rotate()

    assert refused.value.field == field
    assert all_rows() == before


# The lifetime that the client was given

MONTH = timedelta(days=30)


def by_rotate() -> Any:
    return rotate().expires_at


def by_rotate_many() -> Any:
    issued_long_ago()
    [rotated] = api.rotate_many(["report"], within=timedelta(days=400), authority=OPERATOR)
    return rotated.unwrap().expires_at


def by_provisioning() -> Any:
    """The token is gone."""
    tokens().all().delete()
    return provisioned().expires_at


@pytest.mark.parametrize("again", [by_rotate, by_rotate_many, by_provisioning], ids=lambda by: by.__name__)
def test_rotation_keeps_lifetime(clock: Clock, again: Callable[[], Any]) -> None:
    provisioned(expires_in=MONTH)

    for day in (10, 20):
        clock.to(NOON + timedelta(days=day))
        assert again() == NOON + timedelta(days=day) + MONTH


def test_requested_lifetime_is_kept(clock: Clock) -> None:
    provisioned(expires_in=MONTH)

    assert rotate(expires_in=timedelta(days=90)).expires_at == NOON + timedelta(days=90)
    assert rotate(expires_at=NOON + timedelta(days=3)).expires_at == NOON + timedelta(days=3)
    assert rotate().expires_at == NOON + timedelta(days=90)


def test_lifetime_of_the_site_applies(settings: Any, clock: Clock) -> None:
    provisioned()
    provisioned("other", expires_in=timedelta(days=90))
    policy = settings.EDX_API_PROVISIONING
    settings.EDX_API_PROVISIONING = {**policy, "TOKEN_LIFETIME": "60d"}
    assert rotate().expires_at == NOON + timedelta(days=60)

    settings.EDX_API_PROVISIONING = {**policy, "MAX_TOKEN_LIFETIME": "30d"}
    assert [rotate(name).expires_at for name in ("report", "other")] == [NOON + MONTH] * 2
    assert rotate(expires_in=MONTH).expires_at == NOON + MONTH
    with pytest.raises(InvalidSpec):
        rotate(expires_in=timedelta(days=31))


def test_lifetime_is_stored_when_a_token_is_issued(clock: Clock) -> None:
    provisioned(expires_in=MONTH)
    revoke()

    assert provisioned(expires_in=timedelta(days=90)).expires_at == NOON + timedelta(days=90)
    assert rotate().expires_at == NOON + timedelta(days=90)


# Revoking


@pytest.mark.versions
def test_revoke_ends_only_own_tokens() -> None:
    UserFactory(username="report")
    made = provisioned(use_existing_user=True)
    neighbour = provisioned("neighbour", username="report", use_existing_user=True)
    granted(made.client_id, made.client_secret)

    revoked = revoke()

    assert (revoked.status, revoked.changes) == (Status.REVOKED, ("Revoked 2 access tokens.",))
    assert answer(made.access_token) == "token_nonexistent"
    assert answer(neighbour.access_token) == "ok"
    assert client().access_token_id is None
    assert (client().state, client().user.is_active) == ("active", True)
    assert granted(made.client_id, made.client_secret)  # The secret keeps working.


@pytest.mark.versions
def test_revoke_ends_detached_token() -> None:
    made = provisioned()
    tokens().update(application=None)

    revoke()

    assert answer(made.access_token) == "token_nonexistent"


@pytest.mark.parametrize("how", [{}, {"retire": True}], ids=["revoked", "retired"])
def test_second_revocation_changes_nothing(how: dict[str, bool]) -> None:
    provisioned()
    revoke(**how)
    before = all_rows()

    for again in (revoke(**how), revoke()):
        assert (again.status, again.changes) == (Status.UNCHANGED, ())
    assert all_rows() == before


def test_revoke_clears_deleted_token() -> None:
    provisioned()
    tokens().all().delete()

    assert [revoke().status, revoke().status] == [Status.REVOKED, Status.UNCHANGED]
    (summary,) = api.list_clients()
    assert summary.issues == ()


# Retiring


@pytest.mark.versions
def test_retire_ends_secret_and_user() -> None:
    made = provisioned(staff=True)
    User.objects.get().groups.add(Group.objects.create(name="reporters"))

    retired = revoke(retire=True)

    assert retired.status is Status.RETIRED
    assert retired.changes == (
        "Revoked 1 access token.",
        "Retired the client.",
        "Revoked the client secret.",
        "Deactivated the user report.",
    )
    assert answer(made.access_token) == "token_nonexistent"
    assert granted(made.client_id, made.client_secret) is None
    user = User.objects.get()
    assert (user.is_active, user.is_staff, user.groups.count()) == (False, True, 1)
    assert client().state == "retired"
    assert applications().count() == 1


def test_retire_ends_manual_tokens_of_user(monkeypatch: pytest.MonkeyPatch) -> None:
    provisioned(token=False)
    by_hand = AccessTokenFactory(application=None, user=User.objects.get())
    of_others = AccessTokenFactory(application=None, user=UserFactory())
    asked = mock.Mock(wraps=oauth_dispatch_api.destroy_oauth_tokens)
    monkeypatch.setattr(oauth_dispatch_api, "destroy_oauth_tokens", asked)

    assert revoke().status is Status.UNCHANGED  # It does not belong to the client.
    assert "Revoked all other tokens of the user report." in revoke(retire=True).changes

    assert asked.mock_calls == [mock.call(by_hand.user)]
    assert [*tokens().all()] == [of_others]


@pytest.mark.databases
@pytest.mark.parametrize("lost", [lambda: revoke(), lambda: get_access_token_model().objects.all().delete()])
def test_rotation_without_a_token_keeps_its_scopes(lost: Callable[[], Any]) -> None:
    provisioned(scopes=("read",))
    lost()

    assert rotate().scopes == ("read",)


def test_scopes_that_were_taken_away_do_not_come_back(settings: Any) -> None:
    provisioned(scopes=("read", "grades:read"))
    revoke()
    provisioned(scopes=("read",))
    assert rotate().scopes == ("read",)

    revoke()
    scopes = {name: about for name, about in settings.OAUTH2_PROVIDER["SCOPES"].items() if name != "read"}
    settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, "SCOPES": scopes, "DEFAULT_SCOPES": ["write"]}
    assert rotate().scopes == ("write",)


def test_rotation_of_an_adopted_client_keeps_its_scopes() -> None:
    token = AccessTokenFactory(scope="read", application__client_id="the-id")
    adopt(client_id="the-id")
    token.delete()

    assert rotate().scopes == ("read",)


def test_retire_keeps_tokens_of_foreign_user() -> None:
    of_an_existing_account()
    by_hand = AccessTokenFactory(application=None, user=User.objects.get())

    revoke(retire=True)

    assert [*tokens().all()] == [by_hand]


def test_revoked_client_may_be_retired() -> None:
    provisioned()
    revoke()
    deactivate_user()

    assert revoke(retire=True).changes == ("Retired the client.", "Revoked the client secret.")


def of_an_existing_account() -> None:
    User.objects.create_user("person", "person@example.org")
    provisioned(username="person", use_existing_user=True)


def adopted() -> None:
    application = ApplicationFactory(user__username="person")
    adopt(client_id=application.client_id)


def with_an_application_of_its_own() -> None:
    provisioned(username="person")
    ApplicationFactory(user=User.objects.get())


NOT_OURS, SHARED, IN_USE = (
    "Kept the user person: this package did not create it.",
    "Kept the user report: another API client has the same user.",
    "Kept the user person: it has another application.",
)


@pytest.mark.parametrize("how", [{"retire": True}, {"delete": True}], ids=["retired", "deleted"])
@pytest.mark.parametrize(
    ("make", "kept"),
    [
        (of_an_existing_account, NOT_OURS),
        (adopted, NOT_OURS),
        (with_an_application_of_its_own, IN_USE),
    ],
)
def test_shared_user_outlives_client(make: Callable[[], None], kept: str, how: dict[str, bool]) -> None:
    make()
    (before,) = User.objects.filter(username="person").values()
    others = set(applications().exclude(pk=client().application_id))

    ended = revoke(**how)

    assert [*User.objects.filter(username="person").values()] == [before]
    assert others <= set(applications().all())
    assert ended.changes[-1] == last_event().details["steps"][-1] == kept


def test_last_client_retires_its_user() -> None:
    provisioned()
    adopt("neighbour", client_id=ApplicationFactory(user=User.objects.get()).client_id)

    assert revoke("neighbour", retire=True).changes[-1] == SHARED
    assert User.objects.get().is_active
    assert revoke(retire=True).changes[-1] == "Deactivated the user report."
    assert not User.objects.get().is_active
    assert revoke(delete=True).changes[-2:] == ("Deleted the client and its application.", SHARED)
    assert revoke("neighbour", delete=True).changes[-1] == "Deleted the client, its application and its service user."


@pytest.mark.parametrize("how", [{}, {"retire": True}, {"delete": True}], ids=["revoked", "retired", "deleted"])
@pytest.mark.parametrize("others", [delete_user, delete_application, retire_user, change_grant_type])
def test_damaged_client_can_be_ended(others: Callable[[], None], how: dict[str, bool]) -> None:
    made = provisioned()
    others()

    revoke(**how)

    assert answer(made.access_token) == "token_nonexistent"
    assert ApiClient.objects.exists() is ("delete" not in how)


# Deleting


@pytest.mark.versions
def test_deleted_client_leaves_its_history() -> None:
    provisioned()
    person = UserFactory()

    deleted = revoke(delete=True, reason="no longer needed")

    assert deleted.status is Status.DELETED
    assert deleted.changes[-1] == "Deleted the client, its application and its service user."
    assert not ApiClient.objects.exists()
    assert not applications().exists()
    assert not tokens().exists()
    assert not UserProfile.objects.exists()
    assert User.objects.get() == person
    history = ApiClientEvent.objects.order_by("pk").values_list("client", "client_name", "kind", "reason")
    assert [*history] == [(None, "report", "created", ""), (None, "report", "deleted", "no longer needed")]


# Adopting


@pytest.fixture
def by_hand() -> Any:
    """Create an application as the admin's forms do, with a one-year and a one-hour token."""
    application = ApplicationFactory(name="Reporting", user__username="reporter", user__is_staff=True)
    for days in (365, 1):
        AccessTokenFactory(
            application=application, token=f"{TOKEN}-{days}", expires=timezone.now() + timedelta(days=days)
        )
    return application


@pytest.mark.versions
def test_adopt_keeps_rows_unchanged(by_hand: Any) -> None:
    before = all_rows()

    result = adopt(client_id=by_hand.client_id, contact="owner@example.org", purpose="reports")

    assert (result.status, result.changes) == (Status.ADOPTED, ("Adopted report.",))
    assert (result.client_secret, result.access_token) == (None, None)
    assert result.username == "reporter"
    after = all_rows()
    assert {name: after[name] for name in ("User", "Application", "AccessToken")} == {
        name: before[name] for name in ("User", "Application", "AccessToken")
    }
    row = client()
    assert (row.user, row.application, row.user_made) == (by_hand.user, by_hand, False)
    assert answer(f"{TOKEN}-365") == "ok"
    assert row.access_token.expires == max(tokens().values_list("expires", flat=True))
    assert (row.is_staff, row.is_superuser) == (True, False)
    assert (row.contact, row.purpose) == ("owner@example.org", "reports")
    assert (last_event().kind, last_event().details) == (
        "adopted",
        {"client_id": by_hand.client_id, "username": "reporter", "scope": "read write"},
    )
    assert [*api.list_unmanaged()] == []

    after, again = all_rows(), adopt(client_id=by_hand.client_id)
    assert (again.status, again.changes) == (Status.UNCHANGED, ())
    assert all_rows() == after


def test_second_adoption_accepts_new_rights(by_hand: Any) -> None:
    adopt(client_id=by_hand.client_id, contact="owner@example.org")
    User.objects.update(is_superuser=True)
    (summary,) = api.list_clients()
    assert summary.issues == ("user_promoted",)

    assert adopt(client_id=by_hand.client_id).status is Status.ADOPTED

    (summary,) = api.list_clients()
    assert summary.issues == ()
    assert client().contact == "owner@example.org"
    assert answer(rotate().access_token) == "ok"


def test_second_adoption_accepts_new_user(by_hand: Any) -> None:
    adopt(client_id=by_hand.client_id)
    other = UserFactory(username="somebody-else")
    applications().update(user=other)

    adopt(client_id=by_hand.client_id)

    assert client().user == other
    (summary,) = api.list_clients()
    assert summary.issues == ("token_gone",) or summary.issues == ()


def test_adoption_accepts_promoted_client() -> None:
    made = provisioned()
    promote_user()

    adopt(client_id=made.client_id)

    assert (client().is_staff, client().user_made) == (True, True)
    assert rotate().status is Status.ROTATED


def test_adopted_secret_has_application_age(settings: Any, by_hand: Any) -> None:
    applications().update(created=timezone.now() - timedelta(days=400))
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "MAX_SECRET_AGE": "365d"}

    adopt(client_id=by_hand.client_id)

    (summary,) = api.list_clients()
    assert "secret_overdue" in summary.issues


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"user": None}, "the application has no user, so its tokens do not work; set its user first."),
        (
            {"client_type": "public"},
            "the application is not confidential with the client credentials grant; change that first.",
        ),
        ({"client_id": "another"}, "no application has this client id; list them with list_api_clients --unmanaged."),
    ],
)
def test_unfit_application_is_not_adopted(by_hand: Any, changed: dict[str, Any], line: str) -> None:
    applications().update(**changed)
    before = all_rows()

    with pytest.raises(Conflict) as refused:
        adopt(client_id=by_hand.client_id)

    assert (refused.value.field, refused.value.message) == ("client_id", line)
    assert all_rows() == before


def test_application_of_other_client_is_not_adopted(by_hand: Any) -> None:
    adopt(client_id=by_hand.client_id)
    made = provisioned("other")
    before = all_rows()

    with pytest.raises(Conflict) as taken:
        adopt("third", client_id=by_hand.client_id)
    with pytest.raises(Conflict) as has_another:
        adopt("report", client_id=made.client_id)

    assert str(taken.value) == "client_id: the application belongs to the API client report."
    assert str(has_another.value) == "name: this client has another application; use another name."
    assert all_rows() == before


def test_predecessor_is_not_adopted(clock: Clock) -> None:
    made, _rotated = succeeded()
    before = all_rows()

    with pytest.raises(Conflict):
        adopt("thief", client_id=made.client_id)

    assert all_rows() == before


@pytest.mark.vendor("mysql")
def test_near_match_id_is_not_adopted(by_hand: Any) -> None:
    with pytest.raises(NearMatch):
        adopt(client_id=by_hand.client_id.upper())
    adopt(client_id=by_hand.client_id)
    with pytest.raises(NearMatch):
        adopt("Report", client_id=by_hand.client_id)


def test_adoption_retries_after_a_race(by_hand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    look, looks = registry.find, []

    def and_another_adopts(name: str, **options: Any) -> Any:
        row = look(name, **options)
        looks.append(row)
        if len(looks) == 1:
            adopt(name, client_id=by_hand.client_id)
        return row

    monkeypatch.setattr(registry, "find", and_another_adopts)

    assert adopt(client_id=by_hand.client_id).status is Status.ADOPTED
    assert (looks, ApiClient.objects.get().application) == ([None] * 3, by_hand)


def test_disallowed_application_may_be_adopted(settings: Any, by_hand: Any) -> None:
    policies = {"ALLOW_STAFF": False, "ALLOWED_SCOPES": ["email"], "MAX_TOKEN_LIFETIME": "1d"}
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, **policies}

    adopt(client_id=by_hand.client_id)

    with pytest.raises(InvalidSpec):
        rotate()
    assert revoke().status is Status.REVOKED


def test_adoption_needs_required_contact(settings: Any, by_hand: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REQUIRE_CONTACT": True}
    for contact in (None, ""):
        with pytest.raises(InvalidSpec) as refused:
            adopt(client_id=by_hand.client_id, contact=contact)
        assert refused.value.field == "contact"
    assert not ApiClient.objects.exists()

    assert adopt(client_id=by_hand.client_id, contact="owner@example.org").status is Status.ADOPTED
    assert adopt(client_id=by_hand.client_id).status is Status.UNCHANGED
    with pytest.raises(InvalidSpec):
        adopt(client_id=by_hand.client_id, contact="")


# Time


@pytest.mark.parametrize(
    ("zone", "now"),
    [
        ("America/New_York", utc(2028, 2, 29, 12)),  # A leap day
        ("Europe/Berlin", utc(2027, 3, 28, 0, 59, 59)),  # The last second of winter time there,
        ("Europe/Berlin", utc(2027, 10, 31, 1, 30)),  # 2:30 there for the second time.
    ],
    ids=str,
)
def test_time_spans_ignore_time_zones(settings: Any, now: datetime, zone: str) -> None:
    settings.TIME_ZONE = zone
    with clock_at(now) as clock:
        made = provisioned(expires_in=timedelta(days=365))
        rotated = rotate(secret=True, grace=timedelta(days=1), expires_in=timedelta(days=366))

        assert made.expires_at == now + timedelta(days=365)
        assert (rotated.expires_at, client().access_token.expires) == (now + timedelta(days=366),) * 2
        assert client().predecessor_ends == now + timedelta(days=1)
        clock.to(now + timedelta(days=1))
        assert (answer(made.access_token), answer(rotated.access_token)) == ("ok", "ok")
        clock.forward(microseconds=1)
        assert (answer(made.access_token), answer(rotated.access_token)) == ("token_expired", "ok")
        api.notify_expiring(authority=OPERATOR)
        assert granted(made.client_id, made.client_secret) is None
        clock.to(now + timedelta(days=366))
        assert answer(rotated.access_token) == "ok"
        clock.forward(microseconds=1)
        assert answer(rotated.access_token) == "token_expired"


# History


def whole_life() -> None:
    """Perform every kind of change, each with another actor and reason."""
    provisioned(contact="owner@example.org")
    client_id = ApplicationFactory(name="By hand").client_id

    def by(who: str, request_id: str, reason: str = "") -> dict[str, Any]:
        return {"authority": operator(f"admin: {who}"), "request_id": request_id, "reason": reason}

    api.rotate("report", secret=True, **by("ann", "r-1", "it is May"))
    api.rotate("report", secret=True, grace=timedelta(days=1), **by("bob", "r-2"))
    api.revoke("report", **by("cid", "r-3", "seen in a log"))
    api.revoke("report", retire=True, **by("dan", "r-4", "not needed"))
    api.revoke("report", delete=True, **by("eve", "r-5", "cleaning up"))
    api.adopt("old", client_id=client_id, **by("fay", "r-6", "found it"))


def test_history_has_actor_reason_and_details(clock: Clock) -> None:
    whole_life()

    history = ApiClientEvent.objects.order_by("pk").values_list("client_name", "kind", "actor", "reason", "request_id")
    assert [*history] == [
        ("report", "created", "the test", "", None),
        ("report", "rotated", "admin: ann", "it is May", "r-1"),
        ("report", "rotated", "admin: bob", "", "r-2"),
        ("report", "predecessor_ended", "admin: cid", "", None),
        ("report", "revoked", "admin: cid", "seen in a log", "r-3"),
        ("report", "retired", "admin: dan", "not needed", "r-4"),
        ("report", "deleted", "admin: eve", "cleaning up", "r-5"),
        ("old", "adopted", "admin: fay", "found it", "r-6"),
    ]
    assert {*ApiClientEvent.objects.values_list("created", flat=True)} == {NOON}
    both, graceful = ApiClientEvent.objects.filter(kind="rotated").order_by("pk")
    assert {**both.details, "client_id": ""} == {"token": True, "secret": True, "client_id": "", "grace_seconds": 0}
    assert {**graceful.details, "client_id": ""} == {**both.details, "client_id": "", "grace_seconds": 86400}
    assert graceful.details["client_id"] != both.details["client_id"]


def test_long_actor_is_truncated() -> None:
    provisioned()

    api.rotate("report", authority=operator("a" * 300))

    assert last_event().actor == "a" * 255


# Request ids


WORKS: dict[str, Callable[..., Any]] = {
    "provision": lambda **request: api.provision(ClientSpec(name="another"), authority=OPERATOR, **request),
    "rotate": rotate,
    "revoke": revoke,
    "adopt": lambda **request: adopt("adopted", client_id="the-id", **request),
}


@pytest.mark.versions
@pytest.mark.parametrize(
    ("first", "second"), [("provision", "rotate"), ("rotate", "revoke"), ("revoke", "adopt"), ("adopt", "provision")]
)
def test_request_id_runs_once(first: str, second: str) -> None:
    provisioned()
    ApplicationFactory(client_id="the-id")
    WORKS[first](request_id="the-same")
    promote_user()
    before = all_rows()

    for again in (first, second):
        with pytest.raises(AlreadyDone) as refused:
            WORKS[again](request_id="the-same")
        assert str(refused.value) == "this request was already executed; its credentials are not shown again."
    assert all_rows() == before


def test_refused_request_may_be_repeated() -> None:
    provisioned()
    deactivate_user()
    with pytest.raises(Conflict):
        rotate(request_id="the-same")
    User.objects.update(is_active=True)

    assert rotate(request_id="the-same").status is Status.ROTATED
