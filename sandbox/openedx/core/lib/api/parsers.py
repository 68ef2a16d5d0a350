from __future__ import annotations

from rest_framework.parsers import JSONParser


class MergePatchParser(JSONParser):
    """The only body type that PATCH accepts (openedx/core/lib/api/parsers.py of the LMS)."""

    media_type = "application/merge-patch+json"
