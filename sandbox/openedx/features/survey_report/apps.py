from __future__ import annotations

from django.apps import AppConfig


class SurveyReportConfig(AppConfig):
    name = "openedx.features.survey_report"
