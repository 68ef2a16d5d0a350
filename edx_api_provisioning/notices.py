"""Telling people that a token ends, once at each of the configured distances."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.utils.translation import ngettext

from edx_api_provisioning import conf, registry
from edx_api_provisioning.database import explained, in_transaction
from edx_api_provisioning.exceptions import ProvisioningError
from edx_api_provisioning.models import ApiClient

_DAY = timedelta(days=1)


def notify_expiring(*, actor: str) -> tuple[str, ...]:
    """Mail the contact of every client whose token ends soon; returns the names of those who were told.

    Each contact is told once for each distance of ``NOTICE_DAYS``, and of a token only the nearest that has come: a
    client that is first looked at five days before the end is told of the seven-day distance, not of thirty as well.
    The client's row is locked while its mail is sent, so that two workers send one; a mail that cannot be sent is
    tried again the next time.

    Predecessors whose grace is over are deleted on the way.

    Raises:
        ProvisioningError: after everybody was tried, if a mail could not be sent.
    """
    distances = sorted(conf.get("NOTICE_DAYS"))
    now = datetime.now(UTC)
    with explained():
        due = ApiClient.objects.filter(state=ApiClient.State.ACTIVE)
        ending = due.filter(access_token__expires__gt=now, access_token__expires__lte=now + distances[-1] * _DAY)
        expiring = list(ending.exclude(contact_email="").values_list("pk", flat=True)) if distances else []
        succeeded = list(due.filter(predecessor_ends__lte=now).values_list("pk", flat=True))
    for pk in succeeded:
        in_transaction(partial(_end_predecessor, pk, now))
    told, failed = [], 0
    for pk in expiring:
        try:
            told.append(in_transaction(partial(_notify, pk, distances, now, actor)))
        except OSError:  # As smtplib's errors are.
            failed += 1
    if failed:
        raise ProvisioningError(
            ngettext(
                "%d mail could not be sent; it is tried again the next time. See the mail settings.",
                "%d mails could not be sent; they are tried again the next time. See the mail settings.",
                failed,
            )
            % failed
        )
    return tuple(name for name in told if name is not None)


def _end_predecessor(pk: Any, now: datetime) -> None:
    client = registry.lock(ApiClient.objects.filter(pk=pk), skip_locked=True)
    if client is not None:
        registry.end_predecessor(client, now)
        client.save()


def _notify(pk: Any, distances: list[int], now: datetime, actor: str) -> str | None:
    client = registry.lock(ApiClient.objects.filter(pk=pk), skip_locked=True)
    token = client.access_token if client is not None else None
    if client is None or token is None or token.expires <= now:
        return None
    days = math.ceil((token.expires - now) / _DAY)
    distance = next((distance for distance in distances if days <= distance), None)
    if distance is None or (client.noticed_days is not None and client.noticed_days <= distance):
        return None
    client.noticed_days = distance
    client.save()
    registry.record(
        client, client.name, registry.Kind.NOTIFIED, actor=actor, details={"days": distance, "to": client.contact_email}
    )
    context = {"client": client, "days": days, "expires_at": token.expires, "site": conf.root_url()}
    send_mail(
        subject=" ".join(render_to_string("edx_api_provisioning/expiry_subject.txt", context).split()),
        message=render_to_string("edx_api_provisioning/expiry_body.txt", context),
        from_email=None,
        recipient_list=[client.contact_email],
    )
    return client.name
