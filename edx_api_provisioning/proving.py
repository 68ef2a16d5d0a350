"""Proving credentials: those that a run issued, those that somebody presents, and what they open."""

from __future__ import annotations

from edx_api_provisioning import access, lms, registry, toolkit
from edx_api_provisioning.data import Check, ClientSummary, Credentials, Presented, Secret, Verification
from edx_api_provisioning.database import explained, unlogged


def verify(credentials: Credentials, *, url: str | None = None) -> Verification:
    """Prove the secrets that a run issued: in this process, and over HTTP too if a site's root is given.

    Args:
        url: from :func:`~edx_api_provisioning.data.parse_site_url`.
    """
    # Here, for what the site's authentication classes cost everybody who proves nothing.
    from edx_api_provisioning import verification

    with explained(), unlogged():
        checks = verification.in_process(credentials)
    if url is not None:
        checks += verification.over_http(credentials, url)
    return Verification(checks)


def verify_token(token: Secret, *, username: str, url: str) -> Verification:
    """Prove an access token that somebody presents over HTTP.

    Args:
        username: whose it is, from :func:`examine`.
        url: from :func:`~edx_api_provisioning.data.parse_site_url`.
    """
    from edx_api_provisioning import verification

    return Verification((verification.token_over_http(token, username, url),))


def examine(token: Secret) -> Presented:
    """What the site makes of an access token that somebody presents, and whose it is. Nothing is written."""
    from edx_api_provisioning import verification

    with explained(), unlogged():
        return verification.examine(token)


def verify_client(client_id: str, client_secret: Secret, *, url: str | None = None) -> Verification:
    """Prove a client id and secret that somebody presents by the real grant, here and over HTTP at a site's root.

    Args:
        url: from :func:`~edx_api_provisioning.data.parse_site_url`; there an opaque token and a JWT are asked for.
    """
    from edx_api_provisioning import verification

    if not (client_id + client_secret.reveal()).isprintable():
        return Verification((verification.unknown_client(),))  # They may be no text at all.
    with explained(), unlogged():
        checks: tuple[Check, ...] = (verification.grant_in_process(client_id, client_secret),)
        application = toolkit.find_application(client_id)
        restricted = application is not None and lms.is_restricted(application.pk)
        scopes = (*toolkit.default_scopes(), *lms.access(application.pk)[0]) if restricted else None
    if url is not None and application is not None and application.user is not None:
        username = application.user.get_username()
        checks += verification.client_over_http(client_id, client_secret, username, url, scopes=scopes)[0]
    return Verification(checks)


def try_profile(
    client: ClientSummary,
    *,
    url: str,
    access_token: Secret | None,
    client_secret: Secret | None,
    course_key: str | None = None,
) -> Verification:
    """Try what a client's profile opens over HTTP, with whatever there is of its credentials; only safe methods.

    Args:
        url: from :func:`~edx_api_provisioning.data.parse_site_url`.
        course_key: a course to try it on, as it is written; it is escaped as the LMS wants it.
    """
    from edx_api_provisioning import verification

    if not client.profile or client.username is None:
        return Verification(())
    tokens = {"bearer": access_token} if access_token is not None else {}
    if client_secret is not None and client.client_id is not None:
        _checks, jwt = verification.client_over_http(
            client.client_id, client_secret, client.username, url, scopes=_requestable(client)
        )
        tokens |= {"jwt": jwt} if jwt is not None else {}
    profile = access.profile(client.profile)
    return Verification(verification.profile_over_http(profile, tokens, client.username, url, course_key=course_key))


def _requestable(client: ClientSummary) -> tuple[str, ...]:
    row = registry.find(client.name, lock_it=False)
    return registry.requestable_scopes(row) if row is not None else ()
