"""Read REST requests: the body, Idempotency-Key and If-Match."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from django.utils.http import parse_etags
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import JSONParser
from rest_framework.request import Request, is_form_media_type

from edx_api_provisioning.core.commands import GRACE, NEW_TOKEN, RETIRE
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.options import CLIENT, DUPLICATE, REASON, STORED, Option, repeated
from edx_api_provisioning.core.spec import OF_TOKEN, change_client
from edx_api_provisioning.data import ClientSpec, ClientSummary, RequestId
from edx_api_provisioning.formats import schema
from edx_api_provisioning.formats.schema import PUBLIC_FIELDS, InvalidFields, keyed
from edx_api_provisioning.rest_api.v1.errors import PreconditionFailed, PreconditionRequired

_KEY_LENGTH = 255

# The fields of each body.
CREATE = {**PUBLIC_FIELDS, **keyed(REASON)}
CHANGE = {name: field for name, field in CREATE.items() if name not in ("name", "client_id")}
TOKEN = keyed(CLIENT["expires_in"], CLIENT["expires_at"], GRACE, REASON)
SECRET = {**keyed(NEW_TOKEN), **TOKEN}
REVOKE = keyed(RETIRE, REASON)
SELF = keyed(CLIENT["expires_in"], GRACE)
DEFAULTS = {name: field for name, field in PUBLIC_FIELDS.items() if name != "name"}
MANIFEST = keyed(STORED["manifest"], REASON)

# The maximum of clients in one request: each takes a dozen queries, all in one transaction.
MOST = 100


class BoundedJSONParser(JSONParser):
    """Parse JSON; reject what is nested too deeply for Python."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the parsed JSON; refuse what a database cannot store."""
        try:
            data = super().parse(stream, media_type, {**(parser_context or {}), "encoding": "utf-8"})
            # Half of a surrogate pair (\\ud800) is no text: neither a database nor an answer can hold it.
            json.dumps(data, ensure_ascii=False).encode()
        except RecursionError:
            raise ParseError(_("The JSON is nested too deep.")) from None
        except UnicodeEncodeError:
            raise ParseError(_("The JSON has characters that are no text.")) from None
        return data


def mapping(request: Request) -> Mapping[str, Any]:
    """Return the body, which must be a JSON object."""
    # A middleware that reads forms, such as the LMS's TrackMiddleware, leaves an empty body to the parsers.
    if is_form_media_type(request.content_type):
        raise UnsupportedMediaType(request.content_type)
    if not isinstance(request.data, dict):
        raise ParseError(_("Send a JSON object."))
    return request.data


def values(request: Request, fields: Mapping[str, Option]) -> dict[str, Any]:
    """Return the values in the body, or raise InvalidFields with every problem."""
    return schema.read(mapping(request), fields)


def new_client(request: Request) -> tuple[ClientSpec, str]:
    """Return the client that the body describes, and the reason it gives."""
    body = dict(mapping(request))
    reason = schema.read({"reason": body.pop("reason", None)}, keyed(REASON)).get("reason", "")
    return schema.read_client(body), reason


def many_clients(request: Request) -> tuple[list[ClientSpec], str]:
    """Return the clients that the manifest in the body describes, and the reason it gives."""
    body = dict(mapping(request))
    defaults, clients = body.pop("defaults", None) or {}, body.pop("clients", None)
    given = schema.read(body, MANIFEST)
    if not isinstance(defaults, dict) or not isinstance(clients, list) or not all(isinstance(c, dict) for c in clients):
        raise InvalidSpec(_("use a list of objects for clients, and an object for defaults."), field="clients")
    if len(clients) > MOST:
        raise InvalidSpec(_("use at most %d in one request.") % MOST, field="clients")
    specs: dict[int, ClientSpec] = {}
    problems: list[InvalidSpec] = []
    for number, client in enumerate(clients):
        try:
            specs[number] = schema.read_client({**defaults, **client}, manifest=given.get("manifest"))
        except InvalidFields as error:
            problems += [InvalidSpec(each.message, field=f"clients[{number}].{each.field}") for each in error.problems]
    for number, _first in repeated((number, spec.name) for number, spec in specs.items()):
        problems.append(InvalidSpec(_(DUPLICATE), field=f"clients[{number}].name"))
    if problems:
        raise InvalidFields(problems)
    schema.read(defaults, DEFAULTS)  # No client may have taken them.
    return [*specs.values()], given.get("reason", "")


def changed_client(request: Request, client: ClientSummary) -> tuple[ClientSpec, str]:
    """Return a spec that changes what the body says of a client, and the reason it gives.

    An access token is issued only if the body asks for one: whoever changes a contact does not look for it.
    """
    given = values(request, CHANGE)
    reason = given.pop("reason", "")
    expired = client.expires_at is None or client.expires_at <= datetime.now(UTC)
    if expired and given.keys().isdisjoint({"token", *OF_TOKEN}):
        given["token"] = False
    return change_client(client.name, client.declared, given), reason


def request_id(request: Request, owner: str) -> RequestId | None:
    """Return the id of a request from its Idempotency-Key; None without one.

    Owners do not share keys: the id is a digest of owner and key. Another digest tells whether the content is the same.
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


def etag(versions: Mapping[str, str]) -> str:
    """Return the ETag of clients, from the version of each by name."""
    return f'"{_digest(json.dumps(versions, sort_keys=True))[:32]}"'


def require_match(request: Request, versions: Mapping[str, str]) -> None:
    """Raise an error unless the ``If-Match`` header of the request has the ETag of these clients, if there are any."""
    given = request.headers.get("If-Match")
    if given is None and versions:
        raise PreconditionRequired
    # Weak ones never match (RFC 9110 section 13.1.1); none of ours is.
    if given is not None and (tags := parse_etags(given)) != ["*"] and etag(versions) not in tags:
        raise PreconditionFailed
