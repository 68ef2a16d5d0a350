from __future__ import annotations

from django.conf import settings
from django.db import models


class NotificationPreference(models.Model):
    """The way in which a user wants to be notified of one kind of event: one row for every user and kind."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    type = models.CharField(max_length=128)
    web = models.BooleanField(default=True)
    email = models.BooleanField(default=False)

    class Meta:
        unique_together = ("user", "type")

    def __str__(self) -> str:
        return f"{self.type} for {self.user}"
