"""``manage.py lms revoke_api_client``: the end of a client's tokens, or of the client."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.management.base import ClientCommand, operator


class Command(ClientCommand):
    help = _("End all access tokens of an API client at once; with --retire or --delete, the client too.")
    epilog = """
Rights and accounts that were not made for this client are left alone. JWTs that were issued live until they expire:
nothing can revoke them (one hour, as the LMS is delivered).
Exit code: 0 done or nothing to do, 1 not done, 2 wrong usage.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("name", metavar="NAME", help=_("the API client"))
        how = parser.add_mutually_exclusive_group()
        retire = _("end its secret too, and deactivate its user if that was made for it and owns nothing else")
        how.add_argument("--retire", action="store_true", help=retire)
        delete = _("retire it, then remove it with its application and such a user; its history stays")
        how.add_argument("--delete", action="store_true", help=delete)
        add("--reason", default="", metavar="TEXT", help=_("why, for the history"))
        add(
            "--format",
            choices=("text", "json"),
            default="text",
            help=_("how the result is shown (default: %(default)s)"),
        )

    def run(self, *, name: str, retire: bool, delete: bool, reason: str, format: str, **_options: Any) -> None:
        result = api.revoke(name, authority=operator(), retire=retire, delete=delete, reason=reason)
        self.show(rendering.render_outcome(result, format=format))
