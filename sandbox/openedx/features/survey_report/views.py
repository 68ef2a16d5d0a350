from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from openedx.features.survey_report.models import SurveyReport


@require_POST
@login_required
def generate_report(request: HttpRequest) -> HttpResponse:
    SurveyReport.objects.create()
    return redirect("admin:index")
