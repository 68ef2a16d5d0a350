"""Test that the user and application admin link to our pages, whichever class is registered, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth import get_user_model
from django.db import connection
from django.http import HttpRequest
from django.template.backends.dummy import TemplateStrings
from django.template.response import TemplateResponse
from django.test import RequestFactory
from django.urls import resolve
from oauth2_provider.models import get_application_model

from edx_api_provisioning.admin.extensions import _with_tools, extend
from edx_api_provisioning.models import ApiClient
from tests.admin_client import Browser, address, make_staff, make_superuser, text
from tests.factories import ApiClientFactory, ApplicationFactory, UserFactory, statements

pytestmark = pytest.mark.django_db

USERS = "/admin/auth/user/"
APPLICATIONS = "/admin/oauth2_provider/application/"
FOR_APPLICATIONS = {
    "api_client_rotate_token": "Issue access token",
    "api_client_rotate_secret": "Rotate client secret",
    "api_client_revoke": "Revoke all tokens",
    "api_client_retire": "Retire API client",
    "api_client_adopt": "Adopt as API client",
}


@admin.action(description="Greet")
def greet(_model_admin: Any, _request: HttpRequest, _rows: Any) -> None:
    """An action of another plugin."""


class TheirAdmin(ModelAdmin):
    actions = (greet,)
    list_display = ("pk",)
    search_fields = ("pk",)

    @admin.action(description="Wave")
    def wave(self, _request: HttpRequest, _rows: Any) -> None:
        """Add an action through get_actions."""

    def get_actions(self, request: HttpRequest, **kwargs: Any) -> Any:
        return {**super().get_actions(request, **kwargs), "wave": self.get_action("wave")}


def request_of(user: Any, query: str = "") -> HttpRequest:
    resolve("/admin/")  # As in any request: the site's URLs are loaded by now.
    request = RequestFactory().get(f"/{query}")
    request.user = user
    return request


def actions(site: AdminSite, model: Any, user: Any, query: str = "") -> dict[str, str]:
    model_admin = site._registry[model]
    found = model_admin.get_actions(request_of(user, query))
    # A tuple before Django 6.1.
    return {name: str(each[2] if isinstance(each, tuple) else each.description) for name, each in found.items()}


@pytest.fixture
def site() -> AdminSite:
    return AdminSite("theirs")


@pytest.fixture(params=["before us", "after us", "anew after us"])
def theirs(site: AdminSite, request: pytest.FixtureRequest) -> AdminSite:
    """Return a site with another plugin's admin classes, registered in every order, with its URLs loaded."""
    models = (get_user_model(), get_application_model())
    if request.param == "before us":
        site.register(models, TheirAdmin)
    extend(site)
    if request.param == "anew after us":
        site.register(models, ModelAdmin)
        site.unregister(models)
    if request.param != "before us":
        site.register(models, TheirAdmin)
    assert site.urls
    return site


def test_actions_are_added_in_any_order(theirs: AdminSite) -> None:
    own = {"delete_selected": "Delete selected %(verbose_name_plural)s", "greet": "Greet", "wave": "Wave"}
    boss = make_superuser()
    assert actions(theirs, get_user_model(), boss) == {
        **own,
        "api_client_provision": "Provision API client for selected users",
    }
    assert actions(theirs, get_application_model(), boss) == {**own, **FOR_APPLICATIONS}


def test_extended_admin_keeps_its_own(theirs: AdminSite) -> None:
    models = (get_user_model(), get_application_model())
    before = [dict(vars(theirs._registry[model])) for model in models]
    assert theirs.urls  # They can be loaded again.
    assert [dict(vars(theirs._registry[model])) for model in models] == before
    for model in models:
        model_admin = theirs._registry[model]
        assert type(model_admin) is TheirAdmin
        assert model_admin.actions == (greet,)
        assert (model_admin.list_display, model_admin.search_fields) == (("pk",), ("pk",))
        assert (model_admin.change_list_template, model_admin.change_form_template) == (None, None)
    assert TheirAdmin.get_actions.__qualname__ == "TheirAdmin.get_actions"


def test_site_without_models_is_unchanged(site: AdminSite) -> None:
    extend(site)
    assert site.urls
    assert not site._registry


