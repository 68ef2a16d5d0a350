"""``manage.py lms verify_api_client``: what the site makes of credentials that somebody presents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.data import Check, ClientSummary, Presented, Secret, Verification
from edx_api_provisioning.formats import examination
from edx_api_provisioning.management.base import ClientCommand, wrong_usage


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

    def run(self, *, name: str | None, token: Secret | None, client_id: str | None, **options: Any) -> None:
        client_secret, url, course = options["client_secret"], options["url"], options["course"]
        if (client_id is None) != (client_secret is None):
            raise wrong_usage("--client-id", _("give --client-id and --client-secret-from together."))
        if name is None and token is None and client_id is None:
            raise wrong_usage("NAME", _("give a NAME, --token-from, or --client-id with --client-secret-from."))
        if url is not None and token is None and client_secret is None:
            message = _("nothing to verify; give --token-from, or --client-id with --client-secret-from, too.")
            raise wrong_usage("--url", message)
        if course is not None and (name is None or url is None):
            raise wrong_usage("--course", _("needs NAME and --url."))
        client = api.get_client(name) if name is not None else None
        presented, verification = _verified(client, token, client_id, options)
        self.show(examination.render_examination(client, presented, verification, format=options["format"]))
        faults = [
            *(client.issues if client else ()),
            *([presented.state] if presented and presented.state != "valid" else []),
            *(check.what for check in verification.checks if check.ok is False),
        ]
        if faults:
            raise CommandError(_("Issues found: %s.") % ", ".join(faults))
        if options["format"] == "text":
            self.show(_("No issues found.") + "\n")
        if token is None and client_secret is None:
            self.say(
                _("The credentials were not verified: give --token-from, or --client-id with --client-secret-from.")
            )


def _verified(
    client: ClientSummary | None, token: Secret | None, client_id: str | None, options: Mapping[str, Any]
) -> tuple[Presented | None, Verification]:
    """Return the state of the presented token, and the checks of all presented credentials."""
    root, client_secret = options["url"], options["client_secret"]
    presented = api.examine(token) if token is not None else None
    checks: list[Check] = []
    tokens: dict[str, Secret] = {}
    if client_id is not None:
        checks += api.verify_client(client_id, client_secret, url=root).checks
    if token is not None and presented is not None and presented.username is not None and root is not None:
        tokens[presented.scheme] = token
        username, scheme = presented.username, presented.scheme
        checks += api.verify_token(token, username=username, url=root, scheme=scheme).checks
    if client is not None and root is not None:
        course = options["course"]
        tried = api.try_profile(client, url=root, tokens=tokens, client_secret=client_secret, course_key=course)
        checks += tried.checks
    return presented, Verification(tuple(checks))
