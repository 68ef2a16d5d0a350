"""Personal data is annotated as Open edX's tools read it; `make lint` checks the form."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.db.models import Model


@pytest.mark.parametrize("model", [*apps.get_app_config("edx_api_provisioning").get_models()])
def test_models_declare_personal_data(model: type[Model]) -> None:
    assert re.search(r"^\s*\.\. (no_)?pii:", model.__doc__ or "", re.MULTILINE)
