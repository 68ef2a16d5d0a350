"""``manage.py lms notify_expiring_api_clients``: for cron, tell people in time."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.management.base import ClientCommand, operator


class Command(ClientCommand):
    help = _("Mail the contacts of API clients whose token ends soon, once at each of the configured distances.")
    epilog = """
Run it daily. The distances are EDX_API_PROVISIONING["NOTICE_DAYS"], by default 30, 7 and 1 days before the end.
Applications before a rotation with --grace are deleted on the way, once their grace is over.
Exit code: 0 done or nothing to do, 1 not done, 2 wrong usage.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        text = _("of the names of those who were told; json: a list (default: %(default)s)")
        parser.add_argument("--format", choices=("text", "json"), default="text", help=text)

    def run(self, *, format: str, **_options: Any) -> None:
        names = api.notify_expiring(authority=operator())
        self.show(json.dumps(names) + "\n" if format == "json" else "".join(f"{name}\n" for name in names))
