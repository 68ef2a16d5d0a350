"""The public Python API: every door leads here, and other plugins may.

``plan_client`` says what ``provision`` would do; ``provision`` does it in one transaction; ``undo`` takes back what
one run made. ``plan_many`` and ``apply`` are the same for many; ``prune`` retires those that a manifest has lost.
``verify`` proves what was issued; ``examine``, ``verify_token`` and ``verify_client`` what somebody presents;
``try_profile`` what it opens. ``rotate``, ``revoke`` and ``adopt`` are the rest of a client's life; ``rotate_due`` is
for workers that may be started again, which ``hand_over`` what they have issued. ``list_clients`` and
``list_unmanaged`` say what there is; ``notify_expiring`` tells people in time. ``find_clients``, ``get_client`` and
``list_events`` are for who reads page by page; ``describe`` says what a client's credentials are, without a secret.
Who looks before changing something does both ``in_transaction``, with ``require_new`` for a request that comes twice
and ``hold_client`` for a client that nobody else changes meanwhile. ``rotate_self`` is what a client may do for
itself.
"""

from __future__ import annotations

from edx_api_provisioning.applying import apply, plan_many, prune
from edx_api_provisioning.database import in_transaction
from edx_api_provisioning.identity import rotate_self
from edx_api_provisioning.lifecycle import adopt, describe, revoke, rotate, rotate_due
from edx_api_provisioning.listing import (
    find_clients,
    get_client,
    hold_client,
    list_clients,
    list_events,
    list_unmanaged,
)
from edx_api_provisioning.notices import notify_expiring
from edx_api_provisioning.proving import examine, try_profile, verify, verify_client, verify_token
from edx_api_provisioning.provisioning import hand_over, plan_client, provision, undo
from edx_api_provisioning.registry import require_new

__all__ = [
    "adopt",
    "apply",
    "describe",
    "examine",
    "find_clients",
    "get_client",
    "hand_over",
    "hold_client",
    "in_transaction",
    "list_clients",
    "list_events",
    "list_unmanaged",
    "notify_expiring",
    "plan_client",
    "plan_many",
    "provision",
    "prune",
    "require_new",
    "revoke",
    "rotate",
    "rotate_due",
    "rotate_self",
    "try_profile",
    "undo",
    "verify",
    "verify_client",
    "verify_token",
]
