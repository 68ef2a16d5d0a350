"""Verify credentials: with the site's own authentication classes, and over HTTP as a caller does.

Every ``url`` is the root of the site, from :func:`~edx_api_provisioning.core.parsing.parse_site_url`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import Error, transaction
from django.http import HttpRequest
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import access_catalogue, lms, oauth, oauth_server, rights
from edx_api_provisioning.adapters.database import connection, no_sql_logging, translate_errors
from edx_api_provisioning.core.results import Check, ClientSummary, Credentials, Presented, Verification
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.services import http_verification
from edx_api_provisioning.services.api_errors import answer_code, check, error_code, explain_error, user_problem
from edx_api_provisioning.services.credentials import requestable_scopes


def verify(credentials: Credentials, *, url: str | None = None) -> Verification:
    """Verify the secrets that a run issued: in this process, and over HTTP if a URL is given."""
    with translate_errors(), no_sql_logging():
        checks = in_process(credentials)
    if url is not None:
        checks += http_verification.over_http(credentials, url)
    return Verification(checks)


def verify_token(token: Secret, *, username: str, url: str, scheme: str = "bearer") -> Verification:
    """Verify a presented access token over HTTP; :func:`examine` names its username and scheme."""
    return Verification((http_verification.token_over_http(token, username, url, scheme=scheme),))


def verify_client(client_id: str, client_secret: Secret, *, url: str | None = None) -> Verification:
    """Verify a presented client id and secret with the real grant, in this process and over HTTP if a URL is given."""
    if not (client_id + client_secret.reveal()).isprintable():
        return Verification((check(_("client credentials grant"), "invalid_client"),))
    with translate_errors(), no_sql_logging():
        checks: tuple[Check, ...] = (grant_in_process(client_id, client_secret),)
        application = oauth.find_application(client_id)
        restricted = application is not None and lms.is_restricted(application.pk)
        scopes = requestable_scopes(application) if restricted else None
    if url is not None and application is not None and application.user is not None:
        username = application.user.get_username()
        checks += http_verification.client_over_http(client_id, client_secret, username, url, scopes=scopes)[0]
    return Verification(checks)


def try_profile(
    client: ClientSummary,
    *,
    url: str,
    tokens: Mapping[str, Secret],
    client_secret: Secret | None,
    course_key: str | None = None,
) -> Verification:
    """Call the endpoints of a client's profile over HTTP with the available credentials; safe methods only.

    Args:
        tokens: access tokens by scheme, as :func:`examine` names it.
        course_key: a course to try it on, as it is written; it is escaped as the LMS wants it.
    """
    if not client.profile or client.username is None:
        return Verification(())
    if client_secret is not None and client.client_id is not None:
        scopes = requestable_scopes(oauth.find_application(client.client_id))
        _checks, jwt = http_verification.client_over_http(
            client.client_id, client_secret, client.username, url, scopes=scopes
        )
        tokens = {**tokens, "jwt": jwt} if jwt is not None else tokens
    profile = access_catalogue.profile(client.profile)
    return Verification(
        http_verification.profile_over_http(profile, tokens, client.username, url, course_key=course_key)
    )


_STATES = {
    "token_expired": "expired",
    "token_nonexistent": "unknown",
    "user_is_disabled": "disabled",
    "user_not_active": "disabled",
}


def examine(token: Secret) -> Presented:
    """Return the state and owner of a presented access token. Nothing is written."""
    with translate_errors(), no_sql_logging():
        return _examine(token)


def _examine(token: Secret) -> Presented:
    if not re.fullmatch(r"[!-~]+", token.reveal()):
        return Presented(
            state="unknown", meaning=_("an access token cannot be empty or contain spaces or non-ASCII characters.")
        )
    if token.reveal().count(".") == 2 and token.reveal().startswith("eyJ"):  # A JSON object, encoded
        return _examine_jwt(token)
    row = oauth.find_access_token(token)
    if row is None:
        return Presented(state="unknown", meaning=explain_error("token_nonexistent"))
    if row.user is None:
        return Presented(state="unusable", meaning=_("the token has no user, so the site fails. Issue a new one."))
    problem = _bearer_problem(token, row.user.get_username())
    return Presented(
        state=_STATES.get(problem, "refused") if problem is not None else "valid",
        meaning=explain_error(problem) if problem is not None else "",
        username=row.user.get_username(),
        is_staff=row.user.is_staff,
        is_superuser=row.user.is_superuser,
        rights=_rights(row.user, row.application),
        scopes=tuple(row.scope.split()),
        expires_at=row.expires,
        client_id=row.application.client_id if row.application else None,
        restricted=row.application is not None and lms.is_restricted(row.application.pk),
    )


def _examine_jwt(token: Secret) -> Presented:
    claims, problem = lms.read_jwt(token)
    user = get_user_model()._default_manager.filter(username=claims.get("preferred_username")).first()
    if problem is None and user is None:
        problem = "jwt_without_user"
    if problem is not None or user is None:
        state = {"jwt_expired": "expired", "jwt_refused": "refused"}.get(problem or "", "unknown")
        return Presented(state=state, scheme="jwt", meaning=explain_error(problem or ""))
    application = oauth.only_application(user)  # No claim names it.
    restricted = bool(claims.get("is_restricted"))
    return Presented(
        state="valid",
        scheme="jwt",
        username=user.get_username(),
        is_staff=user.is_staff,
        is_superuser=user.is_superuser,
        rights=_rights(user, application),
        scopes=tuple(claims.get("scopes") or ()),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        client_id=application.client_id if application is not None else None,
        restricted=restricted,
    )


def _rights(user: Any, application: Any) -> tuple[str, ...]:
    flags = {"superuser": user.is_superuser, "staff": user.is_staff}
    others = rights.user_rights(user) | lms.access(application).rights
    return (*(flag for flag, has in flags.items() if has), *sorted(others))


def grant_in_process(client_id: str, client_secret: Secret) -> Check:
    """Request an opaque token from the site's code (RFC 6749 section 4.4), and roll it back."""
    with transaction.atomic(using=connection().alias):
        status, body = oauth_server.grant(client_id, client_secret)
        transaction.set_rollback(True, using=connection().alias)
    return check(_("client credentials grant"), None if status == 200 else answer_code(status, body))


