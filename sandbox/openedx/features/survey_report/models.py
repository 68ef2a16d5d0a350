from __future__ import annotations

from django.db import models


class SurveyReport(models.Model):
    """A report to the Open edX project on how the site is used. The sandbox stores the time and sends nothing."""

    created_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"report of {self.created_at}"
