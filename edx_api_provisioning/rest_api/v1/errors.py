"""Every error of this API in one form: RFC 9457, with the keys that clients of the LMS look for.

``error_code`` is for programs, ``detail`` and ``developer_message`` are one sentence for people, and ``field_errors``
names what of a body is wrong, as in openedx/core/lib/api/view_utils.py. No value that was sent is repeated.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import Error
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions as drf
from rest_framework.response import Response

from edx_api_provisioning.core.exceptions import (
    ClientExists,
    ClientNotFound,
    Conflict,
    DatabaseFailure,
    InvalidSpec,
    NearMatch,
    NotAllowed,
    NotMigrated,
    ProvisioningError,
    RequestReused,
    UnusableToken,
)
from edx_api_provisioning.formats.schema import InvalidFields

MEDIA_TYPE = "application/problem+json"

# The first that fits decides.
_PROBLEMS: tuple[tuple[type[ProvisioningError], HTTPStatus, str], ...] = (
    (InvalidSpec, HTTPStatus.BAD_REQUEST, "invalid"),
    (NotAllowed, HTTPStatus.FORBIDDEN, "beyond_own_rights"),
    (ClientNotFound, HTTPStatus.NOT_FOUND, "client_not_found"),
    (ClientExists, HTTPStatus.CONFLICT, "client_exists"),
    (NearMatch, HTTPStatus.CONFLICT, "near_match"),
    (Conflict, HTTPStatus.CONFLICT, "conflict"),
    (UnusableToken, HTTPStatus.CONFLICT, "unusable_token"),
    (RequestReused, HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
    (NotMigrated, HTTPStatus.SERVICE_UNAVAILABLE, "not_migrated"),
    (DatabaseFailure, HTTPStatus.SERVICE_UNAVAILABLE, "database_failure"),
)


class PreconditionFailed(drf.APIException):
    status_code = HTTPStatus.PRECONDITION_FAILED
    default_code = "precondition_failed"


def respond(error: Exception, _context: dict[str, Any]) -> Response | None:
    """What DRF's EXCEPTION_HANDLER returns; None for a mistake of ours, which Django logs and answers with 500."""
    if isinstance(error, ProvisioningError):
        return _of_ours(error)
    if isinstance(error, Error):
        # Its own words may hold values.
        return _of_ours(DatabaseFailure(_("the database did not do it; nothing was changed. Try again.")))
    if isinstance(error, (Http404, PermissionDenied, drf.APIException)):
        return _of_drf(error)
    return None


def _of_ours(error: ProvisioningError) -> Response:
    body = of_ours(error)
    return Response(body, status=body["status"], content_type=MEDIA_TYPE)


def of_ours(error: ProvisioningError) -> dict[str, Any]:
    """The body that says what a service function refused."""
    status, code = next(((status, code) for kind, status, code in _PROBLEMS if isinstance(error, kind)), _UNKNOWN)
    problems = error.problems if isinstance(error, InvalidFields) else (error,)
    fields = {problem.field: problem.message for problem in problems if problem.field is not None}
    return _body(status, code, str(error), fields)


_UNKNOWN = (HTTPStatus.CONFLICT, "refused")


def _of_drf(error: Exception) -> Response:
    if isinstance(error, Http404):
        error = drf.NotFound()
    elif isinstance(error, PermissionDenied):
        error = drf.PermissionDenied()
    assert isinstance(error, drf.APIException)  # noqa: S101 - for the type checker
    detail: Any = error.detail
    if isinstance(detail, dict):  # As the LMS's Bearer authentication has it.
        message, code = str(detail.get("developer_message", "")), str(detail.get("error_code", ""))
    else:
        message, code = str(detail), str(error.get_codes())
    code = code if re.fullmatch(r"[a-z0-9_]{1,40}", code) else str(error.default_code)
    body = _body(HTTPStatus(error.status_code), code, message or str(error.default_detail), {})
    response = Response(body, status=error.status_code, content_type=MEDIA_TYPE)
    for header, attribute in (("WWW-Authenticate", "auth_header"), ("Retry-After", "wait")):
        if (value := getattr(error, attribute, None)) is not None:
            response[header] = str(value) if header == "WWW-Authenticate" else f"{value:.0f}"
    return response


def _body(status: HTTPStatus, code: str, message: str, fields: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": message,
        "developer_message": message,
        "error_code": code,
    }
    if fields:
        body["field_errors"] = {
            name: {"developer_message": text, "user_message": text} for name, text in fields.items()
        }
    return body
