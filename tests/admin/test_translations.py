"""Test that every text on our admin pages is translatable."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.utils import translation

from edx_api_provisioning import api
from edx_api_provisioning.core.spec import ClientSpec
from tests.admin_client import Browser, client_named, make_superuser
from tests.factories import ApplicationFactory, UserFactory, operator

pytestmark = pytest.mark.django_db

LIST = "/admin/edx_api_provisioning/apiclient/"
EVENTS = "/admin/edx_api_provisioning/apiclientevent/"
# Texts that people read: text nodes, and the labels of fields and buttons.
ATTRIBUTES = re.compile(r'<[^>]* (?:aria-label|title|placeholder|alt|data-(?:gone|copied|not-copied))="([^"]*)"')
BUTTONS = re.compile(r'<input type="submit"[^>]* value="([^"]*)"')
# Data of these pages (event details are names too), texts equal in every language, and texts Django does not translate.
DATA = re.compile(r"x-\S+|read write email profile|(?m:^[a-z_]+:.*$)|JSON|Kubernetes Secret|^(?:Search|True|False)$")


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activate a language that puts every text between brackets."""
    for name in ("gettext", "ngettext", "pgettext", "npgettext"):
        original = getattr(translation._trans, name)
        monkeypatch.setattr(translation._trans, name, bracketed(original), raising=False)


def bracketed(original: Callable[..., str]) -> Callable[..., str]:
    return lambda *arguments: f"⟦{original(*arguments)}⟧"


def unmarked(page: Any) -> list[str]:
    """Return the words on a page that are not translatable."""
    body = page.content.decode()
    body = re.sub(r'(?s)<div id="originalContent".*?</script>', " ", body)  # the LMS's banner, which nobody translates
    body = re.sub(r'(?s)<label for="id_scopes_.*?</label>', " ", body)  # the site's own words
    body = re.sub(r"(?s)<(script|style|svg|option|code|pre|nav)\b.*?</\1>", " ", body)
    texts = [*ATTRIBUTES.findall(body), *BUTTONS.findall(body), *re.sub(r"<[^>]+>", "\0", body).split("\0")]
    found = []
    for text in map(unescape, texts):
        while "⟦" in text and text != (text := re.sub(r"⟦[^⟦⟧]*⟧", " ", text)):
            pass
        found += re.findall(r"[^\W\d_]{3,}[\w ]*", DATA.sub(" ", text))
    return found


def test_all_page_texts_are_translatable(marked: None) -> None:
    browser = Browser(make_superuser(username="x-root"))
    spec = ClientSpec(name="x-report", staff=True, client_id="x-id", contact="x-ops@example.org", purpose="x-reports")
    api.provision(spec, authority=operator("x-test"), reason="x-because")
    client, user = client_named("x-report"), UserFactory(username="x-user")
    one, application = f"client={client.pk}", ApplicationFactory(name="x-hand", user=user)
    answers = {"name": "x-new", "superuser": "on", "permissions": "course_modes.change_coursemode"}
    preview = browser.send(browser.open("provision"), **answers)
    pages = {
        "list": browser.get(LIST),
        "client": browser.get(f"{LIST}{client.pk}/change/"),
        "history": browser.get(f"{LIST}{client.pk}/history/"),
        "events": browser.get(EVENTS),
        "event": browser.get(f"{EVENTS}{client.events.first().pk}/change/"),
        "provision": browser.open("provision"),
        "refused": browser.send(browser.open("provision"), name="x y", permissions="x"),
        "accounts": browser.open("provision", f"user={user.pk}"),
        "again": browser.open("provision", one),
        "rotate": browser.open("rotate", one),
        "revoke": browser.open("revoke", one),
        "retire": browser.open("retire", one),
        "adopt": browser.open("adopt", f"application={application.pk}"),
        "preview": preview,
        "credentials": browser.send(preview, _confirm="yes"),
        "done": browser.send(preview, _confirm="yes"),
    }
    assert {name: words for name, page in pages.items() if (words := unmarked(page))} == {}
