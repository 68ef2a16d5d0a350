"""How often each may ask: every client and every user for itself. Who is unknown is refused before."""

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
        application = view.credential.application
        ident = f"user-{request.user.pk}" + (f"-client-{application.pk}" if application is not None else "")
        return self.cache_format % {"scope": self.scope, "ident": ident}
