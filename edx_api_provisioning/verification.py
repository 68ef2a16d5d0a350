"""Prove credentials: by the classes that the site itself asks, and over HTTP as a caller would."""

from __future__ import annotations

import json
import re
from typing import Any

from django.db import Error, transaction
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from rest_framework.exceptions import APIException

from edx_api_provisioning import access, conf, grants, lms, toolkit
from edx_api_provisioning.data import Check, Credentials, Presented, Secret
from edx_api_provisioning.database import connection
from edx_api_provisioning.planning import Access

# What the LMS answers (openedx/core/lib/api/authentication.py; RFC 6749 section 5.2), what it means, what to do.
_MEANINGS = {
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
_STATES = {
    "token_expired": "expired",
    "token_nonexistent": "unknown",
    "user_is_disabled": "disabled",
    "user_not_active": "disabled",
}
_TIMEOUT = 30  # seconds, to connect and between bytes


def examine(token: Secret) -> Presented:
    """What the site makes of an access token that somebody presents, and whose it is."""
    if not re.fullmatch(r"[!-~]+", token.reveal()):
        return Presented(
            state="unknown", meaning=_("no access token is empty or has spaces or characters beyond ASCII.")
        )
    row = toolkit.find_access_token(token)
    if row is None:
        return Presented(state="unknown", meaning=_explained("token_nonexistent"))
    if row.user is None:
        return Presented(state="unusable", meaning=_("the token has no user: the site fails on it. Issue a new one."))
    problem = _bearer_problem(token, row.user.get_username())
    return Presented(
        state=_STATES.get(problem, "refused") if problem is not None else "valid",
        meaning=_explained(problem) if problem is not None else "",
        username=row.user.get_username(),
        is_staff=row.user.is_staff,
        is_superuser=row.user.is_superuser,
        rights=_rights(row.user, row.application),
        scopes=tuple(row.scope.split()),
        expires_at=row.expires,
        client_id=row.application.client_id if row.application else None,
        restricted=row.application is not None and lms.is_restricted(row.application.pk),
    )


def _rights(user: Any, application: Any) -> tuple[str, ...]:
    flags = {"superuser": user.is_superuser, "staff": user.is_staff}
    asks_for = Access(*lms.access(application.pk)).rights if application is not None else frozenset()
    return (*(flag for flag, has in flags.items() if has), *sorted(grants.user_rights(user) | asks_for))


def grant_in_process(client_id: str, client_secret: Secret) -> Check:
    """Ask for an opaque token as RFC 6749 section 4.4 has it, with all that the site does for it, and keep nothing."""
    with transaction.atomic(using=connection().alias):
        status, body = toolkit.grant(client_id, client_secret)
        transaction.set_rollback(True, using=connection().alias)
    return _check(_("client credentials grant"), None if status == 200 else _http_code(status, body))


def unknown_client() -> Check:
    """What the grant comes to for what can be nobody's."""
    return _check(_("client credentials grant"), "invalid_client")


def in_process(credentials: Credentials) -> tuple[Check, ...]:
    """Ask the site's Bearer authentication class and its OAuth2 validator, without HTTP."""
    checks = []
    if credentials.access_token is not None:
        problem = _bearer_problem(credentials.access_token, credentials.username)
        checks.append(_check(_("access token at the site's Bearer authentication"), problem))
    if credentials.client_secret is not None:
        user = toolkit.client_user(credentials.client_id, credentials.client_secret)
        problem = "invalid_client" if user is None else _user_problem(user.get_username(), credentials.username)
        checks.append(_check(_("client id and secret at the site's OAuth2 validator"), problem))
    return tuple(checks)


class _OwnRequest(HttpRequest):
    """A request as an authentication class reads it: META, or, looking through DRF's Request, the one within.

    Not DRF's own, which costs a command a good part of its time to import.
    """

    def __init__(self) -> None:
        super().__init__()
        self._request = self
        self.method, self.path = "GET", conf.get("ME_PATH")

    def get_host(self) -> str:
        return conf.host() or "localhost"  # Whatever ALLOWED_HOSTS says: nobody else asked.


def _bearer_problem(token: Secret, username: str) -> str | None:
    request = _OwnRequest()
    request.META.update(
        HTTP_AUTHORIZATION=f"Bearer {token.reveal()}", SERVER_NAME=request.get_host(), SERVER_PORT="443"
    )
    authentication = import_string(conf.get("BEARER_AUTHENTICATION"))()
    try:
        answer = authentication.authenticate(request)
    except APIException as error:
        return _code(error.detail)
    except Error:
        raise  # The database's own
    except Exception:  # Whatever the site's class stumbles over, a caller would see a 500.
        return "500"
    return "token_nonexistent" if answer is None else _user_problem(answer[0].get_username(), username)


def _user_problem(answered: Any, expected: str) -> str | None:
    return None if answered == expected else "other_user"


def over_http(credentials: Credentials, url: str) -> tuple[Check, ...]:
    """Call the site as a client does: its own account, the token endpoint, and what its profile opens.

    Args:
        url: the site's root, from :func:`~edx_api_provisioning.data.parse_site_url`.
    """
    checks: list[Check] = []
    tokens: dict[str, Secret] = {}
    if (token := credentials.access_token) is not None:
        tokens["bearer"] = token
        checks.append(token_over_http(token, credentials.username, url))
    if (secret := credentials.client_secret) is not None:
        granted, jwt = client_over_http(
            credentials.client_id,
            secret,
            credentials.username,
            url,
            scopes=credentials.scopes if credentials.restricted else None,
        )
        checks += granted
        tokens |= {"jwt": jwt} if jwt is not None else {}
    if credentials.profile:
        checks += profile_over_http(access.profile(credentials.profile), tokens, credentials.username, url)
    return tuple(checks)


def token_over_http(token: Secret, username: str, url: str) -> Check:
    """Call the site's ``/me`` with an access token."""
    return _check(_("access token over HTTP"), _me_problem(url, "Bearer", token, username))


def client_over_http(
    client_id: str, client_secret: Secret, username: str, url: str, *, scopes: tuple[str, ...] | None
) -> tuple[tuple[Check, ...], Secret | None]:
    """Get an opaque token and a JWT with id and secret, and call the site with each.

    Args:
        scopes: what a restricted client asks for; None for another. Its opaque tokens are expired, and its JWT opens
            nothing but what these scopes do.

    Returns:
        The checks, and the JWT if there was one.
    """
    checks = []
    if scopes is None:
        problem, token = _grant(url, client_id, client_secret, "Bearer", None)
        problem = problem or _me_problem(url, "Bearer", token, username)
        checks.append(_check(_("opaque token for client id and secret over HTTP"), problem))
    problem, token = _grant(url, client_id, client_secret, "JWT", scopes)
    jwt = token if problem is None else None
    if scopes is None:
        problem = problem or _me_problem(url, "JWT", token, username)
    checks.append(_check(_("JWT for client id and secret over HTTP"), problem))
    return tuple(checks), jwt


def profile_over_http(
    profile: access.Profile, tokens: dict[str, Secret], username: str, url: str, *, course_key: str | None = None
) -> tuple[Check, ...]:
    """Try what a profile opens, as far as it can be done without changing anything.

    Args:
        tokens: what there is of ``bearer`` and ``jwt``.
        course_key: a course to fill into addresses that have one.
    """
    known = {"username": username, "usernames": username} | ({"course_key": course_key} if course_key else {})
    return tuple(_try_endpoint(profile, endpoint, known, tokens, url) for endpoint in profile.opens)


_OWN = frozenset({"username:{username}"})


def _try_endpoint(
    profile: access.Profile, template: access.Endpoint, known: dict[str, str], tokens: dict[str, Secret], url: str
) -> Check:
    endpoint = template.fill(known)
    # Everybody may read what is under their own name, so that trying it proves nothing; but for restricted clients.
    own = _OWN in (*template.rights, *template.untried) and "restricted" not in profile.rights
    what = f"{endpoint.method} {endpoint.path}"
    scheme = next((scheme for scheme in endpoint.auth if scheme in tokens), None)
    if endpoint.method != "GET" or endpoint.unknown or scheme is None or own:
        return Check(what, True, _("not determined: it was not tried"))
    header = f"{'JWT' if scheme == 'jwt' else 'Bearer'} {tokens[scheme].reveal()}"
    status, _body = _call("GET", url + endpoint.path, headers={"Authorization": header})
    answer = endpoint.answered(status) if isinstance(status, int) else access.Answer.NOT_DETERMINED
    return Check(what, answer is not access.Answer.REFUSED, f"{answer}: {status}")


def _grant(
    root: str, client_id: str, client_secret: Secret, token_type: str, scopes: tuple[str, ...] | None
) -> tuple[str | None, Secret]:
    """What went wrong, if anything, and the token."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret.reveal(),
        "token_type": token_type.lower(),
        # Scopes beyond the defaults have to be asked for.
        **({"scope": " ".join(scopes)} if scopes else {}),
    }
    status, body = _call("POST", root + conf.get("TOKEN_PATH"), data=form)
    token = Secret(str(body.get("access_token")))
    if status != 200:
        return _http_code(status, body), token
    if "access_token" not in body:
        return "not_json", token
    # A type, not a token.
    wrong_type = token_type == "JWT" and body.get("token_type") != "JWT"  # noqa: S105
    return "not_jwt" if wrong_type else None, token


def _me_problem(root: str, scheme: str, token: Secret, username: str) -> str | None:
    headers = {"Authorization": f"{scheme} {token.reveal()}"}
    status, body = _call("GET", root + conf.get("ME_PATH"), headers=headers)
    if status != 200:
        return _http_code(status, body)
    return _user_problem(body["username"], username) if "username" in body else "not_json"


def _call(method: str, url: str, **parts: Any) -> tuple[int | str, dict[str, Any]]:
    import requests  # Here, for what it costs everybody who does not ask over HTTP.

    def no_netrc(request: Any) -> Any:
        return request

    try:
        # No redirects: the secret is for this address alone. Some auth, or a netrc file would replace our header.
        response = requests.request(method, url, timeout=_TIMEOUT, allow_redirects=False, auth=no_netrc, **parts)
    except requests.RequestException as error:
        kinds = (requests.Timeout, requests.exceptions.SSLError, requests.ConnectionError)
        return next((kind.__name__ for kind in kinds if isinstance(error, kind)), "ConnectionError"), {}
    try:
        body = response.json()
    except ValueError:
        body = {}
    return response.status_code, body if isinstance(body, dict) else {}


def _http_code(status: int | str, body: dict[str, Any]) -> str:
    return _code(body) if "error" in body or "error_code" in json.dumps(body) else _status_code(status)


def _status_code(status: int | str) -> str:
    return "anonymous" if status == 401 else "500" if isinstance(status, int) and status > 500 else str(status)


def _code(detail: Any) -> str:
    """The error code in either shape of the LMS's bodies, or RFC 6749's ``error``."""
    if isinstance(detail, dict):
        inner = detail.get("developer_message")
        if isinstance(inner, dict):
            return _code(inner)
        return str(detail.get("error_code") or detail.get("error") or "")
    return ""


def _check(what: str, problem: str | None) -> Check:
    return Check(what, True) if problem is None else Check(what, False, _explained(problem))


def _explained(problem: str) -> str:
    if problem in _MEANINGS:
        return f"{problem}: {_(_MEANINGS[problem])}"
    # Anything could be in a site's answer, even what we sent: only what looks like a code, and is shorter than any
    # secret, is shown.
    code = f"{problem}: " if re.fullmatch(r"[A-Za-z0-9_]{1,30}", problem) else ""
    return f"{code}{_(_UNKNOWN)}"
