"""The page that shows credentials: once, as the answer to the POST that made them, and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpResponse
from django.templatetags.static import static
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.data import Credentials
from edx_api_provisioning.formats import rendering


def context(done: list[Credentials]) -> dict[str, Any]:
    """What the template shows: the secrets, in every form in which they can be taken along."""
    return {
        "title": _("Credentials"),
        "shown": [_shown(number, credentials) for number, credentials in enumerate(done)],
        # The page holds nothing but itself: no form that posts, no list of other pages.
        "is_nav_sidebar_enabled": False,
    }


def protect(response: HttpResponse) -> HttpResponse:
    """The one answer that holds secrets, with what keeps browsers, proxies and other sites from keeping them."""
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["Content-Security-Policy"] = _policy()
    return response


def _shown(number: int, credentials: Credentials) -> dict[str, Any]:
    """What the template shows of one client."""
    verification = api.verify(credentials) if credentials.issued else None
    values = rendering.as_dict(credentials, verification)
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
        "failures": [f"{check.what}: {check.meaning}" for check in verification.checks if not check.ok]
        if verification
        else [],
        "verified": bool(verification and verification.ok),
        "values": [(key, label, _unspoken(values[key])) for key, label in labels.items() if values[key] is not None],
        "calls": [(label, _unspoken(line)) for label, line in rendering.calls(values)],
        "files": [
            (
                form,
                label,
                f"{credentials.name}.{extension}",
                _unspoken(rendering.render(credentials, verification, format=form)),
            )
            for form, label, extension in (
                ("env", _("Environment variables (dotenv)"), "env"),
                ("json", "JSON", "json"),
                ("kubernetes-secret", "Kubernetes Secret", "yaml"),
            )
        ],
    }


def _unspoken(text: object) -> Callable[[], str]:
    """A text for the template, which calls it; its ``repr`` is silent.

    At DEBUG, Django logs a template's whole context for every variable that is not in it.
    """
    return lambda: str(text)


def _policy() -> str:
    """Nothing but the site's own static files, nothing inline, nothing sent anywhere (CSP level 3).

    Django's admin lives with it in every version from 4.2 on. What a site adds to the header of its admin with inline
    script or style stays away from this page.
    """
    parts = urlsplit(static("edx_api_provisioning/admin.css"))
    files = f"{parts.scheme}://{parts.netloc}" if parts.scheme else parts.netloc or "'self'"
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {files}",
            f"style-src {files}",
            f"img-src {files} data:",
            f"font-src {files}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
