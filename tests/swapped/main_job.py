"""Test the main use with swapped models. Run by tests/test_other_sites.py in a separate process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from oauth2_provider.models import get_access_token_model, get_application_model
from own.models import OwnAccessToken, OwnApplication

from edx_api_provisioning.adapters import oauth, oauth_server
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.models import ApiClient
from tests.factories import provisioned, row_counts, run

pytestmark = pytest.mark.django_db


def test_models_are_swapped() -> None:
    assert (get_application_model(), get_access_token_model()) == (OwnApplication, OwnAccessToken)
    assert ApiClient._meta.get_field("application").related_model is OwnApplication
    assert ApiClient._meta.get_field("access_token").related_model is OwnAccessToken
    tables = set(connection.introspection.table_names())
    assert not {"oauth2_provider_application", "oauth2_provider_accesstoken"} & tables


def test_default_run_creates_working_client() -> None:
    result = provisioned()

    assert (result["status"], result["verified"]) == ("created", True)
    client = ApiClient.objects.select_related("application", "access_token").get()
    assert (client.application, client.access_token) == (OwnApplication.objects.get(), OwnAccessToken.objects.get())
    assert (client.application.department, client.access_token.uses) == ("unknown", 0)
    assert oauth_server.client_user(result["client_id"], Secret(result["client_secret"])) == client.user
    assert oauth.find_access_token(Secret(result["access_token"])) == client.access_token


def test_second_run_changes_nothing_or_repairs() -> None:
    provisioned()
    before = row_counts()

    assert provisioned()["status"] == "unchanged"
    assert row_counts() == before

    OwnAccessToken.objects.update(expires=datetime.now(UTC) - timedelta(seconds=1))
    again = provisioned()
    assert (again["status"], again["verified"]) == ("updated", True)
    OwnApplication.objects.get().delete()
    assert provisioned()["verified"] is True


def test_application_validation_applies() -> None:
    before = row_counts()

    assert "No department wants an application of this name." in run("forbidden").refusal
    assert row_counts() == before


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "edx_api_provisioning", check=True, dry_run=True, verbosity=0)
