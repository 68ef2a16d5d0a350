"""Test the client list, the client page and its history."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext

from edx_api_provisioning import api
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.admin_client import Browser, address, client_named, make_staff, make_superuser, text
from tests.factories import OPERATOR, AccessTokenFactory, ApiClientFactory, ApplicationFactory, operator, statements

pytestmark = pytest.mark.django_db

LIST = "/admin/edx_api_provisioning/apiclient/"
EVENTS = "/admin/edx_api_provisioning/apiclientevent/"


@pytest.fixture
def browser() -> Browser:
    return Browser(make_superuser())


def client_that_expires(name: str, days: float | None, **values: Any) -> ApiClient:
    application = ApplicationFactory()
    token = None
    if days is not None:
        token = AccessTokenFactory(application=application, expires=datetime.now(UTC) + timedelta(days=days))
    return ApiClientFactory(name=name, application=application, access_token=token, **values)


def names(page: Any) -> list[str]:
    return [client.name for client in page.context["cl"].result_list]


@pytest.mark.versions
def test_list_shows_client_columns(browser: Browser) -> None:
    api.provision(ClientSpec(name="report", staff=True, contact="ops@example.org"), authority=OPERATOR)
    page = text(browser.get(LIST))
    assert re.search(r"report report staff active \w+\. \d+, \d{4} - - ops@example\.org \w+\. \d+, \d{4} ", page)
    assert "Provision API client" in page


def test_list_shows_issues(browser: Browser) -> None:
    client_that_expires("report", -1)
    assert "the access token has expired; rotate the client" in text(browser.get(LIST))


LISTED = {
    "": ["early", "late", "over", "without"],
    "expires=soon": ["early"],
    "expires=expired": ["over"],
    "expires=later": ["late"],
    "expires=none": ["without"],
    "expires=nonsense": ["early", "late", "over", "without"],
    "state__exact=retired": ["without"],
    "q=ops@": ["late"],
    "q=over": ["over"],
    "q=user-of-late": ["late"],
    "o=5": ["without", "over", "early", "late"],
    "o=-5": ["late", "early", "over", "without"],
}


@pytest.mark.versions
@pytest.mark.vendor("sqlite", "mysql")  # PostgreSQL sorts NULL last
def test_list_filters_searches_and_sorts(browser: Browser) -> None:
    client_that_expires("early", 29)
    client_that_expires("late", 31, contact="ops@example.org")
    type(client_named("late").user).objects.filter(pk=client_named("late").user_id).update(username="user-of-late")
    client_that_expires("over", -1)
    client_that_expires("without", None, state="retired")
    assert {query: names(browser.get(f"{LIST}?{query}")) for query in LISTED} == LISTED


def boxes(page: Any) -> dict[str, str]:
    """Return the class of each box of the calendar by its label."""
    found = re.findall(r'<a href="[^"]*" aria-label="([^"]*)"( class="api-client-marked")?>', page.content.decode())
    return {label: marked.strip() for label, marked in found}


def test_overview_counts_lead_to_filtered_lists(browser: Browser) -> None:
    client_that_expires("early", 29)
    client_that_expires("late", 31)
    client_that_expires("over", -1)
    client_that_expires("retired", -1, state="retired")
    more = client_that_expires("more", None)
    more.user.groups.add(Group.objects.create(name="finance"))
    ApiClient.objects.filter(name="late").update(created=datetime.now(UTC) - timedelta(days=91))

    counts = browser.get(LIST).context["overview"]["counts"]

    assert [(number, words) for number, words, _url in counts] == [
        (4, "active"),
        (1, "expire within 30 days"),
        (1, "expired"),
        (1, "not used for 90 days"),
        (1, "have more rights than declared"),
    ]
    assert [names(browser.get(url)) for _number, _words, url in counts] == [
        ["early", "late", "more", "over"],
        ["early"],
        ["over"],
        ["late"],
        ["more"],
    ]


def test_overprivileged_clients_are_determined_once(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    ApiClientFactory()
    asked, list_clients = [], api.list_clients

    def ask(**which: Any) -> Any:
        asked.append(which)
        return list_clients(**which)

    monkeypatch.setattr(api, "list_clients", ask)
    browser.get(f"{LIST}?rights=excess")
    assert asked == [{"overprivileged": True}]  # for the overview and for the list


def test_calendar_has_a_box_for_each_expiry(browser: Browser, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    soon = datetime(2026, 12, 31, 18, tzinfo=UTC)
    with mock.patch("edx_api_provisioning.admin.overview.datetime", wraps=datetime) as clock:
        clock.now.return_value = datetime(2026, 12, 1, tzinfo=UTC)
        assert browser.get(LIST).context["overview"]["calendar"] is None
        for name, end in {"report": soon, "<b>": soon, "gone": datetime(2028, 1, 1, tzinfo=UTC)}.items():
            token = AccessTokenFactory(expires=end)
            ApiClientFactory(name=name, application=token.application, access_token=token)
        user = client_named("<b>").user
        user.is_active = False
        user.save()
        page = browser.get(LIST)
    assert boxes(page) == {
        "&lt;b&gt; expires on Jan. 1, 2027, 1 issue": 'class="api-client-marked"',
        "report expires on Jan. 1, 2027": "",
    }
    months = page.context["overview"]["calendar"]["columns"]
    assert [(month["name"], month["year"], len(month["boxes"])) for month in months[:3]] == [
        ("Dec", "2026", 0),
        ("Jan", "2027", 2),
        ("Feb", "", 0),
    ]
    assert (len(months), months[-1]["name"]) == (13, "Dec")
    assert "style=" not in re.search(r"(?s)<section class=.api-client-overview.*?</section>", page.content.decode())[0]


def drawing(page: Any) -> tuple[str, list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return the size of the calendar, its boxes (link, x, y, day), and the texts beside them (x, y, words)."""
    (size, svg) = re.findall(r'(?s)<svg viewBox="([^"]*)"(.*?)</svg>', page.content.decode())[0]
    boxes = re.findall(r'<a href="([^"]*)".*?<rect x="(\d+)" y="(\d+)".*?>(\d+)!?</text></a>', svg)
    return (
        size,
        boxes,
        re.findall(r'<text x="(\d+)" y="(\d+)"[^d]*(?: dy="\d+")?>([^<]*)', re.sub("<a .*?</a>", "", svg)),
    )


