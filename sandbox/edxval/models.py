"""A model of the package edx-val, whose permissions can be requested."""

from __future__ import annotations

from django.db import models


class Video(models.Model):
    edx_video_id = models.CharField(max_length=100, unique=True)

    def __str__(self) -> str:
        return self.edx_video_id
