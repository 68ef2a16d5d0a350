"""The LMS's additions to Django's user, and the receivers that run when a user is saved.

Source: common/djangoapps/student/models/user.py of the LMS.
"""

from __future__ import annotations

import logging
from typing import Any

# Not used here. The LMS's student/models/user.py and course_enrollment.py import these, so every command of it has them
# loaded: without them a plugin's command would seem to import more than it does.
import edx_django_utils.monitoring  # noqa: F401
import requests.exceptions  # noqa: F401
from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver
from opaque_keys.edx.django.models import CourseKeyField

tracking = logging.getLogger("tracking")


class UserProfile(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="profile")
    name = models.CharField(max_length=255, blank=True, db_index=True)
    meta = models.TextField(blank=True)
    courseware = models.CharField(max_length=255, blank=True, default="course.xml")
    language = models.CharField(max_length=255, blank=True, db_index=True)
    location = models.CharField(max_length=255, blank=True, db_index=True)
    year_of_birth = models.IntegerField(blank=True, null=True, db_index=True)
    gender = models.CharField(max_length=6, blank=True, null=True, db_index=True)
    level_of_education = models.CharField(max_length=6, blank=True, null=True, db_index=True)
    mailing_address = models.TextField(blank=True, null=True)
    city = models.TextField(blank=True, null=True)
    country = models.CharField(max_length=2, blank=True, null=True)
    state = models.CharField(max_length=2, blank=True, null=True)
    goals = models.TextField(blank=True, null=True)
    bio = models.CharField(max_length=3000, blank=True, null=True)
    profile_image_uploaded_at = models.DateTimeField(blank=True, null=True)
    phone_number = models.CharField(max_length=50, blank=True, null=True)

    class Meta:
        app_label = "student"
        db_table = "auth_userprofile"
        permissions = (("can_deactivate_users", "Can deactivate, but NOT delete users"),)

    def __str__(self) -> str:
        return f"profile of {self.user}"


class AccountRecovery(models.Model):
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="account_recovery")
    secondary_email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=False)

    class Meta:
        app_label = "student"
        db_table = "auth_accountrecovery"

    def __str__(self) -> str:
        return f"account recovery of {self.user}"


class CourseAccessRole(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    org = models.CharField(max_length=64, blank=True, db_index=True)
    course_id = CourseKeyField(max_length=255, blank=True, db_index=True)
    role = models.CharField(max_length=64, db_index=True)

    class Meta:
        app_label = "student"
        unique_together = ("user", "org", "course_id", "role")

    def __str__(self) -> str:
        return f"{self.role} of {self.course_id or self.org or 'the site'}: {self.user}"


class CourseEnrollment(models.Model):
    """Source: common/djangoapps/student/models/course_enrollment.py of the LMS."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    course_id = CourseKeyField(max_length=255, db_index=True)
    created = models.DateTimeField(auto_now_add=True, null=True, db_index=True)
    mode = models.CharField(max_length=100, default="audit")
    is_active = models.BooleanField(default=True)

    class Meta:
        app_label = "student"
        unique_together = ("user", "course_id")

    def __str__(self) -> str:
        return f"{self.user} in {self.course_id}"


def _remember_changed_fields(instance: models.Model) -> None:
    """Compare with the stored row: one query for each save of an existing row, as in the LMS."""
    stored = type(instance)._base_manager.filter(pk=instance.pk).values().first() if instance.pk else None
    instance._changed_fields = [name for name, value in (stored or {}).items() if value != getattr(instance, name)]


@receiver(pre_save, sender=User)
def user_pre_save_callback(sender: type[User], instance: User, **kwargs: Any) -> None:
    _remember_changed_fields(instance)


@receiver(pre_save, sender=UserProfile)
def user_profile_pre_save_callback(sender: type[UserProfile], instance: UserProfile, **kwargs: Any) -> None:
    _remember_changed_fields(instance)


@receiver(post_save, sender=User)
def user_post_save_callback(sender: type[User], instance: User, **kwargs: Any) -> None:
    """Log changes to the tracking log; create a profile for users created by a command, and no others."""
    for name in instance._changed_fields:
        tracking.debug("edx.user.settings.changed: %s of user %s", name, instance.pk)
    if getattr(instance, "_called_by_management_command", False):
        try:
            instance.profile  # noqa: B018 (reading it is the test)
        except UserProfile.DoesNotExist:
            UserProfile.objects.create(user=instance)
