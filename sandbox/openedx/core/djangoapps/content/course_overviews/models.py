from __future__ import annotations

from django.db import models


class CourseOverview(models.Model):
    """What the LMS keeps of a course outside the modulestore: here, that there is one."""

    id = models.CharField(max_length=255, primary_key=True)
    org = models.TextField(max_length=255)

    def __str__(self) -> str:
        return self.id