def test_calendar_is_drawn_in_order(browser: Browser) -> None:
    days = {"third": (2027, 1, 20), "first": (2027, 1, 3), "second": (2027, 1, 5), "march": (2027, 3, 1)}
    keys = {}
    with mock.patch("edx_api_provisioning.admin.overview.datetime", wraps=datetime) as clock:
        clock.now.return_value = datetime(2026, 12, 31, tzinfo=UTC)
        for name, day in days.items():
            token = AccessTokenFactory(expires=datetime(*day, 12, tzinfo=UTC))
            keys[name] = ApiClientFactory(name=name, application=token.application, access_token=token).pk
        size, drawn, texts = drawing(browser.get(LIST))

    assert size == "0 0 936 132"
    assert drawn == [
        (f"{LIST}{keys['first']}/change/", "72", "56", "3"),
        (f"{LIST}{keys['second']}/change/", "108", "56", "5"),
        (f"{LIST}{keys['third']}/change/", "72", "24", "20"),
        (f"{LIST}{keys['march']}/change/", "216", "56", "1"),
    ]
    assert texts[:5] == [
        ("34", "88", "Dec"),
        ("34", "88", "2026"),
        ("106", "88", "Jan"),
        ("106", "88", "2027"),
        ("178", "88", "Feb"),
    ]
    assert len(texts) == 13 + 2


