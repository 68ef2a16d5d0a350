"""Drive the admin pages like a browser without JavaScript: send forms back with values and answers."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from edx_api_provisioning.models import ApiClient
from tests.factories import make_user

Response = HttpResponse


class _Form(HTMLParser):
    """Collect the names and values that a page's form sends without any button."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] | None = None
        self._inside = False
        self._name, self._in_text = "", False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "form" and "data-once" in given:
            assert given["method"] == "post"
            self.values, self._inside = {}, True
        elif tag == "input" and self._inside and given["type"] != "submit":
            box = given["type"] == "checkbox"
            if not box or "checked" in given:
                self._add(given["name"], given.get("value") or "on" * box)
        elif tag in ("select", "textarea") and self._inside:
            self._name, self._in_text = given["name"], tag == "textarea"
            self.values[self._name] = ""
        elif tag == "option" and self._inside and "selected" in given:
            self.values[self._name] = given["value"]

    def _add(self, name: str, value: str) -> None:
        """Add a value; of several boxes with one name, all that are ticked are sent."""
        known = self.values.get(name)
        self.values[name] = value if known is None else [*([known] if isinstance(known, str) else known), value]

    def handle_data(self, data: str) -> None:
        if self._in_text:
            # HTML drops one line break at the start; a browser sends the others as CRLF.
            self.values[self._name] = data.removeprefix("\n").replace("\n", "\r\n")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "form"
        self._in_text = False


def form_of(response: Response) -> dict[str, Any]:
    parser = _Form()
    parser.feed(response.content.decode())
    assert parser.values is not None, response.content.decode()
    return parser.values


def make_staff(*permissions: str, **flags: Any) -> Any:
    return make_user(*permissions, **{"is_staff": True, **flags})


def make_superuser(**values: Any) -> Any:
    return make_staff(is_superuser=True, **values)


class Browser:
    """A logged-in client with CSRF checks on."""

    def __init__(self, user: Any) -> None:
        self.user = user
        self.client = Client(enforce_csrf_checks=True)
        self.client.force_login(user)

    def get(self, address: str) -> Response:
        return self.client.get(address)

    def open(self, page: str, query: str = "") -> Response:
        return self.get(address(page, query))

    def send(self, response: Response, **answers: Any) -> Response:
        """Fill in and send the form of a page; None clears a checkbox or omits a field."""
        values = {**form_of(response), **answers}
        sent = {name: value for name, value in values.items() if value is not None}
        return self.client.post(response.wsgi_request.get_full_path(), sent)

    def post(self, address: str, **values: Any) -> Response:
        """Send a request that no form of ours sends, with a valid CSRF token."""
        self.get("/admin/password_change/")
        token = self.client.cookies["csrftoken"].value
        return self.client.post(address, {"csrfmiddlewaretoken": token, **values})

    def provision(self, query: str = "", **answers: Any) -> Response:
        """Go from the empty form through the preview to the result."""
        preview = self.send(self.open("provision", query), **answers)
        assert "_confirm" in preview.content.decode(), text(preview)
        return self.send(preview, _confirm="yes")


def address(page: str, query: str = "") -> str:
    return reverse(f"admin:edx_api_provisioning_apiclient_{page}") + (f"?{query}" if query else "")


def text(response: Response) -> str:
    """Return the text of a page without its markup."""
    body = re.sub(r"(?s)<(script|style|svg).*?</\1>", "", response.content.decode())
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def shown(response: Response, number: int = 0) -> dict[str, str]:
    """Return the values on a credentials page."""
    assert response.status_code == 200
    found = dict(re.findall(rf'id="value-{number}-(\w+)" dir="ltr">([^<]*)<', response.content.decode()))
    assert found, text(response)
    return found


def client_named(name: str) -> ApiClient:
    return ApiClient.objects.get(name=name)


def user_named(name: str) -> Any:
    return get_user_model().objects.get(username=name)
