from __future__ import annotations

from django.db import models
from opaque_keys.edx.django.models import CourseKeyField
from opaque_keys.edx.keys import CourseKey


class CourseOverview(models.Model):
    """The LMS's course data outside the modulestore, which the sandbox lacks; a column stands for it."""

    id = CourseKeyField(max_length=255, primary_key=True)
    org = models.TextField(max_length=255)
    display_name = models.TextField(null=True)
    start = models.DateTimeField(null=True)
    end = models.DateTimeField(null=True)
    enrollment_start = models.DateTimeField(null=True)
    enrollment_end = models.DateTimeField(null=True)
    invitation_only = models.BooleanField(default=False)
    self_paced = models.BooleanField(default=False)
    # Not a column of the LMS. The recorded courses had an overview but no content.
    is_in_modulestore = models.BooleanField(default=False)

    def __str__(self) -> str:
        return str(self.id)

    @classmethod
    def get_from_id(cls, course_id: CourseKey) -> CourseOverview:
        return cls.objects.get(pk=course_id)
