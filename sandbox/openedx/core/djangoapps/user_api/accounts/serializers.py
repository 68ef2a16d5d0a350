"""Visibility of account fields (accounts/serializers.py and ACCOUNT_VISIBILITY_CONFIGURATION of the LMS)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.request import Request

from common.djangoapps.student.models import UserProfile

PUBLIC_FIELDS = ("account_privacy", "profile_image", "username")
SHARED_FIELDS = (
    *PUBLIC_FIELDS,
    "bio",
    "course_certificates",
    "country",
    "date_joined",
    "language_proficiencies",
    "level_of_education",
    "social_links",
    "time_zone",
)
ALL_FIELDS = (
    *SHARED_FIELDS,
    "name",
    "email",
    "id",
    "verified_name",
    "extended_profile",
    "gender",
    "state",
    "goals",
    "is_active",
    "last_login",
    "mailing_address",
    "requires_parental_consent",
    "secondary_email",
    "secondary_email_enabled",
    "year_of_birth",
    "phone_number",
    "activation_key",
    "pending_name_change",
)
NULL_IF_EMPTY = ("bio", "country", "state", "gender", "level_of_education")
AS_STORED = ("name", "goals", "year_of_birth", "mailing_address", "phone_number")
IMAGE_SIZES = {"full": 500, "large": 120, "medium": 50, "small": 30}
AGE_LIMIT = 13


def account(user: User, request: Request) -> dict[str, Any]:
    """Return all fields to the user and to staff, and to others what the profile shares.

    Unknown fields are null. A profile without year of birth is private.
    """
    profile = UserProfile.objects.filter(user=user).first()
    known = {
        "username": user.username,
        "email": user.email,
        "id": user.pk,
        "date_joined": user.date_joined.replace(microsecond=0),
        "last_login": user.last_login,
        "is_active": user.is_active,
        "account_privacy": "all_users",
        **(_of_profile(profile, request) if profile else {}),
    }
    fields: tuple[str, ...] = PUBLIC_FIELDS
    if request.user == user or request.user.is_staff:
        fields = ALL_FIELDS
    elif profile and known["account_privacy"] == "all_users":
        fields = SHARED_FIELDS
    return {name: known.get(name) for name in fields}


def _of_profile(profile: UserProfile, request: Request) -> dict[str, Any]:
    is_minor = profile.year_of_birth is None or timezone.now().year - profile.year_of_birth - 1 < AGE_LIMIT
    image = request.build_absolute_uri(f"{settings.STATIC_URL}images/profiles/default_%s.png")
    return {
        "account_privacy": "private" if is_minor else "all_users",
        "requires_parental_consent": is_minor,
        "profile_image": {
            "has_image": profile.profile_image_uploaded_at is not None,
            **{f"image_url_{name}": image % size for name, size in IMAGE_SIZES.items()},
        },
        **{name: getattr(profile, name) or None for name in NULL_IF_EMPTY},
        **{name: getattr(profile, name) for name in AS_STORED},
        "language_proficiencies": [],
        "social_links": [],
        "extended_profile": [],
    }
