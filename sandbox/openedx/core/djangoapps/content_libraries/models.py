from __future__ import annotations

from typing import Any

from django.db import models


class ContentLibraryManager(models.Manager["ContentLibrary"]):
    def get_by_key(self, library_key: Any) -> ContentLibrary:
        return self.get(slug=library_key.slug)


class ContentLibrary(models.Model):
    """The LMS's row of a library, to which openedx-authz refers."""

    slug = models.SlugField()

    objects = ContentLibraryManager()

    def __str__(self) -> str:
        return self.slug
