"""The authority behind a request: the operator, a person, or a credential at the REST API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WRITE_SCOPE = "write"
"""The LMS's own scope, which a credential needs to change anything at the REST API."""

RESTRICTED_READ_SCOPE = "api_provisioning:read"
RESTRICTED_WRITE_SCOPE = "api_provisioning:write"
"""The scopes that the credentials of a restricted application need instead. A site that wants them defines them."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Say on whose authority something is done. Entry points build it; services require it.

    It is the operator's, a person's in a session, with the rights of their account, or that of a credential at the REST
    API, with the rights of its user; if it is restricted, with its scopes and filters alone.
    """

    label: str
    """Name for the history, for example ``command line: root`` or ``admin: ann``; never a secret."""
    user: Any = None
    """The acting account, whose rights are the limit; None for the operator."""
    trusted: bool = False
    """Tell whether this is the operator: the command line, and tasks that the site's own code starts."""
    restricted: bool = False
    """Tell whether the rights of ``user`` do not count: only ``scopes`` and ``filters`` do."""
    scopes: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    client: str | None = None
    """Name of the API client that a credential belongs to."""

    @classmethod
    def operator(cls, label: str) -> Authority:
        """Return the operator's authority, which is not limited."""
        return cls(label, trusted=True)

    @classmethod
    def person(cls, user: Any, label: str) -> Authority:
        """Return the authority of the account ``user`` in a session."""
        return cls(label, user)

    @property
    def is_superuser(self) -> bool:
        """Report whether this is the operator or acts with all rights of a superuser."""
        return self.trusted or bool(self.user.is_superuser and not self.restricted)

    def within_filters(self, filters: tuple[str, ...]) -> bool:
        """Report whether a restricted credential with these filters sees no more than this one.

        Where a type of filter is missing (``user``), the LMS may take it for no limit at all
        (edx_rest_framework_extensions/permissions.py), so each type has to be there, with values of one's own.
        """
        own, other = _by_type(self.filters), _by_type(filters)
        return own.keys() == other.keys() and all(values <= own[kind] for kind, values in other.items())


def _by_type(filters: tuple[str, ...]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in filters:
        kind, _colon, value = each.partition(":")
        found.setdefault(kind, set()).add(value)
    return found
