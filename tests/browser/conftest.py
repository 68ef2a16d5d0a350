"""Run a real Chromium against the running sandbox."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django import VERSION
from django.conf import settings as django_settings
from django.test import Client
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.subprocesses import live_site

DOCS = Path(__file__).parents[2] / "docs"
TIMEOUT = 60_000  # milliseconds, on a machine with much else to do
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


# Not session-scoped: while Playwright's loop runs in this thread, Django uses other connections.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    expect.set_options(timeout=TIMEOUT)
    assert executable, "There is no Chromium on the PATH; on Debian: apt install chromium."
    with pytest.MonkeyPatch.context() as patch:
        # Playwright's event loop runs in this thread; Django would mistake it for the server's.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
            yield browser
            browser.close()


@pytest.fixture
def site(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[str]:
    with live_site(tmp_path) as url:
        settings.LMS_ROOT_URL = url
        yield url


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Take a small screenshot of a page into the folder named by SCREENSHOTS; do nothing without it.

    ``SCREENSHOTS=docs/images pytest tests/browser`` updates only the images that the documentation uses.
    """
    folder = Path(os.environ["SCREENSHOTS"]) if "SCREENSHOTS" in os.environ else None
    shown = (DOCS / "admin.rst").read_text()

    def take(page: Page, name: str) -> None:
        if folder is not None and (folder.resolve() != DOCS / "images" or f"images/{name}.png" in shown):
            taken = page.screenshot(full_page=True)
            Image.open(BytesIO(taken)).quantize(64).save(folder / f"{name}.png", optimize=True)

    return take


class Visitor:
    """A browser that records its console messages and requests."""

    def __init__(self, context: BrowserContext, site: str) -> None:
        self.context, self.site = context, site
        self.complaints: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append((request.method, request.url)))

    def open(self, path: str) -> Page:
        self.page.goto(self.site + path)
        return self.page

    def posts(self) -> list[str]:
        return [url for method, url in self.requests if method == "POST"]


@pytest.fixture
def visitor(chromium: Browser, site: str) -> Iterator[Callable[..., Visitor]]:
    """Open a browser with a logged-in user."""
    contexts: list[BrowserContext] = []

    def visit(user: Any, **options: Any) -> Visitor:
        context = chromium.new_context(**{"viewport": {"width": 1600, "height": 900}, **options})
        contexts.append(context)
        # Chromium requests it by itself; the sandbox has none, and our pages do not name one.
        context.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site)
        context.set_default_timeout(TIMEOUT)
        client = Client()
        client.force_login(user)
        name = django_settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": site}])
        return Visitor(context, site)

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture
def violations() -> Callable[..., list[str]]:
    """Return axe-core violations of a page: WCAG 2.2 A and AA, and best practices where Django follows them.

    Or what the rules find that are named.

    Django 4.2 has no landmarks, and no heading above the row checkboxes.
    """
    axe = Axe()
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", *(["best-practice"] if VERSION >= (5, 2) else [])]
    # No preload: axe would fetch the stylesheets again, which the page's CSP forbids.
    everything = {"type": "tag", "values": rules}

    def find(page: Page, *alone: str) -> list[str]:
        # The rest belongs to the host.
        context = {
            "exclude": [["#header"], [".breadcrumbs"], ["#nav-sidebar"], ["#toggle-nav-sidebar"], ["#originalContent"]]
        }
        run_only = {"type": "rule", "values": alone} if alone else everything
        options = {"runOnly": run_only, "preload": False, "resultTypes": ["violations"]}
        found = axe.run(page, context=context, options=options).response["violations"]
        return [f"{rule['id']} {node['target']} {node['html'][:120]}" for rule in found for node in rule["nodes"]]

    return find
