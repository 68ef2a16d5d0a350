"""``manage.py lms rotate_api_client``: new credentials for a client, or for all whose token ends soon."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import InvalidSpec, OutputFailure, ProvisioningError
from edx_api_provisioning.core.parsing import parse_instant, parse_lifetime
from edx_api_provisioning.data import Credentials
from edx_api_provisioning.formats import rendering
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
Exit code: 0 done, 1 not done (for --expiring-within: not for all) or not proved, 2 wrong usage.
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
        if name is not None:
            self._issue(lambda: api.rotate(name, authority=operator(), **wanted), options["output"], options)
        else:
            self._rotate_due(_parsed(parse_lifetime, expiring_within, "expiring_within"), wanted, options)

    def _rotate_due(self, within: timedelta, wanted: dict[str, Any], options: dict[str, Any]) -> None:
        directory, failed = options["output"], []
        if directory is not None and not os.path.isdir(directory):
            raise InvalidSpec(_("with --expiring-within this is a directory that exists."), field="output")
        if directory is None and options["format"] == "env":
            raise InvalidSpec(
                _("the variables of several clients have the same names; give a directory."), field="output"
            )
        for client in list(api.list_clients(expiring_within=within)):
            path = directory and rendering.path_of(client.name, directory, format=options["format"])
            try:
                self._issue(partial(_if_due, client.name, within, wanted), path, options)
            except _NotDue:
                continue
            except OutputFailure:
                raise  # Nobody would get those of the others either.
            except (ProvisioningError, CommandError) as error:
                failed.append(client.name)
                self.stderr.write(f"{client.name}: {getattr(error, 'message', error)}")
        if failed:
            raise CommandError(_("Not rotated, or not proved: %s.") % ", ".join(failed))

    def _issue(self, rotate: Callable[[], Credentials], path: str | None, options: dict[str, Any]) -> None:
        self.issue(rotate, to=path, give_up=self._tell_lost, options=options)

    def _tell_lost(self, credentials: Credentials) -> None:
        lost = _("%s was rotated, but nobody has its new credentials: rotate it again.")
        self.stderr.write(lost % credentials.name)


class _NotDue(Exception):
    """Another run came first."""


def _if_due(name: str, within: timedelta, wanted: dict[str, Any]) -> Credentials:
    rotated = api.rotate_due(name, within=within, authority=operator(), **wanted)
    if rotated is None:
        raise _NotDue
    return rotated


def _parsed(parse: Any, text: str | None, field: str) -> Any:
    try:
        return parse(text) if text is not None else None
    except InvalidSpec as error:
        raise InvalidSpec(error.message, field=field) from None
