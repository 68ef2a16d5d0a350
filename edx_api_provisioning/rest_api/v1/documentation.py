"""What the LMS's ``/api-docs/`` says of these views, and the OpenAPI file in our own documentation.

The bodies are made from the tables that they are read by. Without edx-api-doc-tools, as in plain Django, nothing is
said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from edx_api_provisioning.core.spec import NAME, NAME_MAX_LENGTH
from edx_api_provisioning.formats.schema import FIELDS, Field
from edx_api_provisioning.rest_api.v1 import requests
from edx_api_provisioning.rest_api.v1.errors import MEDIA_TYPE

try:
    from drf_yasg import openapi
    from drf_yasg.inspectors import SwaggerAutoSchema
    from edx_api_doc_tools import schema as describe
except ImportError:
    openapi = describe = None
    SwaggerAutoSchema = object

View = TypeVar("View", bound=Callable[..., Any])
Shape = Mapping[str, Any]


class AutoSchema(SwaggerAutoSchema):  # type: ignore[misc]
    """drf-yasg's own, that knows in which form errors come."""

    def get_produces(self) -> list[str]:
        return ["application/json", MEDIA_TYPE]


def _object(about: str, properties: Shape, required: tuple[str, ...] = ()) -> Shape:
    said = {"description": about} if about else {}
    return {"type": "object", **said, "properties": properties, "required": list(required)}


def _text(about: str, **more: Any) -> Shape:
    return {"type": "string", "description": about, **more}


def _instant(about: str) -> Shape:
    return _text(about, format="date-time", x_nullable=True)


def _number(about: str, **more: Any) -> Shape:
    return {"type": "integer", "description": about, **more}


def _flag(about: str, **more: Any) -> Shape:
    return {"type": "boolean", "description": about, **more}


def _texts(about: str, **more: Any) -> Shape:
    return {"type": "array", "description": about, "items": {"type": "string"}, **more}


def _maybe(shape: Shape) -> Shape:
    return {**shape, "x_nullable": True}


def body(fields: Mapping[str, Field], required: tuple[str, ...] = (), *, example: Shape | None = None) -> Shape:
    """The shape of a body that is read by these fields. Null is as if it were left out."""
    shapes = {
        name: {**field.schema, **({} if name in required else {"x_nullable": True})} for name, field in fields.items()
    }
    shown = {"example": dict(example)} if example is not None else {}
    return {**_object("", shapes, required), "additional_properties": False, **shown}


