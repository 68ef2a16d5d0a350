"""Test a client's life on a peculiar site. Run by tests/test_other_sites.py in a separate process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client
from oauth2_provider.models import get_application_model

from edx_api_provisioning.core.secrets import Secret, basic_authorization
from edx_api_provisioning.models import ApiClient
from tests.factories import provisioned, run

SITE = settings.SITE
pytestmark = pytest.mark.django_db

if SITE == "company":

    def test_required_columns_are_named() -> None:
        assert "number must not be null, and this package does not set it. Give the column a default." in run().refusal
        get_user_model().objects.create(username="bot", email="bot@example.org", number=1)
        refusal = run("--username", "bot", "--use-existing-user").refusal
        assert "the site's application model rejects it: cost_center: This field cannot be null." in refusal
        assert not ApiClient.objects.exists()

else:

    def test_client_is_provisioned_and_retired() -> None:
        made = provisioned("reader", "--staff", "--contact", "ops@example.org", "--scope", "read")
        assert (made["status"], made["verified"]) == ("created", True)
        assert made["username"] == ("reader@site.example.org" if SITE == "people" else "reader")
        assert made["email"] == "reader@site.example.org"
        assert provisioned("reader")["status"] == "unchanged"
        clients = [{"name": "reader"}, {"name": "one"}, {"name": "two", "staff": True}]
        manifest = json.dumps({"defaults": {"scopes": ["read"]}, "clients": clients})
        several = run("--from-file", "-", "--format", "jsonl", stdin=manifest)
        done = [json.loads(line)["status"] for line in several.stdout.splitlines()]
        assert done == ["unchanged", "created", "created"], several

        rotated = provisioned("reader", "--secret", "--token", "--grace", "1h", command="rotate_api_client")
        assert (rotated["status"], rotated["verified"]) == ("rotated", True)
        assert SITE == "replica" or grant(rotated) == 200
        listed = provisioned(command="list_api_clients")
        assert made["username"] in [row["username"] for row in listed]
        assert "No issues found." in run("reader", command="verify_api_client").stdout
        assert run("reader", "--retire", command="revoke_api_client").code == 0
        assert SITE == "replica" or grant(rotated) == 401

    def test_hand_made_application_is_adopted() -> None:
        owner = get_user_model().objects.create_user(
            **{get_user_model().USERNAME_FIELD: "owner@example.org", "email": "owner@example.org"}
        )
        get_application_model().objects.create(
            name="reader by hand", user=owner, client_id="by-hand", client_type="confidential",
            authorization_grant_type="client-credentials",
        )  # fmt: skip

        ran = run("adopted", "--client-id", "by-hand", command="adopt_api_client")

        assert ran.code == 0, ran.stderr
        assert ApiClient.objects.using("default").get().user_id == owner.pk

    def test_mail_names_user_and_command(mailoutbox: list[Any], settings: Any) -> None:
        settings.EDX_API_PROVISIONING = {}
        contact = ("--contact", "ops@example.org", "--email", "a@example.org")
        made = provisioned("reader", *contact, "--expires-in", "1d", "--scope", "read")

        assert provisioned(command="notify_expiring_api_clients") == ["reader"]

        (mail,) = mailoutbox
        assert f"API client reader (user {made['username']}) of this site." in mail.body
        assert "\n    rotate_api_client reader --grace 24h\n" in mail.body
        assert "manage.py" not in mail.body

    def test_no_check_fails() -> None:
        call_command("check")


if SITE == "people":

    def test_pages_and_rest_api_answer() -> None:
        admin = get_user_model().objects.create_user(
            **{get_user_model().USERNAME_FIELD: "admin@example.org", "email": "admin@example.org"},
            is_staff=True,
            is_superuser=True,
        )
        web = Client()
        web.force_login(admin)
        rights = [f"--permission=edx_api_provisioning.{what}_apiclient" for what in ("view", "rotate")]
        made = provisioned("editor", *rights)

        pages = web.get("/admin/edx_api_provisioning/apiclient/?q=editor&o=2")
        assert (pages.status_code, "editor" in pages.content.decode()) == (200, True)
        bearer = {"Authorization": f"Bearer {made['access_token']}"}
        listed = Client().get("/provisioning/v1/clients/", headers=bearer)
        assert [row["username"] for row in listed.json()["results"]] == [made["username"]], listed.content
        url = "/provisioning/v1/clients/editor/token/"
        rotated = Client().post(url, headers={**bearer, "If-Match": "*"}, content_type="application/json")
        assert rotated.json()["verified"] is True, rotated.content

    def test_scope_that_backend_refuses_is_refused() -> None:
        assert run("reader", "--scope", "write").refusal == (
            "--scope: the site's scopes backend does not grant write to reader."
        )
        assert provisioned("editor", "--scope", "write")["scope"] == "write"


def grant(credentials: dict[str, Any]) -> int:
    basic = basic_authorization(credentials["client_id"], Secret(credentials["client_secret"]))
    return (
        Client().post("/o/token/", {"grant_type": "client_credentials"}, headers={"Authorization": basic}).status_code
    )
