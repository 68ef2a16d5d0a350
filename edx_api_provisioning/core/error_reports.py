"""Keep the caller's credentials out of Django's error reports: its mails to the admins and its debug page."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class CredentialFilter(SafeExceptionReporterFilter):
    """Hide headers and cookies that authenticate, and local variables of our views even while ``DEBUG`` is on."""

    hidden_settings = re.compile("API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|COOKIE|SESSION", re.IGNORECASE)

    def is_active(self, request: HttpRequest | None) -> bool:
        """Return True: credentials are hidden even if DEBUG is on."""
        return True

    def get_safe_cookies(self, request: Any) -> dict[str, Any]:
        """Return the cookies with their values masked."""
        return dict.fromkeys(request.COOKIES, self.cleansed_substitute)


def hide_credentials(request: Any) -> None:
    """Have Django report errors of this request without the credentials that came with it."""
    request.exception_reporter_filter = CredentialFilter()
