"""Test that the address of a person can be replaced everywhere, and is when the LMS retires the person."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from openedx.core.djangoapps.user_api.accounts.signals import USER_RETIRE_LMS_CRITICAL
from openedx.core.djangoapps.user_api.models import UserRetirementStatus
from tests.factories import OPERATOR, UserFactory, operator, run
from tests.lifecycle_helpers import all_rows, client, last_event, provisioned

pytestmark = pytest.mark.django_db

ADDRESS, RETIRED = "ann@example.org", "retired__user_0123@retired.invalid"


def everything() -> str:
    """Return every column of every table of this package as text."""
    models = apps.get_app_config("edx_api_provisioning").get_models()
    rows = [[*model._base_manager.values()] for model in models]
    return json.dumps(rows, cls=DjangoJSONEncoder)


def life_of_ann() -> Any:
    """Leave the address and username of a person wherever somebody may write them."""
    ann = UserFactory(username="ann", email=ADDRESS)
    provisioned("notified", contact=ADDRESS, expires_in=timedelta(days=1))
    api.notify_expiring(authority=operator("admin: ann"))
    provisioned("purpose", purpose=f"reports for Ann@Example.org, not for {ADDRESS}.au or joann@example.org")
    api.rotate("purpose", reason=f"asked by {ADDRESS}.", authority=operator("admin: root (used by ann)"))
    api.record_refusal("planned", f"{ADDRESS} belongs to the user ann", authority=operator("REST API: ann"))
    api.rotate("purpose", authority=operator("admin: joann"))
    return ann


@pytest.mark.databases
def test_address_is_replaced_everywhere() -> None:
    life_of_ann()

    ran = run(ADDRESS.upper(), "team@example.org", command="replace_api_client_contact")

    assert (ran.code, ran.stdout) == (0, "Changed 5 rows.\n"), ran
    assert client("notified").contact == "team@example.org"
    assert client("purpose").purpose == f"reports for team@example.org, not for {ADDRESS}.au or joann@example.org"
    notified = ApiClientEvent.objects.get(kind="notified")
    assert notified.details == {"days": 1, "to": "team@example.org"}
    assert (last_event().client_name, last_event().kind, last_event().details) == (
        "notified",
        "updated",
        {"steps": ["replace_address"]},
    )


@pytest.mark.parametrize("old", ["", "report", "active", "root"])
def test_only_an_address_is_replaced(old: str) -> None:
    provisioned()
    before = all_rows()

    ran = run(old, "boss@example.org", command="replace_api_client_contact")

    assert ran.refusal == "OLD: not an email address."
    assert all_rows() == before


@pytest.mark.parametrize("email", ["", "ann@intranet", "report"])
def test_retirement_without_an_address_changes_no_other_text(email: str) -> None:
    provisioned()
    before = all_rows()
    user = UserFactory(username="legacy")
    UserRetirementStatus.objects.create(
        user=user, original_username="legacy", original_email=email, retired_username="r__1", retired_email="r@x.org"
    )

    USER_RETIRE_LMS_CRITICAL.send(sender=None, user=user)

    assert ApiClientEvent.objects.get().reason == ""
    assert before["ApiClient"] == all_rows()["ApiClient"]


def test_unknown_address_changes_nothing() -> None:
    life_of_ann()
    before = all_rows()

    assert api.replace_address("nobody@example.org", "team@example.org", authority=OPERATOR) == 0
    with pytest.raises(InvalidSpec):
        api.replace_address(ADDRESS, "team", authority=OPERATOR)

    assert all_rows() == before


@pytest.mark.databases
def test_retirement_leaves_no_address() -> None:
    ann = life_of_ann()
    ApiClient.objects.filter(name="purpose").update(purpose=f"reports for {ADDRESS}")
    UserRetirementStatus.objects.create(
        user=ann,
        original_username="ann",
        original_email=ADDRESS,
        retired_username="retired__user_0123",
        retired_email=RETIRED,
    )
    ann.email = RETIRED  # The LMS changes it when the retirement is requested.
    ann.save()

    USER_RETIRE_LMS_CRITICAL.send(sender=None, user=ann)

    assert ADDRESS not in everything().lower().replace(f"jo{ADDRESS}", "")
    assert client("notified").contact == RETIRED
    assert {*ApiClientEvent.objects.values_list("actor", flat=True)} == {
        "the test",
        "admin: retired__user_0123",
        "admin: root (used by retired__user_0123)",
        "REST API: retired__user_0123",
        "admin: joann",
        "retirement of an account",
    }


def test_account_without_retirement_is_left_alone() -> None:
    ann = life_of_ann()
    before = all_rows()

    USER_RETIRE_LMS_CRITICAL.send(sender=None, user=ann)

    assert all_rows() == before
