"""Frozen result values. No database, no settings.

Time spans are :class:`~datetime.timedelta`, instants are aware UTC datetimes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from django.utils.translation import gettext_lazy as _

from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.core.options import Record
from edx_api_provisioning.core.secrets import Secret


class Status(enum.StrEnum):
    """Results of a run for one client, as in the JSON output."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    ADOPTED = "adopted"
    ROTATED = "rotated"
    REVOKED = "revoked"
    RETIRED = "retired"
    DELETED = "deleted"


class IssueIds(NamedTuple):
    """The random ids of a client's secret and token, new for each one that is issued; empty for one of others."""

    secret: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The credentials of a client. A secret is here only if this run issued it."""

    name: str
    status: Status
    username: str = ""
    email: str = ""
    client_id: str = ""
    client_secret: Secret | None = None
    access_token: Secret | None = None
    expires_at: datetime | None = None
    """Expiry date of the client's current access token; None without one."""
    scopes: tuple[str, ...] = ()
    profile: str = ""
    """The access profile, if it was provisioned with one."""
    restricted: bool = False
    """True if the application is restricted: it gets JWTs only, no opaque tokens."""
    issues: IssueIds = field(default=IssueIds())
    """The ids of the client's current secret and token."""
    stored_secret: Secret | None = field(default=None, repr=False)
    """The client secret as django-oauth-toolkit is to store it: plain or hashed."""
    verified: bool | None = None
    """True if the site's own classes accepted the credentials before they were committed; None if not asked."""
    changes: tuple[str, ...] = ()
    """Changes that the run made, one sentence for each."""
    warnings: tuple[str, ...] = ()

    @property
    def issued(self) -> bool:
        """Return True if there is a secret to deliver."""
        return self.client_secret is not None or self.access_token is not None


class CredentialsOutput(TypedDict):
    """An API client as the output shows it. Secrets are shown only by the run that issues them.

    The names are those of RFC 6749.
    """

    name: str
    """Name of the API client."""
    status: str
    """What was done: created, updated, unchanged, adopted, rotated, revoked, retired or deleted."""
    username: str
    """Username of the service user."""
    email: str
    """Email address of the service user."""
    client_id: str
    """Client ID of the application."""
    client_secret: str | None
    """Client secret, if this run issued it."""
    access_token: str | None
    """Access token, if this run issued it."""
    token_type: str | None
    """Bearer; null without an access token."""
    expires_at: str | None
    """Expiry date of the access token (ISO 8601, UTC)."""
    expires_in: int | None
    """Seconds until the access token expires."""
    scope: str | None
    """Scopes, separated by spaces."""
    token_url: str | None
    """URL at which client ID and secret request tokens (RFC 6749 section 4.4)."""
    api_docs_url: str | None
    """URL of the API documentation of the site."""
    verified: bool | None
    """True if the credentials were verified; null if nothing was issued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The result for one of many clients."""

    name: str
    credentials: Credentials | None = None
    error: ProvisioningError | None = None
    """The reason if nothing was done."""

    def unwrap(self) -> Credentials:
        """Return the credentials; raise the error if nothing was done."""
        if self.error is not None:
            raise self.error
        assert self.credentials is not None  # noqa: S101 - for the type checker: it is one or the other
        return self.credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSummary(Record):
    """A managed client, without secrets."""

    state: str
    """active or retired."""
    username: str | None
    """Username of the service user; null if the user was deleted."""
    is_staff: bool
    """True if the service user is staff."""
    is_superuser: bool
    """True if the service user is a superuser."""
    client_id: str | None
    """Client ID of the application; null if the application was deleted."""
    scopes: tuple[str, ...]
    """Scopes of the current access token."""
    tokens: int
    """Number of access tokens of the application, expired ones included."""
    expires_at: datetime | None
    """Expiry date of the current access token."""
    last_issued: datetime | None
    """Time at which a token or secret was last issued."""
    last_used: datetime | None = None
    """Time of the last known use, to the hour: an opaque token was presented, or a token or JWT was requested."""
    bearer_used: datetime | None = None
    """Time at which an opaque token was last presented (Authorization: Bearer), to the hour."""
    rights: tuple[str, ...] = ()
    """superuser and staff, if the service user is one, and the declared rights."""
    restricted: bool = False
    """True if the application is restricted: it gets JWTs only."""
    declared: tuple[str, ...] = ()
    """Rights that were declared for the service user and the application."""
    created: datetime | None = None
    """Time at which the client was registered."""
    updated: datetime | None = None
    """Time at which the registry row last changed."""
    excess: tuple[str, ...] = ()
    """Rights beyond the declared ones; only list_api_clients --overprivileged determines them."""
    issues: tuple[str, ...]
    """Codes of the issues found, such as token_expired or user_inactive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An entry in the history of a client."""

    kind: str
    """Type of the event, such as created, updated, rotated, revoked or retired."""
    actor: str
    """Who did it."""
    reason: str
    """Reason that the actor gave."""
    details: dict[str, Any]
    """Details of the change, without secrets."""
    created: datetime
    """Time of the event."""


