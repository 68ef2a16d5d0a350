"""Password rules at the LMS's dotted paths (common/djangoapps/util/password_policy_validators.py)."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError


class MinimumLengthValidator(password_validation.MinimumLengthValidator):
    pass


class MaximumLengthValidator:
    def __init__(self, max_length: int = 75) -> None:
        self.max_length = max_length

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > self.max_length:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return f"Your password must contain no more than {self.max_length} characters."
