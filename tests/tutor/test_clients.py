"""Test that ``do init`` provisions the clients declared in config.yml with their secrets."""

from __future__ import annotations

import base64
import json
import re
from datetime import date
from typing import Any

import pytest
from tutor.exceptions import TutorError

from edx_api_provisioning.tutor.clients import check, commands

SECRET = "declared-secret-7Qd0vXk2mZs9LbT4rWyH1u"
TOKEN = "declared-token-x3Gf8JpN6cVq5RaE0tBiK2o"
BOT = {"name": "bot", "client_id": "bot", "client_secret": SECRET, "token": False}
REST = {"API_PROVISIONING_SETTINGS": {}, "API_PROVISIONING_PACKAGE": "edx-api-provisioning"}
INIT = ("do", "init", "--limit", "api-provisioning")


def works(site: Any, client_id: str, secret: str) -> bool:
    arguments = ("verify_api_client", "--client-id", client_id, "--client-secret-from", "stdin")
    return site.lms(*arguments, input=secret).code == 0


MODES = ("k8s", "local")


def test_init_provisions_declared_clients(site: Any) -> None:
    reports = {
        "name": "reports",
        "username": "reports-user",
        "purpose": "the dean's $$ `report` -- {}",
        "staff": True,
        "scopes": ["read", "profile"],
        "expires_at": date(2027, 6, 1),
        "client_secret": SECRET.upper(),
        "access_token": TOKEN,
    }
    site.configure(API_PROVISIONING_CLIENTS=[BOT, reports])
    site.works("config", "save")

    said = ""
    for mode in MODES:  # The second time nothing is left to do.
        done = site.works(mode, *INIT)
        said += done.stdout + done.stderr + site.everything_said()

    other, bot = site.clients()
    assert (bot["name"], bot["client_id"], bot["tokens"]) == ("bot", "bot", 0)
    assert (other["name"], other["username"], other["is_staff"]) == ("reports", "reports-user", True)
    assert (other["scopes"], other["expires_at"]) == (["read", "profile"], "2027-06-01T00:00:00Z")
    assert other["purpose"] == "the dean's $$ `report` -- {}"
    assert works(site, "bot", SECRET)
    assert site.accepts(TOKEN)
    for secret in (SECRET, SECRET.upper(), TOKEN):
        assert secret not in said


# Characters with a meaning in JSON, YAML or a shell; Jinja is Tutor's own language for its configuration.
NASTY = 'it\'s "quoted" $HOME $(id) `id` $$ \\n | & ; <x> #'


def test_secret_arrives_unchanged(site: Any) -> None:
    secret, purpose = f"{NASTY} 4fK9wQz7Lm", f"{NASTY} é 漢"
    site.configure(API_PROVISIONING_CLIENTS=[{**BOT, "client_secret": secret, "purpose": purpose}])
    site.works("config", "save")
    for mode in MODES:  # The second one would refuse another secret than the first one's.
        site.works(mode, *INIT)
        assert [client["purpose"] for client in site.clients()] == [purpose]
    assert works(site, "bot", secret)


@pytest.mark.parametrize(("given", "flag"), [(True, "--self-rotation"), (False, "--no-self-rotation")])
def test_declared_flag_becomes_option(given: bool, flag: str) -> None:
    client = {**BOT, "self_rotation": given}
    check({"API_PROVISIONING_CLIENTS": [client], **REST})
    (word,) = re.findall(r"' (\S+) >", commands([client]))
    assert flag in json.loads(base64.b64decode(word))["arguments"]


def test_generated_secret_is_saved(site: Any) -> None:
    spec = '[{name: bot, client_id: bot, client_secret: "{{ 40|random_string }}", token: false}]'
    site.works("config", "save", "--set", f"API_PROVISIONING_CLIENTS={spec}")
    site.works("local", *INIT)

    kept = json.loads(site.rendered("apps/openedx/config/api-clients.json"))["bot"]["API_CLIENT_SECRET"]
    assert len(kept) == 40
    assert kept in (site.root / "config.yml").read_text()
    assert works(site, "bot", kept)
    site.works("config", "save")
    assert kept in site.rendered("apps/openedx/config/api-clients.json")


def test_init_migrates_first(site: Any) -> None:
    site.works("local", *INIT)
    script = site.calls("docker")[-1][-1]
    assert script == "python ./manage.py lms migrate edx_api_provisioning"


def test_init_fails_for_invalid_client(site: Any) -> None:
    site.configure(API_PROVISIONING_CLIENTS=[{**BOT, "scopes": ["nonsense"]}])
    site.works("config", "save")
    done = site.tutor("local", *INIT)
    assert done.code == 1
    assert "--scope: unknown scope nonsense" in done.stderr
    assert site.clients() == []


def test_init_needs_saved_configuration(site: Any) -> None:
    site.configure(API_PROVISIONING_CLIENTS=[BOT])
    done = site.tutor("local", *INIT)
    assert done.code == 1
    assert "bot is not in the mounted configuration" in done.stderr
    assert site.clients() == []


WRONG = [
    ("a list", "CLIENTS: use a list"),
    (["bot"], "CLIENTS[0]: use a mapping"),
    ([BOT, {**BOT, "name": "bot"}], "CLIENTS[1].name: another client has this name"),
    ([{"client_secret": SECRET}], "CLIENTS[0].name: every client needs a name"),
    ([{**BOT, "stuff": True}], "CLIENTS[0].stuff: unknown field"),
    ([{**BOT, "staff": "yes"}], "CLIENTS[0].staff: give true or false"),
    ([{**BOT, "expires_in": "90 days"}], "CLIENTS[0].expires_in: write a time span like 90d"),
    ([{**BOT, "expires_at": "tomorrow"}], "CLIENTS[0].expires_at: write a date"),
    ([{**BOT, "client_secret": "short-one"}], "CLIENTS[0].client_secret: use 32 to 255"),
    ([{"name": "bot", "token": False}], "CLIENTS[0].client_secret: a job prints no secrets, so set one"),
    ([{"name": "bot", "client_secret": SECRET}], "CLIENTS[0].access_token: a job prints no secrets, so set one"),
    ([{**BOT, "client_secret": None}], "CLIENTS[0].client_secret: a job prints no secrets, so set one"),
    (
        [{"name": "bot", "client_secret": SECRET, "token": None}],
        "CLIENTS[0].access_token: a job prints no secrets, so set one",
    ),
]


@pytest.mark.parametrize(("clients", "message"), WRONG)
def test_invalid_configuration_names_field(clients: Any, message: str) -> None:
    with pytest.raises(TutorError) as error:
        check({"API_PROVISIONING_CLIENTS": clients, **REST})
    assert f"API_PROVISIONING_{message}" in error.value.args[0]
    assert SECRET not in error.value.args[0]
    assert "short-one" not in error.value.args[0]


def test_config_save_fails_in_one_line(site: Any) -> None:
    site.configure(API_PROVISIONING_CLIENTS=[{**BOT, "stuff": True}])
    done = site.tutor("config", "save")
    assert done.code == 1
    assert "Error: API_PROVISIONING_CLIENTS[0].stuff: unknown field" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_must_be_a_mapping() -> None:
    with pytest.raises(TutorError, match="API_PROVISIONING_SETTINGS: use a mapping"):
        check({"API_PROVISIONING_CLIENTS": [], **REST, "API_PROVISIONING_SETTINGS": ["TOKEN_LIFETIME"]})
