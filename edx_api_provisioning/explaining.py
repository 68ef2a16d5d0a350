"""What a client may do, from the rights that it has now."""

from __future__ import annotations

from edx_api_provisioning import lms, registry
from edx_api_provisioning.database import explained
from edx_api_provisioning.privileges import rights_of


def client_rights(name: str) -> frozenset[str]:
    """The rights of a client as :mod:`~edx_api_provisioning.access` writes them; none if it has ended.

    Raises:
        ClientNotFound, NearMatch: if there is none of this name, or only one in another spelling.
    """
    with explained():
        client = registry.get(name, lock_it=False)
        if client.user is None or client.application is None:
            return frozenset()
        found = rights_of(client.user, client.application)
        flags = {
            "superuser": found.superuser,
            "staff": found.staff,
            "restricted": lms.is_restricted(client.application.pk),
            f"username:{client.user.get_username()}": True,
        }
        return found.others | {right for right, has in flags.items() if has}