def test_admin_without_actions_gets_none(site: AdminSite) -> None:
    extend(site)
    site.register(get_user_model(), type("Without", (ModelAdmin,), {"actions": None}))
    assert site.urls
    assert actions(site, get_user_model(), make_superuser()) == {}
    assert "api_client_provision" not in actions(admin.site, get_user_model(), make_superuser(), "?_popup=1")


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        ("view", []),
        ("provision", ["api_client_adopt"]),
        ("rotate", ["api_client_rotate_token", "api_client_rotate_secret"]),
        ("revoke", ["api_client_revoke", "api_client_retire"]),
    ],
)
def test_actions_need_permission(permission: str, expected: list[str]) -> None:
    user = make_staff(permission)
    assert [name for name in actions(admin.site, get_application_model(), user) if "api_client" in name] == expected
    assert ("api_client_provision" in actions(admin.site, get_user_model(), user)) == (permission == "provision")


def test_arguments_of_get_actions_are_passed_on(site: AdminSite) -> None:
    """Django 6.1 passes ``action_location``."""
    received: list[Any] = []

    class Newer(ModelAdmin):
        def get_actions(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            received.append((args, kwargs))
            return {}

    extend(site)
    site.register(get_user_model(), Newer)
    assert site.urls

    found = site._registry[get_user_model()].get_actions(request_of(make_superuser()), 1, action_location="change_form")

    assert received == [((1,), {"action_location": "change_form"})]
    assert list(found) == ["api_client_provision"]


def without_tables(sql: str) -> str:
    return sql.replace("edx_api_provisioning_apiclient", "missing")


def with_an_old_table(sql: str) -> str:
    return sql.replace("last_used", "missing")


def read_only(sql: str) -> str:
    return f"refused {sql}" if sql.startswith(("INSERT", "UPDATE", "DELETE")) else sql


@pytest.mark.databases
@pytest.mark.parametrize("state", [without_tables, with_an_old_table, read_only])
@pytest.mark.parametrize("superuser", [True, False])
def test_pages_of_the_host_work_in_every_state(superuser: bool, state: Callable[[str], str]) -> None:
    """Before our migration, after one that failed, and while nothing can be written."""
    application = ApplicationFactory()
    names = ("view_application", "view_user")
    browser = Browser(make_superuser() if superuser else make_staff(*names))

    def execute_in_this_state(execute: Any, sql: str, *arguments: Any) -> Any:
        return execute(state(sql), *arguments)

    with connection.execute_wrapper(execute_in_this_state):
        for url in (
            USERS,
            f"{USERS}{application.user_id}/change/",
            APPLICATIONS,
            f"{APPLICATIONS}{application.pk}/change/",
        ):
            page = browser.get(url)
            assert page.status_code == 200, url
            assert application.user.username in text(page)


def test_application_page_without_permission_sends_no_query() -> None:
    client = ApiClientFactory()
    browser = Browser(make_staff("view_application"))
    with statements() as sent:
        assert browser.get(f"{APPLICATIONS}{client.application_id}/change/").status_code == 200
    assert not [sql for sql in sent if "edx_api_provisioning" in sql]


def test_other_models_have_no_actions() -> None:
    boss = make_superuser()
    for model in admin.site._registry:
        if model not in (get_user_model(), get_application_model(), ApiClient):
            assert not [name for name in actions(admin.site, model, boss) if "api_client" in name], model


def test_user_action_opens_provision_page() -> None:
    browser = Browser(make_superuser())
    users = [UserFactory(), UserFactory()]
    answer = browser.post(USERS, action="api_client_provision", _selected_action=[user.pk for user in users])
    assert answer.url == f"/admin/edx_api_provisioning/apiclient/provision/?user={users[0].pk}&user={users[1].pk}"
    assert "Provision API client for selected users" in text(browser.get(USERS))
    assert [subject.user for subject in browser.get(answer.url).context["subjects"]] == users


def test_action_rejects_too_many_rows() -> None:
    browser = Browser(make_superuser())
    users = [UserFactory() for _number in range(51)]
    answer = browser.post(USERS, action="api_client_provision", _selected_action=[user.pk for user in users])
    assert answer.url == USERS
    assert "Select at most 50." in text(browser.get(USERS))
    answer = browser.post(USERS, action="api_client_provision", _selected_action=[user.pk for user in users[:50]])
    assert answer.url.startswith(address("provision"))


@pytest.mark.parametrize(("action", "title"), FOR_APPLICATIONS.items())
def test_application_action_opens_its_page(action: str, title: str) -> None:
    browser = Browser(make_superuser())
    application = ApplicationFactory()
    page = browser.get(browser.post(APPLICATIONS, action=action, _selected_action=application.pk).url)
    assert page.status_code == 200
    assert [subject.application for subject in page.context["subjects"]] == [application]
    if action.startswith("api_client_rotate"):
        what = action.rpartition("_")[2]
        assert page.context["form"].initial == {"token": what == "token", "secret": what == "secret"}


def tools(page: Any) -> list[str]:
    return [str(title) for _url, title in page.context.get("api_client_tools") or []]


def test_application_list_has_button() -> None:
    page = Browser(make_superuser()).get(APPLICATIONS)
    assert tools(page) == ["Provision API client"]
    assert "Add application" in text(page)
    assert tools(Browser(make_superuser()).get(f"{APPLICATIONS}?_popup=1")) == []


@pytest.mark.parametrize(
    "changed",
    [{"authorization_grant_type": "authorization-code", "redirect_uris": "https://a"}, {"client_type": "public"}],
)
def test_other_application_has_no_buttons(changed: dict[str, str]) -> None:
    application = ApplicationFactory(**changed)
    assert tools(Browser(make_superuser()).get(f"{APPLICATIONS}{application.pk}/change/")) == []


TITLES = [*FOR_APPLICATIONS.values()]


@pytest.mark.parametrize(
    ("permissions", "of_a_client", "of_nobody"),
    [
        (("view",), ["API client report"], []),
        (("rotate",), [], []),
        (("view", "rotate"), ["API client report", *TITLES[:2]], []),
        (("view", "revoke"), ["API client report", *TITLES[2:4]], []),
        (("provision",), [], TITLES[4:]),
        (("provision", "rotate"), [], [*TITLES[:2], *TITLES[4:]]),
    ],
)
def test_permission_shows_its_buttons(
    permissions: tuple[str, ...], of_a_client: list[str], of_nobody: list[str]
) -> None:
    browser = Browser(make_staff(*permissions, "view_application"))
    client, application = ApiClientFactory(name="report"), ApplicationFactory()
    assert tools(browser.get(f"{APPLICATIONS}{client.application_id}/change/")) == of_a_client
    assert tools(browser.get(f"{APPLICATIONS}{application.pk}/change/")) == of_nobody
    assert tools(browser.get(APPLICATIONS)) == ["Provision API client"] * ("provision" in permissions)


def test_buttons_link_to_application_pages() -> None:
    client = ApiClientFactory()
    page = Browser(make_superuser()).get(f"{APPLICATIONS}{client.application_id}/change/")
    about = f"application={client.application_id}"
    assert page.content.decode().count("api-client-tool") == 5
    assert [url for url, _title in page.context["api_client_tools"]] == [
        f"/admin/edx_api_provisioning/apiclient/{client.pk}/change/",
        address("rotate", f"{about}&what=token"),
        address("rotate", f"{about}&what=secret"),
        address("revoke", about),
        address("retire", about),
    ]


@pytest.fixture
def own_template(tmp_path: Any, settings: Any) -> None:
    """Install a theme with its own template for the application list."""
    folder = tmp_path / "admin/oauth2_provider/application"
    folder.mkdir(parents=True)
    items = "{% block object-tools-items %}{{ block.super }}<li>Theirs</li>{% endblock %}"
    (folder / "change_list.html").write_text('{% extends "admin/change_list.html" %}' + items)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]


def test_custom_template_is_kept(own_template: None) -> None:
    page = Browser(make_superuser()).get(APPLICATIONS)
    assert "Theirs Provision API client" in text(page)


def test_predecessor_links_to_client_only() -> None:
    client = ApiClientFactory(predecessor=ApplicationFactory())
    page = Browser(make_superuser()).get(f"{APPLICATIONS}{client.predecessor_id}/change/")
    assert tools(page) == [f"API client {client.name}"]


def test_other_template_engine_is_unchanged() -> None:
    template = TemplateStrings({"NAME": "strings", "DIRS": [], "APP_DIRS": False, "OPTIONS": {}}).from_string("$title")
    response = TemplateResponse(request_of(make_superuser()), template, {"title": "theirs"})

    assert _with_tools(response, [("/", "ours")]) is response
    assert response.render().content == b"theirs"


def test_unnamed_template_is_unchanged() -> None:
    class Theirs:
        def render(self, context: Any, request: HttpRequest) -> str:
            return context["title"]

    response = TemplateResponse(request_of(make_superuser()), Theirs(), {"title": "theirs"})
    assert _with_tools(response, [("/", "ours")]).render().content == b"theirs"
