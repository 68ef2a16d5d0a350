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
        "the site does not know the token: it was deleted, or belongs to another site. Issue a new one."
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
    "anonymous": gettext_noop("the endpoint ignored the credentials. Check that the URL is that of the site."),
    "other_user": gettext_noop("the credentials belong to another user."),
    "not_jwt": gettext_noop("the site returned a token that is not a JWT."),
    "429": gettext_noop("the site limits the rate of requests. Wait a minute."),
    "403": gettext_noop(
        "the site accepts the credentials but refuses this request, as it does for a restricted client."
    ),
    "404": gettext_noop("nothing found at this URL. Check that it is that of the site."),
    "not_json": gettext_noop("the response is not one of the site's API. Check that the URL is that of the site."),
    "ConnectionError": gettext_noop("no connection. Check that the site is running and reachable."),
    "Timeout": gettext_noop("the site did not answer in time."),
    "SSLError": gettext_noop("invalid TLS certificate; nothing was sent."),
    "500": gettext_noop("the site failed; see its log. A token or application without a user causes this."),
}

_UNKNOWN = gettext_noop("the site refused; see its log.")


def user_problem(answered: Any, expected: str) -> str | None:
    """Return ``other_user`` if the credentials are those of another user than expected."""
    return None if answered == expected else "other_user"


def answer_code(status: int | str, body: dict[str, Any]) -> str:
    """Return the error code of an answer: the one in its body, or one that stands for its status."""
    return error_code(body) or _status_code(status)


def _status_code(status: int | str) -> str:
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
