"""``manage.py lms notify_expiring_api_clients``: for cron, tell people in time."""

from __future__ import annotations

import json
from typing import Any

from edx_api_provisioning import api
from edx_api_provisioning.management.base import ClientCommand, operator


class Command(ClientCommand):
    epilog = """
Run it daily. EDX_API_PROVISIONING["NOTICE_DAYS"] and ["UNUSED_AFTER"] set the times: by default 30, 7 and 1 days
before a token expires, and after 90 days without use.
Applications before a rotation with --grace are deleted on the way, once their grace is over.
Exit code: 0 done or nothing to do, 1 not done, 2 wrong usage.
"""

    def run(self, *, format: str, **_options: Any) -> None:
        names = api.notify_expiring(authority=operator())
        self.show(json.dumps(names) + "\n" if format == "json" else "".join(f"{name}\n" for name in names))
