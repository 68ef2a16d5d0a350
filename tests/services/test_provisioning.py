"""Test the service: one transaction that creates missing rows, the events, and undo."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from oauth2_provider.models import get_access_token_model, get_application_model

from common.djangoapps.student.models import UserProfile
from edx_api_provisioning import api
from edx_api_provisioning.adapters import lms, oauth, oauth_server
from edx_api_provisioning.core.exceptions import (
    Conflict,
    DatabaseFailure,
    InvalidSpec,
    NearMatch,
    ProvisioningError,
    UnusableToken,
)
from edx_api_provisioning.core.results import Credentials, Status
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.services import current_state
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication
from tests.factories import (
    OPERATOR,
    SECRET,
    TOKEN,
    AccessTokenFactory,
    ApiClientFactory,
    ApplicationFactory,
    UserFactory,
    operator,
    row_counts,
    statements,
)
from tests.lifecycle_helpers import provisioned as provision

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def client() -> ApiClient:
    return ApiClient.objects.select_related("user", "application", "access_token").get()


def events() -> list[str]:
    return list(ApiClientEvent.objects.order_by("pk").values_list("kind", flat=True))


def works(credentials: Credentials) -> bool:
    return api.verify(credentials).ok


# A new client


@pytest.mark.versions
def test_new_client_has_linked_rows() -> None:
    credentials = provision()

    assert credentials.status is Status.CREATED
    assert works(credentials)
    made = client()
    assert (made.name, made.state, made.user_made) == ("report", "active", True)
    assert made.user.username == "report"
    assert (made.application.user, made.application.name) == (made.user, "report")
    assert made.application.client_id == credentials.client_id
    assert (made.access_token.user, made.access_token.application) == (made.user, made.application)
    assert made.access_token.expires == credentials.expires_at
    assert UserProfile.objects.filter(user=made.user).count() == 1


@pytest.mark.versions
def test_given_values_are_stored() -> None:
    credentials = provision(
        username="grades-bot",
        email="bots@example.org",
        staff=True,
        client_id="the-id",
        client_secret=Secret(SECRET),
        access_token=Secret(TOKEN),
        scopes=("read", "email"),
        expires_at=datetime(2027, 1, 31, 12, tzinfo=UTC),
        contact="ops@example.org",
        purpose="weekly report",
    )

    made = client()
    assert (made.user.username, made.user.email, made.user.is_staff, made.user.is_superuser) == (
        "grades-bot", "bots@example.org", True, False,
    )  # fmt: skip
    assert (made.contact, made.purpose, made.is_staff, made.is_superuser) == (
        "ops@example.org", "weekly report", True, False,
    )  # fmt: skip
    assert made.application.client_id == credentials.client_id == "the-id"
    assert (made.access_token.scope, credentials.scopes) == ("read email", ("read", "email"))
    assert made.access_token.expires == datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert (credentials.client_secret, credentials.access_token) == (Secret(SECRET), Secret(TOKEN))
    assert works(credentials)


def test_client_without_token_has_application() -> None:
    credentials = provision(token=False)

    assert (credentials.access_token, credentials.expires_at, credentials.scopes) == (None, None, ())
    assert client().access_token_id is None
    assert works(credentials)


# The same client again


@pytest.mark.versions
@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"token": False},
        {"scopes": ("read",), "contact": "ops@example.org", "purpose": "weekly report"},
        {"client_id": "the-id", "client_secret": Secret(SECRET), "access_token": Secret(TOKEN)},
        {"expires_at": datetime(2027, 1, 31, 12, tzinfo=UTC)},
    ],
    ids=str,
)
def test_second_run_issues_nothing(wanted: dict[str, Any]) -> None:
    first = provision(**wanted)
    before, rows = row_counts(), repr(list(ApiClient.objects.values()))

    again = provision(**wanted)

    assert again.status is Status.UNCHANGED
    assert (again.client_secret, again.access_token, again.changes) == (None, None, ())
    assert (again.client_id, again.username, again.email) == (first.client_id, first.username, first.email)
    assert (again.expires_at, again.scopes) == (first.expires_at, first.scopes)
    assert (row_counts(), repr(list(ApiClient.objects.values()))) == (before, rows)
    assert works(first)


def expire(made: ApiClient) -> None:
    get_access_token_model().objects.update(expires=datetime.now(UTC) - timedelta(seconds=1))


@pytest.mark.parametrize(
    "end", [expire, lambda made: get_access_token_model().objects.all().delete()], ids=["expired", "deleted"]
)
def test_missing_token_is_reissued(end: Callable[[ApiClient], Any]) -> None:
    first = provision()
    end(client())

    again = provision()

    assert again.status is Status.UPDATED
    assert (again.client_id, again.client_secret) == (first.client_id, None)
    assert again.access_token not in (None, first.access_token)
    assert works(again)
    assert provision().status is Status.UNCHANGED
    assert oauth_server.client_user(first.client_id, first.client_secret) == client().user


@pytest.mark.versions
def test_deleted_application_is_recreated() -> None:
    first = provision()
    client().application.delete()

    again = provision()

    assert again.status is Status.UPDATED
    assert again.client_id != first.client_id
    assert works(again)
    assert User.objects.count() == 1
    assert provision().status is Status.UNCHANGED


@pytest.mark.versions
def test_deleted_user_is_recreated() -> None:
    provision(username="grades-bot")
    client().user.delete()

    again = provision(username="grades-bot")

    assert again.status is Status.UPDATED
    assert works(again)
    assert UserProfile.objects.count() == 1
    assert client().user_made is True
    assert provision().status is Status.UNCHANGED


def test_foreign_token_is_not_the_clients() -> None:
    provision(token=False)
    AccessTokenFactory(application=client().application)

    assert provision(token=True).status is Status.UPDATED
    assert client().application.accesstoken_set.count() == 2


def test_metadata_and_scopes_change_in_place() -> None:
    first = provision()

    again = provision(contact="ops@example.org", purpose="weekly report", scopes=("read",))

    assert again.status is Status.UPDATED
    assert (again.client_secret, again.access_token) == (None, None)
    assert (client().contact, client().purpose) == ("ops@example.org", "weekly report")
    assert client().access_token.scope == "read"
    assert works(first)

    provision(purpose="daily report")
    assert (client().contact, client().purpose) == ("ops@example.org", "daily report")
    assert client().access_token.scope == "read"


def test_plan_retries_after_a_race(monkeypatch: pytest.MonkeyPatch) -> None:
    find_users = current_state._users

    def too_early(*arguments: Any) -> Any:
        monkeypatch.undo()
        users = find_users(*arguments)
        provision()
        return users

    monkeypatch.setattr(current_state, "_users", too_early)

    assert api.plan_client(ClientSpec(name="report"), authority=OPERATOR).status is Status.UNCHANGED


def test_extra_scope_is_granted_too() -> None:
    provision(scopes=("read", "grades:read"))

    assert ApplicationAccess.objects.get().scopes == ["grades:read"]
    assert client().access_token.scope == "read grades:read"


# Refusals


def existing(**changes: Any) -> None:
    UserFactory(username="report", email="report@localhost", **changes)


def hand_edited(**changes: Any) -> Callable[[], None]:
    def edit() -> None:
        provision()
        get_application_model().objects.update(**changes)

    return edit


def retired() -> None:
    provision()
    api.revoke("report", authority=OPERATOR, retire=True)


def with_other_rights(**changes: Any) -> Callable[[], None]:
    def change() -> None:
        provision()
        User.objects.update(**changes)

    return change


def restricted() -> None:
    provision(token=False)
    RestrictedApplication.objects.create(application=client().application)


REFUSALS = {
    "an account made elsewhere": (existing, {}, Conflict, "username"),
    "an inactive account": (
        lambda: existing(is_active=False), {"use_existing_user": True}, Conflict, "username"
    ),
    "a service user that was deactivated": (with_other_rights(is_active=False), {}, Conflict, "username"),
    "an address of somebody": (
        lambda: UserFactory(email="bots@example.org"), {"email": "bots@example.org"}, Conflict, "email"
    ),
    "an application with another grant": (hand_edited(authorization_grant_type="password"), {}, Conflict, "name"),
    "a public application": (hand_edited(client_type="public"), {}, Conflict, "name"),
    "an application without a user": (hand_edited(user=None), {}, Conflict, "name"),
    "a retired client": (retired, {}, Conflict, "name"),
    "a client_id of another": (
        lambda: ApplicationFactory(client_id="the-id"), {"client_id": "the-id"}, Conflict, "client_id"
    ),
    "a token of another": (
        lambda: AccessTokenFactory(token=TOKEN), {"access_token": Secret(TOKEN)}, Conflict, "access_token"
    ),
    "another secret": (provision, {"client_secret": Secret(SECRET)}, Conflict, "client_secret"),
    "another token": (provision, {"access_token": Secret(TOKEN)}, Conflict, "access_token"),
    "a token for a restricted application": (restricted, {"token": True}, Conflict, "token"),
    "a retired user name": (lambda: None, {"username": "retired__user_1"}, InvalidSpec, "username"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "wanted", "error", "field"), REFUSALS.values(), ids=REFUSALS)
def test_refusal_changes_nothing(
    before: Callable[[], Any], wanted: dict[str, Any], error: type[ProvisioningError], field: str
) -> None:
    before()
    rows, clients = row_counts(), list(ApiClient.objects.values())

    for do in (
        lambda: provision(**wanted),
        lambda: api.plan_client(ClientSpec(name="report", **wanted), authority=OPERATOR),
    ):
        with pytest.raises(ProvisioningError) as refusal:
            do()
        assert (type(refusal.value), refusal.value.field) == (error, field)

    assert (row_counts(), list(ApiClient.objects.values())) == (rows, clients)


def test_email_in_other_case_is_taken() -> None:
    UserFactory(email="Bots@Example.org")
    before = row_counts()

    with pytest.raises((Conflict, DatabaseFailure), match="address"):
        provision(email="bots@example.org")

    assert row_counts() == before


@pytest.mark.vendor("mysql")
@pytest.mark.parametrize(
    ("before", "wanted", "field", "found"),
    [
        (lambda: provision("Report"), {}, "name", "Report"),
        (lambda: provision("other", username="Report"), {"username": "report"}, "username", "Report"),
        (lambda: UserFactory(username="repórt"), {"use_existing_user": True}, "username", "repórt"),
        (lambda: ApplicationFactory(client_id="THE-ID"), {"client_id": "the-id"}, "client_id", "THE-ID"),
    ],
    ids=["name", "user name of ours", "user name of others", "client_id"],
)
def test_mysql_near_match_names_both(before: Callable[[], Any], wanted: dict[str, Any], field: str, found: str) -> None:
    before()
    rows = row_counts()

    with pytest.raises(NearMatch, match=found) as refusal:
        provision(**wanted)

    assert refusal.value.field == field
    assert row_counts() == rows


@pytest.mark.vendor("mysql")
def test_mysql_token_in_other_case_is_taken() -> None:
    other = AccessTokenFactory(token=TOKEN.upper())
    before = row_counts()

    if "token_checksum" in {field.name for field in other._meta.get_fields()}:  # By which the site tells them apart.
        provision(access_token=Secret(TOKEN))
        assert oauth.find_access_token(Secret(TOKEN)) not in (None, other)
        return

    with pytest.raises((Conflict, DatabaseFailure)):
        provision(access_token=Secret(TOKEN))

    assert row_counts() == before


@pytest.mark.vendor("sqlite", "postgresql")
def test_case_sensitive_database_allows_both() -> None:
    provision("Report", username="one")

    assert provision("report", username="two").status is Status.CREATED


@pytest.mark.vendor("mysql", "postgresql")
def test_account_is_locked_before_reading() -> None:
    existing()

    with statements() as sent:
        provision(use_existing_user=True)

    # The first look, which decides nothing, is outside the transaction.
    reserved = next(number for number, sql in enumerate(sent) if re.match("INSERT INTO .+_apiclient", sql))
    of_users = [sql for sql in sent[reserved:] if re.match(r"SELECT .+ FROM .auth_user. ", sql)]
    assert of_users
    assert of_users[0].endswith("FOR UPDATE")


# Restricted applications


def test_instantly_expired_token_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    provision(token=False)
    RestrictedApplication.objects.create(application=client().application)
    # As if it was restricted just after the look-up.
    monkeypatch.setattr(lms, "restricted_among", lambda application_pks: frozenset())
    before = row_counts()

    with pytest.raises(UnusableToken, match="RestrictedApplication"):
        provision(token=True)

    assert row_counts() == before
    assert client().access_token_id is None


# The record


def test_each_changing_run_is_recorded_once() -> None:
    provision()
    provision()
    provision(contact="ops@example.org", purpose="weekly report")
    expire(client())
    provision()

    assert events() == ["created", "updated", "updated"]


def test_event_has_actor_reason_and_steps() -> None:
    credentials = api.provision(ClientSpec(name="report"), authority=operator("ada"), reason="for the weekly report")

    event = ApiClientEvent.objects.get()
    assert (event.client, event.client_name, event.kind) == (client(), "report", "created")
    assert (event.actor, event.reason) == ("ada", "for the weekly report")
    assert event.details == {
        "steps": ["create_client", "create_user", "create_application", "issue_token"],
        "username": "report",
        "client_id": credentials.client_id,
        "scope": "read write email profile",
        "expires_at": credentials.expires_at.isoformat(),
    }
    assert abs(event.created - datetime.now(UTC)) < timedelta(minutes=1)


# A plan


def test_plan_matches_run_and_writes_nothing() -> None:
    before = row_counts()

    plan = api.plan_client(ClientSpec(name="report", staff=True), authority=OPERATOR)
    assert row_counts() == before
    credentials = provision(staff=True)

    assert plan.status is credentials.status
    assert tuple(step.done for step in plan.steps) == credentials.changes
    assert (plan.username, plan.email, plan.scopes) == (credentials.username, credentials.email, credentials.scopes)


def test_plan_sends_only_reads() -> None:
    provision()

    with statements() as sent:
        api.plan_client(ClientSpec(name="report", contact="ops@example.org"), authority=OPERATOR)
        api.plan_client(ClientSpec(name="other"), authority=OPERATOR)

    assert sent
    assert all(sql.startswith("SELECT") and "FOR UPDATE" not in sql for sql in sent)


# Number of statements


@pytest.mark.django_db(transaction=True)
def test_statement_counts_are_bounded() -> None:
    connection.ensure_connection()

    with statements() as new:
        provision()
    with statements() as unchanged:
        provision()

    assert len(new) <= 28, new
    assert len(unchanged) <= 6, unchanged


@pytest.mark.django_db(transaction=True)
def test_only_reads_are_outside_the_transaction() -> None:
    outside: list[str] = []

    def look(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        if not connection.in_atomic_block and not sql.startswith(("BEGIN", "SET ", "SELECT ")):
            outside.append(sql)
        return execute(sql, *arguments)

    with connection.execute_wrapper(look):
        provision()

    assert outside == []


def test_adopted_client_keeps_its_user() -> None:
    made = ApiClientFactory(name="report", user__username="grades-bot")

    assert provision().status is Status.UNCHANGED
    assert client().user == made.user
