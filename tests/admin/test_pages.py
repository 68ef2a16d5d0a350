"""Test the admin pages: form, preview, execution once, credentials shown once."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.forms import CharField
from django.test import RequestFactory
from django.utils.formats import date_format
from django.utils.log import AdminEmailHandler
from django.utils.timezone import localtime
from oauth2_provider.models import get_access_token_model, get_application_model

from edx_api_provisioning import api
from edx_api_provisioning.adapters.access_catalogue import profiles
from edx_api_provisioning.adapters.rights import beyond, rights_of
from edx_api_provisioning.admin import forms
from edx_api_provisioning.admin.selection import selected
from edx_api_provisioning.core.exceptions import Conflict
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats import rendering, snippets
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess
from tests.admin_client import Browser, address, client_named, form_of, make_superuser, shown, text, user_named
from tests.factories import (
    ADMINS,
    OPERATOR,
    AccessTokenFactory,
    ApiClientFactory,
    ApplicationFactory,
    UserFactory,
    row_counts,
)
from tests.sampling import each_nth

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Browser:
    return Browser(make_superuser())


@pytest.fixture
def report() -> dict[str, Any]:
    """Return the credentials of an existing client."""
    return rendering.as_dict(api.provision(ClientSpec(name="report"), authority=OPERATOR))


def input_of(page: Any, name: str) -> str:
    [found] = re.findall(rf'<input[^>]* name="{name}"[^>]*>', page.content.decode())
    return str(found)


def headings_of(page: Any) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]*)</h2>", page.content.decode())


def body(page: Any) -> str:
    return page.content.decode()


def works(token: str) -> bool:
    return api.examine(Secret(token)).state == "valid"


def test_provision_previews_then_creates(browser: Browser) -> None:
    before = row_counts()
    preview = browser.send(
        browser.open("provision"),
        name="report",
        expires_in="90d",
        scopes=["read", "write"],
        contact="ops@example.org",
        purpose="reports",
    )
    assert row_counts() == before
    assert "<h1>Preview</h1>" in preview.content.decode()
    assert 'name="_confirm" value="Provision"' in preview.content.decode()
    assert "Service user report Rights none beyond an ordinary account Steps" in text(preview)
    assert "Would create the user report <report@localhost>, neither staff nor superuser" in text(preview)
    assert "Would issue an access token that expires at" in text(preview)

    page = browser.send(preview, _confirm="yes")

    values = shown(page)
    assert works(values["access_token"])
    assert api.verify_client(values["client_id"], Secret(values["client_secret"])).ok
    assert values["scope"] == "read write"
    assert (client_named("report").contact, client_named("report").purpose) == ("ops@example.org", "reports")
    assert "Verified: " in text(page)
    assert page.content.decode().count(values["access_token"]) == 4  # itself and three files


def test_credentials_page_is_not_cached(browser: Browser) -> None:
    page = browser.provision(name="report")
    assert "no-store" in page["Cache-Control"]
    assert page["Referrer-Policy"] == "no-referrer"
    assert "text/html" in page["Content-Type"]
    body = page.content.decode()
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=\"|javascript:", body)
    assert {source.split("/")[1] for source in re.findall(r'(?:src|href)="(/[^"]*\.\w+)"', body)} == {"static"}
    assert not re.search(r'(?:src|href)="(?:https?:)?//', body)
    assert "<form" not in body


def test_credentials_page_shows_everything(browser: Browser) -> None:
    page = browser.provision(name="report", username="bot", staff="on")
    said, values = text(page), shown(page)
    assert said.startswith("Credentials | ")
    assert re.search(r" report Warning: a staff client .* Verified: .* Service user: bot Client id ", said)
    for label, key in {
        "Client id": "client_id",
        "Client secret": "client_secret",
        "Access token": "access_token",
        "Expires": "expires_at",
        "Scopes": "scope",
        "Token endpoint": "token_url",
        "API documentation": "api_docs_url",
    }.items():
        assert f" {label} {values[key]} Copy " in said
    assert re.search(r" Changes .*Created the user bot", said)
    assert "No credentials were issued" not in said
    names = re.findall(r'data-name="([^"]*)" aria-label="Download: ([^"]*)"', body(page))
    assert names[:3] == [
        ("report.env", "Environment variables (dotenv)"),
        ("report.json", "JSON"),
        ("report.yaml", "Kubernetes Secret"),
    ]
    assert [name for name, _label in names[3:]] == ["report.py", "report.py"]
    assert "Warning: OAuthAPIClient sends the client secret as a form field" in said
    assert "report.env | gh secret set --env-file -" in body(page)
    assert "nav-sidebar" not in body(page)


def test_credentials_page_marks_unissued(browser: Browser) -> None:
    users = [UserFactory(username="first"), UserFactory(username="second")]
    api.provision(ClientSpec(name="first", username="first", use_existing_user=True), authority=OPERATOR)
    page = text(browser.provision(f"user={users[0].pk}&user={users[1].pk}", contact=""))
    assert page.count("No credentials were issued") == 1
    assert page.count("Verified") == 1


@pytest.mark.parametrize(
    ("static_url", "source"),
    [("/static/", "'self'"), ("https://cdn.example.org/static/", "https://cdn.example.org"), ("//cdn/", "cdn")],
)
def test_credentials_csp_allows_static_only(
    browser: Browser, static_url: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edx_api_provisioning.admin.credentials_page.static", lambda path: static_url + path)
    page = browser.provision(name="report")

    policy = dict(part.split(" ", 1) for part in page["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": source,
        "style-src": source,
        "img-src": f"{source} data:",
        "font-src": source,
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_provision_writes_both_histories(browser: Browser) -> None:
    browser.provision(name="report", reason="a new report")
    (event,) = ApiClientEvent.objects.all()
    (entry,) = LogEntry.objects.all()
    assert entry.is_addition()
    assert (event.actor, event.reason, event.kind) == (f"admin: {browser.user.username}", "a new report", "created")
    assert (entry.user, entry.object_id) == (browser.user, str(client_named("report").pk))
    assert "Registered the API client report." in entry.change_message
    assert "Reason: a new report" in entry.change_message
    history = text(browser.get(f"/admin/edx_api_provisioning/apiclient/{event.client_id}/history/"))
    assert history.count("a new report") == 2


@pytest.mark.parametrize(
    ("page", "kinds"),
    [
        ("provision", ["updated"]),
        ("rotate", ["rotated"]),
        ("revoke", ["revoked"]),
        ("retire", ["retired"]),
        ("adopt", ["adopted"]),
    ],
)
def test_each_page_writes_both_histories(browser: Browser, report: dict[str, Any], page: str, kinds: list[str]) -> None:
    client = client_named("report")
    client.user.is_staff = True  # so that there is something to adopt
    client.user.save()
    type(client).objects.filter(pk=client.pk).update(is_staff=page != "adopt")
    before = ApiClientEvent.objects.count()

    answers = {"purpose": "reports", "_confirm": "yes"} if page == "provision" else {}
    browser.send(browser.open(page, f"client={client.pk}"), reason="because", **answers)

    events = ApiClientEvent.objects.all()[: ApiClientEvent.objects.count() - before]
    assert [event.kind for event in events] == kinds
    assert {(event.actor, event.reason) for event in events} == {(f"admin: {browser.user.username}", "because")}
    (entry,) = LogEntry.objects.all()
    assert (entry.user, entry.object_id, entry.is_change()) == (browser.user, str(client.pk), True)
    assert "Reason: because" in entry.change_message


def test_repeated_provision_runs_once(browser: Browser) -> None:
    preview = browser.send(browser.open("provision"), name="report")
    values = shown(browser.send(preview, _confirm="yes"))
    before = row_counts()

    again = browser.send(preview, _confirm="yes")

    assert again.status_code == 409
    assert "<h1>Already done</h1>" in again.content.decode()
    assert "carried out before" in text(again)
    for secret in (values["access_token"], values["client_secret"]):
        assert secret not in again.content.decode()
    assert row_counts() == before
    assert works(values["access_token"])


def test_repeated_rotation_runs_once(browser: Browser, report: dict[str, Any]) -> None:
    form = browser.open("rotate", f"client={client_named('report').pk}")
    values = shown(browser.send(form))
    assert not works(report["access_token"])

    again = browser.send(form)

    assert again.status_code == 409
    assert works(values["access_token"])
    # Another rotation needs a new page.
    shown(browser.send(browser.open("rotate", f"client={client_named('report').pk}")))
    assert not works(values["access_token"])


@pytest.mark.parametrize("request_id", ["", "x", "a" * 64, None])
def test_invalid_request_id_is_rejected(browser: Browser, report: dict[str, Any], request_id: str | None) -> None:
    form = browser.open("rotate", f"client={client_named('report').pk}")
    answer = browser.send(form, request_id=request_id)
    assert "Please correct" in text(answer)
    assert works(report["access_token"])


def test_provision_again_shows_no_secret(browser: Browser, report: dict[str, Any]) -> None:
    preview = browser.send(browser.open("provision"), name="report")
    assert "No changes" in text(preview)
    assert "_confirm" not in preview.content.decode()
    answer = browser.send(preview, _confirm="yes")
    assert answer.status_code == 302
    assert "API client report: No changes." in text(browser.get(answer.url))


def test_preview_edit_returns_to_form(browser: Browser) -> None:
    preview = browser.send(browser.open("provision"), name="report", staff="on", token=None, purpose="a & b")
    form = form_of(browser.send(preview, _edit="yes"))
    assert (form["name"], form["staff"], form["purpose"], "token" in form) == ("report", "on", "a & b", False)
    values = shown(browser.send(preview, _confirm="yes"))
    assert "access_token" not in values
    assert user_named("report").is_staff


# Values that are refused, and the field and message at which.
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "name", "This field is required."),
    ({"name": "a b"}, "name", "use letters"),
    ({"expires_in": "9 days"}, "expires_in", "Select a valid choice"),
    ({"expires_at": "2001-01-01"}, "expires_at", "this date is in the past"),
    ({"expires_at": "soon"}, "expires_at", "not a date"),
    ({"expires_in": "30d", "expires_at": "2030-01-01"}, "expires_at", "not both"),
    ({"scopes": "nonsense"}, "scopes", "Select a valid choice"),
    ({"contact": "nobody"}, "contact", "not an email address"),
    ({"username": "taken"}, "username", "was not created for this client"),
    ({"reason": "x" * 256}, "reason", "at most 255 characters"),
    ({"token": None, "expires_in": "30d"}, "expires_in", "not allowed together with --no-token"),
    ({"permissions": "course_modes.fly"}, "permissions", "this site has no permission course_modes.fly"),
    ({"groups": "x" * 20_001}, "groups", "at most 20000 characters"),
    ({"profile": "nonsense"}, "profile", "Select a valid choice"),
    ({"profile": "grades"}, "filters", "needs one of the form content_org:{org}"),
]


@pytest.mark.parametrize(("answers", "field", "message"), REFUSED)
def test_refused_value_is_shown_at_its_field(
    browser: Browser, answers: dict[str, Any], field: str, message: str
) -> None:
    UserFactory(username="taken")
    before = row_counts()
    page = browser.send(browser.open("provision"), **{"name": "report", **answers})
    assert list(page.context["form"].errors) == [field]
    assert message in text(page)
    assert row_counts() == before
    # The typed values are kept, but for those that no choice offers.
    typed = {key: value for key, value in answers.items() if value and "valid choice" not in message}
    assert form_of(page).items() >= typed.items()


def test_all_wrong_values_are_shown_at_once(browser: Browser) -> None:
    """The values are wrong at the form, in the spec and in the plan: each is found when the others are left out."""
    answers = {"name": "a b", "contact": "nobody", "email": "@", "expires_at": "2001-01-01", "profile": "nonsense"}
    answers |= {"permissions": "course_modes.fly", "groups": "nobody", "global_roles": "S!", "filters": "edX"}
    page = browser.send(browser.open("provision"), **answers)
    assert set(page.context["form"].errors) == set(answers)
    assert "unnamed-" not in text(page)
    again = browser.send(page, name="report", **dict.fromkeys([*answers][1:], ""))
    assert "<h1>Preview</h1>" in again.content.decode()


def test_expiry_is_chosen_with_its_date(browser: Browser, settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {"TOKEN_LIFETIME": "400d", "MAX_TOKEN_LIFETIME": "100d"}
    [select] = re.findall(r'(?s)<select name="expires_in".*?</select>', browser.open("provision").content.decode())
    choices = re.findall(r'<option value="(\w*)"[^>]*>([^<]*)<', select)
    dates = {days: date_format(localtime(datetime.now(UTC) + timedelta(days)), "DATE_FORMAT") for days in (30, 60, 90)}
    assert choices == [
        ("", f"Default of the site: 100 days, until {date_format(localtime() + timedelta(100), 'DATE_FORMAT')}"),
        *((f"{days}d", f"{days} days, until {date}") for days, date in dates.items()),
    ]
    browser.provision(name="report", expires_in="60d")
    assert client_named("report").token_lifetime == timedelta(days=60)


def test_scopes_of_a_client_are_ticked(browser: Browser) -> None:
    browser.provision(name="report", scopes=["read", "write"])
    form = browser.open("provision", f"client={client_named('report').pk}")
    assert sorted(form_of(form)["scopes"]) == ["read", "write"]
    assert list(browser.send(form, scopes=None).context["form"].errors) == ["scopes"]
    browser.provision(f"client={client_named('report').pk}", scopes=["read"])
    assert client_named("report").access_token.scope == "read"


def test_form_shows_common_fields_first_and_describes_choices(browser: Browser) -> None:
    page = browser.open("provision")
    parts = ["API client", "Access token", "Permissions and scopes", "Service user", "Staff and superuser"]
    assert [*dict.fromkeys(headings_of(page))] == [*parts, "For the record"]
    assert "Warning: whoever has the credentials of a staff client can read and change nearly everything" in text(page)
    assert "read: Read access (default)" in text(page)
    for each in profiles():
        assert f"{each.name}: {each.title}" in text(page)
    names = list(form_of(page))
    assert [name for name in names if name in ("name", "purpose", "contact", "expires_in", "expires_at")] == [
        "name", "contact", "purpose", "expires_in", "expires_at",
    ]  # fmt: skip


def test_rare_parts_are_closed_until_used(browser: Browser, finance: Group) -> None:
    def opened(page: Any) -> list[bool]:
        return [bool(found) for found in re.findall(r'<details class="module api-client-more"( open)?>', body(page))]

    assert opened(browser.open("provision")) == [False, False, False]
    assert opened(browser.send(browser.open("provision"), name="", groups="finance team")) == [True, False, False]
    assert opened(browser.send(browser.open("provision"), name="report", groups="nobody")) == [True, False, False]
    assert opened(browser.send(browser.open("provision"), name="", staff="on", email="@")) == [False, True, True]


def test_line_break_in_reason_is_rejected(browser: Browser) -> None:
    preview = browser.send(browser.open("provision"), name="report")
    before = row_counts()
    page = browser.send(preview, _confirm="yes", reason="a\x07b")
    assert list(page.context["form"].errors) == ["reason"]
    assert row_counts() == before


RIGHTS = {
    "permissions": "course_modes.change_coursemode\r\n\r\n  student.can_deactivate_users ",
    "groups": "finance team",
    "course_roles": "staff@course-v1:edX+DemoX+2026\nstaff@edX",
    "global_roles": "support",
    "filters": "content_org:edX",
}
THEIR_RIGHTS = [
    "permission:course_modes.change_coursemode",
    "permission:student.can_deactivate_users",
    "group:finance team",
    "course_role:staff@course-v1:edX+DemoX+2026",
    "course_role:staff@edX",
    "global_role:support",
    "filter:content_org:edX",
]


@pytest.fixture
def finance() -> Group:
    """Create a group that has a permission."""
    group = Group.objects.create(name="finance team")
    group.permissions.add(Permission.objects.get(codename="delete_coursemode"))
    return group


def rights_in(page: Any) -> list[str]:
    return re.findall(r'class="api-client-right">([^<]*)<', page.content.decode())


def test_client_rights_are_given_shown_and_changed(browser: Browser, finance: Group) -> None:
    preview = browser.send(browser.open("provision"), name="report", **RIGHTS)
    expected = sorted([*THEIR_RIGHTS, "permission:course_modes.delete_coursemode"])
    assert rights_in(preview) == expected
    browser.send(preview, _confirm="yes")
    client = client_named("report")
    assert list(beyond(rights_of(client.user, client.application))) == expected
    assert client.declared_rights == sorted(THEIR_RIGHTS)

    query = f"client={client.pk}"
    form = form_of(browser.open("provision", query))
    assert {name: sorted(form[name].split("\r\n")) for name in RIGHTS} == {
        name: sorted(line.strip() for line in value.splitlines() if line) for name, value in RIGHTS.items()
    }

    unchanged = browser.send(browser.open("provision", query))
    assert "No changes" in text(unchanged)
    preview = browser.send(browser.open("provision", query), course_roles="staff@edX", groups="", filters="")
    assert "Would remove course_role:staff@course-v1:edX+DemoX+2026, group:finance team from the user." in text(preview)
    browser.send(preview, _confirm="yes")

    client = client_named("report")
    expected = sorted(
        right for right in THEIR_RIGHTS if not re.match(r"group:|filter:|course_role:staff@course", right)
    )
    assert list(beyond(rights_of(client.user, client.application))) == expected
    assert client.declared_rights == expected


@pytest.mark.parametrize("page", ["provision", "rotate"])
def test_existing_client_keeps_its_lifetime(browser: Browser, page: str) -> None:
    api.provision(ClientSpec(name="report", expires_in=timedelta(days=30)), authority=OPERATOR)
    if page == "provision":  # There it makes what is missing.
        api.revoke("report", authority=OPERATOR)
    opened = browser.open(page, f"client={client_named('report').pk}")
    assert "The same lifetime as before" in text(opened)
    assert "Default of the site" not in text(opened)

    done = browser.send(opened, token="on")
    if page == "provision":
        done = browser.send(done, _confirm="yes")

    assert "These secrets are shown only once" in text(done)
    expires = client_named("report").access_token.expires
    assert timedelta(days=29) < expires - datetime.now(UTC) <= timedelta(days=30)


@pytest.mark.parametrize("issued", [True, False])
def test_token_is_ticked_as_the_site_says(browser: Browser, settings: Any, issued: bool) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "ISSUE_TOKENS": issued}
    assert "which Open edX has deprecated in favor of JWTs" in text(browser.open("provision"))
    browser.provision(name="report")
    assert (client_named("report").access_token is not None) is issued


def test_profile_can_be_removed_and_added(browser: Browser) -> None:
    browser.provision(name="report", profile="commerce")
    client = client_named("report")
    for profile, declared in (("", []), ("entitlements", ["global_role:support"])):
        browser.provision(f"client={client.pk}", profile=profile, permissions="")
        client.refresh_from_db()
        assert (client.profile, client.declared_rights) == (profile, declared)


def test_restriction_cannot_be_removed(browser: Browser) -> None:
    browser.provision(name="report", restricted="on")
    query = f"client={client_named('report').pk}"
    page = browser.open("provision", query)
    assert re.search(r'<input[^>]* name="restricted"[^>]* disabled', page.content.decode())
    assert "No changes" in text(browser.send(page, restricted=None))
    assert "restricted" in client_named("report").declared_rights


def test_lms_fields_are_offered_in_lms_only(monkeypatch: pytest.MonkeyPatch) -> None:
    everywhere = {*forms.NewClientForm().fields}
    monkeypatch.setattr(api, "is_lms", lambda: False)
    assert everywhere - {*forms.NewClientForm().fields} == {"restricted", "filters", "course_roles", "global_roles"}


def test_selected_users_become_clients(browser: Browser) -> None:
    first, second = UserFactory(username="first", is_staff=True), UserFactory(username="second")
    form = browser.open("provision", f"user={first.pk}&user={second.pk}")
    preview = browser.send(form, **{f"name_user_{second.pk}": "other"})
    assert re.findall(r"<h2>([^<]*)</h2>", preview.content.decode()) == ["first", "other"]
    page = browser.send(preview, _confirm="yes")
    assert works(shown(page, 0)["access_token"])
    assert works(shown(page, 1)["access_token"])
    assert (client_named("first").user, client_named("other").user) == (first, second)
    assert (client_named("first").is_staff, client_named("other").is_staff) == (True, False)


def test_several_clients_are_all_or_nothing(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    provision = api.provision

    def fail_second(spec: ClientSpec, **options: Any) -> Any:
        if spec.name == "other":
            raise Conflict("taken meanwhile.")
        return provision(spec, **options)

    first, second = UserFactory(), UserFactory()
    form = browser.open("provision", f"user={first.pk}&user={second.pk}")
    preview = browser.send(form, **{f"name_user_{second.pk}": "other"})
    monkeypatch.setattr(api, "provision", fail_second)
    before = row_counts()
    page = browser.send(preview, _confirm="yes")
    assert page.context["form"].non_field_errors() == [f"{second.username}: taken meanwhile."]
    assert row_counts() == before


@pytest.mark.parametrize("exists", [False, True])
def test_client_of_that_name_is_as_it_was_in_the_preview(browser: Browser, exists: bool) -> None:
    def somebody_else(contact: str) -> None:
        api.provision(ClientSpec(name="grades", contact=contact), authority=OPERATOR)

    if exists:
        somebody_else("bob@example.org")
    preview = browser.send(browser.open("provision"), name="grades", contact="ann@example.org")
    somebody_else("carol@example.org")

    page = browser.send(preview, _confirm="yes")

    assert "the client or its user has changed since you opened this page" in text(page)
    assert client_named("grades").contact == "carol@example.org"


def test_client_deleted_meanwhile_is_not_logged(
    browser: Browser, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    form = browser.open("revoke", f"client={client_named('report').pk}")
    revoke = api.revoke

    def and_go(name: str, **options: Any) -> Any:
        credentials = revoke(name, **options)
        ApiClient.objects.filter(name=name).delete()
        return credentials

    monkeypatch.setattr(api, "revoke", and_go)
    assert browser.send(form).status_code == 302
    assert not LogEntry.objects.exists()


def test_rotate_adopts_unmanaged_application(browser: Browser) -> None:
    application = ApplicationFactory(name="Made by hand!")
    form = browser.open("rotate", f"application={application.pk}&what=token")
    assert form_of(form)[f"name_application_{application.pk}"] == "Made-by-hand"
    values = shown(browser.send(form, grace="7d", reason="because"))
    assert works(values["access_token"])
    assert client_named("Made-by-hand").application_id == application.pk
    assert [*ApiClientEvent.objects.values_list("kind", flat=True)] == ["rotated", "adopted"]
    assert ["Reason: because" in entry.change_message for entry in LogEntry.objects.all()] == [True, True]


def test_page_names_applications_and_rights(browser: Browser) -> None:
    named = ApplicationFactory(name="Made by hand", user__username="boss", user__is_staff=True)
    unnamed = ApplicationFactory(name="", client_id="the-id", user__username="bot")
    page = text(browser.open("revoke", f"application={named.pk}&application={unnamed.pk}"))
    assert "application Made by hand boss staff application the-id bot none beyond an ordinary account" in page


def test_adopt_keeps_application_unchanged(browser: Browser) -> None:
    token = AccessTokenFactory()
    form = browser.open("adopt", f"application={token.application_id}")
    answer = browser.send(form, contact="ops@example.org", purpose="reports")
    client = ApiClient.objects.get()
    assert answer.url == f"/admin/edx_api_provisioning/apiclient/{client.pk}/change/"
    assert (client.access_token_id, client.contact, client.purpose) == (token.pk, "ops@example.org", "reports")


def test_managed_application_selects_its_client(browser: Browser, report: dict[str, Any]) -> None:
    before = client_named("report").application_id
    form = browser.open("rotate", f"client={client_named('report').pk}&what=secret")
    assert shown(browser.send(form, token="on", grace="7d"))["client_id"] != report["client_id"]
    assert works(report["access_token"])
    assert get_application_model().objects.count() == 2
    client = client_named("report")
    assert client.application_id != before
    for query in (f"application={before}", f"application={client.application_id}&client={client.pk}"):
        page = browser.open("revoke", query)
        assert [subject.client for subject in page.context["subjects"]] == [client]
        assert f'/apiclient/{client.pk}/change/">report</a>' in page.content.decode()


def test_selection_uses_few_queries(rf: RequestFactory, report: dict[str, Any], django_assert_num_queries: Any) -> None:
    client = client_named("report")
    for query, statements in ((f"client={client.pk}", 1), (f"application={client.application_id}", 2)):
        request = rf.get(f"/?{query}")
        request.user = make_superuser()
        with django_assert_num_queries(statements):
            [subject] = selected(request)
            assert (subject.user.username, subject.application.client_id) == ("report", report["client_id"])


def test_client_is_revoked_then_retired(browser: Browser, report: dict[str, Any]) -> None:
    query = f"client={client_named('report').pk}"
    page = browser.get(browser.send(browser.open("revoke", query), reason="leaked").url)
    assert not works(report["access_token"])
    assert "Revoked 1 access token." in text(page)
    assert '<li class="success">API client report: ' in page.content.decode()
    page = browser.get(browser.send(browser.open("retire", query)).url)
    assert client_named("report").state == "retired"
    assert not user_named("report").is_active
    assert not get_access_token_model().objects.exists()
    changes = LogEntry.objects.first().change_message
    assert "Retired the client." in changes
    assert f"API client report: {changes}" in text(page)
    page = browser.get(browser.send(browser.open("retire", query)).url)
    assert '<li class="info">API client report: ' in page.content.decode()


def test_new_token_expires_on_given_day(browser: Browser, report: dict[str, Any]) -> None:
    day = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    browser.send(browser.open("rotate", f"client={client_named('report').pk}"), expires_at=day)
    assert client_named("report").access_token.expires.isoformat() == f"{day}T00:00:00+00:00"


def test_preview_shows_warnings_and_rights(browser: Browser) -> None:
    client = ApiClientFactory(name="report")
    client.user.user_permissions.add(Permission.objects.get(codename="change_coursemode"))
    ApplicationAccess.objects.create(application=client.application, scopes=["grades:read"])
    page = browser.send(browser.open("provision", f"client={client.pk}"), purpose="reports")
    [(_plan, rights)] = page.context["previews"]
    assert rights == ("permission:course_modes.change_coursemode", "scope:grades:read")
    preview = text(browser.send(browser.open("provision"), name="other", superuser="on"))
    assert "Warning:" in preview
    assert "Rights superuser , staff" in preview


def test_client_contact_can_be_changed(browser: Browser, report: dict[str, Any]) -> None:
    client = client_named("report")
    client.contact, client.purpose = "old@example.org", "reports"
    client.save()
    form = browser.open("provision", f"client={client.pk}")
    assert form_of(form).items() >= {"contact": "old@example.org", "purpose": "reports", "token": "on"}.items()
    assert "<h1>Change or complete API client</h1>" in form.content.decode()
    assert " Creates what the client lacks and changes the values that you enter. " in text(form)
    assert " A preview comes first. " in text(form)
    preview = browser.send(form, contact="new@example.org", purpose="")
    assert 'value="Carry out"' in preview.content.decode()
    answer = browser.send(preview, _confirm="yes")
    client.refresh_from_db()
    assert (client.contact, client.purpose) == ("new@example.org", "")
    assert answer.status_code == 302
    assert works(report["access_token"])


def test_wrong_values_of_a_client_are_shown_at_once(browser: Browser, report: dict[str, Any]) -> None:
    form = browser.open("provision", f"client={client_named('report').pk}")
    for answers in (
        {"expires_at": "soon", "groups": "x" * 20_001},
        {"contact": "nobody", "groups": "nobody", "course_roles": "staff"},
    ):
        assert set(browser.send(form, **answers).context["form"].errors) == set(answers)


def test_selection_exists_and_is_limited(browser: Browser) -> None:
    assert browser.open("rotate").url == "/admin/edx_api_provisioning/apiclient/"
    for query in ("client=999", "client=x", "application=999", "user=999", f"client={'9' * 19}"):
        assert browser.open("rotate", query).status_code == 404
    users = [f"user={UserFactory().pk}" for _number in range(51)]
    assert browser.open("provision", "&".join(users)).status_code == 404
    assert browser.open("provision", "&".join(users[1:])).status_code == 200
    others = [f"application={ApplicationFactory().pk}", f"client={ApiClientFactory().pk}"]
    assert browser.open("revoke", "&".join([*others, *users[2:]])).status_code == 404


def test_several_clients_have_no_common_form(browser: Browser, report: dict[str, Any]) -> None:
    api.provision(ClientSpec(name="other"), authority=OPERATOR)
    one, other = client_named("report").pk, client_named("other").pk
    for query in (f"client={one}&client={other}", f"client={one}&user={UserFactory().pk}"):
        assert browser.open("provision", query).status_code == 404
    assert browser.open("provision", f"client={one}&client={one}").status_code == 200


def test_self_rotation_can_be_switched(browser: Browser) -> None:
    browser.provision(name="report", self_rotation="on")
    client = client_named("report")
    assert client.self_rotation is True
    changes = [({"purpose": "reports"}, True), ({"self_rotation": None}, False), ({"purpose": ""}, False)]
    for answers, expected in changes:
        browser.provision(f"client={client.pk}", **answers)
        client.refresh_from_db()
        assert client.self_rotation is expected


@pytest.mark.parametrize(
    ("page", "says", "button", "dangerous"),
    [
        ("rotate", "Issues new credentials and shows them once.", "Rotate", False),
        ("revoke", "Revokes all access tokens of the client now. With its", "Revoke", True),
        ("retire", "Revokes all access tokens and the client secret now and permanently.", "Retire", True),
        ("adopt", "Adds the application as it is to the API clients,", "Adopt", False),
    ],
)
def test_page_shows_description_and_links(
    browser: Browser, report: dict[str, Any], page: str, says: str, button: str, dangerous: bool
) -> None:
    client = client_named("report")
    response = browser.open(page, f"client={client.pk}")
    body = response.content.decode()
    assert f" {says}" in text(response)
    of_danger = " api-client-danger" if dangerous else ""
    assert f'<input type="submit" value="{button}" class="default{of_danger}">' in body
    way_back = f"/admin/edx_api_provisioning/apiclient/{client.pk}/change/"
    assert f'<a href="{way_back}" class="closelink">' in body
    assert f'<a href="{way_back}">report</a>\n&rsaquo; {response.context["title"]}\n</div>' in body
    assert re.findall(r'(?:href|src)="/static/(edx_api_provisioning/[^"]*)"', body) == [
        "edx_api_provisioning/admin.css",
        "edx_api_provisioning/admin.js",
    ]


def test_breadcrumb_omits_names_of_several(browser: Browser, report: dict[str, Any]) -> None:
    api.provision(ClientSpec(name="other"), authority=OPERATOR)
    body = browser.open(
        "revoke", f"client={client_named('report').pk}&client={client_named('other').pk}"
    ).content.decode()
    assert "API clients</a>\n&rsaquo; Revoke all tokens\n</div>" in re.sub(r"\n+", "\n", body)
    assert '<a href="/admin/edx_api_provisioning/apiclient/" class="closelink">' in body


def test_name_field_has_help_and_limit(browser: Browser) -> None:
    application = ApplicationFactory(name="Made by hand")
    page = browser.open("adopt", f"application={application.pk}")
    assert "Name for application Made by hand: Name of the API client." in text(page)
    field = input_of(page, f"name_application_{application.pk}")
    assert 'class="vTextField"' in field
    assert 'maxlength="100"' in field
    assert headings_of(page) == ["API client", "For the record"]


@pytest.mark.parametrize(
    "form_class",
    [forms.NewClientForm, forms.AccountsForm, forms.AgainForm, forms.RotateForm, forms.EndForm, forms.AdoptForm],
)
def test_form_fields_have_label_and_help(form_class: type[forms.PageForm]) -> None:
    fields = [forms.form_field(option) for option in form_class.options]
    assert all(field.label and field.help_text for field in fields)
    inputs = {field.widget.attrs.get("class") for field in fields if isinstance(field, CharField)}
    assert inputs <= {"vTextField", "vLargeTextField"}


def test_failed_verification_creates_nothing(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "edx_api_provisioning.services.verification._bearer_problem", lambda *_arguments: "user_not_active"
    )
    before = row_counts()
    page = browser.provision(name="report")
    [error] = page.context["form"].non_field_errors()
    assert error.startswith("Nothing was changed, because: access token with the site's Bearer authentication: ")
    assert "user_not_active" in error
    assert row_counts() == before


def test_unrenderable_credentials_roll_back(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snippets, "_calls", lambda _values: 1 / 0)
    preview = browser.send(browser.open("provision"), name="report")
    before = row_counts()
    with pytest.raises(ZeroDivisionError):
        browser.send(preview, _confirm="yes")
    assert row_counts() == before


@pytest.mark.parametrize("debug", [False, True])
def test_error_report_contains_no_secret(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, mailoutbox: list[Any], settings: Any, debug: bool
) -> None:
    settings.ADMINS = ADMINS
    settings.DEBUG = debug

    made: list[str] = []

    def fail(values: dict[str, Any]) -> Any:
        made.extend((values["access_token"], values["client_secret"]))
        raise ZeroDivisionError

    monkeypatch.setattr(snippets, "_calls", fail)
    browser.client.raise_request_exception = False
    preview = browser.send(browser.open("provision"), name="report")
    handler = AdminEmailHandler(include_html=True)
    logging.getLogger("django.request").addHandler(handler)
    try:
        page = browser.send(preview, _confirm="yes")
    finally:
        logging.getLogger("django.request").removeHandler(handler)
        report = "".join(mail.body + "".join(content for content, _type in mail.alternatives) for mail in mailoutbox)

    assert page.status_code == 500
    assert ("ZeroDivisionError" in page.content.decode()) is debug
    report += page.content.decode()
    assert "ZeroDivisionError" in report
    assert made
    for secret in made:
        assert secret not in report


@pytest.mark.parametrize("page", ["provision", "rotate", "revoke", "retire", "adopt"])
def test_other_methods_are_rejected(browser: Browser, report: dict[str, Any], page: str) -> None:
    browser.client.handler.enforce_csrf_checks = False
    url = address(page, f"client={client_named('report').pk}")
    assert [browser.client.generic(method, url).status_code for method in ("PUT", "DELETE", "HEAD")] == [405, 405, 200]
    assert browser.client.put(url)["Allow"] == "GET, HEAD, POST"
    assert works(report["access_token"])


SELECTIONS: list[tuple[str, Callable[[], Any], list[str]]] = [
    ("client", ApiClientFactory, []),
    ("client", lambda: ApiClientFactory(access_token=None), []),
    ("client", lambda: ApiClientFactory(access_token=None, application=None, user=UserFactory()), ["adopt"]),
    ("client", lambda: ApiClientFactory(access_token=None, application=None, user=None), ["adopt"]),
    ("client", lambda: ApiClientFactory(user=None), []),
    ("client", lambda: ApiClientFactory(state=ApiClient.State.RETIRED), []),
    ("application", ApplicationFactory, []),
    ("application", lambda: ApplicationFactory(user=None), ["provision"]),
    ("application", lambda: ApplicationFactory(client_type="public"), []),
    ("application", lambda: ApplicationFactory(name=""), []),
    ("user", UserFactory, ["rotate", "revoke", "retire", "adopt"]),
    ("user", lambda: UserFactory(is_active=False), ["rotate", "revoke", "retire", "adopt"]),
    ("user", lambda: UserFactory(username="---"), ["rotate", "revoke", "retire", "adopt"]),
]


@pytest.mark.parametrize(
    ("page", "selection"),
    each_nth([*itertools.product(["provision", "rotate", "revoke", "retire", "adopt"], range(len(SELECTIONS)))], 0, 3),
)
def test_every_page_handles_every_selection(browser: Browser, page: str, selection: int) -> None:
    parameter, make, pages_without_it = SELECTIONS[selection]
    form = browser.open(page, f"{parameter}={make().pk}")
    if page in pages_without_it:
        assert form.status_code == 404
        return
    assert form.status_code == 200
    answer = browser.send(form)
    assert answer.status_code in (200, 302)
    refused = answer.context and "form" in answer.context and answer.context["form"].errors
    assert not refused or "Please correct" in text(answer)


def test_taken_name_is_rejected_at_its_field(browser: Browser, report: dict[str, Any]) -> None:
    first, second = ApplicationFactory(), ApplicationFactory()
    page = browser.open("adopt", f"application={first.pk}&application={second.pk}")
    names = [name for name in form_of(page) if name.startswith("name_")]

    answer = browser.send(page, **dict(zip(names, ("new", "report"), strict=True)))

    errors = answer.context["form"].errors
    assert list(errors) == [names[1]]
    assert "this client has another application" in str(errors)
    assert not ApiClient.objects.filter(name="new").exists()
