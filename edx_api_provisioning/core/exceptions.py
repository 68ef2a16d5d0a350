"""Define the errors that an operator can correct.

A message is one line that says what is wrong and what to do. It never contains a secret.
"""

from __future__ import annotations


class ProvisioningError(Exception):
    """An error that the operator can correct.

    ``field`` is the field of :class:`~edx_api_provisioning.core.spec.ClientSpec` at fault, if any.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidSpec(ProvisioningError):
    """A requested value is malformed, too long, in the past, or against site policy."""


class Conflict(ProvisioningError):
    """Something that exists differs from the request and is not changed without consent."""


class ClientExists(Conflict):
    """An API client of this name exists, and the request was to create one."""


class NotTold(Conflict):
    """A conflict with an account that the caller may not see, without its details."""


class NearMatch(Conflict):
    """A value matches an existing one in another spelling (MySQL ignores case and accents)."""


class NotAllowed(ProvisioningError):
    """The requesting person has fewer rights than the credentials would have."""


class AlreadyDone(ProvisioningError):
    """The request with this id was carried out before. Its credentials are not shown again."""


class RequestReused(ProvisioningError):
    """The id of an earlier request was sent with a different request."""


class ClientNotFound(ProvisioningError):
    """No API client has this name."""


class NotMigrated(ProvisioningError):
    """The tables of this package are missing or outdated."""


class DatabaseFailure(ProvisioningError):
    """The database reported an error, and the transaction was rolled back."""


class UnusableToken(ProvisioningError):
    """The site generated or changed a token so that it would not work. Nothing was saved."""


class VerificationFailed(ProvisioningError):
    """The issued credentials do not work at the site; the transaction was rolled back."""


class OutputFailure(ProvisioningError):
    """The credentials could not be written to the requested destination."""
