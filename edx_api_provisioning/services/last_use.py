"""Know when a client was last used.

The token endpoint leaves a row for each opaque token or JWT that it grants. For opaque tokens that are presented, the
middleware notes the time on the client's row.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.lookups import IsNull

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import oauth
from edx_api_provisioning.models import ApiClient

logger = logging.getLogger(__name__)

MIDDLEWARE = "edx_api_provisioning.middleware.LastUseMiddleware"

_INTERVAL = timedelta(hours=1)


def note_use(auth: Any) -> None:
    """Note that a request was authenticated with this; only the first use in an hour costs a statement.

    Args:
        auth: ``request.auth`` of REST framework: the row of an opaque token, or anything else.
    """
    if not oauth.is_access_token(auth) or auth.application_id is None:
        return
    try:
        if cache.add(f"edx_api_provisioning.last_use.{auth.application_id}", True, _INTERVAL.total_seconds()):
            of_token = Q(application=auth.application_id) | Q(predecessor=auth.application_id)
            now = datetime.now(UTC)
            ApiClient.objects.filter(of_token).update(last_used=now, bearer_used=now)
    except Exception as error:  # The request itself was answered: no failure of a cache or database may end it.
        logger.warning("The use of a token was not noted: %s", type(error).__name__)


def notes_use() -> bool:
    """Return True if the use of opaque tokens is noted."""
    return conf.get("RECORD_LAST_USE") and MIDDLEWARE in settings.MIDDLEWARE


def keep_last_use(client: ApiClient) -> None:
    """Keep the time of the last grant on the client's row, before the tokens are deleted; the caller saves the row."""
    if client.application_id is None:
        return
    last = oauth.granted_tokens().filter(application=client.application_id).aggregate(last=Max("created"))["last"]
    client.last_used = max(filter(None, (client.last_used, last)), default=None)


def with_last_grant(clients: QuerySet[Any]) -> QuerySet[Any]:
    """Add the column ``last_grant``, the time of the newest token that the token endpoint granted."""
    # The current token was issued by this package, but may live no longer than a granted one.
    current = OuterRef("access_token_id")
    granted = oauth.granted_tokens().filter(
        Q(IsNull(current, True)) | ~Q(pk=current), application=OuterRef("application_id")
    )
    last = granted.order_by().values("application").annotate(last=Max("created")).values("last")
    annotated: QuerySet[Any] = clients.annotate(last_grant=Subquery(last[:1]))
    return annotated


def unused(clients: QuerySet[Any], span: timedelta) -> QuerySet[Any]:
    """Return the active clients that exist for this time and were not used in it."""
    limit = datetime.now(UTC) - span
    return with_last_grant(clients).filter(
        Q(last_used=None) | Q(last_used__lt=limit),
        Q(last_grant=None) | Q(last_grant__lt=limit),
        state=ApiClient.State.ACTIVE,
        created__lt=limit,
    )
