"""Note when the opaque tokens of API clients are used."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from edx_api_provisioning import api, conf


class LastUseMiddleware:
    """Note the use of a client's opaque token after the response, unless ``RECORD_LAST_USE`` is off."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        try:
            wanted = conf.get("RECORD_LAST_USE")
        except conf.InvalidSetting:  # A system check reports it; the site has to start.
            wanted = False
        if not wanted:
            raise MiddlewareNotUsed
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Return the response to the request."""
        response = self._get_response(request)
        api.note_use(getattr(request, "auth", None))  # REST framework sets it.
        return response
