"""Describe the views for the ``/api-docs/`` page of the LMS and for the OpenAPI file of the documentation.

Request bodies are described from the table of options, responses from the result types. Without edx-api-doc-tools, as
in plain Django, nothing is described.
"""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from edx_api_provisioning.core import options
from edx_api_provisioning.core.options import STORED, Option
from edx_api_provisioning.data import ORDERINGS, ClientSummary, CredentialsOutput, Event, Identity
from edx_api_provisioning.formats.schema import PUBLIC_FIELDS, json_schema
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
    """Add the media type of errors to the one of drf-yasg."""

    def get_produces(self) -> list[str]:
        """Return the media types of responses."""
        return ["application/json", MEDIA_TYPE]


def _object(about: str, properties: Shape, required: Iterable[str] = ()) -> Shape:
    description = {"description": about} if about else {}
    return {"type": "object", **description, "properties": properties, "required": list(required)}


def _text(about: str, **more: Any) -> Shape:
    return {"type": "string", "description": about, **more}


def _number(about: str, **more: Any) -> Shape:
    return {"type": "integer", "description": about, **more}


def _texts(about: str, **more: Any) -> Shape:
    return {"type": "array", "description": about, "items": {"type": "string"}, **more}


def body(options: Mapping[str, Option], required: tuple[str, ...] = (), *, example: Shape | None = None) -> Shape:
    """Return the shape of a body that is read by these options. Null is the same as leaving a field out."""
    shapes = {
        name: {**json_schema(option), **({} if name in required else {"x_nullable": True})}
        for name, option in options.items()
    }
    shown = {"example": dict(example)} if example is not None else {}
    return {**_object("", shapes, required), "additional_properties": False, **shown}


_TYPES: Mapping[str, Shape] = {
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "datetime": {"type": "string", "format": "date-time"},
    "tuple[str, ...]": {"type": "array", "items": {"type": "string"}},
    "dict[str, Any]": {"type": "object"},
}


