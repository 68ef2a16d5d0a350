"""Show credentials once, in the response to the POST that issued them. They are stored nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpResponse
from django.templatetags.static import static
from django.utils.translation import gettext as _

from edx_api_provisioning.data import Credentials
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.formats.snippets import snippets


def context(done: list[Credentials]) -> dict[str, Any]:
    """Return the template context: the secrets, in each format that can be copied or downloaded."""
    return {
        "title": _("Credentials"),
        "shown": [_client_context(number, credentials) for number, credentials in enumerate(done)],
        # No sidebar: its links would leave the page, and the secrets would be lost.
        "is_nav_sidebar_enabled": False,
    }


def protect(response: HttpResponse) -> HttpResponse:
    """Add headers that keep browsers, proxies and other sites from storing the secrets."""
    # CSP level 3. Django's admin works with it from 4.2 on; inline script or style that a site adds to it does not run.
    parts = urlsplit(static("edx_api_provisioning/admin.css"))
    files = f"{parts.scheme}://{parts.netloc}" if parts.scheme else parts.netloc or "'self'"
    policy = [
        "default-src 'none'",
        f"script-src {files}",
        f"style-src {files}",
        f"img-src {files} data:",
        f"font-src {files}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["Content-Security-Policy"] = "; ".join(policy)
    return response


def _client_context(number: int, credentials: Credentials) -> dict[str, Any]:
    """Return the template context of one client."""
    values = rendering.as_dict(credentials)
    labels = {
        "client_id": _("Client id"),
        "client_secret": _("Client secret"),
        "access_token": _("Access token"),
        "expires_at": _("Expires"),
        "scope": _("Scopes"),
        "token_url": _("Token endpoint"),
        "api_docs_url": _("API documentation"),
    }
    return {
        "number": number,
        "name": credentials.name,
        "username": credentials.username,
        "issued": credentials.issued,
        "changes": credentials.changes,
        "warnings": credentials.warnings,
        "verified": bool(credentials.verified),
        "values": [(key, label, _lazy_secret(values[key])) for key, label in labels.items() if values[key] is not None],
        "snippets": [
            {
                **snippet._asdict(),
                "text": _lazy_secret(snippet.text),
                "file": f"{credentials.name}.{snippet.ending}" if snippet.ending else "",
            }
            for snippet in snippets(values)
        ],
    }


def _lazy_secret(text: object) -> Callable[[], str]:
    """Wrap a secret in a callable so that template debug logs do not show it.

    At DEBUG, Django logs the whole context of a template for each missing variable.
    """
    return lambda: str(text)
