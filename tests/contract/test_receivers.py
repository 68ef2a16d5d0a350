"""Test receivers in a management command, in a separate process because it may load the validator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

pytestmark = pytest.mark.versions

MANAGE = Path(__file__).parents[2] / "manage.py"
# Not in the sandbox; no behavior for API clients depends on it.
ABSENT = {
    "common.djangoapps.student.models.user.invalidate_user_profile_country_cache",  # there is no such cache
    "common.djangoapps.student.models.user.user_profile_post_save_callback",  # events for analytics
    "common.djangoapps.student.views.management.user_signup_handler",  # records the site of a web registration
    "enterprise.signals.handle_user_post_save",  # edx-enterprise is not installed
}
SCRIPT = """
import json, sys
from datetime import datetime, timezone
from django.apps import apps
from django.db.models import signals
from oauth2_provider.settings import oauth2_settings

models = {name.rpartition(".")[2]: apps.get_model(name) for name in (
    "auth.User", "student.UserProfile", "oauth2_provider.AccessToken", "oauth2_provider.Application")}
User, AccessToken, Application = models["User"], models["AccessToken"], models["Application"]

def receivers():
    found = {}
    for signal in ("pre_save", "post_save"):
        for name, model in models.items():
            live = getattr(signals, signal)._live_receivers(model)
            live = live[0] if isinstance(live, tuple) else live  # Django 5 keeps asynchronous ones apart
            names = [f"{each.__module__}.{each.__qualname__}" for each in live]
            found[f"{signal} {name}"] = [each for each in names if not each.startswith("edx_api_provisioning.")]
    return found

def year_of_a_new_token():
    token = AccessToken.objects.create(
        user=user, application=application, token=str(AccessToken.objects.count()),
        expires=datetime(2040, 1, 1, tzinfo=timezone.utc))
    token.refresh_from_db()
    return token.expires.year

user = User.objects.create_user("k-restricted", "k-restricted@example.com")
application = Application.objects.create(
    user=user, client_type="confidential", authorization_grant_type="client-credentials")
apps.get_model("oauth_dispatch", "RestrictedApplication").objects.create(application=application)

observed = {"at start": [receivers(), year_of_a_new_token()]}
import lms.urls
observed["with the URLs"] = [receivers(), year_of_a_new_token()]
oauth2_settings.OAUTH2_VALIDATOR_CLASS
observed["with the validator"] = [receivers(), year_of_a_new_token()]
print(json.dumps(observed))
"""


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    database = tmp_path_factory.mktemp("command") / "db.sqlite3"
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{database}"}

    def manage(*arguments: str) -> str:
        command = [sys.executable, str(MANAGE), "lms", *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    if connection.vendor == "sqlite":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(database)])  # Migrating takes much longer.
    else:
        manage("migrate", "--verbosity=0")
    return json.loads(manage("shell", "-c", SCRIPT).splitlines()[-1])


def test_receivers_match_recording(contract: dict[str, Any], observed: dict[str, Any]) -> None:
    recorded = contract["signal_receivers_in_a_management_command"]
    receivers, _ = observed["at start"]
    assert receivers == {signal: [name for name in names if name not in ABSENT] for signal, names in recorded.items()}


def test_absent_receivers_were_recorded(contract: dict[str, Any]) -> None:
    names = contract["signal_receivers_in_a_management_command"].values()
    assert {name for each in names for name in each} > ABSENT


def test_restricted_token_keeps_expiry_in_command(contract: dict[str, Any], observed: dict[str, Any]) -> None:
    kept = contract["restricted_application_token_created_in_a_management_command_keeps_its_expiry"]
    assert (observed["at start"][1] == 2040) is kept
    assert (observed["with the URLs"][1] == 2040) is kept


def test_validator_expires_restricted_token(
    observed: dict[str, Any],
) -> None:
    receivers, year = observed["with the validator"]
    assert year == 1970
    assert receivers["pre_save AccessToken"] == [
        "openedx.core.djangoapps.oauth_dispatch.dot_overrides.validators.on_access_token_presave"
    ]
