"""Render the results of verifying credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning.core.parsing import in_words
from edx_api_provisioning.core.results import ISSUE_MEANINGS, Check, ClientSummary, Issue, Presented, Verification
from edx_api_provisioning.formats.rendering import row_as_dict


def render_examination(
    client: ClientSummary | None, presented: Presented | None, verification: Verification, *, format: str
) -> str:
    """Return the result of checking presented credentials, with the client that owns them."""
    shown: dict[str, Any] = {}
    if client is not None:
        shown["client"] = row_as_dict(client)
    if presented is not None:
        shown["token"] = row_as_dict(presented)
        left = presented.expires_at and int((presented.expires_at - datetime.now(UTC)).total_seconds())
        shown["token"]["expires_in"] = left
    if verification.checks:
        shown["checks"] = [asdict(check) for check in verification.checks]
    if format == "json":
        return json.dumps(shown, indent=2) + "\n"
    lines = [line for part in ("client", "token") if part in shown for line in _examined(shown[part])]
    lines += [f"    {issue}: {ISSUE_MEANINGS[Issue(issue)]}" for issue in (client.issues if client else ())]
    lines += [render_check(check) for check in verification.checks]
    return "\n".join(lines) + "\n"


def render_check(check: Check) -> str:
    """Return the result of one check as a line."""
    meaning = check.meaning or _("works")
    return f"{check.what}: {meaning}"


def _examined(values: dict[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        # The rights say what two of the flags say.
        if key in ("is_staff", "is_superuser", "excess", "issues") or value in (None, "", [], False):
            continue
        text = ", ".join(value) if isinstance(value, list) else _("yes") if value is True else str(value)
        if key == "expires_in" and value > 0:
            text = f"{value} ({in_words(timedelta(seconds=value))})"
        yield f"{key.replace('_', ' ') + ':':<15} {text}"
