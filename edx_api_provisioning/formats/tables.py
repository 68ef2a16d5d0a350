"""Render lists of clients and of unmanaged credentials, as JSON or as a table of at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from datetime import datetime

from django.utils.translation import gettext as _

from edx_api_provisioning.core.results import ISSUE_MEANINGS, ClientSummary, Issue, Unmanaged
from edx_api_provisioning.core.text import printable
from edx_api_provisioning.formats.rendering import render_list, row_as_dict

_WIDTH = 100

# What may be cut; names and client ids are for copying.
_CUT, _LEAST = ("contact", "username"), 12


def render_rows(rows: Iterable[ClientSummary | Unmanaged], *, format: str) -> Iterator[str]:
    """Yield rows as JSON, streamed, or as a table without empty columns."""
    if format in ("json", "jsonl"):
        yield from render_list((row_as_dict(row) for row in rows), format=format)
        return
    table = [(_cells(row), [*_details(row)] if isinstance(row, ClientSummary) else []) for row in rows]
    longest = {key: max(len(cells[key]) for cells, _lines in table) for key in (table[0][0] if table else ())}
    widths = {key: max(width, len(key)) for key, width in longest.items() if width}
    while sum(widths.values()) + 2 * len(widths) - 2 > _WIDTH:
        widest = max(_CUT, key=lambda key: widths.get(key, 0))
        if widths.get(widest, 0) <= _LEAST:
            break
        widths[widest] -= 1
    if table:
        yield _line(widths, {key: key for key in widths})
    for cells, lines in table:
        yield _line(widths, cells)
        yield from (
            textwrap.fill(line, _WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8) + "\n" for line in lines
        )


def _cells(row: ClientSummary | Unmanaged) -> dict[str, str]:
    """Return the cells by column, in order; an empty one says nothing new."""
    if isinstance(row, Unmanaged):
        cells = {"kind": row.kind, "name": row.name, "client id": row.client_id, "username": row.username}
        return {**{key: printable(text or "") for key, text in cells.items()}, "expires": _day(row.expires_at)}
    return {
        "name": row.name,
        "state": "" if row.state == "active" else row.state,
        "username": printable(row.username or "") if row.username != row.name else "",
        "rights": "superuser" if row.is_superuser else "staff" if row.is_staff else "",
        "expires": _day(row.expires_at),
        "issued": _day(row.last_issued),
        "last used": _day(row.last_used),
        "contact": row.contact or "",
    }


def _day(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d}" if instant is not None else ""


def _line(widths: dict[str, int], cells: dict[str, str]) -> str:
    texts = ((cells[key] or "-", width) for key, width in widths.items())
    cut = (text if len(text) <= width else f"{text[: width - 1]}…" for text, width in texts)
    return "  ".join(f"{text:<{width}}" for text, width in zip(cut, widths.values(), strict=True)).rstrip() + "\n"


def _details(client: ClientSummary) -> Iterator[str]:
    declared = [right for right in client.rights if right not in ("superuser", "staff")]
    if client.profile:
        yield _("profile") + f": {client.profile}"
    if declared:
        yield _("rights") + f": {', '.join(declared)}"
    for right in client.excess:
        yield _("beyond the declared rights") + f": {right}"
    for issue in client.issues:
        yield f"{issue}: {ISSUE_MEANINGS[Issue(issue)]}"
