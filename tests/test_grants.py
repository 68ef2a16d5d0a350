"""Documents and help show grants that keep the client secret out of the LMS's tracking log."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from edx_api_provisioning import api
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.spec import ClientSpec

ROOT = Path(__file__).parents[1]
CI = (ROOT / "docs/how-to/ci.rst").read_text()
# As in a form, or as a field of requests.post(data=...).
POSTED = re.compile(
    r"&client_secret=|client_secret=[$%{…A-Za-z0-9]|urlencode\(.*client_secret|data=\{[^}]*client_secret"
)


def test_posted_secrets_are_recognized() -> None:
    assert POSTED.search("client_id=$ID&client_secret=$SECRET")
    assert POSTED.search('data={"grant_type": "client_credentials", "client_secret": secret}')


def test_no_document_posts_a_client_secret() -> None:
    files = [ROOT / "README.rst", ROOT / "SECURITY.rst", ROOT / "sandbox/demo.py", *(ROOT / "docs").rglob("*.rst")]
    files += [path for path in (ROOT / "edx_api_provisioning").rglob("*") if path.suffix in (".html", ".json", ".txt")]

    assert [str(path) for path in files if POSTED.search(path.read_text())] == []


@pytest.mark.django_db(transaction=True)
def test_grant_in_python_works(live_server: Any) -> None:
    issued = api.provision(ClientSpec(name="course-sync", token=False), authority=Authority.operator("the test"))
    [code] = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", CI)
    names: dict[str, Any] = {}

    exec(textwrap.dedent(code), names)  # noqa: S102 - it is ours

    assert issued.client_secret is not None
    assert names["get_jwt"](live_server.url, issued.client_id, issued.client_secret.reveal()).count(".") == 2
