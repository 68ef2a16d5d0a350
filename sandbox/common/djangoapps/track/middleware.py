"""The LMS's request log (common/djangoapps/track/middleware.py), with all fields of its lines."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

log = logging.getLogger("tracking")

CENSORED = (
    "password",
    "newpassword",
    "new_password",
    "oldpassword",
    "old_password",
    "new_password1",
    "new_password2",
)
MAX_LENGTH = 512
"""Characters of the fields, written as JSON; longer text is cut."""
HEADERS = {
    "agent": "HTTP_USER_AGENT",
    "host": "SERVER_NAME",
    "ip": "REMOTE_ADDR",
    "referer": "HTTP_REFERER",
    "accept_language": "HTTP_ACCEPT_LANGUAGE",
}


class TrackMiddleware:
    """Log query and form of each request before its view. Only passwords are censored."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not any(re.match(pattern, request.path_info) for pattern in settings.TRACKING_IGNORE_URL_PATTERNS):
            log.info(json.dumps(_event(request)))
        return self.get_response(request)


def _event(request: HttpRequest) -> dict[str, Any]:
    username, user_id = _user(request)
    return {
        "name": request.path_info,
        "event_type": request.path_info,
        "event_source": "server",
        "event": _fields(request),
        "page": None,
        "time": timezone.now().isoformat(),
        "username": username,
        "context": {"path": request.path_info, "user_id": user_id},
        **{name: request.META.get(key, "") for name, key in HEADERS.items()},
    }


def _user(request: HttpRequest) -> tuple[str, Any]:
    """Return the name and the key of the user, or `anonymous` if the database cannot tell."""
    try:
        return request.user.get_username(), request.user.pk
    except Exception:  # the view raises it again
        return "anonymous", None


def _fields(request: HttpRequest) -> Any:
    """Return the first 512 characters of the fields, or the error of an unreadable form."""
    try:
        fields = {"GET": dict(request.GET), "POST": dict(request.POST)}
    except Exception as error:  # the view raises it again
        return {"event-type": "exception", "exception": repr(type(error))}
    for values in fields.values():
        values.update((name, "*" * 8) for name in CENSORED if name in values)
    text = json.dumps(fields)
    return fields if len(text) <= MAX_LENGTH else text[:MAX_LENGTH]
