"""Provision the clients declared as ``API_PROVISIONING_CLIENTS`` in config.yml during ``do init``.

They are written as in a manifest. A job must not print secrets, so a declared client brings its own: they are in
config.yml, like the OAuth2 secrets of other plugins, and reach the container in a file rendered beside ``lms.env.yml``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

from tutor.exceptions import TutorError
from tutor.types import Config

from edx_api_provisioning.core.options import CLIENT, DUPLICATE, SECRET, Option, find_problems, repeated
from edx_api_provisioning.tutor import package
from edx_api_provisioning.tutor.jobs import command_line, script

_SECRETS = [option for option in CLIENT.values() if option.kind == SECRET]


def check(config: Config) -> None:
    """Raise TutorError with the name of a wrong field of this plugin, never with a value, which may be a secret."""
    package.check(config["API_PROVISIONING_PACKAGE"])
    if not isinstance(config["API_PROVISIONING_SETTINGS"], dict):
        raise TutorError("API_PROVISIONING_SETTINGS: use a mapping from setting to value.")
    clients = config["API_PROVISIONING_CLIENTS"]
    if not isinstance(clients, list):
        raise TutorError("API_PROVISIONING_CLIENTS: use a list of clients.")
    for number, client in enumerate(clients):
        where = f"API_PROVISIONING_CLIENTS[{number}]"
        if not isinstance(client, dict):
            raise TutorError(f"{where}: use a mapping from field to value.")
        for field, problem in _problems(_texts(client)):
            raise TutorError(f"{where}.{field}: {problem}")
    for number, _first in repeated(enumerate(client["name"] for client in clients)):
        raise TutorError(f"API_PROVISIONING_CLIENTS[{number}].name: {DUPLICATE}")


def _problems(client: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from find_problems(client, CLIENT)
    bring = "a job prints no secrets, so set one; '{{ 40|random_string }}' becomes one when the configuration is saved"
    if "client_secret" not in client:
        yield "client_secret", f"{bring}."
    if "access_token" not in client and client.get("token", True) and not client.get("restricted"):
        yield "access_token", f"{bring}. Or set token: false, if client ID and secret suffice."


def _texts(client: dict[str, Any]) -> dict[str, Any]:
    """Return what is given of a client, with dates, which YAML reads as such, as texts again."""
    given = {field: value for field, value in client.items() if value is not None}
    return {field: value.isoformat() if isinstance(value, date) else value for field, value in given.items()}


def commands(clients: list[dict[str, Any]]) -> str:
    """Return a shell script that provisions the clients one after another."""
    return "\n".join(_command(client) for client in clients)


def _command(client: dict[str, Any]) -> str:
    given = _texts(client)
    sources = {option.name: f"env:{_variable(option)}" for option in _SECRETS if option.name in given}
    words = command_line("provision_api_client", CLIENT.values(), {**given, **sources})
    return script(words, client=client["name"], silent=True)


def secrets(clients: list[dict[str, Any]]) -> str:
    """Return the environment in which the command of each client runs, as JSON."""
    environments = {
        client["name"]: {_variable(option): client[option.name] for option in _SECRETS if option.name in client}
        for client in map(_texts, clients)
    }
    return json.dumps(environments)


def _variable(option: Option) -> str:
    return f"API_{option.name.upper()}"
