"""The LMS's admin classes."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.versions


def test_the_admin_classes_are_the_recorded_ones(contract: dict[str, Any]) -> None:
    registered = {name: admin.site._registry[apps.get_model(name)] for name in contract["admin"]}
    assert {name: _described(model_admin) for name, model_admin in registered.items()} == contract["admin"]


@pytest.mark.parametrize("page", ["changelist", "add"])
def test_every_admin_page_opens_and_can_be_searched(
    page: str, contract: dict[str, Any], recorded: None, admin_client: Client
) -> None:
    for name in contract["admin"]:
        url = reverse(f"admin:{name.lower().replace('.', '_')}_{page}")
        assert admin_client.get(url, {"q": "plain"}).status_code == 200, url


def _described(model_admin: admin.ModelAdmin[Any]) -> dict[str, Any]:
    return {
        "mro": [f"{cls.__module__}.{cls.__qualname__}" for cls in type(model_admin).__mro__],
        "list_display": [*model_admin.list_display],
        "search_fields": [*model_admin.search_fields],
        "raw_id_fields": [*model_admin.raw_id_fields],
        "actions": [*(model_admin.actions or ())],
        "inlines": [inline.__name__ for inline in model_admin.inlines],
        "change_list_template": str(model_admin.change_list_template),
    }
