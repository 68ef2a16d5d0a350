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
        "the site does not know the token: it was deleted, or another site was asked. Issue a new one."
    ),
    "token_expired": gettext_noop("the token's time is over, or its application is restricted. Issue a new one."),
    "token_malformed": gettext_noop("the Authorization header has more than two words. Send: Bearer TOKEN."),
    "token_not_provided": gettext_noop("the Authorization header has no token. Send: Bearer TOKEN."),
    "user_is_disabled": gettext_noop(
        "the service user has an unusable password and no application of its own left. Provision the client again."
    ),
    "user_not_active": gettext_noop("the service user is not active. Activate it in the admin."),
    "invalid_client": gettext_noop("client id and secret do not belong together on this site."),
    "invalid_scope": gettext_noop("a scope was asked for that the site does not grant this client."),
    "unsupported_grant_type": gettext_noop("the site did not read the request as a form; is a proxy in the way?"),
    "unauthorized_client": gettext_noop("the application is not for the client credentials grant."),
    "anonymous": gettext_noop("the site looked for no such credentials; is the address that of the LMS?"),
    "other_user": gettext_noop("the credentials are those of another user."),
    "not_jwt": gettext_noop("the site answered with a token that is not a JWT."),
    "429": gettext_noop("the site limits how often it may be asked. Wait a minute."),
    "403": gettext_noop("the site knows the credentials and refuses this; a restricted client may do nothing else."),
    "404": gettext_noop("there is nothing at this address; is it that of the LMS?"),
    "not_json": gettext_noop("the site answered with something else than its API does; is it that of the LMS?"),
    "ConnectionError": gettext_noop("nobody answers at this address. Is the site running, and may it be reached?"),
    "Timeout": gettext_noop("nobody answers at this address in time."),
    "SSLError": gettext_noop("the certificate of this address does not hold, so nothing was sent."),
    "500": gettext_noop("the site failed; see its log. A token or application without a user does this."),
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
