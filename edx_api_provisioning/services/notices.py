"""Mail the contacts of clients whose token expires soon or that are not used."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.core.mail import send_mail
from django.db.models import Exists, OuterRef, QuerySet
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import oauth
from edx_api_provisioning.adapters.database import in_transaction, translate_errors
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import DatabaseFailure, ProvisioningError
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.services import registry, revocation
from edx_api_provisioning.services.last_use import notes_use, unused

_DAY = timedelta(days=1)

logger = logging.getLogger(__name__)


def notify_expiring(*, authority: Authority) -> tuple[str, ...]:
    """Mail the contacts of clients whose token expires soon or that are not used; return the names of these clients.

    There is one mail for each of the days in ``NOTICE_DAYS`` before a token expires; if several of them have come, only
    for the last. There is one mail for each ``UNUSED_AFTER`` without use. The client is locked while its mail is sent,
    so that two workers send one. A mail that cannot be sent is sent by the next run.

    Old applications whose grace period is over are deleted, and tokens that were granted while their client was being
    retired are revoked. If a mail could not be sent, ProvisioningError is raised after all clients.
    """
    distances, now = sorted(conf.get("NOTICE_DAYS")), datetime.now(UTC)
    with translate_errors():
        due = ApiClient.objects.filter(state=ApiClient.State.ACTIVE)
        horizon = now + max(distances, default=0) * _DAY
        ending = due.filter(access_token__expires__gt=now, access_token__expires__lte=horizon)
        expiring = list(ending.exclude(contact="").values_list("pk", flat=True))
        idle = list(_unused(now).exclude(pk__in=expiring).values_list("pk", flat=True))
        succeeded = list(due.filter(predecessor_ends__lte=now).values_list("pk", flat=True))
    _end_strays(authority)
    for pk in succeeded:
        in_transaction(partial(_end_predecessor, pk, now, authority))
    told, failed = [], 0
    work = [partial(_notify_expiring, pk, distances, now, authority) for pk in expiring]
    for notify in (*work, *(partial(_notify_unused, pk, now, authority) for pk in idle)):
        try:
            told.append(in_transaction(notify))
        except (_NotSent, DatabaseFailure):
            failed += 1
    if failed:
        raise ProvisioningError(
            ngettext(
                "%d mail could not be sent; it will be retried on the next run. Check the mail settings.",
                "%d mails could not be sent; they will be retried on the next run. Check the mail settings.",
                failed,
            )
            % failed
        )
    return tuple(name for name in told if name is not None)


def _end_strays(authority: Authority) -> None:
    """End tokens of retired clients: a grant that was in flight while its client was retired leaves one."""
    tokens = oauth.get_access_token_model()._default_manager
    with translate_errors():
        retired = ApiClient.objects.filter(state=ApiClient.State.RETIRED).exclude(application=None)
        live = tokens.filter(expires__gt=datetime.now(UTC), application__in=retired.values("application"))
        strays = list(retired.filter(application__in=live.values("application")).values_list("name", flat=True))
    for name in strays:
        revocation.revoke(name, authority=authority, reason=_("issued while the client was being retired"))


class _NotSent(Exception):
    """A mail backend failed, each in its own way; raised to roll back what was recorded of the mail."""


def _end_predecessor(pk: Any, now: datetime, authority: Authority) -> None:
    client = registry.lock(ApiClient.objects.filter(pk=pk), skip_locked=True)
    if client is not None:
        registry.end_predecessor(client, now, authority=authority)
        client.save()


def _unused(now: datetime) -> QuerySet[ApiClient]:
    """Return the clients that were not used for ``UNUSED_AFTER``, and whose contact was not told in that time."""
    span = conf.get("UNUSED_AFTER")
    if span is None or not notes_use():
        return ApiClient.objects.none()
    told = ApiClientEvent.objects.filter(client=OuterRef("pk"), kind=registry.Kind.NOTIFIED, created__gt=now - span)
    idle = unused(ApiClient.objects.exclude(contact=""), span)
    return idle.exclude(Exists(told.filter(details__has_key="unused_days")))


def _notify_unused(pk: Any, now: datetime, authority: Authority) -> str | None:
    client = registry.lock(_unused(now).filter(pk=pk), skip_locked=True)
    if client is None:
        return None
    days = conf.get("UNUSED_AFTER") // _DAY
    return _mail(client, "unused", {"days": days}, details={"unused_days": days}, authority=authority)


def _notify_expiring(pk: Any, distances: list[int], now: datetime, authority: Authority) -> str | None:
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
    context = {"days": days, "expires_at": token.expires}
    return _mail(client, "expiry", context, details={"days": distance}, authority=authority)


def _mail(
    client: ApiClient, template: str, context: dict[str, Any], *, details: dict[str, Any], authority: Authority
) -> str:
    """Record and send a mail to the contact of a client; return the name of the client."""
    details = {**details, "to": client.contact}
    registry.record([(client, registry.Kind.NOTIFIED, details)], authority=authority)
    context = {**context, "client": client, "site": conf.root_url() or _("this site")}
    subject = " ".join(render_to_string(f"edx_api_provisioning/{template}_subject.txt", context).split())
    body = render_to_string(f"edx_api_provisioning/{template}_body.txt", context)
    try:
        send_mail(subject, body, from_email=None, recipient_list=[client.contact])
    except Exception as error:
        logger.warning("The notice to the contact of %s was not sent: %s", client.name, type(error).__name__)
        raise _NotSent from None
    return client.name