CREDENTIALS = _object(
    "What a client is now. A secret is here if this request issued it, and nowhere ever again.",
    {
        "name": _text("Of the API client."),
        "status": _text("What was done: created, updated, unchanged, rotated, revoked or retired."),
        "username": _text("Of the service user."),
        "email": _text("Of the service user."),
        "client_id": _text("Of the application."),
        "client_secret": _maybe(_text("If it was made by this request.")),
        "access_token": _maybe(_text("If it was issued by this request.")),
        "token_type": _maybe(_text("Bearer.")),
        "expires_at": _instant("When the client's token ends."),
        "expires_in": _maybe(_number("The same in seconds from now.")),
        "scope": _maybe(_text("Separated by spaces.")),
        "token_url": _maybe(_text("Where id and secret give tokens (RFC 6749 section 4.4).")),
        "api_docs_url": _maybe(_text("The site's API documentation.")),
        "verified": _maybe(_flag("Whether the credentials were proved; null if nothing was issued.")),
        "changes": _texts("What was done, one phrase for each step."),
        "warnings": _texts("What to bear in mind."),
    },
    ("name", "status", "client_id", "client_secret", "access_token", "expires_at", "changes"),
)
CLIENT = _object(
    "What is to be known of an API client; no secret.",
    {
        "name": _text("Unique."),
        "state": _text("active or retired.", enum=["active", "retired"]),
        "username": _maybe(_text("Of the service user; null if somebody deleted it.")),
        "is_staff": _flag("Whether the service user is staff."),
        "is_superuser": _flag("Whether the service user is a superuser."),
        "contact": _text("Who answers for it."),
        "purpose": _text("What it is for."),
        "client_id": _maybe(_text("Of its application; null if somebody deleted it.")),
        "scopes": _texts("Of its access token."),
        "tokens": _number("How many access tokens its application has, live or not."),
        "expires_at": _instant("When its access token ends."),
        "last_issued": _instant("When it was last given a token or a secret."),
        "profile": _text("The access profile that it was provisioned with."),
        "restricted": _flag("Whether its application is restricted: then it has JWTs only."),
        "self_rotation": _flag("Whether its access token is enough to get the next one."),
        "manifest": _text("The manifest that declares it."),
        "declared": _texts("The rights that it was declared to have."),
        "created": _instant("When it was registered."),
        "updated": _instant("When its row in the registry last changed."),
        "excess": _texts("Not determined here: see list_api_clients --overprivileged."),
        "troubles": _texts("What others did to it, such as token_expired or user_inactive."),
    },
    ("name", "state", "client_id", "expires_at", "troubles"),
)
IDENTITY = _object(
    "Who a request comes from.",
    {
        "username": _text("Of the account."),
        "is_staff": _flag("Whether it is staff."),
        "is_superuser": _flag("Whether it is a superuser."),
        "scheme": _text("How the request was authenticated.", enum=["bearer", "jwt", "session"]),
        "client": _maybe(_text("The API client whose credential it is, as far as that can be told.")),
        "client_id": _maybe(_text("Of the application whose credential it is.")),
        "scopes": _texts("Of the credential; null for a session.", x_nullable=True),
        "restricted": _flag("Whether the rights of the account count for nothing."),
        "rights": _texts("What no ordinary account may do."),
        "self_rotation": _flag("Whether self/rotate/ takes this credential."),
        "expires_at": _instant("When it ends; null for a session."),
        "expires_in": _maybe(_number("The same in seconds from now.")),
    },
    ("username", "scheme", "client", "scopes", "rights", "expires_at"),
)
EVENT = _object(
    "What was done to a client.",
    {
        "kind": _text("Such as created, updated, rotated, revoked or retired."),
        "actor": _text("By whom."),
        "reason": _text("Why, in their words."),
        "details": {"type": "object", "description": "What exactly; no secret."},
        "created": _instant("When."),
    },
    ("kind", "actor", "created"),
)
PROBLEM = _object(
    "What went wrong (RFC 9457), with the keys that the LMS has in its errors.",
    {
        "type": _text("about:blank."),
        "title": _text("Of the status."),
        "status": _number("The status."),
        "detail": _text("What is wrong and what to do, in one sentence."),
        "developer_message": _text("The same."),
        "error_code": _text("The same for programs, such as client_exists."),
        "field_errors": {"type": "object", "description": "For each field of the body that is wrong, what is."},
    },
    ("type", "title", "status", "detail", "error_code"),
)

_EACH = {
    "name": _text("Of the API client."),
    "error": _maybe(_object("Why nothing was done, as a problem; null if it was.", {})),
}
PLANNED = _object(
    "What would be done, client by client.",
    {
        "clients": {
            "type": "array",
            "items": _object(
                "",
                {
                    **_EACH,
                    "status": _maybe(_text("What it would be: created, updated or unchanged.")),
                    "steps": _texts("What would be done, one phrase for each step."),
                    "warnings": _texts("What to bear in mind."),
                },
                ("name", "status", "steps", "error"),
            ),
        }
    },
    ("clients",),
)
APPLIED = _object(
    "What was done, client by client.",
    {
        "clients": {
            "type": "array",
            "items": _object("", {**_EACH, "credentials": _maybe(CREDENTIALS)}, ("name", "credentials", "error")),
        }
    },
    ("clients",),
)


def manifest() -> Shape:
    """The shape of a manifest."""
    every = {name: field for name, field in FIELDS.items() if name != "name"}
    about = "What holds for every client that does not say otherwise."
    properties = {
        **body(requests.MANIFEST)["properties"],
        "defaults": {**body(every), "description": about, "x_nullable": True},
        "clients": {"type": "array", "maxItems": requests.MOST, "items": body(FIELDS, required=("name",))},
    }
    example = {
        "manifest": "reporting",
        "defaults": {"contact": "ops@example.org", "expires_in": "90d"},
        "clients": [{"name": "grades", "profile": "grades", "filters": ["content_org:edX"]}, {"name": "report"}],
    }
    return {**_object("", properties, ("clients",)), "additional_properties": False, "example": example}


