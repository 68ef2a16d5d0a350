"""What course keys and usernames look like in the LMS's URLs (openedx/core/constants.py and lms/envs/common.py)."""

from __future__ import annotations

COURSE_ID_PATTERN = r"(?P<course_id>[^/+]+(/|\+)[^/+]+(/|\+)[^/?]+)"
USERNAME_PATTERN = r"(?P<username>[\w .@_+-]+)"
