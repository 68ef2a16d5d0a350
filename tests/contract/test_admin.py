"""Test the sandbox's copies of the LMS admin classes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

pytestmark = pytest.mark.versions


def test_admin_classes_match_recording(contract: dict[str, Any]) -> None:
    registered = {name: admin.site._registry[apps.get_model(name)] for name in contract["admin"]}
    assert {name: _described(model_admin) for name, model_admin in registered.items()} == contract["admin"]


@pytest.mark.parametrize("page", ["changelist", "add"])
def test_admin_pages_open_and_search(page: str, contract: dict[str, Any], recorded: None, admin_client: Client) -> None:
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


BANNER = 'id="originalContent"'


@pytest.mark.parametrize("page", ["/admin/", "/admin/auth/user/", "/admin/auth/group/add/", "/admin/password_change/"])
def test_survey_banner_is_on_every_page(page: str, admin_client: Client) -> None:
    content = admin_client.get(page).content.decode()
    assert content.count(BANNER) == content.count('id="thankYouMessage"') == 1
    assert re.search(f"<div {BANNER} style=", content)
    assert re.search("<script>[^<]*originalContent", content)


def test_survey_banner_follows_the_messages(admin_client: Client) -> None:
    response = admin_client.post("/admin/auth/group/add/", {"name": "readers"}, follow=True)
    assert re.search(rf'class="messagelist">.*{BANNER}.*<h1>', response.content.decode(), re.DOTALL)


def test_survey_banner_ends_with_a_report(admin_client: Client) -> None:
    assert admin_client.post("/survey_report/generate_report").status_code == 302
    assert BANNER not in admin_client.get("/admin/").content.decode()


def test_survey_banner_can_be_switched_off(admin_client: Client, settings: Any) -> None:
    settings.SURVEY_REPORT_ENABLE = False
    assert BANNER not in admin_client.get("/admin/").content.decode()
