"""Share code between the admin classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html_join

TEMPLATES = "edx_api_provisioning/admin"


class ReadOnly:
    """A model admin without Django's forms to add, change and delete."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False."""
        return False


def lines(texts: Iterable[Any]) -> Any:
    """Return texts as HTML, one per line, or a dash."""
    return format_html_join("\n", "<div>{}</div>", ((text,) for text in texts)) or "-"
