"""Verify credentials over HTTP, as a caller of the site would."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import access_catalogue
from edx_api_provisioning.core.results import Check, Credentials
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.services.api_errors import answer_code, check, user_problem

_TIMEOUT = 30  # seconds, to connect and between bytes


def over_http(credentials: Credentials, url: str) -> tuple[Check, ...]:
    """Call the site as a client does: its own account, the token endpoint, and what its profile opens.

    Args:
        url: the site's root, from :func:`~edx_api_provisioning.core.parsing.parse_site_url`.
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
        checks += profile_over_http(access_catalogue.profile(credentials.profile), tokens, credentials.username, url)
    return tuple(checks)


def token_over_http(token: Secret, username: str, url: str) -> Check:
    """Call the site's ``/me`` with an access token."""
    return check(_("access token over HTTP"), _me_problem(url, "Bearer", token, username))


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
        checks.append(check(_("opaque token for client id and secret over HTTP"), problem))
    problem, token = _grant(url, client_id, client_secret, "JWT", scopes)
    jwt = token if problem is None else None
    if scopes is None:
        problem = problem or _me_problem(url, "JWT", token, username)
    checks.append(check(_("JWT for client id and secret over HTTP"), problem))
    return tuple(checks), jwt


def profile_over_http(
    profile: access_catalogue.Profile,
    tokens: dict[str, Secret],
    username: str,
    url: str,
    *,
    course_key: str | None = None,
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
    profile: access_catalogue.Profile,
    template: access_catalogue.Endpoint,
    known: dict[str, str],
    tokens: dict[str, Secret],
    url: str,
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
    answer = endpoint.answered(status) if isinstance(status, int) else access_catalogue.Answer.NOT_DETERMINED
    return Check(what, answer is not access_catalogue.Answer.REFUSED, f"{answer}: {status}")


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
        return answer_code(status, body), token
    if "access_token" not in body:
        return "not_json", token
    # A type, not a token.
    wrong_type = token_type == "JWT" and body.get("token_type") != "JWT"  # noqa: S105
    return "not_jwt" if wrong_type else None, token


def _me_problem(root: str, scheme: str, token: Secret, username: str) -> str | None:
    headers = {"Authorization": f"{scheme} {token.reveal()}"}
    status, body = _call("GET", root + conf.get("ME_PATH"), headers=headers)
    if status != 200:
        return answer_code(status, body)
    return user_problem(body["username"], username) if "username" in body else "not_json"


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
