"""``manage.py lms revoke_api_client``: the end of a client's tokens, or of the client."""

from __future__ import annotations

from typing import Any

from edx_api_provisioning import api
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.management.base import ClientCommand, operator


class Command(ClientCommand):
    epilog = """
Rights and accounts that were not created for this client are left alone. Issued JWTs stay valid until they expire, in
Open edX for one hour by default; they cannot be revoked.
Exit code: 0 done or nothing to do, 1 not done, 2 wrong usage.
"""

    def run(self, *, name: str, retire: bool, delete: bool, reason: str, format: str, **_options: Any) -> None:
        result = api.revoke(name, authority=operator(), retire=retire, delete=delete, reason=reason)
        self.show(rendering.render_outcome(result, format=format))
