"""Write the tables of docs/access-profiles.rst from edx_api_provisioning/access.json:

python docs/make_access_table.py > docs/access-profiles.rst
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import django
from django.conf import settings

os.environ["DJANGO_SETTINGS_MODULE"] = "lms.envs.sandbox"
sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox"))
django.setup()
settings.RETIREMENT_SERVICE_WORKER_USERNAME = None  # so that its name is shown

from edx_api_provisioning.adapters import access_catalogue  # noqa: E402 (it needs the settings)
from edx_api_provisioning.adapters.access_catalogue import Endpoint, Profile  # noqa: E402

SCHEMES = {"none": "none", "bearer": "Bearer", "jwt": "JWT"}

INTRODUCTION = """\
.. Made by docs/make_access_table.py from edx_api_provisioning/access.json: change that file, and run it again.

Access profiles
===============

An access profile grants the minimum permissions for one purpose: ``provision_api_client --profile enrollments``.
Replace the placeholders in braces with your own values: ``--profile grades --filter content_org:edX``. The permissions
were measured on a real LMS (mid-2025). The tests provision a sandbox client with each profile and check that every
endpoint below works, and that the profile is not sufficient with any one permission removed.

``explain_api_access --profiles`` shows the profiles of your site, including those in its settings
(``EDX_API_PROVISIONING["ACCESS_PROFILES"]``).

Profiles with ``staff`` are powerful: *is_staff* also opens the endpoints of every other profile with ``staff``. They
use it only where the LMS accepts nothing less.
"""

ENDPOINTS = """\
Endpoints
---------

The permissions that open each endpoint, the minimum first, and where the LMS checks them.
``explain_api_access METHOD PATH`` shows this for one request.
"""


def right(text: str) -> str:
    return f"``{text}``"


def alternatives(endpoint: Endpoint) -> str:
    seen = [" and ".join(map(right, sorted(each))) or "any client" for each in endpoint.rights]
    untried = [(" and ".join(map(right, sorted(each))) or "any client") + " (untried)" for each in endpoint.untried]
    return "; or ".join(seen + untried) or "nothing"


def schemes(endpoint: Endpoint) -> str:
    return ", ".join(SCHEMES[each] for each in endpoint.auth) or "no token"


def table(widths: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield from (".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", "")
    for row in (header, *rows):
        for number, cell in enumerate(row):
            yield f"   {'*' if number == 0 else ' '} - {cell}"
    yield ""


def profile_lines(profile: Profile) -> Iterator[str]:
    yield from (profile.name, "~" * len(profile.name), "", f"{profile.title}. {profile.why}", "")
    yield from (f"- {right(grant.right)}: {grant.why}" for grant in profile.grants)
    yield from ([""] if profile.grants else ["No right at all.", ""])
    rows = [(right(f"{each.method} {each.path}"), schemes(each), opened_by(profile, each)) for each in profile.opens]
    yield from table("60 15 25", ("Endpoint", "Token", "By"), rows)


def opened_by(profile: Profile, endpoint: Endpoint) -> str:
    """Return the rights of a profile that open an endpoint."""
    used = next(each for each in endpoint.rights if each <= profile.rights)
    return ", ".join(map(right, sorted(used))) or "any client"


def page() -> str:
    lines = [INTRODUCTION, "Profiles", "--------", ""]
    for profile in access_catalogue.profiles():
        lines += profile_lines(profile)
    rows = [
        (
            right(f"{each.method} {each.path}"),
            schemes(each),
            alternatives(each),
            " ".join(filter(None, (f"{each.checked_in} ({each.release}).", each.note))),
        )
        for each in access_catalogue.endpoints()
    ]
    lines += [ENDPOINTS, *table("30 10 25 35", ("Endpoint", "Token", "Rights", "Where, and what else"), rows)]
    return "\n".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    print(page(), end="")
