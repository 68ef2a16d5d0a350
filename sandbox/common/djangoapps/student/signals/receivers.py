"""Source: common/djangoapps/student/signals/receivers.py of the LMS."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models.signals import pre_save
from django.dispatch import receiver

from common.djangoapps.student.helpers import AccountValidationError


@receiver(pre_save, sender=User)
def on_user_updated(sender: type[User], instance: User, raw: bool, **kwargs: Any) -> None:
    """Refuse a new user with a retired username. The comparison is case-sensitive, as in the LMS."""
    is_new = instance.pk is None and not raw
    if is_new and instance.username.startswith(settings.RETIRED_USERNAME_PREFIX):
        raise AccountValidationError(
            f"An account with the Public Username '{instance.username}' already exists.", field="username"
        )
