"""The authority behind a request: the operator, a person, or a credential at the REST API."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    OPERATOR = "operator"
    """Trusted: the command line, and tasks that the site's own code starts."""
    PERSON = "person"
    """A person in a session, with the rights of their account."""
    CREDENTIAL = "credential"
    """A token at the REST API, with the rights of its user."""


@dataclass(frozen=True, slots=True)
class Authority:
    """On whose authority something is done. Entry points build it; services require it."""

    label: str
    """Name for the history, for example ``command line: root`` or ``admin: ann``; never a secret."""
    kind: Kind
    user: Any = None
    """The acting account, whose rights are the limit; None for the operator."""

    @classmethod
    def operator(cls, label: str) -> Authority:
        """Return the operator's authority, which is not limited."""
        return cls(label, Kind.OPERATOR)

    @classmethod
    def person(cls, user: Any, label: str) -> Authority:
        """Return the authority of the account ``user`` in a session."""
        return cls(label, Kind.PERSON, user)

    @classmethod
    def credential(cls, user: Any, label: str) -> Authority:
        """Return the authority of a token of ``user``."""
        return cls(label, Kind.CREDENTIAL, user)

    @property
    def trusted(self) -> bool:
        """Report whether this is the operator."""
        return self.kind is Kind.OPERATOR
