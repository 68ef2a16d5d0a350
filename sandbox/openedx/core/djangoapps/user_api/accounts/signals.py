"""Source: openedx/core/djangoapps/user_api/accounts/signals.py of the LMS."""

from __future__ import annotations

from django.dispatch import Signal

USER_RETIRE_LMS_CRITICAL = Signal()
