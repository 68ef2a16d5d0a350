"""Test the admin in a real browser, from the list to a call with the copied token."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from playwright.sync_api import Page, expect

from edx_api_provisioning import api
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from tests.admin_client import address, client_named, make_staff, make_superuser
from tests.factories import OPERATOR, ApplicationFactory, UserFactory, operator
from tests.sampling import FULL

pytestmark = pytest.mark.browser

LIST = "/admin/edx_api_provisioning/apiclient/"
EVENTS = "/admin/edx_api_provisioning/apiclientevent/"
APPLICATIONS = "/admin/oauth2_provider/application/"
Visit = Callable[..., Any]


def press(page: Page, name: str | re.Pattern[str]) -> None:
    """Press a button of a page that is loaded, so that it does not move away."""
    button = page.get_by_role("button", name=name)
    button.wait_for()
    page.wait_for_load_state()
    button.click()


def provision(page: Page, name: str = "report") -> None:
    """Fill in the form and go on to the credentials page."""
    page.get_by_label("Name:", exact=True).fill(name)
    press(page, "Preview")
    press(page, "Provision")
    expect(page.get_by_role("heading", name="Credentials")).to_be_visible()


def copied(page: Page, what: str) -> str:
    """Press a copy button and return the clipboard."""
    page.get_by_role("button", name=f"Copy: {what}", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Copied.")
    return page.evaluate("navigator.clipboard.readText()")


def tab_to(page: Page, accessible: str) -> None:
    """Press Tab until the element with this name has a visible focus."""
    for _press in range(150):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const element = document.activeElement;
                const named = element.getAttribute("aria-label") || element.labels?.[0]?.textContent || element.value
                    || element.textContent;
                const style = getComputedStyle(element);
                return [named.trim(), style.outlineStyle !== "none" || style.boxShadow !== "none"
                    || element.matches(":focus-visible")];
            }"""
        )
        if found[0] == accessible:
            assert found[1], f"It is not to be seen that {accessible} has the focus."
            return
    raise AssertionError(f"The Tab key does not lead to {accessible}.")


