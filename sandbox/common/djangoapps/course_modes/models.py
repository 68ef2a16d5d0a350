from __future__ import annotations

from django.db import models
from opaque_keys.edx.django.models import CourseKeyField


class CourseMode(models.Model):
    """A way to take a course, with its price."""

    course_id = CourseKeyField(max_length=255, db_index=True)
    mode_slug = models.CharField(max_length=100)
    mode_display_name = models.CharField(max_length=255)
    min_price = models.IntegerField(default=0)
    currency = models.CharField(max_length=8, default="usd")
    expiration_datetime = models.DateTimeField(blank=True, null=True)
    expiration_datetime_is_explicit = models.BooleanField(default=False)
    description = models.TextField(blank=True, null=True)
    sku = models.CharField(max_length=255, blank=True, null=True)
    bulk_sku = models.CharField(max_length=255, blank=True, null=True)

    class Meta:
        unique_together = ("course_id", "mode_slug", "currency")

    def __str__(self) -> str:
        return f"{self.mode_slug} of {self.course_id}"
