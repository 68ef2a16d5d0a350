"""Provide the public Python API, which every entry point calls and other plugins may call.

Provision: ``plan_many`` returns what ``apply`` would do, which delivers credentials before it commits them;
``plan_client`` and ``provision`` are the same for one client. ``prune`` retires the clients that a manifest no longer
declares. ``excess_rights`` lists what a planned client may do beyond an ordinary account.

Verify: ``verify`` checks issued credentials; ``examine``, ``verify_token`` and ``verify_client`` check presented ones;
``try_profile`` requests what a profile opens.

Change: ``rotate``, ``rotate_many``, ``revoke``, ``adopt``, and ``rotate_self`` for the client itself;
``notify_expiring`` mails the contacts.

Read: ``list_clients``, ``list_unmanaged``, ``get_client``, ``list_events``, ``describe``; ``summary``
and ``with_facts`` for a queryset of clients, ``may_be_client`` and ``rights_of_account`` for rows of other models.

Personal data: ``replace_address`` replaces an email address, history included; ``retire_person`` that of an account.

Last use: ``note_use`` notes one; ``unused`` filters a queryset of clients.

Access: ``profiles``, ``scopes``, ``endpoints``, ``find_endpoint``, ``allows`` and ``client_rights`` answer which rights
a request needs; ``find_error`` explains an answer of the site; ``is_lms`` tells whether there are course roles,
restrictions and JWTs.

Requests: ``in_transaction``, ``require_new``, ``remember``, ``record_refusal`` and ``no_sql_logging`` wrap a change;
``authentication_classes``, ``pagination_class``, ``credential_of``, ``authority_of``, ``person_of``,
``require_may_change``, ``version_of``, ``versions``, ``without_address`` and ``identify`` are for the REST
API and the admin.
"""

from __future__ import annotations

from edx_api_provisioning.adapters.access_catalogue import allows, endpoints, find_endpoint, profiles
from edx_api_provisioning.adapters.database import in_transaction, no_sql_logging
from edx_api_provisioning.adapters.lms import authentication_classes, is_lms, pagination_class
from edx_api_provisioning.adapters.oauth import is_client_credentials as may_be_client
from edx_api_provisioning.services.adoption import adopt
from edx_api_provisioning.services.api_errors import find_error
from edx_api_provisioning.services.authorization import version_of, versions
from edx_api_provisioning.services.batch import apply, plan_many, provision, prune
from edx_api_provisioning.services.credentials import describe, without_address
from edx_api_provisioning.services.identity import (
    authority_of,
    credential_of,
    identify,
    person_of,
    require_may_change,
    rotate_self,
)
from edx_api_provisioning.services.last_use import note_use, unused
from edx_api_provisioning.services.notices import notify_expiring
from edx_api_provisioning.services.personal_data import replace_address, retire_person
from edx_api_provisioning.services.provisioning import excess_rights, plan_client
from edx_api_provisioning.services.queries import (
    client_rights,
    get_client,
    list_clients,
    list_events,
    list_unmanaged,
    rights_of_account,
    summary,
    with_facts,
)
from edx_api_provisioning.services.registry import record_refusal, remember, require_new
from edx_api_provisioning.services.revocation import revoke
from edx_api_provisioning.services.rotation import rotate, rotate_many
from edx_api_provisioning.services.site import scopes
from edx_api_provisioning.services.verification import examine, try_profile, verify, verify_client, verify_token

__all__ = [
    "adopt",
    "allows",
    "apply",
    "authentication_classes",
    "authority_of",
    "client_rights",
    "credential_of",
    "describe",
    "endpoints",
    "examine",
    "excess_rights",
    "find_endpoint",
    "find_error",
    "get_client",
    "identify",
    "in_transaction",
    "is_lms",
    "list_clients",
    "list_events",
    "list_unmanaged",
    "may_be_client",
    "no_sql_logging",
    "note_use",
    "notify_expiring",
    "pagination_class",
    "person_of",
    "plan_client",
    "plan_many",
    "profiles",
    "provision",
    "prune",
    "record_refusal",
    "remember",
    "replace_address",
    "require_may_change",
    "require_new",
    "retire_person",
    "revoke",
    "rights_of_account",
    "rotate",
    "rotate_many",
    "rotate_self",
    "scopes",
    "summary",
    "try_profile",
    "unused",
    "verify",
    "verify_client",
    "verify_token",
    "version_of",
    "versions",
    "with_facts",
    "without_address",
]