def test_provisioned_token_calls_the_api(visitor: Visit) -> None:
    visit = visitor(make_staff("view", "provision"))
    page = visit.open(LIST)
    page.get_by_role("link", name="Provision API client").click()
    provision(page)

    line, token = copied(page, "Call the API (then paste the access token)"), copied(page, "Access token")
    called = subprocess.run(
        ["sh", "-c", f"{line} -sS -w '\\n%{{http_code}}'"],
        input=f"{token}\n", capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert called.stdout.splitlines() == ['{"username":"report"}', "200"]
    assert api.examine(Secret(token)).state == "valid"
    client_id, client_secret = copied(page, "Client id"), Secret(copied(page, "Client secret"))
    assert api.verify_client(client_id, client_secret).ok
    page.get_by_role("link", name="I have saved them").click()
    expect(page).to_have_url(f"{visit.site}{LIST}{client_named('report').pk}/change/")
    assert visit.complaints == []
    assert {url for _method, url in visit.requests if not url.startswith(visit.site)} == set()


def test_keyboard_alone_is_sufficient(visitor: Visit) -> None:
    visit = visitor(make_superuser())
    page = visit.open(LIST)
    tab_to(page, "Provision API client")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Provision API client")).to_be_visible()
    tab_to(page, "Name:")
    page.keyboard.type("report")
    tab_to(page, "Permissions and scopes")
    page.keyboard.press("Enter")
    tab_to(page, "Permissions:")
    page.keyboard.type("course_modes.change_coursemode\nstudent.can_deactivate_users")
    tab_to(page, "Staff and superuser")
    page.keyboard.press("Enter")
    tab_to(page, "Staff")
    page.keyboard.press("Space")
    tab_to(page, "Preview")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Preview")).to_be_visible()
    tab_to(page, "Provision")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Credentials")).to_be_visible()
    tab_to(page, "Copy: Access token")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Copied.")
    token = page.evaluate("navigator.clipboard.readText()")
    assert api.examine(Secret(token)).is_staff
    assert client_named("report").declared_rights == [
        "permission:course_modes.change_coursemode",
        "permission:student.can_deactivate_users",
    ]
    tab_to(page, "Kubernetes Secret")
    page.keyboard.press("Enter")
    expect(page.locator("pre", has_text='kind: "Secret"')).to_be_visible()
    tab_to(page, "Download: Kubernetes Secret")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "report.yaml"
    assert token in Path(download.value.path()).read_text()


def test_calendar_is_used_by_keyboard(visitor: Visit) -> None:
    api.provision(ClientSpec(name="report", expires_in=timedelta(days=60)), authority=OPERATOR)
    visit = visitor(make_superuser())
    page = visit.open(LIST)
    label = page.locator(".api-client-overview svg a").get_attribute("aria-label")
    assert label.startswith("report expires on ")
    tab_to(page, label)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{visit.site}{LIST}{client_named('report').pk}/change/")
    assert visit.complaints == []


def test_downloads_send_no_request(visitor: Visit) -> None:
    visit = visitor(make_superuser())
    page = visit.open(address("provision"))
    provision(page)
    before = len(visit.requests)
    for label, name in (
        ("Environment variables (dotenv)", "report.env"),
        ("JSON", "report.json"),
        ("Kubernetes Secret", "report.yaml"),
    ):
        page.locator("summary", has_text=label).click()
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download: {label}").click()
        assert download.value.suggested_filename == name
        shown = page.locator("details", has=page.locator("summary", has_text=label)).locator("pre").text_content()
        assert Path(download.value.path()).read_text() == shown
    assert [url for _method, url in visit.requests[before:] if not url.startswith("blob:")] == []
    assert visit.complaints == []


def test_double_click_issues_once(visitor: Visit) -> None:
    api.provision(ClientSpec(name="report"), authority=OPERATOR)
    visit = visitor(make_superuser())
    page = visit.open(address("rotate", f"client={client_named('report').pk}"))
    page.get_by_role("button", name="Rotate").dblclick()
    assert api.examine(Secret(copied(page, "Access token"))).state == "valid"
    assert len(visit.posts()) == 1
    assert ApiClientEvent.objects.filter(kind="rotated").count() == 1


def test_reload_and_back_do_not_reissue(visitor: Visit) -> None:
    visit = visitor(make_superuser())
    page = visit.open(address("provision"))
    provision(page)
    token = copied(page, "Access token")

    page.reload()
    expect(page.get_by_role("heading", name="Already done")).to_be_visible()
    assert token not in page.content()

    page.go_back()
    assert token not in page.content()
    page.go_forward()
    assert token not in page.content()
    assert api.examine(Secret(token)).state == "valid"
    assert ApiClientEvent.objects.count() == 1

    provision(visit.open(address("provision")), "another")
    token = copied(page, "Access token")
    page.get_by_role("link", name="I have saved them").click()
    page.go_back()
    assert token not in page.content()


def test_credentials_page_hides_survey_banner(visitor: Visit) -> None:
    """The LMS puts a banner with an inline style and script beside the messages of every admin page."""
    visit = visitor(make_superuser())
    page = visit.open(address("provision"))
    expect(page.get_by_text("Share data with the Open edX project")).to_be_visible()
    provision(page)

    expect(page.get_by_text("Share data with the Open edX project")).to_have_count(0)
    expect(page.get_by_text("Thank you for the report!")).to_have_count(0)
    assert visit.complaints == []


# Of the host's own parts of a page.
PARTS = [
    *("#header", ".breadcrumbs", ".breadcrumbs a", "#footer", "#nav-sidebar", "#nav-filter", "#nav-sidebar caption"),
    *(f"#nav-sidebar .module:not(.current-app) {part}" for part in ("caption a", "th a")),
]
LOOKS = """parts => parts.map(selector => {
    const style = getComputedStyle(document.querySelector(selector));
    return [selector, style.color, style.backgroundColor, style.textDecorationLine, style.colorScheme];
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_admin_frame_looks_unchanged(visitor: Visit, scheme: str) -> None:
    visit = visitor(make_superuser(), color_scheme=scheme)
    theirs = visit.open("/admin/auth/group/add/").evaluate(LOOKS, PARTS)

    for path in (address("provision"), LIST, EVENTS):
        assert visit.open(path).evaluate(LOOKS, PARTS) == theirs


def test_values_are_readable_without_javascript(visitor: Visit) -> None:
    visit = visitor(make_superuser(), java_script_enabled=False)
    page = visit.open(address("provision"))
    provision(page)
    token = page.locator("code[id$=access_token]").text_content()
    assert api.examine(Secret(token)).state == "valid"
    page.locator("summary", has_text="JSON").click()
    expect(page.locator("pre", has_text='"access_token"')).to_be_visible()
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)


def test_user_and_application_lists_work(visitor: Visit, picture: Callable[[Page, str], None]) -> None:
    user, application = UserFactory(username="somebody"), ApplicationFactory(name="By hand")
    visit = visitor(make_superuser(username="root"), viewport={"width": 1280, "height": 800})
    page = visit.open("/admin/auth/user/")
    page.locator(f"input.action-select[value='{user.pk}']").check()
    page.locator("select[name=action]").select_option(label="Provision API client for selected users")
    picture(page, "users")
    press(page, re.compile("Go|Run"))
    expect(page.get_by_label("Name for somebody:")).to_have_value("somebody")

    page = visit.open(f"{APPLICATIONS}{application.pk}/change/")
    picture(page, "application")
    page.get_by_role("link", name="Issue access token").click()
    press(page, "Rotate")
    assert api.examine(Secret(copied(page, "Access token"))).client_id == application.client_id
    assert visit.complaints == []


BOXES = """selector => [...document.querySelectorAll(selector)].filter(element => element.checkVisibility())
    .map(element => element.getBoundingClientRect().toJSON()).filter(box => box.width && box.height)"""


def test_buttons_overlap_nothing(visitor: Visit) -> None:
    api.provision(ClientSpec(name="report"), authority=OPERATOR)
    visit = visitor(make_superuser())
    for path in (f"{APPLICATIONS}{ApplicationFactory().pk}/change/", f"{LIST}{client_named('report').pk}/change/"):
        page = visit.open(path)
        for width in (1600, 1280, 1030, 800, 375):
            page.set_viewport_size({"width": width, "height": 800})
            others = page.evaluate(BOXES, "h1, #content h2, #content-main label, #content-main .form-row")
            tools = page.evaluate(BOXES, ".object-tools li")
            assert len(tools) >= 5
            for tool in tools:
                assert [box for box in [*tools, *others] if box != tool and overlap(tool, box)] == []


def overlap(one: dict[str, float], other: dict[str, float]) -> bool:
    return all(
        one[start] + 1 < other[start] + other[size] and other[start] + 1 < one[start] + one[size]
        for start, size in (("x", "width"), ("y", "height"))
    )


def pages_of_ours(site_client: Any, application: Any, user: Any) -> dict[str, str]:
    """Yield every page that a link leads to."""
    one = f"client={site_client.pk}"
    return {
        "clients": LIST,
        "client": f"{LIST}{site_client.pk}/change/",
        "history": f"{LIST}{site_client.pk}/history/",
        "events": EVENTS,
        "event": f"{EVENTS}{site_client.events.first().pk}/change/",
        "provision": address("provision"),
        "provision-accounts": address("provision", f"user={user.pk}"),
        "provision-again": address("provision", one),
        "rotate": address("rotate", one),
        "revoke": address("revoke", one),
        "retire": address("retire", one),
        "adopt": address("adopt", f"application={application.pk}"),
    }


def populate() -> dict[str, str]:
    """Create several clients, as on a site after some time."""
    contact = {"contact": "reports@example.org", "purpose": "Nightly reports for the finance team"}
    api.provision(
        ClientSpec(name="report", staff=True, **contact),
        authority=operator("command line: ops"),
        reason="finance asked",
    )
    api.provision(
        ClientSpec(name="enrollment-bot", superuser=True, contact="crm@example.org"), authority=operator("admin: root")
    )
    api.provision(ClientSpec(name="mobile", profile="commerce"), authority=operator("command line: ops"))
    api.provision(ClientSpec(name="old-crm", contact="crm@example.org"), authority=operator("command line: ops"))
    api.revoke("old-crm", retire=True, authority=operator("admin: root"))
    api.rotate("report", authority=operator("admin: root"), reason="every half year")
    for number, days in enumerate((20, 75, 75, 80, 81, 130, 200, 290, 300)):
        spec = ClientSpec(name=f"course-sync-{number}", expires_in=timedelta(days), contact="sync@example.org")
        api.provision(spec, authority=operator("command line: ops"))
    expired = client_named("course-sync-0").access_token
    type(expired).objects.filter(pk=expired.pk).update(expires=datetime.now(UTC) - timedelta(days=2))
    mobile = client_named("mobile")
    mobile.user.is_staff = True
    mobile.user.save()
    user = UserFactory(username="data-team", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="change_coursemode"))
    return pages_of_ours(client_named("report"), ApplicationFactory(name="Made by hand", user=user), user)


def steps_of_provisioning(page: Page, stop: Callable[[str], None]) -> None:
    """Yield the pages that forms lead to; find buttons by id, because labels depend on the language."""
    go_on = page.locator(".submit-row input.default")
    page.locator("#id_name").fill("new client")
    page.locator("#id_contact").fill("ops")
    page.locator("#id_permissions").evaluate("element => { element.value = 'course_modes.fly'; }")
    go_on.click()
    stop("provision-refused")
    page.locator("#id_name").fill("new-client")
    page.locator("#id_contact").fill("ops@example.org")
    # Show the refusal.
    page.locator("#id_permissions").fill("course_modes.change_coursemode")
    page.locator("details:has(#id_superuser) > summary").click()
    page.locator("#id_superuser").check()
    go_on.click()
    stop("preview")
    go_on.click()
    stop("credentials")
    page.locator("summary", has_text="JSON").click()
    stop("credentials-files")
    page.reload()
    stop("done")


# Made of the same parts as others, so that axe need not look at them in every look.
ALIKE = ("events", "provision-accounts", "provision-again", "retire", "adopt", "credentials", "done")


@pytest.mark.parametrize(
    ("look", "options", "rules"),  # Axe's rules that a look has to do with.
    [
        ("light", {}, ()),
        ("dark", {"color_scheme": "dark"}, ("color-contrast", "link-in-text-block")),
        ("narrow", {"viewport": {"width": 390, "height": 740}}, ("target-size", "scrollable-region-focusable")),
        ("rtl", {"locale": "he"}, ("target-size", "valid-lang")),
    ],
)
def test_pages_pass_axe_in_every_look(
    visitor: Visit,
    violations: Callable[..., list[str]],
    picture: Callable[[Page, str], None],
    settings: Any,
    look: str,
    options: dict[str, Any],
    rules: tuple[str, ...],
) -> None:
    """Check each page with axe and for overflow, and take a screenshot."""
    settings.LMS_ROOT_URL = "https://lms.example.org"
    visit = visitor(make_superuser(username="root"), **{"viewport": {"width": 1280, "height": 800}, **options})
    if look == "light":  # For the documentation, without the admin's sidebar.
        visit.context.add_init_script("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
    found: dict[str, list[str]] = {}

    def stop(name: str) -> None:
        page = visit.page
        page.wait_for_load_state()
        picture(page, f"{name}-{look}")
        wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        found[name] = ["wider than the window"] if wide else []
        if FULL or look == "light" or name not in ALIKE:
            found[name] += violations(page, *([] if FULL else rules))

    for name, path in populate().items():
        visit.open(path)
        stop(name)
    page = visit.open(address("provision"))
    assert page.evaluate("document.documentElement.dir") == ("rtl" if look == "rtl" else "ltr")
    steps_of_provisioning(page, stop)
    report = "\n".join(f"{name}: {rule}" for name, rules in found.items() for rule in rules)
    assert not report, report
    assert [complaint for complaint in visit.complaints if "409" not in complaint] == []
    assert ApiClient.objects.filter(name="new-client").exists()
