from __future__ import annotations


class AccountValidationError(Exception):
    """A username or email that an account may not have (common/djangoapps/student/helpers.py)."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field
