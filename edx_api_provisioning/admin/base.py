"""What the lists of this admin have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html_join

TEMPLATES = "edx_api_provisioning/admin"


class ReadOnly:
    """Nothing is added, changed or deleted through Django's own forms."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def lines(texts: Iterable[Any]) -> Any:
    """Texts below each other, or a dash."""
    return format_html_join("\n", "<div>{}</div>", ((text,) for text in texts)) or "-"
