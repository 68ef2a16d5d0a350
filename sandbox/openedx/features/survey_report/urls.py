from __future__ import annotations

from django.urls import path

from openedx.features.survey_report.views import generate_report

urlpatterns = [path("generate_report", generate_report, name="openedx.generate_survey_report")]
