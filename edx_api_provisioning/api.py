"""The public Python API: every door leads here, and other plugins may.

``plan_client`` says what ``provision`` would do; ``provision`` does it in one transaction; ``undo`` takes back what one
run made; ``verify`` proves what it issued.
"""

from __future__ import annotations

from edx_api_provisioning.provisioning import plan_client, provision, undo, verify

__all__ = ["plan_client", "provision", "undo", "verify"]
