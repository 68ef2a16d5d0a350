"""Test admin permissions through every entry point."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning import api
from edx_api_provisioning.adapters.rights import rights_of
from edx_api_provisioning.admin.pages import PAGES
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.admin_client import Browser, address, client_named, form_of, make_staff, make_superuser, text
from tests.factories import OPERATOR, AccessTokenFactory, ApiClientFactory, ApplicationFactory, UserFactory, row_counts
from tests.lifecycle_helpers import all_rows
from tests.sampling import FULL

pytestmark = pytest.mark.django_db

ALL = ("view", "provision", "rotate", "revoke")
SEE = ("view_user", "view_application")
LIST = "/admin/edx_api_provisioning/apiclient/"


def promote_permission(user: Any) -> None:
    user.user_permissions.add(Permission.objects.get(codename="change_coursemode"))


RIGHT = "permission:course_modes.change_coursemode"


def refused(page: Any, right: str) -> bool:
    """Return whether the page refuses credentials because of this right."""
    said = re.search(r"has rights that you do not have: (.*?)\. Ask", text(page))
    event = ApiClientEvent.objects.first()
    return (
        page.status_code == 200
        and said is not None
        and right in said[1].split(", ")
        and event.kind == "refused"
        and said[0] in event.details["says"]
    )


def confirmed(browser: Browser, query: str = "", **answers: Any) -> Any:
    """Send the last request of the provisioning page without the earlier ones, as a forger would."""
    return browser.send(browser.open("provision", query), _confirm="yes", **answers)


# Without the permission.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
@pytest.mark.parametrize("held", [(), ("view",), "all others"])
def test_page_needs_its_own_permission(page: Any, held: Any) -> None:
    client = ApiClientFactory()
    permissions = [name for name in ALL if name != page.permission] if held == "all others" else held
    browser = Browser(make_staff(*permissions))
    before = row_counts()
    url = address(page.slug, f"client={client.pk}")
    assert browser.get(url).status_code == 403
    sent = {"request_id": "0" * 32, "token": "on"}
    assert browser.post(url, **sent).status_code == 403
    assert browser.post(url, **sent, _confirm="1", name="x").status_code == 403
    assert row_counts() == before


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
@pytest.mark.parametrize("flags", [{"is_staff": False}, {"is_active": False}])
def test_permissions_need_active_staff(page: Any, flags: dict[str, bool]) -> None:
    browser = Browser(make_staff(*ALL, **flags))
    answer = browser.open(page.slug, f"client={ApiClientFactory().pk}")
    assert (answer.status_code, answer.url.split("?")[0]) == (302, "/admin/login/")


@pytest.mark.parametrize("page", ["rotate", "revoke", "retire"])
def test_adoption_needs_provision_permission(page: str) -> None:
    query = f"application={ApplicationFactory().pk}"
    assert Browser(make_staff("rotate", "revoke", "view", *SEE)).open(page, query).status_code == 403
    assert Browser(make_staff("rotate", "revoke", "provision", *SEE)).open(page, query).status_code == 200


@pytest.mark.parametrize(("page", "kind"), [("provision", "user"), ("rotate", "application"), ("adopt", "application")])
def test_row_needs_its_view_permission(page: str, kind: str) -> None:
    row = (UserFactory if kind == "user" else ApplicationFactory)()
    assert Browser(make_staff(*ALL)).open(page, f"{kind}={row.pk}").status_code == 403
    assert Browser(make_staff(*ALL, f"view_{kind}")).open(page, f"{kind}={row.pk}").status_code == 200
    assert Browser(make_staff(*ALL, f"change_{kind}")).open(page, f"{kind}={row.pk}").status_code == 200


@pytest.mark.parametrize("page", ["provision", "rotate", "revoke", "retire"])
def test_client_needs_its_view_permission(page: str) -> None:
    client = ApiClientFactory()
    browser = Browser(make_staff(*ALL[1:], *SEE))
    for query in (f"client={client.pk}", f"application={client.application_id}"):
        assert browser.open(page, query).status_code == 403


def test_rights_of_an_owner_need_view_user() -> None:
    application = ApplicationFactory()
    promote_permission(application.user)
    query = f"application={application.pk}"
    assert RIGHT not in text(Browser(make_staff(*ALL, "view_application")).open("adopt", query))
    assert RIGHT in text(Browser(make_staff(*ALL, *SEE)).open("adopt", query))


def test_name_of_a_client_is_taken_without_view() -> None:
    client = ApiClientFactory(name="report", contact="ann@example.org", purpose="Grades")
    browser = Browser(make_staff("provision"))

    for confirm in ({}, {"_confirm": "yes"}):
        page = browser.send(browser.open("provision"), name="report", contact="me@example.org", **confirm)
        assert "an API client with this name already exists." in text(page)
        assert "ann@example.org" not in page.content.decode()

    client.refresh_from_db()
    assert client.contact == "ann@example.org"


def test_accounts_form_shows_no_client_without_view() -> None:
    api.provision(ClientSpec(name="report", purpose="hidden purpose"), authority=OPERATOR)
    client = client_named("report")
    browser = Browser(make_staff("provision", "view_user"))

    page = browser.send(browser.open("provision", f"user={client.user.pk}"), purpose="mine")
    assert "hidden purpose" not in page.content.decode()
    browser.send(browser.open("provision", f"user={client.user.pk}"), purpose="mine", _confirm="yes")

    client.refresh_from_db()
    assert client.purpose == "hidden purpose"


def test_nothing_visible_without_view() -> None:
    client = ApiClientFactory()
    browser = Browser(make_staff("provision", "rotate", "revoke"))
    events = "/admin/edx_api_provisioning/apiclientevent/"
    for url in (LIST, f"{LIST}{client.pk}/change/", f"{LIST}{client.pk}/history/", events):
        assert browser.get(url).status_code == 403, url
    assert LIST not in browser.get("/admin/").content.decode()


@pytest.mark.parametrize(
    ("permission", "on_list", "on_page", "actions"),
    [
        ("view", [], [], []),
        ("provision", ["Provision API client"], ["Change or complete"], []),
        ("rotate", [], ["Rotate"], ["api_client_rotate"]),
        ("revoke", [], ["Revoke all tokens", "Retire"], ["api_client_revoke", "api_client_retire"]),
    ],
)
def test_permission_shows_its_buttons(
    permission: str, on_list: list[str], on_page: list[str], actions: list[str]
) -> None:
    client = ApiClientFactory()
    browser = Browser(make_staff(*{"view", permission}))
    listed, page = browser.get(LIST), browser.get(f"{LIST}{client.pk}/change/")
    assert listed.context["api_client_tools"] == [(address("provision"), title) for title in on_list]
    assert [str(title) for _url, title in page.context["api_client_tools"]] == on_page
    form = listed.context["action_form"]
    assert [name for name, _words in (form.fields["action"].choices if form else ()) if name] == actions
    for shown, tools in ((listed, on_list), (page, on_page)):
        body = shown.content.decode()
        assert client.name in body
        assert ("api-client-tool" in body) is bool(tools)
        assert ('name="action"' in body) is (shown is listed and bool(actions))


@pytest.mark.parametrize("url", [f"{LIST}add/", f"{LIST}{{pk}}/delete/"])
def test_builtin_forms_are_closed(url: str) -> None:
    browser = Browser(make_superuser())
    client = ApiClientFactory()
    url = url.format(pk=client.pk)
    sent = {"name": "x", "contact": "", "post": "yes"}
    assert browser.get(url).status_code == 403
    assert browser.post(url, **sent).status_code == 403
    assert browser.post(f"{LIST}{client.pk}/change/", **sent).status_code == 403
    assert [*ApiClient.objects.values_list("name", flat=True)] == [client.name]


# Without CSRF protection, and by GET.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
def test_cross_site_request_is_rejected(page: Any) -> None:
    browser = Browser(make_superuser())
    url = address(page.slug, f"client={ApiClientFactory().pk}")
    form = form_of(browser.get(url))
    before = row_counts()
    for sent in ({**form, "csrfmiddlewaretoken": ""}, {**form, "csrfmiddlewaretoken": "x" * 64}, {}):
        assert browser.client.post(url, {**sent, "_confirm": "yes"}).status_code == 403
    assert row_counts() == before


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
def test_get_request_changes_nothing(page: Any) -> None:
    browser = Browser(make_superuser())
    query = f"client={ApiClientFactory().pk}"
    form = form_of(browser.open(page.slug, query))
    before = row_counts()
    linked = {**form, "_confirm": "yes", "name": "linked", "token": "on"}
    assert browser.client.get(address(page.slug, query), linked | {"client": query[7:]}).status_code == 200
    assert row_counts() == before


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.slug)
def test_pages_deny_framing(page: Any, settings: Any) -> None:
    settings.X_FRAME_OPTIONS = "ALLOWALL"
    browser = Browser(make_superuser())
    query = f"client={ApiClientFactory().pk}"
    assert browser.open(page.slug, query)["X-Frame-Options"] == "DENY"


def test_anonymous_is_sent_to_login() -> None:
    assert Client().get(address("provision")).url.startswith("/admin/login/")
    assert Client().post(address("provision"), {"name": "x"}).url.startswith("/admin/login/")


# With the permission, and with fewer rights than the credentials would carry.


def test_cannot_rotate_client_with_more_rights() -> None:
    api.provision(ClientSpec(name="report"), authority=OPERATOR)
    client = client_named("report")
    promote_permission(client.user)
    browser = Browser(make_staff(*ALL, "view_user"))
    before = all_rows()

    page = browser.send(browser.open("rotate", f"client={client.pk}"), secret="on")

    assert refused(page, RIGHT)
    assert ApiClientEvent.objects.filter(kind="refused").get().client_name == "report"
    assert all_rows() == before


@pytest.mark.parametrize("page", ["rotate", "adopt", "revoke", "retire"])
def test_cannot_adopt_application_with_more_rights(page: str) -> None:
    token = AccessTokenFactory()
    promote_permission(token.user)
    browser = Browser(make_staff(*ALL, *SEE))
    before = row_counts()
    assert refused(browser.send(browser.open(page, f"application={token.application_id}")), RIGHT)
    assert row_counts() == before


def test_staff_may_create_staff_only() -> None:
    browser = Browser(make_staff("provision"))
    assert refused(confirmed(browser, name="mine", superuser="on"), "superuser")
    assert "These secrets are shown only once" in text(confirmed(browser, name="mine", staff="on"))


def join_group(user: Any) -> None:
    user.groups.add(Group.objects.get(name="finance"))


def take(**role: str) -> Callable[[Any], Any]:
    return lambda user: CourseAccessRole.objects.create(user=user, **role)


IN_COURSE = take(course_id="course-v1:a+b+c", org="a", role="staff")
# Values of the form, the right they grant, and a function that gives the requesting user this right; only a
# superuser has it where that is None.
GIFTS = [
    ({"permissions": "course_modes.change_coursemode"}, RIGHT, promote_permission),
    ({"groups": "finance"}, "group:finance", join_group),
    ({"course_roles": "staff@course-v1:a+b+c"}, "course_role:staff@course-v1:a+b+c", IN_COURSE),
    ({"course_roles": "staff@a"}, "course_role:staff@a", take(org="a", role="staff")),
    ({"global_roles": "support"}, "global_role:support", take(role="support")),
    ({"profile": "commerce"}, RIGHT, promote_permission),
    ({"profile": "entitlements"}, "global_role:support", take(role="support")),
    ({"profile": "retirement"}, "name:retirement", None),
    ({"filters": "content_org:edX"}, "filter:content_org:edX", None),
    ({"scopes": ["grades:read"]}, "scope:grades:read", None),
    ({"profile": "grades", "filters": "content_org:edX"}, "scope:grades:read", None),
]


@pytest.mark.parametrize(("wanted", "right", "hold"), GIFTS, ids=[str(wanted)[:40] for wanted, *_others in GIFTS])
def test_cannot_grant_rights_one_lacks(wanted: dict[str, str], right: str, hold: Any) -> None:
    Group.objects.create(name="finance")
    boss, browser = make_superuser(), Browser(make_staff("provision"))
    before = row_counts()

    assert refused(confirmed(browser, name="mine", **wanted), right)

    assert row_counts() == before
    if hold is not None:
        hold(browser.user)
        assert "These secrets are shown only once" in text(confirmed(browser, name="mine", **wanted))
    assert "These secrets are shown only once" in text(
        confirmed(Browser(boss), name="theirs", **wanted, email="x@example.org")
    )


def test_account_form_ignores_rights() -> None:
    user = UserFactory()
    browser = Browser(make_superuser())
    page = confirmed(
        browser, f"user={user.pk}", permissions="course_modes.change_coursemode", profile="commerce", staff="on"
    )
    assert "These secrets are shown only once" in text(page)
    assert rights_of(user) == frozenset()


@pytest.mark.parametrize("way", ["selected", "typed"])
def test_only_superuser_may_use_existing_person(way: str) -> None:
    person = UserFactory()
    query = f"user={person.pk}" if way == "selected" else ""
    typed = {"name": "mine", "username": person.username, "use_existing_user": "on"} if way == "typed" else {}
    browser = Browser(make_staff(*ALL, *SEE))
    before = row_counts()
    assert "this username is taken" in text(confirmed(browser, query, **typed))
    assert row_counts() == before
    assert "These secrets are shown only once" in text(confirmed(Browser(make_superuser()), query, **typed))


def test_posted_ids_do_not_select_other_clients() -> None:
    own = ApiClientFactory(user_made=True)
    other = ApiClientFactory(user_made=True)
    browser = Browser(make_staff(*ALL, "view_user"))
    url = address("rotate", f"client={own.pk}")
    # Every id in the URL counts, and the request is refused as a whole.
    before = row_counts()
    page = browser.client.post(f"{url}&client={other.pk}", form_of(browser.get(url)))
    assert "has changed since" in text(page)
    assert row_counts() == before
    # Ids in the body are ignored.
    page = browser.send(browser.get(url), client=str(other.pk), name=other.name, application=str(other.application_id))
    assert "These secrets are shown only once" in text(page)
    assert [*ApiClientEvent.objects.values_list("client_name", flat=True)] == [own.name]


# Stale decisions


CHANGES: dict[str, Any] = {
    "a superuser": lambda client: type(client.user).objects.update(is_superuser=True),
    "a permission": lambda client: client.user.user_permissions.add(Permission.objects.get(codename="view_user")),
    "the client": lambda client: api.provision(ClientSpec(name=client.name, purpose="x"), authority=OPERATOR),
    "rights taken away": lambda client: api.provision(ClientSpec(name=client.name, permissions=()), authority=OPERATOR),
}


PAGES = ("provision", "rotate", "revoke", "retire")


@pytest.mark.parametrize(
    ("page", "change"), [*(itertools.product(PAGES, CHANGES) if FULL else zip(PAGES, CHANGES, strict=True))]
)
def test_stale_form_is_rejected(page: str, change: str) -> None:
    api.provision(ClientSpec(name="report", permissions=("auth.view_group",)), authority=OPERATOR)
    client = client_named("report")
    browser = Browser(make_superuser())
    opened = browser.open(page, f"client={client.pk}")
    if page == "provision":
        opened = browser.send(opened, contact="ann@example.org")
        assert "_confirm" in opened.content.decode()
    CHANGES[change](client)
    before = all_rows()

    answer = browser.send(opened, _confirm="yes")

    assert "has changed since you opened this page" in text(answer)
    assert all_rows() == before
    assert "has changed since" in text(browser.send(browser.open("revoke", f"client={client.pk}"), version=None))


def test_impersonator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    browser, real = Browser(make_superuser()), UserFactory(username="real-person")
    session = browser.client.session
    session["hijack_history"] = [str(real.pk)]
    session.save()

    browser.provision(name="report")

    assert ApiClientEvent.objects.get().actor == f"admin: {browser.user.username} (used by real-person)"
