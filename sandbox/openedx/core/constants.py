"""Patterns of course keys and usernames in URLs (openedx/core/constants.py and lms/envs/common.py)."""

from __future__ import annotations

COURSE_ID_PATTERN = r"(?P<course_id>[^/+]+(/|\+)[^/+]+(/|\+)[^/?]+)"
USERNAME_PATTERN = r"(?P<username>[\w .@_+-]+)"
