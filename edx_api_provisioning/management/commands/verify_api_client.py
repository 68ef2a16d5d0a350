"""``manage.py lms verify_api_client``: what the site makes of credentials that somebody presents."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.parsing import parse_site_url
from edx_api_provisioning.core.secrets import read_secret
from edx_api_provisioning.data import Verification
from edx_api_provisioning.formats import examination
from edx_api_provisioning.management.base import ClientCommand


class Command(ClientCommand):
    epilog = """
examples:
  a token from a file, without it being in any process's arguments:
    manage.py lms verify_api_client --token-from stdin < token.txt
  id and secret, as a caller from outside would use them:
    manage.py lms verify_api_client --client-id ID --client-secret-from env:SECRET --url https://lms.example.org
  what others did to a client since it was provisioned:
    manage.py lms verify_api_client report
Exit code: 0 all is well, 1 something is not, 2 wrong usage.
"""

    def run(self, *, name: str | None, client_id: str | None, url: str | None, **options: Any) -> None:
        token = read_secret("token_from", options["token_from"])
        secret = read_secret("client_secret", options["client_secret_from"])
        if (client_id is None) != (secret is None):
            raise InvalidSpec(_("give --client-id and --client-secret-from together."), field="client_id")
        if name is None and token is None and client_id is None:
            raise InvalidSpec(_("give a NAME, --token-from, or --client-id with --client-secret-from."), field="name")
        root = parse_site_url(url) if url is not None else None

        client = api.get_client(name) if name is not None else None
        presented = api.examine(token) if token is not None else None
        verification = api.verify_client(client_id, secret, url=root) if client_id and secret else Verification(())
        if token is not None and presented is not None and presented.username is not None and root is not None:
            tried = api.verify_token(token, username=presented.username, url=root)
            verification = Verification(verification.checks + tried.checks)
        if client is not None and root is not None:
            tried = api.try_profile(
                client, url=root, access_token=token, client_secret=secret, course_key=options["course"]
            )
            verification = Verification(verification.checks + tried.checks)
        self.show(examination.render_examination(client, presented, verification, format=options["format"]))
        faults = [
            *(client.issues if client else ()),
            *([presented.state] if presented and presented.state != "valid" else []),
            *(check.what for check in verification.checks if not check.ok),
        ]
        if faults:
            raise CommandError(_("Issues found: %s.") % ", ".join(faults))
        if options["format"] == "text":
            self.show(_("No issues found.") + "\n")