def page_of(item: Shape) -> Shape:
    """A page of such things."""
    return _object(
        "A page of a list.",
        {
            "count": _number("How many there are on all pages."),
            "next": _text("The address of the next page.", x_nullable=True),
            "previous": _text("The address of the page before.", x_nullable=True),
            "num_pages": _number("How many pages there are."),
            "current_page": _number("Which this is, from 1."),
            "start": _number("How many things are on the pages before."),
            "results": {"type": "array", "items": item},
        },
        ("count", "next", "previous", "results"),
    )


NAME_PARAMETER = ("name", "path", _text("Of the API client.", pattern=f"^{NAME.pattern}$", maxLength=NAME_MAX_LENGTH))
IDEMPOTENCY_KEY = (
    "Idempotency-Key",
    "header",
    _text(
        "Any text of your own, such as a UUID. The same request under the same key is carried out once.", maxLength=255
    ),
)
IF_MATCH = (
    "If-Match",
    "header",
    _text("The ETag of the client as you know it: if it is another by now, nothing is done."),
)
PAGE = (
    ("page", "query", _number("Which page, from 1.", minimum=1)),
    ("page_size", "query", _number("How many things on it: 10 by default, 100 at most.", minimum=1)),
)
FILTERS = (
    ("state", "query", _text("Only those that are active, or retired.", enum=["active", "retired"])),
    ("username", "query", _text("Only those of this service user.", maxLength=255)),
    ("contact", "query", _text("Only those that this address answers for.", maxLength=255)),
    ("profile", "query", _text("Only those with this access profile.", maxLength=255)),
    ("manifest", "query", _text("Only those that this manifest declares.", maxLength=255)),
    ("expiring_within", "query", _text("Only those whose token ends within this time, such as 30d.")),
)

_WHY = {
    400: "The request is malformed, or asks for what is not allowed.",
    401: "Nobody knows who asks.",
    403: "Who asks may not do this, or the credentials would carry more rights than who asks has.",
    404: "There is no such API client, or the site has not turned this API on.",
    409: "What exists differs, and is not changed unasked.",
    412: "The client has changed since it was read.",
    415: "The body is not JSON.",
    422: "The Idempotency-Key came with another request before.",
    429: "Too often; see Retry-After.",
    503: "The database did not do it; nothing was changed.",
}


def documented(
    answers: Mapping[int, tuple[str, Shape]],
    *,
    problems: tuple[int, ...] = (),
    takes: Shape | None = None,
    parameters: tuple[tuple[str, str, Shape], ...] = (),
) -> Callable[[View], View]:
    """Describe a method of a view, beside what its docstring says.

    Args:
        answers: for each status that is no problem, when it is answered and with what.
        problems: the statuses that are, beside those that any request may meet.
        takes: the body.
        parameters: of the query, the path and the headers: name, place, shape.
    """
    if openapi is None:
        return lambda view: view
    responses = {status: openapi.Response(about, _schema(shape)) for status, (about, shape) in answers.items()}
    refusals = sorted({401, 403, 404, 429, 503, *problems})
    decorate: Callable[[View], View] = describe(
        body=_schema(takes) if takes is not None else None,
        parameters=[_parameter(*parameter) for parameter in parameters],
        responses=responses | {status: openapi.Response(_WHY[status], _schema(PROBLEM)) for status in refusals},
    )
    return decorate


def _schema(shape: Shape) -> Any:
    parts = dict(shape)
    if "properties" in parts:
        parts["properties"] = {name: _schema(each) for name, each in parts["properties"].items()}
    if "items" in parts:
        parts["items"] = _schema(parts["items"])
    if not parts.get("required", True):
        del parts["required"]
    return openapi.Schema(**parts)


def _parameter(name: str, place: str, shape: Shape) -> Any:
    parts = dict(shape)
    return openapi.Parameter(name, place, required=place == "path", **parts)
