"""Receiver of the recorded LMS only (a fork): users need an email address."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models.signals import pre_save
from django.dispatch import receiver


@receiver(pre_save, sender=User)
def validate_user_email_not_empty(sender: type[User], instance: User, **kwargs: Any) -> None:
    if not (instance.email or "").strip():
        raise ValidationError({"email": ["Email field is required and cannot be empty."]})
