"""Test our pages on several admin sites, at other paths and in another theme."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jazzmin
import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.urls import path
from oauth2_provider.admin import ApplicationAdmin
from oauth2_provider.models import get_application_model

from edx_api_provisioning import api
from edx_api_provisioning.admin.clients import ApiClientAdmin, ApiClientEventAdmin
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from lms.urls import urlpatterns as urls_of_lms
from tests.admin_client import Browser, client_named, form_of, make_superuser, shown, text
from tests.factories import OPERATOR, ApplicationFactory

SECOND = AdminSite("second")
SECOND.register(get_user_model(), UserAdmin)
SECOND.register(get_application_model(), ApplicationAdmin)
SECOND.register(ApiClient, ApiClientAdmin)
SECOND.register(ApiClientEvent, ApiClientEventAdmin)
urlpatterns = [*urls_of_lms, path("back/stage/", SECOND.urls)]

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

OURS = "/back/stage/edx_api_provisioning"
PAGES = (
    "apiclient/",
    "apiclient/{pk}/change/",
    "apiclient/{pk}/history/",
    "apiclientevent/",
    *(f"apiclient/{page}/?client={{pk}}" for page in ("provision", "rotate", "revoke", "retire", "adopt")),
)


@pytest.fixture
def browser() -> Browser:
    api.provision(ClientSpec(name="report"), authority=OPERATOR)
    return Browser(make_superuser())


def links(page: Any) -> list[str]:
    assert page.status_code == 200
    return re.findall(r'href="(/[^"]*)"', re.sub(r'href="/static/[^"]*"', "", page.content.decode()))


@pytest.mark.parametrize("address", PAGES)
def test_links_stay_on_their_site(browser: Browser, address: str) -> None:
    found = links(browser.get(f"{OURS}/{address.format(pk=client_named('report').pk)}"))
    assert [link for link in found if link.startswith("/back/stage/")]
    assert [link for link in found if link.startswith("/admin/")] == []


def test_second_site_provisions_and_returns(browser: Browser) -> None:
    preview = browser.send(browser.get(f"{OURS}/apiclient/provision/"), name="new")
    page = browser.send(preview, _confirm="yes")
    assert shown(page)["client_id"] == client_named("new").application.client_id
    assert f"{OURS}/apiclient/{client_named('new').pk}/change/" in links(page)
    revoke = browser.get(f"{OURS}/apiclient/revoke/?client={client_named('new').pk}")
    assert browser.send(revoke).url == f"{OURS}/apiclient/{client_named('new').pk}/change/"


def test_second_site_extends_its_applications_and_users(browser: Browser) -> None:
    application = ApplicationFactory()
    page = browser.get(f"/back/stage/oauth2_provider/application/{application.pk}/change/")
    assert f"{OURS}/apiclient/adopt/?application={application.pk}" in links(page)
    users = "/back/stage/auth/user/"
    answer = browser.post(users, action="api_client_provision", _selected_action=[application.user_id])
    assert answer.url == f"{OURS}/apiclient/provision/?user={application.user_id}"


@pytest.fixture
def jazzmin_theme(settings: Any) -> None:
    """Use the templates of another theme; its app itself has nothing that our pages need."""
    [engine] = settings.TEMPLATES
    options = {**engine["OPTIONS"], "libraries": {"jazzmin": "jazzmin.templatetags.jazzmin"}}
    folder = Path(jazzmin.__file__).parent / "templates"
    settings.TEMPLATES = [{**engine, "OPTIONS": options, "DIRS": [*engine["DIRS"], folder]}]


@pytest.mark.parametrize("address", PAGES)
def test_pages_work_in_another_theme(jazzmin_theme: None, browser: Browser, address: str) -> None:
    page = browser.get(f"{OURS}/{address.format(pk=client_named('report').pk)}")
    assert "AdminLTE" in page.content.decode() or "jazzmin" in page.content.decode()
    assert "report" in text(page)
    if "?client=" in address:
        assert form_of(page)["request_id"]


def test_buttons_are_shown_in_another_theme(jazzmin_theme: None, browser: Browser) -> None:
    client = client_named("report")
    assert f"{OURS}/apiclient/rotate/?client={client.pk}" in links(browser.get(f"{OURS}/apiclient/{client.pk}/change/"))
    listed = browser.get(f"{OURS}/apiclient/")
    assert f"{OURS}/apiclient/provision/" in links(listed)
    assert "Access tokens that expire in the next twelve months" in text(listed)
    applications = "/back/stage/oauth2_provider/application/"
    assert f"{OURS}/apiclient/provision/" in links(browser.get(applications))
