from __future__ import annotations

from django.conf import settings
from django.db import models


class UserTour(models.Model):
    """The guided tours a user has yet to see: one row for every user."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tour")
    course_home_tour_status = models.CharField(max_length=50, default="show-new-user-tour")
    show_courseware_tour = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"tours of {self.user}"
