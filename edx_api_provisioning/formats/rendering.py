"""Render credentials and everything else that is shown, and read files that credentials were written to."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

import yaml
from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.core.exceptions import OutputFailure
from edx_api_provisioning.core.planning import Plan
from edx_api_provisioning.core.results import (
    ClientSummary,
    Credentials,
    CredentialsOutput,
    Event,
    Identity,
    Presented,
    Unmanaged,
)
from edx_api_provisioning.core.secrets import Secret, scrub_tracebacks

ENV_PREFIX = "OPENEDX_"


def as_dict(credentials: Credentials) -> dict[str, Any]:
    """Return the flat object of the JSON output, with the names of RFC 6749. What was not issued is None."""
    ends = credentials.expires_at
    output: CredentialsOutput = {
        "name": credentials.name,
        "status": str(credentials.status),
        "username": credentials.username,
        "email": credentials.email,
        "client_id": credentials.client_id,
        "client_secret": _revealed(credentials.client_secret),
        "access_token": _revealed(credentials.access_token),
        "token_type": "Bearer" if ends else None,
        "expires_at": _instant(ends) if ends else None,
        "expires_in": int((ends - datetime.now(UTC)).total_seconds()) if ends else None,
        "scope": " ".join(credentials.scopes) or None,
        "token_url": conf.url("TOKEN_PATH"),
        "api_docs_url": conf.url("API_DOCS_PATH"),
        "verified": credentials.verified,
    }
    return {**output}


def _revealed(secret: Secret | None) -> str | None:
    return secret.reveal() if secret is not None else None


def _text(values: dict[str, Any]) -> str:
    lines = [
        f"{key + ':':<15} {'yes' if value is True else 'no' if value is False else value}"
        for key, value in values.items()
        if value is not None
    ]
    if values["client_secret"] or values["access_token"]:
        lines += ["", _("These secrets are shown only once. Save them now.")]
    return "\n".join(lines) + "\n"


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"


def _env_values(values: dict[str, Any]) -> dict[str, str]:
    return {
        ENV_PREFIX + key.upper(): str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in values.items()
        if value is not None
    }


def _env(values: dict[str, Any]) -> str:
    return "".join(f"{key}={_quoted(key, value)}\n" for key, value in _env_values(values).items())


def _quoted(key: str, value: str) -> str:
    """Quote a value so that sh, python-dotenv, node's dotenv and docker compose read the same."""
    # python-dotenv replaces ${NAME} whatever the quotes, and a backslash before another one or a quote.
    if _NOT_IN_SINGLE_QUOTES.search(value) is None:
        return value if _UNQUOTED.fullmatch(value) else f"'{value}'"
    if re.search(r'["\\$`\n]', value) is None:
        return f'"{value}"'
    raise OutputFailure(
        _("no quoting of %s is read alike by all that read env files; use another --format.") % key, field="format"
    )


_NOT_IN_SINGLE_QUOTES = re.compile(r"'|\n|\$\{|\\\\|\\\Z")
_UNQUOTED = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def _docker_env(values: dict[str, Any]) -> str:
    # docker run --env-file takes what follows the first "=" as it is.
    return "".join(f"{key}={value}\n" for key, value in _env_values(values).items())


def _yaml(values: dict[str, Any]) -> str:
    # With the mark of its beginning, so that several documents may follow each other.
    return "---\n" + "".join(_yaml_lines(values))