def test_calendar_counts_boxes_without_room(browser: Browser) -> None:
    end = datetime.now(UTC) + timedelta(days=40)
    for _number in range(18):
        token = AccessTokenFactory(expires=end)
        ApiClientFactory(application=token.application, access_token=token)
    page = browser.get(LIST)
    assert len(boxes(page)) == 16
    assert drawing(page)[0] == "0 0 936 324"
    assert " +2 " in re.sub("<[^>]*>", " ", page.content.decode())


def test_dates_use_site_time_zone(browser: Browser, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    token = AccessTokenFactory(expires=datetime(2031, 3, 1, 18, 30, tzinfo=UTC))
    client = ApiClientFactory(name="report", application=token.application, access_token=token)
    without = ApiClientFactory(name="bare", application=None, user=None, access_token=None)
    assert re.search(
        r"bare - - active - .* - - - report \S+ - active March 2, 2031 - - - - (Pagination API clients )?2 API",
        text(browser.get(LIST)),
    )
    assert "Expires: March 2, 2031, 3:30 a.m. Scopes: " in text(browser.get(f"{LIST}{client.pk}/change/"))
    page = text(browser.get(f"{LIST}{without.pk}/change/"))
    assert "Expires: - Scopes: - " in page
    assert "User: - Rights: - " in page


@pytest.mark.versions
def test_summary_is_computed_once_per_client(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out, summary = [], api.summary

    def work_out(client: ApiClient, now: datetime) -> Any:
        worked_out.append(client.name)
        return summary(client, now)

    monkeypatch.setattr(api, "summary", work_out)
    clients = [ApiClientFactory(), ApiClientFactory()]
    browser.get(LIST)
    assert sorted(worked_out) == sorted(2 * [client.name for client in clients])  # for the overview, and for the list


@pytest.mark.versions
def test_list_query_count_is_constant(browser: Browser) -> None:
    client_that_expires("first", 1)
    browser.get(LIST)
    with CaptureQueriesContext(connection) as few:
        browser.get(LIST)
    for number in range(40):
        client_that_expires(f"client-{number}", number - 5)
    with CaptureQueriesContext(connection) as many:
        page = browser.get(LIST)
    assert len(page.context["cl"].result_list) == 41
    assert len(many) == len(few)


@pytest.fixture
def million() -> None:
    """Make SQLite plan for a million access tokens and no statistics on other tables."""
    table = AccessTokenFactory._meta.model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")
        cursor.execute("SELECT rowid, stat FROM sqlite_stat1 WHERE tbl = %s", [table])
        for row, stat in cursor.fetchall():
            cursor.execute(
                "UPDATE sqlite_stat1 SET stat = %s WHERE rowid = %s", [f"1000000{' 1' * stat.count(' ')}", row]
            )
        cursor.execute("ANALYZE sqlite_schema")


@pytest.mark.versions
@pytest.mark.vendor("sqlite")
def test_no_query_scans_token_table(browser: Browser, request: Any) -> None:
    client = client_that_expires("report", 1)
    request.getfixturevalue("million")
    pages = ["", "?o=5", "?expires=soon", "?expires=expired", "?expires=later", "?expires=none", "?q=x"]
    pages += [f"{client.pk}/change/", f"{client.pk}/history/", f"rotate/?client={client.pk}"]
    with CaptureQueriesContext(connection) as captured:
        for page in [*pages, f"provision/?client={client.pk}"]:
            before = len(captured)
            assert browser.get(LIST + page).status_code == 200
            assert len(captured) > before, page
    table = client.access_token._meta.db_table
    for query in captured.captured_queries:
        if table in query["sql"] and query["sql"].startswith("SELECT"):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                plan = [row[3] for row in cursor.fetchall()]
            # It also reads the whole table to build a Bloom filter.
            whole = re.compile(rf"(SCAN|BLOOM FILTER ON) ({table}|U\d)\b")
            assert not [step for step in plan if whole.match(step)], plan


def test_secrets_are_not_read(browser: Browser) -> None:
    api.provision(ClientSpec(name="report"), authority=OPERATOR)
    with statements() as sent:
        browser.get(LIST)
        browser.get(f"{LIST}{client_named('report').pk}/change/")
    read = " ".join(sent).replace('"', "").replace("`", "")
    assert "oauth2_provider_accesstoken.expires" in read
    assert "oauth2_provider_accesstoken.token," not in read
    assert "oauth2_provider_application.client_secret" not in read


@pytest.mark.versions
def test_client_page_is_read_only(browser: Browser) -> None:
    api.provision(ClientSpec(name="report", superuser=True, purpose="reports"), authority=OPERATOR)
    client = client_named("report")
    page = browser.get(f"{LIST}{client.pk}/change/")
    for words in ("superuser", "reports", client.application.client_id, "read write email profile"):
        assert words in text(page)
    assert "Tokens in the database: 1" in text(page)
    assert re.search(r"Contact:? (Email address of the person responsible for the client\. )?-", text(page))
    assert re.search(r"Manifest:? (Manifest that declares the client\. )?-", text(page))
    assert "None" not in text(page)
    assert page.content.decode().count("icon-yes") == 1  # the user was created for it; it may not rotate itself
    assert 'name="_save"' not in page.content.decode()
    titles = {"rotate": "Rotate", "revoke": "Revoke all tokens", "retire": "Retire", "provision": "Change or complete"}
    assert [(url, str(title)) for url, title in page.context["api_client_tools"]] == [
        (address(slug, f"client={client.pk}"), title) for slug, title in titles.items()
    ]


def test_list_names_declared_rights(browser: Browser) -> None:
    api.provision(ClientSpec(name="a-shop", profile="commerce"), authority=OPERATOR)
    api.provision(
        ClientSpec(name="roles", global_roles=("finance_admin", "sales_admin", "staff", "support"), staff=True),
        authority=OPERATOR,
    )
    page = text(browser.get(LIST))
    assert "a-shop a-shop profile commerce active" in page
    assert "roles roles staff global_role:finance_admin global_role:sales_admin global_role:staff … active" in page


def test_client_page_names_undeclared_rights(browser: Browser) -> None:
    api.provision(ClientSpec(name="report", profile="commerce"), authority=OPERATOR)
    client = client_named("report")
    page = text(browser.get(f"{LIST}{client.pk}/change/"))
    assert "Rights: permission:course_modes.change_coursemode" in page
    assert "Rights beyond the declared ones: -" in page
    assert "Access profile: commerce" in page
    client.user.groups.add(Group.objects.create(name="finance"))
    assert "Rights beyond the declared ones: group:finance" in text(browser.get(f"{LIST}{client.pk}/change/"))


def test_promoted_client_can_be_adopted_again(browser: Browser) -> None:
    api.provision(ClientSpec(name="report"), authority=OPERATOR)
    client = client_named("report")
    client.user.is_staff = True
    client.user.save()
    page = browser.get(f"{LIST}{client.pk}/change/")
    assert "Adopt again" in text(page)
    assert "more rights than were granted here" in text(page)
    browser.send(browser.open("adopt", f"client={client.pk}"))
    client.refresh_from_db()
    assert client.is_staff


def test_retired_client_has_no_buttons(browser: Browser) -> None:
    client = client_that_expires("report", None, state="retired")
    assert browser.get(f"{LIST}{client.pk}/change/").context["api_client_tools"] == []


def test_grace_period_is_shown(browser: Browser) -> None:
    ends = datetime(2031, 3, 1, 18, 30, tzinfo=UTC)
    client = client_that_expires("report", 1, predecessor=ApplicationFactory(), predecessor_ends=ends)
    page = text(browser.get(f"{LIST}{client.pk}/change/"))
    assert "Grace period: the previous application works until March 1, 2031, 6:30 p.m." in page
    other = client_that_expires("other", 1)
    assert "Grace period: -" in text(browser.get(f"{LIST}{other.pk}/change/"))


def test_client_without_rows_is_shown(browser: Browser) -> None:
    client = client_that_expires("report", 1, predecessor=ApplicationFactory(), predecessor_ends=datetime.now(UTC))
    client.user.delete()
    for url in (LIST, f"{LIST}{client.pk}/change/"):
        assert "the user was deleted" in text(browser.get(url))


@pytest.mark.versions
def test_history_covers_all_entry_points(browser: Browser) -> None:
    api.provision(ClientSpec(name="report"), authority=operator("command line: ops"), reason="a new report")
    client = client_named("report")
    browser.send(browser.open("revoke", f"client={client.pk}"), reason="leaked")
    page = text(browser.get(f"{LIST}{client.pk}/history/"))
    assert "created command line: ops a new report" in page
    assert f"revoked admin: {browser.user.username} leaked" in page
    assert LogEntry.objects.get().change_message in page
    assert browser.get(f"{LIST}x/history/").status_code == 302


def test_history_link_needs_event_permission(browser: Browser) -> None:
    api.provision(ClientSpec(name="report"), authority=OPERATOR)
    client = client_named("report")
    link = f'href="{EVENTS}{client.events.get().pk}/change/"'
    history = f"{LIST}{client.pk}/history/"
    assert link in browser.get(history).content.decode()
    assert link not in Browser(make_staff("view")).get(history).content.decode()
    assert link in Browser(make_staff("view", "view_apiclientevent")).get(history).content.decode()


def test_event_list_outlives_clients(browser: Browser) -> None:
    api.provision(ClientSpec(name="report"), authority=OPERATOR)
    api.revoke("report", delete=True, authority=OPERATOR)
    page = browser.get(EVENTS)
    assert "report deleted the test" in text(page)
    event = page.context["cl"].result_list[0]
    assert browser.get(f"{EVENTS}{event.pk}/change/").status_code == 200
    assert browser.get(f"{EVENTS}{event.pk}/delete/").status_code == 403
    assert browser.get(f"{EVENTS}add/").status_code == 403


def test_event_page_describes_steps_and_true_details(browser: Browser) -> None:
    api.provision(ClientSpec(name="report"), authority=OPERATOR, reason="a new report")
    page = browser.get(f"{EVENTS}{ApiClientEvent.objects.get().pk}/change/")
    assert "steps: create_client, create_user, create_application, issue_token" in text(page)
    assert "scope: read write email profile" in text(page)
    assert "{" not in text(page)
    assert "api-client-page" in page.content.decode()
    event = ApiClientEvent.objects.create(kind="rotated", actor="test", details={"secret": True, "token": False})
    page = text(browser.get(f"{EVENTS}{event.pk}/change/"))
    assert "secret: yes" in page
    assert "token:" not in page


@pytest.mark.parametrize("page", ["rotate", "revoke", "retire"])
def test_list_actions_open_their_pages(browser: Browser, page: str) -> None:
    clients = [client_that_expires("a", 1), client_that_expires("b", 1)]
    selected = [client.pk for client in clients]
    answer = browser.post(LIST, action=f"api_client_{page}", _selected_action=selected)
    assert answer.url == address(page, f"client={selected[0]}&client={selected[1]}")
    assert [subject.client for subject in browser.get(answer.url).context["subjects"]] == clients


def test_model_outside_admin_has_no_link(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_that_expires("report", 1)
    page = f"{LIST}{client.pk}/change/"
    link = f'/change/">{client.application}</a></div>'
    assert link in browser.get(page).content.decode()

    monkeypatch.delitem(admin.site._registry, type(client.application))

    assert link not in browser.get(page).content.decode()
    assert str(client.application) in text(browser.get(page))
