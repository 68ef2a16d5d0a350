from __future__ import annotations

from django.db import models


class ContentLibrary(models.Model):
    """The LMS's row of a library, to which openedx-authz refers."""

    slug = models.SlugField()

    def __str__(self) -> str:
        return self.slug
