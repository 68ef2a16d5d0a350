"""Personal data and settings are annotated as Open edX's tools read it; `make lint` checks the form."""

from __future__ import annotations

import inspect
import re

import pytest
from django.apps import apps
from django.db.models import Model

from edx_api_provisioning import conf

ANNOTATED = re.compile(
    r'# \.\. setting_name: EDX_API_PROVISIONING\["(\w+)"\]\n'
    r" *# \.\. setting_default: (.+)\n"
    r" *# \.\. setting_description: .+\n"
    r"(?: *#   .+\n)*"
    r' *"(\w+)": (.+),\n'
)


@pytest.mark.parametrize("model", [*apps.get_app_config("edx_api_provisioning").get_models()])
def test_each_model_says_whether_it_holds_personal_data(model: type[Model]) -> None:
    assert re.search(r"^\s*\.\. (no_)?pii:", model.__doc__ or "", re.MULTILINE)


def test_each_setting_is_annotated_with_its_default() -> None:
    annotated = ANNOTATED.findall(inspect.getsource(conf))

    assert [name for name, *_rest in annotated] == list(conf.DEFAULTS)
    for name, default, setting, value in annotated:
        assert (name, default) == (setting, value)
