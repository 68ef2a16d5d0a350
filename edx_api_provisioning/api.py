"""The public Python API: every door leads here, and other plugins may.

``plan_client`` says what ``provision`` would do; ``provision`` does it in one transaction; ``undo`` takes back what one
run made. ``plan_many`` and ``apply`` are the same for many; ``prune`` retires those that a manifest has lost.
``verify`` proves what was issued; ``examine``, ``verify_token`` and ``verify_client`` what somebody presents;
``try_profile`` what it opens. ``rotate``, ``revoke`` and ``adopt`` are the rest of a client's life; ``list_clients``
and ``list_unmanaged`` say what there is; ``notify_expiring`` tells people in time.
"""

from __future__ import annotations

from edx_api_provisioning.applying import apply, plan_many, prune
from edx_api_provisioning.lifecycle import adopt, revoke, rotate, rotate_due
from edx_api_provisioning.listing import list_clients, list_unmanaged
from edx_api_provisioning.notices import notify_expiring
from edx_api_provisioning.proving import examine, try_profile, verify, verify_client, verify_token
from edx_api_provisioning.provisioning import handed_over, plan_client, provision, undo

__all__ = [
    "adopt",
    "apply",
    "examine",
    "handed_over",
    "list_clients",
    "list_unmanaged",
    "notify_expiring",
    "plan_client",
    "plan_many",
    "provision",
    "prune",
    "revoke",
    "rotate",
    "rotate_due",
    "try_profile",
    "undo",
    "verify",
    "verify_client",
    "verify_token",
]
