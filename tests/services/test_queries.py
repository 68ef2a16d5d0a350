"""Test queries: clients with all their data, and unmanaged credentials."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_application_model
from oauth2_provider.settings import oauth2_settings

from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning import api
from edx_api_provisioning.core.results import ClientSummary, Unmanaged
from edx_api_provisioning.services import queries
from tests.factories import OPERATOR, AccessTokenFactory, ApplicationFactory, UserFactory, statements
from tests.lifecycle_helpers import NOON, Clock, granted, provisioned, shown

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


def names(**which: Any) -> list[str]:
    return [summary.name for summary in api.list_clients(**which)]


# Clients


def test_summary_has_all_fields(clock: Clock) -> None:
    made = provisioned(
        staff=True, contact="owner@example.org", purpose="reports", expires_in=timedelta(days=90), scopes=("read",)
    )
    granted(made.client_id, made.client_secret)
    clock.forward(days=1)
    api.rotate("report", token=False, secret=True, authority=OPERATOR)

    assert [*api.list_clients()] == [
        ClientSummary(
            name="report",
            state="active",
            username="report",
            is_staff=True,
            is_superuser=False,
            contact="owner@example.org",
            purpose="reports",
            profile="",
            self_rotation=False,
            manifest="",
            client_id=made.client_id,
            scopes=("read",),
            tokens=2,
            expires_at=NOON + timedelta(days=90),
            last_issued=NOON + timedelta(days=1),
            last_used=NOON,
            rights=("staff",),
            created=NOON,
            updated=NOON + timedelta(days=1),
            issues=(),
        )
    ]


def test_client_without_rows_has_a_name() -> None:
    provisioned(contact="owner@example.org")
    User.objects.all().delete()

    (summary,) = api.list_clients()

    assert (summary.name, summary.contact) == ("report", "owner@example.org")
    assert (summary.username, summary.client_id, summary.expires_at) == (None, None, None)
    assert (summary.is_staff, summary.is_superuser, summary.scopes, summary.tokens) == (False, False, (), 0)


def test_flags_and_last_issue_are_current(clock: Clock) -> None:
    provisioned()
    clock.forward(days=1)
    api.rotate("report", authority=OPERATOR)
    User.objects.update(is_superuser=True)

    (summary,) = api.list_clients()
    assert (summary.last_issued, summary.is_staff, summary.is_superuser) == (clock.now, False, True)


def test_declared_rights_are_included() -> None:
    provisioned("grades", restricted=True, scopes=("read", "grades:read"), filters=("content_org:edX",))
    provisioned("prices", superuser=True, permissions=("course_modes.change_coursemode",))

    assert {summary.name: summary.rights for summary in api.list_clients()} == {
        "grades": ("filter:content_org:edX", "restricted", "scope:grades:read"),
        "prices": ("superuser", "staff", "permission:course_modes.change_coursemode"),
    }


def test_clients_are_sorted_and_filtered_by_name(clock: Clock) -> None:
    for name in ("c", "a", "b"):
        provisioned(name, username=f"{name}{name}")

    assert names() == ["a", "b", "c"]
    assert names(name="b") == ["b"]
    assert names(name="d") == []


def test_expiry_filters_are_exact(clock: Clock) -> None:
    provisioned("soon", expires_in=timedelta(days=7))
    provisioned("later", expires_in=timedelta(days=7, seconds=1))
    provisioned("never", token=False)
    provisioned("ended", expires_in=timedelta(hours=1))
    clock.to(NOON + timedelta(hours=1, microseconds=-1))
    assert names(expired=True) == []

    clock.to(NOON + timedelta(hours=1))
    assert names(expired=True) == ["ended"]
    assert names(expiring_within=timedelta(days=7, hours=-1)) == ["ended", "soon"]
    assert names(expiring_within=timedelta(days=7, hours=-1, seconds=1)) == ["ended", "soon", "later"]


def test_tokenless_and_retired_never_expire(clock: Clock) -> None:
    for name in ("gone", "retired"):
        provisioned(name, username=f"user-{name}", expires_in=timedelta(days=1))
    get_access_token_model().objects.filter(user__username="user-gone").delete()
    api.revoke("retired", retire=True, authority=OPERATOR)
    AccessTokenFactory(application=get_application_model().objects.get(name="retired"))

    assert names(expiring_within=timedelta(days=30)) == []
    clock.forward(days=2)
    assert names(expired=True) == []


def test_overprivileged_query_count_is_constant() -> None:
    Group.objects.create(name="reporters").permissions.add(Permission.objects.get(codename="view_user"))

    def sent(clients: range) -> int:
        for number in clients:
            provisioned(f"client-{number}", groups=("reporters",), scopes=("read", "grades:read"))
            user = User.objects.get(username=f"client-{number}")
            user.user_permissions.add(Permission.objects.get(codename="add_user"))
            CourseAccessRole.objects.create(user=user, role="support")
        with statements() as sent:
            found = [*api.list_clients(overprivileged=True)]
        assert len(found) == clients.stop
        return len([sql for sql in sent if sql.startswith("SELECT")])

    assert sent(range(2)) == sent(range(2, 8))


def test_listing_takes_one_statement() -> None:
    provisioned()
    with statements() as of_one:
        list(api.list_clients())
    for number in range(5):
        provisioned(f"client-{number}")
    with statements() as of_many:
        assert len(list(api.list_clients())) == 6

    # SQLite's cursors are read in chunks; each is one statement.
    assert len([sql for sql in of_many if sql.startswith("SELECT")]) == len(of_one) == 1


def test_no_secret_is_read_or_listed() -> None:
    made = provisioned()

    with statements() as sent:
        told = json.dumps([asdict(summary) for summary in api.list_clients()], default=str)

    # In quotes, because other columns have similar names (hash_client_secret, token_checksum).
    assert '"client_secret"' not in "".join(sent).replace("`", '"')
    assert '"token"' not in "".join(sent).replace("`", '"')
    assert shown(made.client_secret) not in told
    assert shown(made.access_token) not in told


# Unmanaged credentials


def test_manual_applications_are_unmanaged() -> None:
    provisioned()
    user = UserFactory(username="reporter")
    call_command(
        "createapplication", "confidential", "client-credentials", name="By hand", user=str(user.pk), client_id="the-id"
    )
    ends = timezone.now().replace(microsecond=0) + timedelta(days=365)
    AccessTokenFactory(application=get_application_model().objects.get(client_id="the-id"), expires=ends)
    AccessTokenFactory(application=None, user=user, expires=ends)

    assert [*api.list_unmanaged()] == [
        Unmanaged(kind="application", name="By hand", client_id="the-id", username="reporter", expires_at=ends),
        Unmanaged(kind="access_token", name="", client_id=None, username="reporter", expires_at=ends),
    ]


def test_manual_token_of_client_is_unmanaged(clock: Clock) -> None:
    made = provisioned()
    get_access_token_model().objects.update(created=NOON)
    application = get_application_model().objects.get()
    by_hand = AccessTokenFactory(application=application, expires=NOON + timedelta(days=90, seconds=1))
    # Like one left by a rotation with the longest grace period, and like one from the grant.
    AccessTokenFactory(application=application, expires=NOON + timedelta(days=90))
    AccessTokenFactory(application=application, expires=NOON + timedelta(hours=9))

    assert [*api.list_unmanaged()] == [
        Unmanaged(
            kind="access_token",
            name="report",
            client_id=made.client_id,
            username="report",
            expires_at=by_hand.expires,
        )
    ]


def test_granted_tokens_are_not_unmanaged() -> None:
    """The LMS stores an expiry some milliseconds after the creation time plus the lifetime."""
    made = provisioned(token=False)
    assert granted(made.client_id, made.client_secret) is not None
    token = get_access_token_model().objects.get()
    assert token.expires > token.created + timedelta(seconds=oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS)

    assert [*api.list_unmanaged()] == []


def test_batches_cover_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_AT_ONCE", 2)
    for number in range(5):
        made = provisioned(f"client-{number}", token=False)
        application = get_application_model().objects.get(client_id=made.client_id)
        AccessTokenFactory(application=application, expires=timezone.now() + timedelta(days=1))

    assert sorted(token.name for token in api.list_unmanaged()) == [f"client-{number}" for number in range(5)]


def test_orphan_application_is_unmanaged() -> None:
    ApplicationFactory(user=None, name="orphan", client_id="the-id")

    assert [*api.list_unmanaged()] == [
        Unmanaged(kind="application", name="orphan", client_id="the-id", username=None, expires_at=None)
    ]


def test_managed_and_predecessor_are_ignored() -> None:
    provisioned()
    api.rotate("report", token=True, secret=True, grace=timedelta(days=1), authority=OPERATOR)
    provisioned("retired", username="retired-user")
    api.revoke("retired", retire=True, authority=OPERATOR)
    provisioned("lost-its-application", username="lost")
    get_application_model().objects.get(name="lost-its-application").delete()

    assert [*api.list_unmanaged()] == []
