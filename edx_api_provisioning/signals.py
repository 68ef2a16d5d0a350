"""Define signals for other plugins, sent after the commit. Errors of receivers are ignored.

The sender is :class:`~edx_api_provisioning.models.ApiClient`. ``name``, ``actor`` and ``details`` are those of the
event and contain no secret.
"""

from __future__ import annotations

from django.dispatch import Signal

api_client_provisioned = Signal()
api_client_rotated = Signal()
api_client_revoked = Signal()
