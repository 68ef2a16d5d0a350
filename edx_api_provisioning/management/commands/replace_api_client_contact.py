"""``manage.py replace_api_client_contact``: replace a contact who has left, history included."""

from __future__ import annotations

from typing import Any

from django.utils.translation import ngettext

from edx_api_provisioning import api
from edx_api_provisioning.management.base import ClientCommand, operator


class Command(ClientCommand):
    epilog = """
Use it when a person leaves or wants to be forgotten.
Exit code: 0 done or nothing to do, 1 not done, 2 wrong usage.
"""

    def run(self, *, old: str, new: str, **_options: Any) -> None:
        changed = api.replace_address(old, new, authority=operator())
        self.show(ngettext("Changed %d row.", "Changed %d rows.", changed) % changed + "\n")
