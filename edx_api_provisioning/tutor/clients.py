"""``API_PROVISIONING_CLIENTS`` in config.yml: the clients that ``do init`` provisions.

A job shows no secret, so a declared client brings its own: it is in config.yml, as the OAuth2 secrets of other plugins
are, and reaches the container in a rendered file beside ``lms.env.yml``.
"""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

from tutor.exceptions import TutorError
from tutor.types import Config

from edx_api_provisioning.core.options import CLIENT, ON_OFF, Option
from edx_api_provisioning.tutor.jobs import command_line, script

_OPTIONS = {option.field: option for option in CLIENT}
_TEXT = Option("", "TEXT", "")
_FIELDS = {**_OPTIONS, "name": _TEXT, "client_secret": _TEXT, "access_token": _TEXT}
_ADDRESS = (r"\S+@\S+", "an email address")
_SECRET = (r"[ -~]{32,255}", "32 to 255 printable ASCII characters")
# What can be seen to be wrong from here; the command in the LMS has the last word.
_FORMS = {
    "name": (r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "letters, digits, '.', '_' and '-', at most 100"),
    "email": _ADDRESS,
    "contact": (r"(\S+@\S+)?", "an email address"),
    "expires_in": (r"[0-9]{1,6}[hdw]|P[0-9A-Z.]+", "a time span such as 90d, 12h, 52w or P90D"),
    "expires_at": (r"[0-9]{4}-?[0-9W].*", "a date such as 2027-01-31 or 2027-01-31T12:00Z"),
    "client_secret": _SECRET,
    "access_token": _SECRET,
}


def check(config: Config) -> None:
    """What is wrong with the plugin's part of the configuration.

    Raises:
        TutorError: with the field's name; never with a value, which may be a secret.
    """
    if not isinstance(config["API_PROVISIONING_SETTINGS"], dict):
        raise TutorError("API_PROVISIONING_SETTINGS: give a mapping from setting to value.")
    clients = config["API_PROVISIONING_CLIENTS"]
    if not isinstance(clients, list):
        raise TutorError("API_PROVISIONING_CLIENTS: give a list of clients.")
    names = set()
    for number, client in enumerate(clients):
        where = f"API_PROVISIONING_CLIENTS[{number}]"
        if not isinstance(client, dict):
            raise TutorError(f"{where}: give a mapping from field to value.")
        for field, value in client.items():
            _check_field(where, field, value)
        _check_complete(where, client)
        if client["name"] in names:
            raise TutorError(f"{where}.name: another client has it already.")
        names.add(client["name"])


def _check_field(where: str, field: Any, value: Any) -> None:
    if field not in _FIELDS:
        raise TutorError(f"{where}.{field}: there is no such field; there are {', '.join(sorted(_FIELDS))}.")
    option = _FIELDS[field]
    if option.value is None:
        kind, fits = "true or false", isinstance(value, bool)
    elif option.value == ON_OFF:
        # YAML makes true and false of on and off.
        kind, fits = "on or off", isinstance(value, bool) or value in ("on", "off")
    elif option.many:
        kind, fits = "a list of texts", isinstance(value, list) and all(isinstance(item, str) for item in value)
    else:
        # YAML makes dates of what looks like one.
        kind, fits = "text (in quotes, if YAML takes it for something else)", isinstance(value, (str, date))
    if not fits:
        raise TutorError(f"{where}.{field}: give {kind}.")
    form, meaning = _FORMS.get(field, (".*", ""))
    if isinstance(value, str) and not re.fullmatch(form, value, re.DOTALL):
        raise TutorError(f"{where}.{field}: give {meaning}.")


def _check_complete(where: str, client: dict[str, Any]) -> None:
    if "name" not in client:
        raise TutorError(f"{where}.name: every client needs one.")
    makes = "a job shows no secret, so bring one: '{{ 40|random_string }}' becomes one when the configuration is saved"
    if "client_secret" not in client:
        raise TutorError(f"{where}.client_secret: {makes}.")
    if "access_token" not in client and not (client.get("no_token") or client.get("restricted")):
        raise TutorError(f"{where}.access_token: {makes}; or say no_token: true, if id and secret will do.")


def commands(clients: list[dict[str, Any]]) -> str:
    """A shell script that provisions them, one after the other."""
    return "\n".join(_command(client) for client in clients)


def _command(client: dict[str, Any]) -> str:
    values = {field: _plain(_FIELDS[field], value) for field, value in client.items()}
    words = command_line("provision_api_client", CLIENT, values)
    sources = [f"--{field.replace('_', '-')}-from=env:{variable}" for field, variable in _secrets(client)]
    return script([words[0], *sources, *words[1:]], client=client["name"], silent=True)


def secrets(clients: list[dict[str, Any]]) -> str:
    """For each client the environment that its command runs in, as JSON."""
    return json.dumps(
        {client["name"]: {variable: client[field] for field, variable in _secrets(client)} for client in clients}
    )


def _secrets(client: dict[str, Any]) -> list[tuple[str, str]]:
    return [(field, f"API_{field.upper()}") for field in ("client_secret", "access_token") if field in client]


def _plain(option: Option, value: Any) -> Any:
    """As an operator would type it."""
    if option.value == ON_OFF and isinstance(value, bool):
        return "on" if value else "off"
    return value.isoformat() if isinstance(value, date) else value
