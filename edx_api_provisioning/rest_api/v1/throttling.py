"""How often each may ask: every client for itself, every user, and whoever is unknown by address."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from edx_api_provisioning import conf


class CallerThrottle(SimpleRateThrottle):
    """Counts in the site's cache, as all of DRF's throttles do."""

    scope = "api_provisioning"

    def get_rate(self) -> Any:
        return conf.get("REST_API_RATE")

    def get_cache_key(self, request: Request, view: Any) -> str:
        user = request.user
        if user is None or not user.is_authenticated:
            ident = f"address-{self.get_ident(request)}"
        else:
            application = view.credential.application
            ident = f"user-{user.pk}" + (f"-client-{application.pk}" if application is not None else "")
        return self.cache_format % {"scope": self.scope, "ident": ident}
