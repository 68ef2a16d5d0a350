"""Source: lms/djangoapps/user_tours/handlers.py of the LMS."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models.signals import post_save
from django.dispatch import receiver

from lms.djangoapps.user_tours.models import UserTour


@receiver(post_save, sender=User)
def init_user_tour(sender: type[User], instance: User, created: bool, **kwargs: Any) -> None:
    if created:
        UserTour.objects.create(user=instance)