def in_process(credentials: Credentials) -> tuple[Check, ...]:
    """Verify credentials with the site's Bearer authentication class and OAuth2 validator, without HTTP."""
    checks = []
    if credentials.access_token is not None:
        problem = _bearer_problem(credentials.access_token, credentials.username)
        checks.append(check(_("access token with the site's Bearer authentication"), problem))
    if credentials.client_secret is not None:
        user = oauth_server.client_user(credentials.client_id, credentials.client_secret)
        problem = "invalid_client" if user is None else user_problem(user.get_username(), credentials.username)
        checks.append(check(_("client id and secret with the site's OAuth2 validator"), problem))
    return tuple(checks)


def _bearer_problem(token: Secret, username: str) -> str | None:
    request: Any = HttpRequest()
    request._request = request  # As of DRF's class, which would take a command too long to import.
    host = conf.host() or "localhost"
    request.get_host = lambda: host  # ALLOWED_HOSTS does not matter: the request is our own.
    request.method, request.path = "GET", conf.get("ME_PATH")
    request.META.update(HTTP_AUTHORIZATION=f"Bearer {token.reveal()}", SERVER_NAME=host, SERVER_PORT="443")
    authentication = import_string(conf.get("BEARER_AUTHENTICATION"))()
    try:
        answer = authentication.authenticate(request)
    except APIException as error:
        return error_code(error.detail)
    except Error:
        raise
    except Exception:  # A caller would get a 500 from the site's class.
        return "500"
    return "token_nonexistent" if answer is None else user_problem(answer[0].get_username(), username)
