"""Source: openedx/core/djangoapps/user_api/models.py of the LMS."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class UserRetirementStatus(models.Model):
    """The state of a user's retirement. The sandbox has no rows; its permissions are used."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE)

    def __str__(self) -> str:
        return f"retirement of {self.user}"
