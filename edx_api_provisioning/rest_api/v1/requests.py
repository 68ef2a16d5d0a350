"""What a request says: its body, whether it is the same as another, and what it takes for granted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from django.utils.http import parse_etags
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request

from edx_api_provisioning.core.exceptions import Conflict, InvalidSpec
from edx_api_provisioning.core.parsing import parse_lifetime
from edx_api_provisioning.data import ISSUE_MEANINGS, ClientSpec, ClientSummary, Issue, RequestId
from edx_api_provisioning.formats import rendering, schema
from edx_api_provisioning.formats.schema import Field
from edx_api_provisioning.rest_api.v1.errors import PreconditionFailed

_KEY_LENGTH = 255
_RIGHTS = {
    "permissions": "permission",
    "groups": "group",
    "course_roles": "course_role",
    "global_roles": "global_role",
}

_REASON = {
    "reason": Field({"type": "string", "description": "Why, in one line, for the history.", "maxLength": 255}),
}
_LIFE = {name: schema.FIELDS[name] for name in ("expires_in", "expires_at")}
_GRACE = {
    "grace": Field(
        {"type": "string", "description": "How long the old ones go on working: 24h, 7d; by default not at all."},
        parse_lifetime,
    ),
}
# What the bodies may hold, beside those that describe a client.
CREATE = {**schema.FIELDS, **_REASON}
CHANGE = {name: field for name, field in CREATE.items() if name not in ("name", "client_id")}
TOKEN = {**_LIFE, **_GRACE, **_REASON}
SECRET = {
    "token": Field({"type": "boolean", "description": "Whether the access token is rotated too; false by default."}),
    **TOKEN,
}
REVOKE = {
    "retire": Field({"type": "boolean", "description": "Whether the client ends for good; false by default."}),
    **_REASON,
}
SELF = {
    "expires_in": Field(
        {"type": "string", "description": "How long the new token lives; at most as long as the one in use."},
        parse_lifetime,
    ),
    "grace": Field(
        {"type": "string", "description": "How long the token in use goes on working; 1d by default."}, parse_lifetime
    ),
}


# What one request may hold: each client is some dozen statements, all in one transaction.
MOST = 100
MANIFEST = {
    "manifest": Field({"type": "string", "description": "Its name, which its clients are recorded under."}),
    **_REASON,
}


class BoundedJSONParser(JSONParser):
    """JSON, but none that is too deep for Python."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            data = super().parse(stream, media_type, parser_context)
            # Half of a surrogate pair (\\ud800) is no text: neither a database nor an answer can hold it.
            json.dumps(data, ensure_ascii=False).encode()
        except RecursionError:
            raise ParseError(_("The JSON is nested too deep.")) from None
        except UnicodeEncodeError:
            raise ParseError(_("The JSON has characters that are no text.")) from None
        return data


def mapping(request: Request) -> Mapping[str, Any]:
    """The body, which is an object."""
    if not isinstance(request.data, dict):
        raise ParseError(_("Send a JSON object."))
    return request.data


def values(request: Request, fields: Mapping[str, Field]) -> dict[str, Any]:
    """What the body holds, read field by field.

    Raises:
        InvalidFields: with all that is wrong.
    """
    return schema.read(mapping(request), fields)


def new_client(request: Request) -> tuple[ClientSpec, str]:
    """The client that the body describes, and the reason that it gives."""
    body = dict(mapping(request))
    reason = schema.read({"reason": body.pop("reason", None)}, _REASON).get("reason", "")
    return schema.read_client(body), reason


def many_clients(request: Request) -> tuple[list[ClientSpec], str]:
    """The clients that a manifest describes, and the reason that it gives.

    Secrets of one's own are not taken from the environment, as by the command: that is the server's.

    Raises:
        InvalidFields: with all that is wrong, each with its place.
    """
    body = dict(mapping(request))
    defaults, clients = body.pop("defaults", None) or {}, body.pop("clients", None)
    given = schema.read(body, MANIFEST)
    if not isinstance(defaults, dict) or not isinstance(clients, list) or not all(isinstance(c, dict) for c in clients):
        raise InvalidSpec(_("give a list of clients, each an object, and defaults that are one."), field="clients")
    if len(clients) > MOST:
        raise InvalidSpec(_("at most %d in one request.") % MOST, field="clients")
    specs: dict[str, ClientSpec] = {}
    problems = []
    for number, client in enumerate(clients):
        where = f"clients[{number}]"
        try:
            spec = schema.read_client({**defaults, **client}, manifest=given.get("manifest"))
        except schema.InvalidFields as error:
            problems += [InvalidSpec(each.message, field=f"{where}.{each.field}") for each in error.problems]
            continue
        if specs.setdefault(spec.name, spec) is not spec:
            problems.append(InvalidSpec(_("there is one of this name already."), field=f"{where}.name"))
    if problems:
        raise schema.InvalidFields(problems)
    return list(specs.values()), given.get("reason", "")


def changed_client(request: Request, client: ClientSummary) -> tuple[ClientSpec, str]:
    """The client as it is, with what the body says instead, and the reason that it gives.

    What is not named stays: the flags, the rights of other kinds, and the token, of which no new one is issued unless
    the body says how it is to be.

    Raises:
        InvalidFields: with all that is wrong.
        Conflict: if nobody knows which flags are meant, since somebody changed them.
    """
    given = values(request, CHANGE)
    reason = given.pop("reason", "")
    for trouble in (Issue.USER_PROMOTED, Issue.USER_DEMOTED):
        if trouble in client.troubles and not {"staff", "superuser"} & set(given):
            raise Conflict(f"{ISSUE_MEANINGS[trouble]}.", field="staff")
    asks_token = bool({"token", "expires_in", "expires_at"} & set(given))
    kept: dict[str, Any] = {"staff": client.is_staff, "superuser": client.is_superuser, "token": asks_token}
    if set(_RIGHTS) & set(given):
        kept |= {
            name: tuple(right.partition(":")[2] for right in client.declared if right.startswith(f"{kind}:"))
            for name, kind in _RIGHTS.items()
        }
    return ClientSpec(name=client.name, **{**kept, **given}), reason


def request_id(request: Request, owner: str) -> RequestId | None:
    """Return what the Idempotency-Key makes of a request; None without one.

    Kept is a digest of the key and its owner, and one of what is asked for.
    Source: draft-ietf-httpapi-idempotency-key-header.

    Raises:
        ParseError: for a key that is empty, too long, or not printable ASCII.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and len(key.strip()) > 0 and len(key) <= _KEY_LENGTH):
        raise ParseError(_("Idempotency-Key: use 1 to %d printable ASCII characters.") % _KEY_LENGTH)
    asked = json.dumps([request.method, request.path, mapping(request)], sort_keys=True)
    return RequestId(key=_digest(f"rest:{owner}:{key}"), digest=_digest(asked))


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def etag(client: ClientSummary) -> str:
    """Tells one state of a client from all others."""
    shown = json.dumps(rendering.row_as_dict(client), sort_keys=True)
    return f'"{_digest(f"{shown} {client.updated}")[:32]}"'


def require_match(request: Request, client: ClientSummary) -> None:
    """Whether the client still is as whoever asks has seen it, if they say so by ``If-Match``.

    Raises:
        PreconditionFailed: if not.
    """
    given = request.headers.get("If-Match")
    if given is None:
        return
    # Weak ones never match (RFC 9110 section 13.1.1); none of ours is.
    if (tags := parse_etags(given)) != ["*"] and etag(client) not in tags:
        raise PreconditionFailed(_("The client has changed since you read it; read it again."))
