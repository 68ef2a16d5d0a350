"""Test the main use on plain Django. Run by tests/test_other_sites.py in a separate process."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command, load_command_class
from django.test import Client

from edx_api_provisioning.core.commands import COMMANDS
from edx_api_provisioning.core.secrets import Secret, basic_authorization
from tests.factories import provisioned, row_counts, run

pytestmark = pytest.mark.django_db


def whoami(token: str) -> tuple[int, str]:
    response = Client().get("/me", HTTP_AUTHORIZATION=f"Bearer {token}")
    return response.status_code, response.json()["username"] if response.status_code == 200 else ""


def test_no_lms_module_is_loaded() -> None:
    assert {config.label for config in apps.get_app_configs()} == {
        "auth", "contenttypes", "oauth2_provider", "edx_api_provisioning",
    }  # fmt: skip
    assert not {"common", "lms", "openedx", "student"} & set(sys.modules)


def test_default_run_creates_working_client() -> None:
    result = provisioned()

    assert (result["status"], result["username"], result["verified"]) == ("created", "api-client", True)
    assert result["email"] == "api-client@site.example.org"
    assert result["token_url"] == "https://site.example.org/o/token/"
    assert "token_type=jwt" not in run("second").stdout
    assert whoami(result["access_token"]) == (200, "api-client")
    assert whoami("edxapi_wrong") == (403, "")


def test_id_and_secret_get_working_token() -> None:
    result = provisioned("--no-token")

    def grant(secret: str) -> Any:
        basic = {"Authorization": basic_authorization(result["client_id"], Secret(secret))}
        return Client().post("/o/token/", {"grant_type": "client_credentials"}, headers=basic)

    response = grant(result["client_secret"])

    assert response.status_code == 200, response.content
    assert set(response.json()["scope"].split()) == {"read", "write", "https://example.org/auth/reports.readonly"}
    wrong = grant("wrong")
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")


def test_second_run_changes_nothing() -> None:
    provisioned("--staff")
    before = row_counts()

    again = provisioned("--staff")

    assert (again["status"], again["access_token"], again["client_secret"]) == ("unchanged", None, None)
    assert row_counts() == before


def test_usernames_follow_django() -> None:
    assert provisioned("report.2026")["username"] == "report.2026"
    assert run("second", "--username", "a b").refusal.startswith("--username: ")
    assert not User.objects.get().has_usable_password()


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
