"""The site's own models, each with an extra field."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from oauth2_provider.models import AbstractAccessToken, AbstractApplication


class OwnApplication(AbstractApplication):
    department = models.CharField(max_length=20, default="unknown")

    def clean(self) -> None:
        super().clean()
        if self.name == "forbidden":
            raise ValidationError("No department wants an application of this name.")


class OwnAccessToken(AbstractAccessToken):
    uses = models.PositiveIntegerField(default=0)
