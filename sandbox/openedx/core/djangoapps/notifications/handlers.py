"""Source: openedx/core/djangoapps/notifications/handlers.py of the LMS."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models.signals import post_save
from django.dispatch import receiver

from openedx.core.djangoapps.notifications.models import NotificationPreference

TYPES = (
    "comment_on_followed_post",
    "content_reported",
    "course_updates",
    "new_comment",
    "new_comment_on_response",
    "new_discussion_post",
    "new_instructor_all_learners_post",
    "new_question_post",
    "new_response",
    "ora_grade_assigned",
    "ora_staff_notifications",
    "response_endorsed",
    "response_endorsed_on_thread",
    "response_on_followed_post",
)


@receiver(post_save, sender=User)
def create_user_account_preferences(sender: type[User], instance: User, created: bool, **kwargs: Any) -> None:
    if created:
        NotificationPreference.objects.bulk_create(NotificationPreference(user=instance, type=name) for name in TYPES)
