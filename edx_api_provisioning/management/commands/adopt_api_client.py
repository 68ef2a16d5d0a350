"""``manage.py lms adopt_api_client``: take an application that was made by other means under management."""

from __future__ import annotations

from typing import Any

from edx_api_provisioning import api
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.management.base import ClientCommand, operator


class Command(ClientCommand):
    epilog = """
Nothing about the application, its user or its tokens is changed; list_api_clients --unmanaged names candidates.
Adopting a client again records the rights that its user has by now as agreed to.
Exit code: 0 done or nothing to do, 1 not done, 2 wrong usage.
"""

    def run(self, *, name: str, format: str, **options: Any) -> None:
        about = {each: options[each] for each in ("client_id", "contact", "purpose", "reason")}
        result = api.adopt(name, authority=operator(), **about)
        self.show(rendering.render_outcome(result, format=format))
