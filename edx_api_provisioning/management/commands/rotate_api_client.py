"""``manage.py lms rotate_api_client``: new credentials for a client, or for all whose token ends soon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.core.options import CLIENT
from edx_api_provisioning.management.base import IssuingCommand, operator, wrong_usage


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

    def run(self, *, name: str | None, expiring_within: timedelta | None, **options: Any) -> None:
        if (name is None) == (expiring_within is None):
            raise wrong_usage("NAME", _("give either a NAME or --expiring-within."))
        for field in ("expires_in", "expires_at"):
            if options["secret"] and not options["token"] and options[field] is not None:
                raise wrong_usage(CLIENT[field].flag, _("needs --token; --secret alone issues no access token."))
        names = ("secret", "expires_in", "expires_at", "grace", "reason", "verify")
        wanted = {each: options[each] for each in names} | {"authority": operator()}
        wanted["token"] = options["token"] or not options["secret"]
        if name is not None:
            self.issue_one(lambda to: api.rotate_many([name], destination=to, **wanted), options)
        else:
            self._rotate_due(expiring_within, wanted, options)

    def _rotate_due(self, within: timedelta | None, wanted: dict[str, Any], options: dict[str, Any]) -> None:
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
