"""One base error and a subclass for each thing an operator can put right.

A message is one line that says what is wrong and what to do; it never holds a secret. The doors decide how it is shown.
"""

from __future__ import annotations


class ProvisioningError(Exception):
    """Something that the operator can put right.

    ``field`` names the part of the :class:`~edx_api_provisioning.core.spec.ClientSpec` at fault, if it is one.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidSpec(ProvisioningError):
    """A wanted value is not allowed: malformed, too long, in the past, against the site's policy."""


class Conflict(ProvisioningError):
    """What exists differs from what is wanted, and making it match is not for us to do unasked."""


class ClientExists(Conflict):
    """An API client of this name is there already, and a new one was asked for."""


class NearMatch(Conflict):
    """The database took another spelling for the same name (MySQL ignores case and accents)."""


class NotAllowed(ProvisioningError):
    """Who is asking has fewer rights than the credentials would carry."""


class AlreadyDone(ProvisioningError):
    """This very request was carried out before; what it issued is not shown a second time."""


class RequestReused(ProvisioningError):
    """The id of a request that was carried out before came with something else to do."""


class ClientNotFound(ProvisioningError):
    """No API client has this name."""


class NotMigrated(ProvisioningError):
    """The registry's tables are missing or of another version."""


class DatabaseFailure(ProvisioningError):
    """The database refused or went away; the transaction was rolled back."""


class UnusableToken(ProvisioningError):
    """Something at the site changed the token while it was saved; it would not work, so it was not kept."""


class OutputFailure(ProvisioningError):
    """The credentials could not be written to where they were wanted."""
