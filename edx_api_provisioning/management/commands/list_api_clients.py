"""``manage.py lms list_api_clients``: what there is, for people and for monitoring."""

from __future__ import annotations

import itertools
from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.parsing import parse_lifetime
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.management.base import ClientCommand


class Command(ClientCommand):
    help = _("List the API clients, their rights, when their tokens end, and what others did to them. Never a secret.")
    epilog = """
examples:
  for monitoring, exit code 2 if a token ends within 30 days:
    manage.py lms list_api_clients --expiring-within 30d --fail-if-any
  what was made by hand:
    manage.py lms list_api_clients --unmanaged
Exit code: 0 done, 1 not done, 2 something was listed and --fail-if-any was given, or wrong usage.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        which = parser.add_mutually_exclusive_group()
        expiring = _("only those whose token ends within this time or has ended: 30d, 12h")
        which.add_argument("--expiring-within", metavar="TIME", help=expiring)
        which.add_argument("--expired", action="store_true", help=_("only those whose token has ended"))
        unmanaged = _("instead: client credentials applications and long-lived tokens that belong to no API client")
        which.add_argument("--unmanaged", action="store_true", help=unmanaged)
        overprivileged = _("only those with more rights than were declared, by options or a profile")
        which.add_argument("--overprivileged", action="store_true", help=overprivileged)
        add("--fail-if-any", action="store_true", help=_("exit code 2 if anything is listed"))
        add(
            "--format",
            choices=("text", "json"),
            default="text",
            help=_("json: one object a line (default: %(default)s)"),
        )

    def run(self, *, expiring_within: str | None, unmanaged: bool, format: str, **options: Any) -> None:
        try:
            within = parse_lifetime(expiring_within) if expiring_within is not None else None
        except InvalidSpec as error:
            raise InvalidSpec(error.message, field="expiring_within") from None
        rows: Any = (
            api.list_unmanaged()
            if unmanaged
            else api.list_clients(
                expiring_within=within, expired=options["expired"], overprivileged=options["overprivileged"]
            )
        )
        first = next(rows, None)
        if first is not None:
            for text in rendering.render_rows(itertools.chain([first], rows), format=format):
                self.show(text)
            if options["fail_if_any"]:
                raise SystemExit(2)
