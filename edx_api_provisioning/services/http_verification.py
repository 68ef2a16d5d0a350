"""Verify credentials over HTTP, as a caller of the site would; ``url`` is the root of the site."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import access_catalogue, oauth_server
from edx_api_provisioning.adapters.database import no_sql_logging, translate_errors
from edx_api_provisioning.core.parsing import is_loopback
from edx_api_provisioning.core.results import Check, Credentials
from edx_api_provisioning.core.secrets import Secret, basic_authorization
from edx_api_provisioning.services.api_errors import answer_code, check, user_problem

_SCHEMES = {"bearer": "Bearer", "jwt": "JWT"}
_TIMEOUT = 30  # seconds, to connect and between bytes


def over_http(credentials: Credentials, url: str) -> tuple[Check, ...]:
    """Call the site as a client does: its own account, the token endpoint, and the endpoints of its profile."""
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
        checks += profile_over_http(access_catalogue.profile(credentials.profile), tokens, credentials.username, url)
    return tuple(checks)


def token_over_http(token: Secret, username: str, url: str, *, scheme: str = "bearer") -> Check:
    """Call the site's ``/me`` with an access token."""
    return check(_("access token over HTTP"), _me_problem(url, _SCHEMES[scheme], token, username))


def client_over_http(
    client_id: str, client_secret: Secret, username: str, url: str, *, scopes: tuple[str, ...] | None
) -> tuple[tuple[Check, ...], Secret | None]:
    """Request an opaque token and a JWT with id and secret, call the site with each, and revoke the opaque tokens.

    Args:
        scopes: the scopes to request for a restricted client, whose opaque tokens are expired and whose JWT opens
            nothing else; None for other clients.

    Returns:
        The checks, and the JWT if the site issued one.
    """
    checks = []
    if scopes is None:
        with _granted(url, client_id, client_secret, "Bearer", None) as (problem, token):
            problem = problem or _me_problem(url, "Bearer", token, username)
        checks.append(check(_("opaque token for client id and secret over HTTP"), problem))
    with _granted(url, client_id, client_secret, "JWT", scopes) as (problem, token):
        jwt = token if problem is None else None
    if scopes is None:
        problem = problem or _me_problem(url, "JWT", token, username)
    checks.append(check(_("JWT for client id and secret over HTTP"), problem))
    return tuple(checks), jwt


def profile_over_http(
    profile: access_catalogue.Profile,
    tokens: Mapping[str, Secret],
    username: str,
    url: str,
    *,
    course_key: str | None = None,
) -> tuple[Check, ...]:
    """Call the endpoints that a profile opens, as far as that changes nothing.

    Args:
        tokens: the tokens at hand, by scheme: ``bearer``, ``jwt``.
        course_key: a course to fill into paths that have one.
    """
    known = {"username": username, "usernames": username} | ({"course_key": course_key} if course_key else {})
    return tuple(_try_endpoint(profile, endpoint, known, tokens, url) for endpoint in profile.opens)


_OWN = frozenset({"username:{username}"})


def _try_endpoint(
    profile: access_catalogue.Profile,
    template: access_catalogue.Endpoint,
    known: dict[str, str],
    tokens: Mapping[str, Secret],
    url: str,
) -> Check:
    endpoint = template.fill(known)
    # Everybody may read their own records, so that a call says nothing, except for a restricted client.
    own = _OWN in (*template.rights, *template.untried) and "restricted" not in profile.rights
    what = f"{endpoint.method} {endpoint.path}"
    scheme = next((scheme for scheme in endpoint.auth if scheme in tokens), None)
    if endpoint.method != "GET" or endpoint.unknown or scheme is None or own:
        return Check(what, None, _("not determined: not called"))
    header = f"{_SCHEMES[scheme]} {tokens[scheme].reveal()}"
    status, _body = _call("GET", url + endpoint.path, header)
    answer = endpoint.answered(status) if isinstance(status, int) else access_catalogue.Answer.NOT_DETERMINED
    return Check(what, answer is not access_catalogue.Answer.REFUSED, f"{answer}: {status}")


@contextmanager
def _granted(
    root: str, client_id: str, client_secret: Secret, token_type: str, scopes: tuple[str, ...] | None
) -> Iterator[tuple[str | None, Secret]]:
    """Request a token, and revoke the row that the site stored for it."""
    with translate_errors():
        newest = oauth_server.newest_token(client_id)
    problem, token = _grant(root, client_id, client_secret, token_type, scopes)
    try:
        yield problem, token
    finally:
        if problem is None:
            with translate_errors(), no_sql_logging():
                found = oauth_server.revoke_granted(token, client_id, after=newest)
            if not found and token_type == "Bearer":  # noqa: S105
                # The row is in the database of another site. The row of a JWT there has no name to revoke it by.
                path = re.sub(r"[^/]+(/?)$", r"revoke_token\1", conf.get("TOKEN_PATH"))
                _call("POST", root + path, basic_authorization(client_id, client_secret), {"token": token.reveal()})


def _grant(
    root: str, client_id: str, client_secret: Secret, token_type: str, scopes: tuple[str, ...] | None
) -> tuple[str | None, Secret]:
    """Request a token; return the problem, if any, and the token."""
    form = {
        "grant_type": "client_credentials",
        "token_type": token_type.lower(),
        # Scopes other than the defaults are granted only on request.
        **({"scope": " ".join(scopes)} if scopes else {}),
    }
    # In the form, the secret would end up in the LMS's tracking log.
    status, body = _call("POST", root + conf.get("TOKEN_PATH"), basic_authorization(client_id, client_secret), form)
    value = body.get("access_token")
    if status != 200:
        return answer_code(status, body), Secret("")
    if not isinstance(value, str):
        return "not_json", Secret("")
    # A type, not a token.
    wrong_type = token_type == "JWT" and body.get("token_type") != "JWT"  # noqa: S105
    return "not_jwt" if wrong_type else None, Secret(value)


def _me_problem(root: str, scheme: str, token: Secret, username: str) -> str | None:
    status, body = _call("GET", root + conf.get("ME_PATH"), f"{scheme} {token.reveal()}")
    if status != 200:
        return answer_code(status, body)
    return user_problem(body["username"], username) if "username" in body else "not_json"


def _call(
    method: str, url: str, authorization: str, form: dict[str, str] | None = None
) -> tuple[int | str, dict[str, Any]]:
    """Return the status, or the kind of error, and the JSON object that the site answers."""
    import requests  # Here, because importing it takes time that a run without HTTP should not spend.

    def no_netrc(request: Any) -> Any:
        return request

    loopback = is_loopback(urlsplit(url).hostname or "")
    try:
        response = requests.request(
            method,
            url,
            data=form,
            headers={"Authorization": authorization},
            timeout=_TIMEOUT,
            # The credentials are for this address alone.
            allow_redirects=False,
            # Without an auth, a netrc file would replace our header.
            auth=no_netrc,
            # A proxy is another machine, where plain HTTP would show the credentials.
            proxies=dict.fromkeys(("http", "https", "all")) if loopback else None,  # type: ignore[arg-type]
        )
    except requests.RequestException as error:
        kinds = (requests.Timeout, requests.exceptions.SSLError, requests.ConnectionError)
        return next((kind.__name__ for kind in kinds if isinstance(error, kind)), "ConnectionError"), {}
    try:
        body = response.json()
    except (ValueError, RecursionError):  # not JSON, or nested too deeply
        body = {}
    return response.status_code, body if isinstance(body, dict) else {}
