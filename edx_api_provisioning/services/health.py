"""Find changes made to a client outside this package since it was provisioned."""

from __future__ import annotations

from datetime import datetime

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import lms, oauth
from edx_api_provisioning.core.results import Issue
from edx_api_provisioning.models import ApiClient

# With these issues, new credentials would not work, or would have more rights than were granted.
BLOCKING = frozenset(
    {
        Issue.USER_GONE,
        Issue.USER_RETIRED,
        Issue.USER_INACTIVE,
        Issue.USER_PROMOTED,
        Issue.APPLICATION_GONE,
        Issue.APPLICATION_CHANGED,
        Issue.UNRESTRICTED,
    }
)


def find_issues(client: ApiClient, *, restricted: bool, now: datetime, live_tokens: bool = False) -> tuple[Issue, ...]:
    """Return the issues of a client that was loaded with its user, application and access token.

    Args:
        restricted: whether its application is a RestrictedApplication.
        live_tokens: whether its application has tokens that work; only for a retired client.
    """
    if client.state == ApiClient.State.RETIRED:
        return (Issue.RETIRED_TOKEN,) if live_tokens else ()
    return (
        *_user_issues(client),
        *_application_issues(client, restricted, now),
        *_token_issues(client, now),
        *([Issue.PREDECESSOR_OVERDUE] if client.predecessor_ends and client.predecessor_ends <= now else []),
    )


def _user_issues(client: ApiClient) -> list[Issue]:
    user = client.user
    if user is None:
        return [Issue.USER_GONE]
    has, given = (user.is_staff, user.is_superuser), (client.is_staff, client.is_superuser)
    findings = {
        Issue.USER_RETIRED: lms.is_retired(user.get_username()),
        Issue.USER_INACTIVE: not user.is_active,
        Issue.USER_PROMOTED: any(now and not then for now, then in zip(has, given, strict=True)),
        Issue.USER_DEMOTED: any(then and not now for now, then in zip(has, given, strict=True)),
    }
    return [issue for issue, found in findings.items() if found]


def _application_issues(client: ApiClient, restricted: bool, now: datetime) -> list[Issue]:
    application = client.application
    if application is None:
        return [Issue.APPLICATION_GONE]
    longest = conf.get("MAX_SECRET_AGE")
    findings = {
        Issue.APPLICATION_CHANGED: application.user_id is None
        or application.user_id != client.user_id
        or not oauth.is_client_credentials(application),
        # A client that was declared to be restricted has no opaque token to lose.
        Issue.RESTRICTED: restricted and "restricted" not in client.declared_rights,
        Issue.UNRESTRICTED: not restricted and "restricted" in client.declared_rights,
        Issue.SECRET_OVERDUE: longest is not None
        and client.secret_issued is not None
        and client.secret_issued < now - longest,
    }
    return [issue for issue, found in findings.items() if found]


def _token_issues(client: ApiClient, now: datetime) -> list[Issue]:
    if client.access_token is not None:
        return [Issue.TOKEN_EXPIRED] if client.access_token.expires <= now else []
    return [Issue.TOKEN_GONE] if client.access_token_id is not None else []
