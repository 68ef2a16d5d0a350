"""Source: openedx/features/survey_report/context_processors.py of the LMS."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from openedx.features.survey_report.models import SurveyReport

THRESHOLD = timedelta(days=183)


def admin_extra_context(request: HttpRequest) -> dict[str, bool]:
    """Show the banner on every page of the admin until a report has been sent, and again half a year later."""
    if not settings.SURVEY_REPORT_ENABLE or not request.path.startswith(reverse("admin:index")):
        return {"show_survey_report_banner": False}
    recent = SurveyReport.objects.filter(created_at__gt=timezone.now() - THRESHOLD)
    return {"show_survey_report_banner": not recent.exists()}