def shape_of(result: type, **more: Shape) -> Shape:
    """Return the shape of a result type: its fields with their types and docstrings, and the ones given here."""
    definition: Any = ast.parse(inspect.getsource(result)).body[0]
    described = {option.name: option.help for option in (options.CLIENT["name"], *STORED.values())} | {
        ast.unparse(field.target): inspect.cleandoc(ast.literal_eval(text.value)).replace("\n", " ")
        for field, text in itertools.pairwise(definition.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    properties = dict(more)
    for base in result.__mro__:
        for name, annotation in inspect.get_annotations(base).items():
            annotation = str(getattr(annotation, "__forward_arg__", annotation))
            # None in a field of the table is for a spec that leaves it alone; a client has a value.
            null = {"x_nullable": True} if annotation.endswith(" | None") and base is result else {}
            properties[name] = {**_TYPES[annotation.removesuffix(" | None")], **null, "description": described[name]}
    about = inspect.cleandoc(result.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return _object(about, properties, properties)


CLIENT = shape_of(ClientSummary)
CREDENTIALS = shape_of(
    CredentialsOutput,
    changes=_texts("What was done, one sentence for each step."),
    warnings=_texts("Warnings about what was done."),
)
IDENTITY = shape_of(Identity, expires_in={**_number("Seconds until the credential expires."), "x_nullable": True})
EVENT = shape_of(Event)
PROBLEM = _object(
    "An error (RFC 9457, and ADR 0029 of the platform).",
    {
        "type": _text("A URI that identifies the kind of error."),
        "title": _text("The meaning of the status."),
        "status": _number("The status code."),
        "detail": _text("What is wrong and what to do, in one sentence."),
        "instance": _text("The path of the request."),
        "errors": {"type": "object", "description": "The messages for each field of the body that is wrong."},
    },
    ("type", "title", "status", "detail"),
)

_NAME = options.CLIENT["name"]


def _per_client(about: str, properties: Shape) -> Shape:
    error = {**_object("The reason as a problem, if nothing was done.", {}), "x_nullable": True}
    properties = {"name": _text(_NAME.help), "error": error, **properties}
    item = _object("", properties, properties)
    return _object(about, {"clients": {"type": "array", "items": item}}, ("clients",))


PLANNED = _per_client(
    "The planned changes of each client.",
    {
        "status": _text("The planned status: created, updated or unchanged.", x_nullable=True),
        "steps": _texts("The planned changes, one sentence for each step."),
        "warnings": _texts("Warnings about the planned changes."),
    },
)
APPLIED = _per_client("The result for each client.", {"credentials": {**CREDENTIALS, "x_nullable": True}})


def manifest() -> Shape:
    """Return the shape of a manifest."""
    about = "Values for every client that does not set its own."
    properties = {
        **body(requests.MANIFEST)["properties"],
        "defaults": {**body(requests.DEFAULTS), "description": about, "x_nullable": True},
        "clients": {"type": "array", "maxItems": requests.MOST, "items": body(PUBLIC_FIELDS, required=("name",))},
    }
    example = {
        "manifest": "reporting",
        "defaults": {"contact": "ops@example.org", "expires_in": "90d"},
        "clients": [{"name": "grades", "profile": "grades", "filters": ["content_org:edX"]}, {"name": "report"}],
    }
    return {**_object("", properties, ("clients",)), "additional_properties": False, "example": example}


def page_of(item: Shape) -> Shape:
    """Return the shape of a page of a list."""
    return _object(
        "A page of a list.",
        {
            "count": _number("Number of items on all pages."),
            "next": _text("URL of the next page.", x_nullable=True),
            "previous": _text("URL of the previous page.", x_nullable=True),
            "num_pages": _number("Number of pages."),
            "current_page": _number("Number of this page, from 1."),
            "start": _number("Number of items on earlier pages."),
            "results": {"type": "array", "items": item},
        },
        ("count", "next", "previous", "results"),
    )


NAME_PARAMETER = ("name", "path", _text(_NAME.help, pattern=f"^{_NAME.pattern}$", maxLength=_NAME.max_length))
IDEMPOTENCY_KEY = (
    "Idempotency-Key",
    "header",
    _text("Any text, such as a UUID. A request that is repeated under the same key is executed once.", maxLength=255),
)
_MATCH = "If what it belongs to has changed since, nothing is done. * matches every state."
IF_MATCH = ("If-Match", "header", _text(f"The ETag of the client. {_MATCH}", required=True))
IF_PLANNED = ("If-Match", "header", _text(f"The ETag of plan/, required if one of the clients exists. {_MATCH}"))
PAGE = (
    ("page", "query", _number("Number of the page, from 1.", minimum=1)),
    ("page_size", "query", _number("Number of items per page: 10 by default, 100 at most.", minimum=1)),
)
FILTERS = (
    ("state", "query", _text("Only active or only retired clients.", enum=["active", "retired"])),
    ("username", "query", _text("Only clients of this service user.", maxLength=255)),
    ("contact", "query", _text("Only clients with this contact.", maxLength=255)),
    ("profile", "query", _text("Only clients with this access profile.", maxLength=255)),
    ("manifest", "query", _text("Only clients of this manifest.", maxLength=255)),
    ("expiring_within", "query", _text("Only clients whose token expires within this time, such as 30d.")),
    ("unused_for", "query", _text("Only active clients that were not used for this time, such as 90d.")),
    (
        "ordering",
        "query",
        _text(
            "Field to order by, with - for descending order. Default: name.",
            enum=[*ORDERINGS, *(f"-{name}" for name in ORDERINGS)],
        ),
    ),
)

_WHY = {
    400: "The request is malformed or asks for something that is not allowed.",
    401: "The credentials are missing or invalid.",
    403: "The caller lacks a permission, or asks for more rights than it has.",
    404: "The client does not exist, or the site has not enabled this API.",
    409: "What exists conflicts with the request.",
    412: "The client has changed since it was read, or one of the clients since they were planned.",
    415: "The body is not JSON.",
    422: "The Idempotency-Key was used for another request.",
    428: "The client exists, and the request has no If-Match header.",
    429: "Too many requests; see Retry-After.",
    503: "The database failed; nothing was changed.",
}


def documented(
    answers: Mapping[int, tuple[str, Shape]],
    *,
    problems: tuple[int, ...] = (),
    takes: Shape | None = None,
    parameters: tuple[tuple[str, str, Shape], ...] = (),
) -> Callable[[View], View]:
    """Describe a method of a view, in addition to its docstring.

    Args:
        answers: the meaning and shape of each successful status.
        problems: the other statuses, beside those of every request.
        takes: the shape of the body.
        parameters: name, place and shape of each parameter in query, path and headers.
    """
    if openapi is None:
        return lambda view: view
    responses = {status: openapi.Response(about, _schema(shape)) for status, (about, shape) in answers.items()}
    refusals = sorted({401, 403, 404, 429, 503, *problems})
    decorate: Callable[[View], View] = describe(
        body=_schema(takes) if takes is not None else None,
        parameters=[
            openapi.Parameter(name, place, **{"required": place == "path", **shape})
            for name, place, shape in parameters
        ],
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
