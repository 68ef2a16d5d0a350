"""What others did to a client since it was provisioned, and what the operator may do about it."""

from __future__ import annotations

import enum
from datetime import datetime

from django.utils.translation import gettext_lazy as _

from edx_api_provisioning import lms, toolkit
from edx_api_provisioning.models import ApiClient


class Trouble(enum.StrEnum):
    """One finding, by the word that scripts read."""

    USER_GONE = "user_gone"
    USER_RETIRED = "user_retired"
    USER_INACTIVE = "user_inactive"
    USER_PROMOTED = "user_promoted"
    USER_DEMOTED = "user_demoted"
    APPLICATION_GONE = "application_gone"
    APPLICATION_CHANGED = "application_changed"
    RESTRICTED = "restricted"
    UNRESTRICTED = "unrestricted"
    TOKEN_GONE = "token_gone"  # noqa: S105 - a finding, not a token
    TOKEN_EXPIRED = "token_expired"  # noqa: S105
    SECRET_OVERDUE = "secret_overdue"  # noqa: S105
    PREDECESSOR_OVERDUE = "predecessor_overdue"
    NOT_HANDED_OVER = "not_handed_over"


MEANINGS = {
    Trouble.USER_GONE: _("its user was deleted; provision it again"),
    Trouble.USER_RETIRED: _("its user was retired by the LMS; retire the client and provision another"),
    Trouble.USER_INACTIVE: _("its user is not active; activate it in the admin, or retire the client"),
    Trouble.USER_PROMOTED: _("its user has more rights than it was given here; take them away, or adopt it again"),
    Trouble.USER_DEMOTED: _("its user has fewer rights than it was given here; give them back, or adopt it again"),
    Trouble.APPLICATION_GONE: _("its application was deleted; provision it again"),
    Trouble.APPLICATION_CHANGED: _("its application has another user, client type or grant type; put it right"),
    Trouble.RESTRICTED: _("its application is restricted: access tokens of it expire at once; use JWTs"),
    Trouble.UNRESTRICTED: _("its application is not restricted any more: it has all rights of its user; restrict it"),
    Trouble.TOKEN_GONE: _("its access token was deleted, as a password reset does; rotate it"),
    Trouble.TOKEN_EXPIRED: _("its access token has expired; rotate it"),
    Trouble.SECRET_OVERDUE: _("its client secret is older than the site allows; rotate it"),
    Trouble.PREDECESSOR_OVERDUE: _("the application before its last rotation is past its grace; rotate or revoke"),
    Trouble.NOT_HANDED_OVER: _("nobody has its credentials: the run that issued them was cut off; provision it again"),
}

# With these, new credentials would be of no use or of more use than was agreed: nothing is issued.
BLOCKING = frozenset(
    {
        Trouble.USER_GONE,
        Trouble.USER_RETIRED,
        Trouble.USER_INACTIVE,
        Trouble.USER_PROMOTED,
        Trouble.APPLICATION_GONE,
        Trouble.APPLICATION_CHANGED,
        Trouble.UNRESTRICTED,
    }
)


def troubles(
    client: ApiClient, *, restricted: bool, now: datetime, oldest_secret: datetime | None
) -> tuple[Trouble, ...]:
    """The findings about a client that was loaded with its user, application and access token.

    Args:
        restricted: whether its application is a RestrictedApplication.
        oldest_secret: secrets issued before this are overdue; None if the site sets no age.
    """
    if client.state == ApiClient.State.RETIRED:
        return ()
    return (
        *_user_troubles(client),
        *_application_troubles(client, restricted, oldest_secret),
        *_token_troubles(client, now),
        *([Trouble.PREDECESSOR_OVERDUE] if client.predecessor_ends and client.predecessor_ends <= now else []),
        *([Trouble.NOT_HANDED_OVER] if client.not_handed_over(now) else []),
    )


def _user_troubles(client: ApiClient) -> list[Trouble]:
    user = client.user
    if user is None:
        return [Trouble.USER_GONE]
    has, given = (user.is_staff, user.is_superuser), (client.is_staff, client.is_superuser)
    findings = {
        Trouble.USER_RETIRED: lms.is_retired(user.get_username()),
        Trouble.USER_INACTIVE: not user.is_active,
        Trouble.USER_PROMOTED: any(now and not then for now, then in zip(has, given, strict=True)),
        Trouble.USER_DEMOTED: any(then and not now for now, then in zip(has, given, strict=True)),
    }
    return [trouble for trouble, found in findings.items() if found]


def _application_troubles(client: ApiClient, restricted: bool, oldest_secret: datetime | None) -> list[Trouble]:
    application = client.application
    if application is None:
        return [Trouble.APPLICATION_GONE]
    findings = {
        Trouble.APPLICATION_CHANGED: application.user_id is None
        or application.user_id != client.user_id
        or not toolkit.is_client_credentials(application),
        # A client that was declared to be restricted has no opaque token to lose.
        Trouble.RESTRICTED: restricted and "restricted" not in client.declared_rights,
        Trouble.UNRESTRICTED: not restricted and "restricted" in client.declared_rights,
        Trouble.SECRET_OVERDUE: oldest_secret is not None
        and client.secret_issued is not None
        and client.secret_issued < oldest_secret,
    }
    return [trouble for trouble, found in findings.items() if found]


def _token_troubles(client: ApiClient, now: datetime) -> list[Trouble]:
    if client.access_token is not None:
        return [Trouble.TOKEN_EXPIRED] if client.access_token.expires <= now else []
    return [Trouble.TOKEN_GONE] if client.access_token_id is not None else []
