"""Source: openedx/core/djangoapps/oauth_dispatch/models.py of the LMS."""

from __future__ import annotations

from typing import Any

from crum import get_current_request
from django.db import models
from oauth2_provider.settings import oauth2_settings

from openedx.core.djangoapps.oauth_dispatch.fields import ListCharField


class RestrictedApplication(models.Model):
    """Marks an application whose tokens must not carry its user's rights."""

    application = models.ForeignKey(oauth2_settings.APPLICATION_MODEL, models.CASCADE)

    def __str__(self) -> str:
        return f"restricted application {self.application}"

    @classmethod
    def should_expire_access_token(cls, application: Any) -> bool:
        """Return whether opaque tokens of the application expire at once; a JWT carries its own limits."""
        request = get_current_request()
        if request is not None and request.POST.get("token_type", "").lower() == "jwt":
            return False
        return cls.objects.filter(application=application).exists()


class ApplicationAccess(models.Model):
    """Scopes beyond the default ones that an application may request, and filters for their reach."""

    application = models.OneToOneField(oauth2_settings.APPLICATION_MODEL, models.CASCADE, related_name="access")
    scopes = ListCharField(max_length=825)
    filters = ListCharField(max_length=825, blank=True, null=True)

    def __str__(self) -> str:
        return f"access of {self.application}"

    @classmethod
    def of(cls, application: Any) -> ApplicationAccess | None:
        return cls.objects.filter(application=application).first()
