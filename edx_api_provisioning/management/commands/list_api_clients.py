"""``manage.py lms list_api_clients``: what there is, for people and for monitoring."""

from __future__ import annotations

import itertools
from contextlib import closing
from typing import Any

from edx_api_provisioning import api
from edx_api_provisioning.formats import tables
from edx_api_provisioning.management.base import ClientCommand


class Command(ClientCommand):
    epilog = """
examples:
  for monitoring, exit code 2 if a token ends within 30 days:
    manage.py lms list_api_clients --expiring-within 30d --fail-if-any
  what was made by hand:
    manage.py lms list_api_clients --unmanaged
Exit code: 0 done, 1 not done, 2 something was listed and --fail-if-any was given, or wrong usage.
"""

    def run(self, *, unmanaged: bool, format: str, fail_if_any: bool, **options: Any) -> None:
        which = {name: options[name] for name in ("expiring_within", "unused_for", "expired", "overprivileged")}
        rows: Any = api.list_unmanaged() if unmanaged else api.list_clients(**which)
        with closing(iter(rows)) as rows:  # so that an unread output does not leave a cursor of the database behind
            first = next(rows, None)
            found = [] if first is None else [first]
            for text in tables.render_rows(itertools.chain(found, rows), format=format):
                self.show(text)
        if found and fail_if_any:
            raise SystemExit(2)
