"""Describe the current state of a site and a client, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from edx_api_provisioning.core.options import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Policy and defaults of the site."""

    now: datetime
    host: str | None
    lifetime: timedelta
    max_lifetime: timedelta
    default_scopes: tuple[str, ...]
    available_scopes: tuple[str, ...]
    has_access: bool = False
    """Tell whether applications can be given scopes beyond the defaults, filters and restrictions here."""
    staff_allowed: bool = True
    superuser_allowed: bool = True
    contact_required: bool = False
    issue_tokens: bool = True
    """Tell whether new clients get access tokens unless they are described otherwise."""
    usernames_are_emails: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentUser:
    """An account that the wanted user name finds, on MySQL perhaps in another spelling."""

    username: str
    email: str
    is_staff: bool
    is_superuser: bool
    active: bool
    linked: bool
    """Tell whether it is the client's already: nobody has to be asked then."""
    made: bool = False
    """Tell whether this project made it."""
    retired: bool = False
    """Tell whether the LMS has retired it."""
    owner: str = ""
    """The name of another client that the account was created for."""
    declared_elsewhere: frozenset[str] = frozenset()
    """The rights that other clients of the account declare."""
    rights: frozenset[str] = frozenset()
    """Those given to the user itself, as in ``grants``, if the spec says anything about rights."""


APPLICATION_RIGHTS = ("scope:", "filter:", "restricted")


@dataclass(frozen=True, slots=True)
class Access:
    """Scopes that an application may request beyond the default ones, and its filters."""

    scopes: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()

    @property
    def rights(self) -> frozenset[str]:
        """Return the access as rights, such as ``scope:NAME``: with JWTs it can open what few users may see."""
        return frozenset([f"scope:{scope}" for scope in self.scopes] + [f"filter:{entry}" for entry in self.filters])


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentApplication:
    """The application that the registry row points at."""

    client_id: str
    user_pk: Any
    client_credentials: bool
    """Tell whether it is still confidential and for the client credentials grant."""
    restricted: bool
    access: Access = field(default_factory=lambda: Access())
    """What it may ask for beyond the default scopes."""
    live_tokens: bool = False
    """Tell whether it, or its predecessor, has tokens that a restriction would not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentToken:
    """The token that the registry row points at."""

    pk: Any
    expires_at: datetime
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentClient(Record):
    """The registry row that the wanted name finds, on MySQL perhaps in another spelling."""

    user_pk: Any
    username: str | None
    retired: bool
    is_staff: bool = False
    """Tell whether this package made the user staff."""
    is_superuser: bool = False
    declared: tuple[str, ...] = ()
    """The rights that it was declared to have."""
    token_lifetime: timedelta | None = None
    """The lifetime of its access tokens; None for the site's default."""
    application: CurrentApplication | None
    token: CurrentToken | None
    has_token: bool
    """Tell whether it was issued an access token that nobody revoked; it may have expired, or its row be gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentState:
    """Existing objects that concern one spec."""

    client: CurrentClient | None = None
    user: CurrentUser | None = None
    username_problem: str | None = None
    """Why an account of the wanted name may not be made."""
    email_owner: str | None = None
    """The user name of another account with the wanted address."""
    client_id_owner: str | None = None
    """The client_id, as it is spelled, of another application with the wanted one."""
    client_secret_matches: bool = True
    """Tell whether the wanted secret is the application's."""
    unknown_courses: frozenset[str] = frozenset()
    """The keys of wanted courses that the LMS does not have."""
    access_token_pk: Any = None
    """The row that the wanted access token finds."""
