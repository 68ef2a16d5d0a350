from __future__ import annotations


class AccountValidationError(Exception):
    """Invalid username or email of an account (common/djangoapps/student/helpers.py)."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field