class RequestId(NamedTuple):
    """Identification of a request; a repeated request is refused."""

    key: str
    """At most 64 characters."""
    digest: str
    """Digest of the request, so that another request with the same key is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmanaged:
    """An application or a long-lived access token that belongs to no client, without secrets."""

    kind: str
    name: str
    client_id: str | None
    username: str | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """Result of checking a presented access token."""

    state: str
    """``valid``, ``expired``, ``unknown``, ``disabled`` (its user), ``unusable`` or ``refused``."""
    scheme: str = "bearer"
    """Scheme of the Authorization header: ``bearer`` or ``jwt``."""
    meaning: str = ""
    """If the token is not valid, the reason and what to do."""
    username: str | None = None
    is_staff: bool = False
    is_superuser: bool = False
    rights: tuple[str, ...] = ()
    """``superuser``, ``staff``, the rights of the user itself, and what its application may request."""
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    client_id: str | None = None
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check: ``ok``, or what the failure means and what to do."""

    what: str
    ok: bool | None
    """None if it was not tried."""
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """Checks of credentials, in order."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Return True if something was tried and nothing failed."""
        found = [check.ok for check in self.checks]
        return True in found and False not in found


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The caller of a request, as its credential identifies it."""

    username: str
    """Username of the account."""
    is_staff: bool
    """True if the account is staff."""
    is_superuser: bool
    """True if the account is a superuser."""
    scheme: str
    """Authentication scheme: bearer, jwt (in a header or cookie) or session."""
    client: str | None = None
    """API client that owns the credential, if it is known."""
    client_id: str | None = None
    """Client ID of the application that owns the credential."""
    scopes: tuple[str, ...] | None = None
    """Scopes of the credential; null for a session."""
    restricted: bool = False
    """True if the application is restricted: the rights of the account do not count."""
    rights: tuple[str, ...] = ()
    """Rights that an ordinary account does not have."""
    self_rotation: bool = False
    """True if self/rotate/ accepts the credential."""
    expires_at: datetime | None = None
    """Expiry date of the credential; null for a session."""


class Issue(enum.StrEnum):
    """Codes of issues, for scripts."""

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
    RETIRED_TOKEN = "retired_token"  # noqa: S105


ISSUE_MEANINGS = {
    Issue.USER_GONE: _("the user was deleted; provision the client again"),
    Issue.USER_RETIRED: _("the user was retired by the LMS; retire the client and provision a new one"),
    Issue.USER_INACTIVE: _("the user is not active; activate it in the admin, or retire the client"),
    Issue.USER_PROMOTED: _(
        "the user has more rights than were granted here; remove them, or adopt the client again to accept them"
    ),
    Issue.USER_DEMOTED: _(
        "the user has fewer rights than were granted here; restore them, or adopt the client again to accept that"
    ),
    Issue.APPLICATION_GONE: _("the application was deleted; provision the client again"),
    Issue.APPLICATION_CHANGED: _(
        "the user, client type or grant type of the application was changed; correct it in the admin"
    ),
    Issue.RESTRICTED: _("the application is restricted, so its access tokens expire at once; use JWTs"),
    Issue.UNRESTRICTED: _(
        "the application is no longer restricted, so the client has all rights of its user; restrict it again"
    ),
    Issue.TOKEN_GONE: _("the access token was deleted, for example by a password reset; rotate the client"),
    Issue.TOKEN_EXPIRED: _("the access token has expired; rotate the client"),
    Issue.SECRET_OVERDUE: _("the client secret is older than the site allows; rotate the secret"),
    Issue.PREDECESSOR_OVERDUE: _("the grace period of the old application is over; rotate or revoke the client"),
    Issue.RETIRED_TOKEN: _("an access token was granted while the client was being retired; revoke the client"),
}
