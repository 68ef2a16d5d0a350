"""Signals for other plugins, sent once the transaction is committed; a receiver that fails does no harm.

The sender is :class:`~edx_api_provisioning.models.ApiClient`; ``name``, ``actor`` and ``details`` are those of the
event. None holds a secret.
"""

from __future__ import annotations

from django.dispatch import Signal

api_client_provisioned = Signal()
api_client_rotated = Signal()
api_client_revoked = Signal()
