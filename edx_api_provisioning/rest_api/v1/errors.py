"""Answer every error as a problem (RFC 9457), with the members that the platform uses (its ADR 0029).

``type`` tells programs which error it is, ``detail`` tells people what is wrong, and ``errors`` lists the messages for
each wrong field. Values from the request are never repeated. The types of the platform are those of
edx_rest_framework_extensions/errors.py (edx-drf-extensions 10.8).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import Error
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions as drf
from rest_framework.response import Response

from edx_api_provisioning.core import exceptions as ours
from edx_api_provisioning.formats.schema import InvalidFields

MEDIA_TYPE = "application/problem+json"
_TYPES = "https://docs.openedx.org/errors/"
_OURS = "api-provisioning/"

# Status and type of each error of ours. The first class that matches decides.
_PROBLEMS: tuple[tuple[type[ours.ProvisioningError], HTTPStatus, str], ...] = (
    (ours.InvalidSpec, HTTPStatus.BAD_REQUEST, "validation"),
    (ours.NotAllowed, HTTPStatus.FORBIDDEN, f"{_OURS}beyond-own-rights"),
    (ours.ClientNotFound, HTTPStatus.NOT_FOUND, f"{_OURS}client-not-found"),
    (ours.ClientExists, HTTPStatus.CONFLICT, f"{_OURS}client-exists"),
    (ours.NotTold, HTTPStatus.CONFLICT, f"{_OURS}not-disclosed"),
    (ours.NearMatch, HTTPStatus.CONFLICT, f"{_OURS}near-match"),
    (ours.Conflict, HTTPStatus.CONFLICT, "conflict"),
    (ours.UnusableToken, HTTPStatus.CONFLICT, f"{_OURS}unusable-token"),
    (ours.VerificationFailed, HTTPStatus.CONFLICT, f"{_OURS}verification-failed"),
    (ours.RequestReused, HTTPStatus.UNPROCESSABLE_ENTITY, f"{_OURS}idempotency-key-reused"),
    (ours.NotMigrated, HTTPStatus.SERVICE_UNAVAILABLE, f"{_OURS}not-migrated"),
    (ours.DatabaseFailure, HTTPStatus.SERVICE_UNAVAILABLE, f"{_OURS}database-failure"),
    (ours.ProvisioningError, HTTPStatus.CONFLICT, f"{_OURS}refused"),
)
_PLATFORM: tuple[tuple[type[drf.APIException], str], ...] = (
    (drf.NotAuthenticated, "authn"),
    (drf.AuthenticationFailed, "authn"),
    (drf.PermissionDenied, "authz"),
    (drf.NotFound, "not-found"),
    (drf.ParseError, "validation"),
    (drf.Throttled, "rate-limited"),
)


class PreconditionFailed(drf.APIException):
    """The If-Match header does not match the present state."""

    status_code = HTTPStatus.PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = gettext_lazy("The client has changed since you read it; read it again.")


class PreconditionRequired(drf.APIException):
    """A change of what exists has no If-Match header (RFC 6585 section 3)."""

    status_code = HTTPStatus.PRECONDITION_REQUIRED
    default_code = "precondition_required"
    default_detail = gettext_lazy("Send the ETag of what you decided on as If-Match; * matches every state.")


def respond(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response for an error, as DRF's EXCEPTION_HANDLER does; None for a bug, which Django logs as a 500."""
    if isinstance(error, Error):
        # The text of the database may contain values.
        error = ours.DatabaseFailure(_("the database failed; nothing was changed. Try again."))
    if isinstance(error, ours.ProvisioningError):
        body = problem(error)
        response = Response(body, status=body["status"])
    elif isinstance(error, (Http404, PermissionDenied, drf.APIException)):
        response = _of_drf(error)
    else:
        return None
    if (request := context.get("request")) is not None:
        response.data["instance"] = request.path
    response.content_type = MEDIA_TYPE
    return response


def problem(error: ours.ProvisioningError) -> dict[str, Any]:
    """Return the body for an error of ours."""
    status, slug = next((status, slug) for kind, status, slug in _PROBLEMS if isinstance(error, kind))
    errors: dict[str, list[str]] = {}
    for each in error.problems if isinstance(error, InvalidFields) else (error,):
        if each.field is not None:
            errors.setdefault(each.field, []).append(each.message)
    return _body(status, slug, str(error)) | ({"errors": errors} if errors else {})


def _of_drf(error: Any) -> Response:
    if isinstance(error, Http404):
        error = drf.NotFound()
    elif isinstance(error, PermissionDenied):
        error = drf.PermissionDenied()
    code = str(error.default_code).replace("_", "-")
    slug = next((slug for kind, slug in _PLATFORM if isinstance(error, kind)), f"{_OURS}{code}")
    # The Bearer authentication of the LMS raises a dict.
    detail: Any = error.detail.get("developer_message") if isinstance(error.detail, dict) else error.detail
    response = Response(
        _body(HTTPStatus(error.status_code), slug, str(detail or error.default_detail)), status=error.status_code
    )
    if (challenge := getattr(error, "auth_header", None)) is not None:
        response["WWW-Authenticate"] = challenge
    if (seconds := getattr(error, "wait", None)) is not None:
        response["Retry-After"] = f"{seconds:.0f}"
    return response


def _body(status: HTTPStatus, slug: str, detail: str) -> dict[str, Any]:
    return {"type": f"{_TYPES}{slug}", "title": status.phrase, "status": int(status), "detail": detail}
