"""Define signals for other plugins, sent after the commit. Errors of receivers are ignored.

The sender is :class:`~edx_api_provisioning.models.ApiClient`. ``name``, ``actor`` and ``details`` are those of the
event and contain no secret.

Where openedx-events is installed, ``EVENTS`` holds Open edX public signals by the kind of the event, such as
``EVENTS["rotated"]`` of type ``org.openedx.learning.api_client.rotated.v1`` with an :class:`ApiClientData`.
"""

from __future__ import annotations

from typing import Any

from django.dispatch import Signal

api_client_provisioned = Signal()
api_client_rotated = Signal()
api_client_revoked = Signal()

SIGNALS = {
    "created": api_client_provisioned,
    "updated": api_client_provisioned,
    "adopted": api_client_provisioned,
    "rotated": api_client_rotated,
    "revoked": api_client_revoked,
    "retired": api_client_revoked,
    "deleted": api_client_revoked,
}
"""The signal of each kind of event that has one."""

EVENTS: dict[str, Any] = {}

try:
    import attr
    from openedx_events.tooling import OpenEdxPublicSignal
except ImportError:
    pass
else:

    @attr.s(frozen=True)
    class ApiClientData:
        """Data of an event of an API client.

        Attributes:
            name (str): name of the API client.
            client_id (str): client ID of its application; may be empty.
            actor (str): who changed it.
            reason (str): reason that the actor gave; may be empty.
        """

        name = attr.ib(type=str)
        client_id = attr.ib(type=str)
        actor = attr.ib(type=str)
        reason = attr.ib(type=str)

    for _kind in SIGNALS:
        # .. event_type: org.openedx.learning.api_client.created.v1, and so on for each kind
        # .. event_name: EVENTS[kind]
        # .. event_description: sent after an API client was created, updated, adopted, rotated, revoked, ...
        # .. event_data: ApiClientData
        _type = f"org.openedx.learning.api_client.{_kind}.v1"
        EVENTS[_kind] = OpenEdxPublicSignal(event_type=_type, data={"api_client": ApiClientData})


def send(kind: str, *, sender: type, reason: str, **event: Any) -> None:
    """Send the signals of an event of a client, if its kind has any."""
    if kind not in SIGNALS:
        return
    SIGNALS[kind].send_robust(sender=sender, **event)
    if kind in EVENTS:
        client_id = event["details"].get("client_id") or ""
        data = ApiClientData(name=event["name"], client_id=client_id, actor=event["actor"], reason=reason)
        EVENTS[kind].send_event(api_client=data)