def _yaml_lines(values: dict[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:\n"
            yield from _yaml_lines(value, f"{indent}  ")
        else:
            # JSON is YAML, and quotes every text: YAML 1.1 and 1.2 read some plain texts as other types.
            yield f"{indent}{key}: {json.dumps(value, ensure_ascii=False)}\n"


def _kubernetes_secret(values: dict[str, Any]) -> str:
    # stringData: applying a manifest that lacks a key leaves what the cluster has under it.
    return _yaml(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": _kubernetes_name(values["name"])},
            "type": "Opaque",
            "stringData": _env_values(values),
        }
    )


def _kubernetes_name(name: str) -> str:
    """Return a DNS subdomain name (RFC 1123), another one for each name."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return label if label == name else f"{label}.{_digest(name)}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


def path_of(name: str, directory: str, *, format: str) -> str:
    """Return the path of the file for one client, another one for each name, whatever the case of letters."""
    stem = name if name == name.lower() else f"{name}~{_digest(name)}"
    return os.path.join(directory, f"{stem}.{FORMATS[format].ending}")


@scrub_tracebacks()
def render(credentials: Credentials, *, format: str) -> str:
    """Return everything about the credentials as one text, secrets included."""
    return render_values(as_dict(credentials), format=format)


@scrub_tracebacks()
def render_values(values: dict[str, Any], *, format: str) -> str:
    """Return the text for the result of :func:`as_dict` or :func:`parse`."""
    return FORMATS[format].render(values)


@scrub_tracebacks()
def parse(text: str, *, format: str) -> dict[str, Any] | None:
    """Return the values in a text of :func:`render`; None if it is something else."""
    try:
        found = FORMATS[format].parse(text)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OutputFailure):
        return None  # The file of somebody else may hold anything.
    known = isinstance(found, dict) and all(isinstance(found.get(key), str) for key in ("name", "client_id"))
    return dict.fromkeys(_KEYS) | {key: value for key, value in found.items() if key in _KEYS} if known else None


_KEYS = tuple(CredentialsOutput.__annotations__)


def _parse_text(text: str) -> dict[str, str]:
    # As _text() writes them: the values begin in one column.
    return {line[:15].rstrip().removesuffix(":"): line[16:] for line in text.split("\n\n")[0].splitlines()}


def _parse_env(text: str) -> dict[str, str]:
    values = {key: "".join(shlex.split(value)) for key, value in _env_lines(text)}
    if any(_quoted(key, values[key]) != value for key, value in _env_lines(text)):
        raise ValueError  # as in docker-env: without its quotes it means something else
    return _from_env(values)


def _parse_docker_env(text: str) -> dict[str, str]:
    values = _from_env(dict(_env_lines(text)))
    try:
        unquoted = _parse_env(text)
    except (ValueError, OutputFailure):
        return values
    if unquoted != values:
        raise ValueError  # as in env: the quotes are no part of the values
    return values


def _env_lines(text: str) -> Iterator[list[str]]:
    return (line.split("=", 1) for line in text.splitlines())


def _from_env(variables: dict[str, str]) -> dict[str, str]:
    return {key.removeprefix(ENV_PREFIX).lower(): value for key, value in variables.items()}


def _parse_yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError from None


def _parse_kubernetes_secret(text: str) -> Any:
    found = _parse_yaml(text)
    return _from_env(found["stringData"]) if isinstance(found, dict) and "stringData" in found else None


class Format(NamedTuple):
    """A format of credentials: how to write and read the values, and what the names of files end with."""

    render: Callable[[dict[str, Any]], str]
    parse: Callable[[str], Any]
    ending: str


FORMATS = {
    "text": Format(_text, _parse_text, "txt"),
    "json": Format(_json, json.loads, "json"),
    "jsonl": Format(lambda values: json.dumps(values) + "\n", json.loads, "jsonl"),
    "env": Format(_env, _parse_env, "env"),
    "docker-env": Format(_docker_env, _parse_docker_env, "env"),
    "yaml": Format(_yaml, _parse_yaml, "yaml"),
    "kubernetes-secret": Format(_kubernetes_secret, _parse_kubernetes_secret, "yaml"),
}


def render_one_of_many(credentials: Credentials, *, format: str) -> str:
    """Render one client of a stream: JSON as a line, YAML as a document, text as a paragraph."""
    return render(credentials, format="jsonl" if format == "json" else format) + ("\n" if format == "text" else "")


def render_list(rows: Iterable[dict[str, Any]], *, format: str) -> Iterator[str]:
    """Return a JSON array, or for ``jsonl`` a line for each; streamed, however many there are."""
    if format == "jsonl":
        yield from (json.dumps(row) + "\n" for row in rows)
        return
    opening = "["
    for row in rows:
        yield f"{opening}\n{json.dumps(row)}"
        opening = ","
    yield "[]\n" if opening == "[" else "\n]\n"


def change_as_dict(name: str, change: str, plan: Plan | None) -> dict[str, Any]:
    """Return what would be done with one of many."""
    steps = [step.planned for step in plan.steps] if plan is not None else []
    warnings = list(plan.warnings) if plan is not None and steps else []
    return {"name": name, "change": change, "steps": steps, "warnings": warnings}


def render_change(name: str, change: str, steps: list[str], warnings: list[str]) -> str:
    """Return what would be done with one of many as sentences; nothing where it does not change."""
    if change == "unchanged":
        return ""
    lines = [f"{change} {name}", *(f"    {step}" for step in steps)]
    lines += ["    " + _("Warning: %s") % warning for warning in warnings]
    return "\n".join(lines) + "\n"


def render_plan(plan: Plan, *, format: str) -> str:
    """Return a plan as JSON, as YAML or as sentences."""
    if format in ("json", "jsonl", "yaml"):
        steps = [step.planned for step in plan.steps]
        shown = {
            "name": plan.spec.name,
            "status": str(plan.status),
            "username": plan.username,
            "email": plan.email,
        }
        return FORMATS[format].render({**shown, "steps": steps, "warnings": list(plan.warnings)})
    lines = [step.planned for step in plan.steps] or [_("No changes: the client already matches.")]
    lines += [_("Warning: %s") % warning for warning in plan.warnings]
    return "\n".join(lines) + "\n"


def render_outcome(credentials: Credentials, *, format: str) -> str:
    """Return the result for a client without new credentials."""
    if format == "json":
        shown = {"name": credentials.name, "status": str(credentials.status), "username": credentials.username}
        return _json({**shown, "client_id": credentials.client_id, "changes": list(credentials.changes)})
    lines = list(credentials.changes) or [_("No changes: the client already matches.")]
    return "\n".join(lines) + "\n"


def row_as_dict(row: ClientSummary | Unmanaged | Presented | Event | Identity) -> dict[str, Any]:
    """Return a record without secrets as it is shown in JSON."""
    return {key: _plain(value) for key, value in asdict(row).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _instant(value)
    return list(value) if isinstance(value, tuple) else value


def _instant(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
