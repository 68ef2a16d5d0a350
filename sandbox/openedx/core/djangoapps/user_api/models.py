"""Source: openedx/core/djangoapps/user_api/models.py of the LMS."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class UserRetirementStatus(models.Model):
    """The state of a user's retirement, with the values before and after it."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE)
    original_username = models.CharField(max_length=150, db_index=True)
    original_email = models.EmailField(db_index=True)
    retired_username = models.CharField(max_length=150, db_index=True)
    retired_email = models.EmailField(db_index=True)

    def __str__(self) -> str:
        return f"retirement of {self.user}"
