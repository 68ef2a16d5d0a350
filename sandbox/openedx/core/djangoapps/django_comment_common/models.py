"""Source: openedx/core/djangoapps/django_comment_common/models.py of the LMS."""

from __future__ import annotations

from django.conf import settings
from django.db import models

FORUM_ROLES = ("Administrator", "Moderator", "Community TA")
"""Those with more rights than a student's, or a group moderator's."""


class Role(models.Model):
    """What some users may do in the forum of a course."""

    name = models.CharField(max_length=30)
    users = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="roles")
    course_id = models.CharField(max_length=255, blank=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.name} of {self.course_id}"
