"""``manage.py lms adopt_api_client``: take an application that was made by other means under management."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.management.base import ClientCommand, operator


class Command(ClientCommand):
    help = _("Take an existing application, its user and its longest access token under management.")
    epilog = """
Nothing about the application, its user or its tokens is changed; list_api_clients --unmanaged names candidates.
Adopting a client again records the rights that its user has by now as agreed to.
Exit code: 0 done or nothing to do, 1 not done, 2 wrong usage.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("name", metavar="NAME", help=_("the API client's name from now on"))
        add("--client-id", required=True, metavar="ID", help=_("of the application"))
        add("--contact", metavar="EMAIL", help=_("the person who answers for this client"))
        add("--purpose", metavar="TEXT", help=_("what it is for"))
        add("--reason", default="", metavar="TEXT", help=_("why, for the history"))
        add(
            "--format",
            choices=("text", "json"),
            default="text",
            help=_("how the result is shown (default: %(default)s)"),
        )

    def run(self, *, name: str, client_id: str, format: str, **options: Any) -> None:
        result = api.adopt(
            name,
            client_id=client_id,
            authority=operator(),
            contact=options["contact"],
            purpose=options["purpose"],
            reason=options["reason"],
        )
        self.show(rendering.render_outcome(result, format=format))
