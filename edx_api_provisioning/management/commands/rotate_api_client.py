"""``manage.py lms rotate_api_client``: new credentials for a client, or for all whose token ends soon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import InvalidSpec, ProvisioningError
from edx_api_provisioning.core.parsing import parse_instant, parse_lifetime
from edx_api_provisioning.management.base import IssuingCommand, operator


class Command(IssuingCommand):
    epilog = """
examples:
  a new token; the old one works for another day:
    manage.py lms rotate_api_client report --grace 24h
  after a leak, everything at once:
    manage.py lms rotate_api_client report --token --secret --reason "found in a public log"
  every client whose token ends within two weeks, each into a file of its own:
    manage.py lms rotate_api_client --expiring-within 14d --grace 7d --format env --output /srv/credentials

An application has one secret. Without --grace the old one ends now, and access tokens that were issued with it live on
unless --token is given too. With --grace the client moves to a new application (client id and secret), and the old one
is deleted by the first rotate_api_client, revoke_api_client or notify_expiring_api_clients after that time.
Exit code: 0 done, 1 not done (for --expiring-within: not for all) or not verified, 2 wrong usage.
"""

    def run(self, *, name: str | None, expiring_within: str | None, **options: Any) -> None:
        if (name is None) == (expiring_within is None):
            raise InvalidSpec(_("give either a NAME or --expiring-within."), field="name")
        wanted = {
            "token": options["token"] or not options["secret"],
            "secret": options["secret"],
            "expires_in": _parsed(parse_lifetime, options["expires_in"], "expires_in"),
            "expires_at": _parsed(parse_instant, options["expires_at"], "expires_at"),
            "grace": _parsed(parse_lifetime, options["grace"], "grace"),
            "reason": options["reason"],
        }
        wanted["authority"], wanted["verify"] = operator(), options["verify"]
        if name is not None:
            self.issue_one(lambda to: api.rotate_many([name], destination=to, **wanted), options)
        else:
            self._rotate_due(_parsed(parse_lifetime, expiring_within, "expiring_within"), wanted, options)

    def _rotate_due(self, within: timedelta, wanted: dict[str, Any], options: dict[str, Any]) -> None:
        failed = []
        names = [client.name for client in api.list_clients(expiring_within=within)]
        with self.destination(options, many=True) as destination:
            for applied in api.rotate_many(names, within=within, destination=destination, **wanted):
                try:
                    self.finish(applied.unwrap(), options)
                except (ProvisioningError, CommandError) as error:
                    failed.append(applied.name)
                    self.warn(f"{applied.name}: {getattr(error, 'message', error)}")
        if failed:
            raise CommandError(_("Not rotated, or not verified: %s.") % ", ".join(failed))


def _parsed(parse: Any, text: str | None, field: str) -> Any:
    try:
        return parse(text) if text is not None else None
    except InvalidSpec as error:
        raise InvalidSpec(error.message, field=field) from None
