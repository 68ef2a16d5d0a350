"""Explain the error codes of the LMS's API and token endpoint."""

from __future__ import annotations

import json
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
    return None if answered == expected else "other_user"


def answer_code(status: int | str, body: dict[str, Any]) -> str:
    return error_code(body) if "error" in body or "error_code" in json.dumps(body) else _status_code(status)


def _status_code(status: int | str) -> str:
    return "anonymous" if status == 401 else "500" if isinstance(status, int) and status > 500 else str(status)


def error_code(detail: Any) -> str:
    """The error code in either shape of the LMS's bodies, or RFC 6749's ``error``."""
    if isinstance(detail, dict):
        inner = detail.get("developer_message")
        if isinstance(inner, dict):
            return error_code(inner)
        return str(detail.get("error_code") or detail.get("error") or "")
    return ""


def check(what: str, problem: str | None) -> Check:
    return Check(what, True) if problem is None else Check(what, False, explain_error(problem))


def explain_error(problem: str) -> str:
    if problem in ERROR_MEANINGS:
        return f"{problem}: {_(ERROR_MEANINGS[problem])}"
    # Anything could be in a site's answer, even what we sent: only what looks like a code, and is shorter than any
    # secret, is shown.
    code = f"{problem}: " if re.fullmatch(r"[A-Za-z0-9_]{1,30}", problem) else ""
    return f"{code}{_(_UNKNOWN)}"
