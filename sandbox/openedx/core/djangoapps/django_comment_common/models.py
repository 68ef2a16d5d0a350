"""Source: openedx/core/djangoapps/django_comment_common/models.py of the LMS."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver
from opaque_keys.edx.django.models import CourseKeyField

from common.djangoapps.student.models import CourseEnrollment

FORUM_ROLES = ("Administrator", "Moderator", "Community TA")
"""The roles with more rights than a student's or a group moderator's."""


class Role(models.Model):
    """A role of users in a course's forum."""

    name = models.CharField(max_length=30)
    users = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="roles")
    course_id = CourseKeyField(max_length=255, blank=True, db_index=True)

    class Meta:
        db_table = "django_comment_client_role"

    def __str__(self) -> str:
        return f"{self.name} of {self.course_id}"


@receiver(post_save, sender=CourseEnrollment)
def assign_default_role_on_enrollment(
    sender: type[CourseEnrollment], instance: CourseEnrollment, **kwargs: Any
) -> None:
    """Give a newly enrolled user the Student role of the course's forum."""
    role, _created = Role.objects.get_or_create(name="Student", course_id=instance.course_id)
    role.users.add(instance.user)
