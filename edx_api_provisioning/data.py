"""Provide the public types: specs, secrets, plans and results (OEP-49).

Time spans are :class:`~datetime.timedelta`, instants are aware UTC datetimes.
"""

from __future__ import annotations

from edx_api_provisioning.adapters.access_catalogue import Answer, Endpoint, Profile
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.planning import Action, Plan, Step
from edx_api_provisioning.core.results import (
    ISSUE_MEANINGS,
    Applied,
    Check,
    ClientSummary,
    Credentials,
    CredentialsOutput,
    Event,
    Identity,
    Issue,
    Presented,
    RequestId,
    Status,
    Unmanaged,
    Verification,
)
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import Access
from edx_api_provisioning.services.identity import Credential
from edx_api_provisioning.services.queries import ORDERINGS

__all__ = [
    "ISSUE_MEANINGS",
    "ORDERINGS",
    "Access",
    "Action",
    "Answer",
    "Applied",
    "Authority",
    "Check",
    "ClientSpec",
    "ClientSummary",
    "Credential",
    "Credentials",
    "CredentialsOutput",
    "Endpoint",
    "Event",
    "Identity",
    "Issue",
    "Plan",
    "Presented",
    "Profile",
    "RequestId",
    "Secret",
    "Status",
    "Step",
    "Unmanaged",
    "Verification",
]
