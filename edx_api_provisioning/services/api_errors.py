"""Explain the error codes of the LMS's API and token endpoint."""

from __future__ import annotations

import re
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from edx_api_provisioning.core.results import Check

# What the LMS answers (openedx/core/lib/api/authentication.py; RFC 6749 section 5.2), what it means, what to do.
ERROR_MEANINGS = {
    "token_nonexistent": gettext_noop(
        "the site does not know the token: it was deleted, belongs to another site, or is a JWT, which is sent with "
        "Authorization: JWT. Issue a new one with rotate_api_client."
    ),
    "token_expired": gettext_noop("the token has expired, or its application is restricted. Issue a new one."),
    "token_malformed": gettext_noop("the Authorization header has more than two words. Send: Bearer TOKEN."),
    "token_not_provided": gettext_noop("the Authorization header has no token. Send: Bearer TOKEN."),
    "user_is_disabled": gettext_noop(
        "the service user has an unusable password and no application. Provision the client again."
    ),
    "user_not_active": gettext_noop("the service user is not active. Activate it in the admin."),
    "invalid_client": gettext_noop("the client id and secret do not match on this site."),
    "invalid_scope": gettext_noop("the site does not grant this client a requested scope."),
    "unsupported_grant_type": gettext_noop(
        "the site did not read the request as a form. Check for a proxy that changes requests."
    ),
    "unauthorized_client": gettext_noop("the application does not have the client credentials grant."),
    "no_credentials": gettext_noop(
        "the request had no credentials that this endpoint reads. Send the header Authorization: Bearer TOKEN, or "
        "Authorization: JWT TOKEN where it takes no Bearer token; explain_api_access METHOD PATH says which."
    ),
    "anonymous": gettext_noop("the endpoint ignored the credentials. Check that the URL is that of the site."),
    "other_user": gettext_noop("the credentials belong to another user."),
    "jwt_expired": gettext_noop(
        "the JWT has expired; the LMS issues them for an hour. Request a new one with client id and secret."
    ),
    "jwt_invalid": gettext_noop("this site did not sign the JWT, or it was changed. Request a new one."),
    "jwt_without_user": gettext_noop("the site has no user of the name in the JWT. Provision the client again."),
    "jwt_refused": gettext_noop("this site does not accept JWTs. Use an access token."),
    "not_jwt": gettext_noop("the site returned a token that is not a JWT."),
    "429": gettext_noop("the site limits the rate of requests. Wait a minute."),
    "403": gettext_noop(
        "the credentials are valid, but the client may not do this. See explain_api_access METHOD PATH --client NAME; "
        "a restricted client needs a JWT with the scope."
    ),
    "404": gettext_noop("nothing found at this URL. Check that it is that of the site."),
    "not_json": gettext_noop("the response is not one of the site's API. Check that the URL is that of the site."),
    "ConnectionError": gettext_noop("no connection. Check that the site is running and reachable."),
    "Timeout": gettext_noop("the site did not answer in time."),
    "SSLError": gettext_noop("invalid TLS certificate; nothing was sent."),
    "500": gettext_noop("the site failed; see its log. A token or application without a user causes this."),
}

_UNKNOWN = gettext_noop("the site refused; see its log.")


# The texts of answers that have no error code (rest_framework/exceptions.py, rest_framework_jwt/authentication.py).
_TEXTS = {
    "Authentication credentials were not provided": "no_credentials",
    "You do not have permission": "403",
    "does not match any valid tokens": "token_nonexistent",
    "access token has expired": "token_expired",
    "User disabled by admin": "user_is_disabled",
    "Token has expired": "jwt_expired",
    "Signature has expired": "jwt_expired",
    "Invalid token.": "jwt_invalid",
    "Error decoding": "jwt_invalid",
    "Encountered error while rendering error page": "500",
    "401": "no_credentials",
}


def find_error(text: str) -> str | None:
    """Return the meaning of an answer of the site that holds this text, and what to do; None if it is unknown."""
    codes = {code: code for code in ERROR_MEANINGS}
    words = {code: code for code in codes if not code.isdigit()}
    for part, code in (words | _TEXTS | codes).items():  # A status says least.
        if re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text, re.IGNORECASE):
            return explain_error(code)
    return None


def user_problem(answered: Any, expected: str) -> str | None:
    """Return ``other_user`` if the credentials are those of another user than expected."""
    return None if answered == expected else "other_user"


def answer_code(status: int | str, body: dict[str, Any]) -> str:
    """Return the error code of an answer: the one in its body, or one that stands for its status."""
    if code := error_code(body):
        return code
    return "anonymous" if status == 401 else "500" if isinstance(status, int) and status > 500 else str(status)


def error_code(detail: Any) -> str:
    """Return the error code in a body, in either shape of the LMS's, or RFC 6749's ``error``; "" without one."""
    while isinstance(detail, dict) and isinstance(detail.get("developer_message"), dict):
        detail = detail["developer_message"]
    code = (detail.get("error_code") or detail.get("error") or "") if isinstance(detail, dict) else ""
    return code if isinstance(code, str) else "?"


def check(what: str, problem: str | None) -> Check:
    """Return the result of one check, with an explanation if there is a problem."""
    return Check(what, True) if problem is None else Check(what, False, explain_error(problem))


def explain_error(problem: str) -> str:
    """Return an error code with its meaning and what to do."""
    if problem in ERROR_MEANINGS:
        return f"{problem}: {_(ERROR_MEANINGS[problem])}"
    # A site may echo what was sent to it. Only show what looks like a code and is shorter than any secret.
    code = f"{problem}: " if re.fullmatch(r"[A-Za-z0-9_]{1,30}", problem) else ""
    return f"{code}{_(_UNKNOWN)}"
