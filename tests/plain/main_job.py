"""Test the main use on plain Django with its own models. Run by tests/test_other_sites.py in a separate process."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command, load_command_class
from django.db import connection
from django.test import Client
from oauth2_provider.models import get_access_token_model, get_application_model
from own.models import OwnAccessToken, OwnApplication

from edx_api_provisioning.adapters import oauth_server
from edx_api_provisioning.core.commands import COMMANDS
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.models import ApiClient
from tests.factories import provisioned, row_counts, run

pytestmark = pytest.mark.django_db


def whoami(token: str) -> tuple[int, str]:
    response = Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {token}")
    return response.status_code, response.json()["username"] if response.status_code == 200 else ""


def test_no_lms_module_is_loaded() -> None:
    assert {config.label for config in apps.get_app_configs()} == {
        "auth", "contenttypes", "own", "oauth2_provider", "edx_api_provisioning",
    }  # fmt: skip
    assert not {"common", "lms", "openedx", "student"} & set(sys.modules)


def test_models_are_swapped() -> None:
    assert (get_application_model(), get_access_token_model()) == (OwnApplication, OwnAccessToken)
    assert ApiClient._meta.get_field("application").related_model is OwnApplication
    assert ApiClient._meta.get_field("access_token").related_model is OwnAccessToken
    tables = set(connection.introspection.table_names())
    assert not {"oauth2_provider_application", "oauth2_provider_accesstoken"} & tables


def test_default_run_creates_working_client() -> None:
    result = provisioned()

    assert (result["status"], result["username"], result["verified"]) == ("created", "api-client", True)
    assert result["email"] == "api-client@site.example.org"
    assert result["token_url"] == "https://site.example.org/o/token/"
    client = ApiClient.objects.select_related("application", "access_token").get()
    assert (client.application, client.access_token) == (OwnApplication.objects.get(), OwnAccessToken.objects.get())
    assert (client.application.department, client.access_token.uses) == ("unknown", 0)
    assert oauth_server.client_user(result["client_id"], Secret(result["client_secret"])) == client.user
    assert "token_type=jwt" not in run("second").stdout
    assert whoami(result["access_token"]) == (200, "api-client")
    assert whoami("edxapi_wrong") == (403, "")


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


def test_scopes_follow_site() -> None:
    scope = "https://example.org/auth/reports.readonly"

    assert provisioned("--scope", scope)["scope"] == scope
    assert run("second", "--scope", "grades:read").refusal.startswith("--scope: unknown scope grades:read")


def test_lms_only_options_are_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--restricted", "--filter=content_org:edX", "--course-role=staff@edX", "--global-role=support"):
        ran = run(option)
        assert (ran.code, f"unrecognized arguments: {option}" in ran.stderr) == (2, True)
    for command in COMMANDS:
        shown = load_command_class("edx_api_provisioning", command).create_parser("manage.py", command).format_help()
        assert not re.search(r"\bLMS\b|manage.py lms|course role|course key", shown.partition("examples:")[0]), shown
        assert "manage.py lms" not in shown
    client = json.loads(run("--print-schema").stdout)["properties"]["clients"]["items"]
    assert not {"restricted", "filters", "course_roles", "global_roles"} & set(client["properties"])
    assert {"name", "scopes", "permissions"} < set(client["properties"])
    call_command("explain_api_access", profiles=True)
    assert capsys.readouterr() == ("", "")


def test_default_email_without_site_address_is_warned_about(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {}

    without = run()
    assert without.code == 0
    assert "api-client@api-client.invalid, which receives no mail. Pass --email." in without.stderr
    result = provisioned("second", "--email", "bot@example.org")
    assert (result["email"], result["token_url"], result["api_docs_url"]) == ("bot@example.org", None, None)


def test_unusable_token_is_reported(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {
        **settings.EDX_API_PROVISIONING,
        "BEARER_AUTHENTICATION": "rest_framework.authentication.SessionAuthentication",
    }

    ran = run("--no-verify")
    assert ran.code == 0
    failing = run("second")
    assert failing.code == 1
    assert "access token with the site's Bearer authentication: " in failing.stderr


def test_rest_api_accepts_bearer_tokens(settings: Any) -> None:
    root = "/provisioning/v1"
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API": True}
    rights = [f"edx_api_provisioning.{right}_apiclient" for right in ("view", "provision", "rotate")]
    made = provisioned(*[f"--permission={right}" for right in rights])
    bearer = {"Authorization": f"Bearer {made['access_token']}"}

    known = Client().get(f"{root}/whoami/", headers=bearer).json()
    assert (known["client"], known["scheme"], known["rights"]) == ("api-client", "bearer", sorted(
        f"permission:{right}" for right in rights
    ))  # fmt: skip
    sent = {"path": f"{root}/clients/", "data": {"name": "second"}, "content_type": "application/json"}
    second = Client().post(**sent, headers={**bearer, "Idempotency-Key": "k"})
    assert (second.status_code, second.json()["verified"]) == (201, True), second.content
    assert Client().post(**sent, headers={**bearer, "Idempotency-Key": "k"})["Idempotency-Replayed"] == "true"
    sent = {"path": f"{root}/clients/second/token/", "content_type": "application/json"}
    rotated = Client().post(**sent, headers={**bearer, "If-Match": "*"})
    assert whoami(rotated.json()["access_token"]) == (200, "second")
    listed = Client().get(f"{root}/clients/?page_size=1", headers=bearer).json()
    assert (listed["count"], [row["name"] for row in listed["results"]]) == (2, ["api-client"])
    refused = Client().get(f"{root}/clients/")
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, 'Bearer realm="api"')
    assert Client().get(f"{root}/clients/", headers={"Authorization": "JWT a.b.c"}).status_code == 401


def test_no_migration_or_check_is_missing() -> None:
    call_command("makemigrations", "edx_api_provisioning", check=True, dry_run=True, verbosity=0)
    call_command("check", fail_level="WARNING")
