"""Render texts to copy that use issued credentials: calls, programs, files and the secrets of a pipeline."""

from __future__ import annotations

import json
import shlex
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.secrets import Secret, basic_authorization
from edx_api_provisioning.formats.rendering import ENDINGS, render_values


class Snippet(NamedTuple):
    """A text to copy, or to download as a file if it has an ending."""

    key: str
    label: str
    text: str
    ending: str = ""
    warning: str = ""


def snippets(values: dict[str, Any]) -> list[Snippet]:
    """Return the snippets for the credentials that were issued; ``values`` are those of ``rendering.as_dict``.

    Programs read the credentials from the environment, under the names in the file for it.
    """
    files = (
        ("env", _("Environment variables (dotenv)")),
        ("json", "JSON"),
        ("kubernetes-secret", "Kubernetes Secret"),
    )
    return [
        *(Snippet(f"call-{number}", label, line) for number, (label, line) in enumerate(calls(values))),
        *(Snippet(key, label, render_values(values, format=key), ENDINGS[key]) for key, label in files),
        *_programs(values),
        Snippet("github", _("GitHub Actions secrets"), _github(values)),
    ]


def calls(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Return shell commands that use the issued credentials, each with its purpose; from ``rendering.as_dict``.

    ``printf`` is built into the shell: the secret is in no process's arguments.
    """
    lines, me_url, token_url = [], conf.url("ME_PATH"), values["token_url"]
    if values["access_token"] and me_url:
        header = shlex.quote(f"Authorization: Bearer {values['access_token']}")
        lines.append((_("Call the API"), f"printf '%s' {header} | curl -H @- {me_url}"))
    if values["client_secret"] and token_url:
        header = f"Authorization: {basic_authorization(values['client_id'], Secret(values['client_secret']))}"
        form = shlex.quote(urlencode(_grant(values)))
        label = _("Get a JWT") if lms.is_lms() else _("Get a short-lived token")
        lines.append((label, f"printf '%s' {shlex.quote(header)} | curl -H @- -d {form} {token_url}"))
    return lines


def _grant(values: dict[str, Any]) -> dict[str, str]:
    """Return the form fields that request a token: of the LMS a JWT."""
    jwt = {"token_type": "jwt"} if lms.is_lms() else {}
    # A restricted client has to request its scopes.
    scope = {"scope": values["scope"]} if values["scope"] and not values["access_token"] else {}
    return {"grant_type": "client_credentials", **jwt, **scope}


def _programs(values: dict[str, Any]) -> list[Snippet]:
    me_url, label = conf.url("ME_PATH"), _("Python with requests")
    if not (me_url and values["token_url"]):
        return []
    if not values["client_secret"]:
        return [Snippet("python", label, _BEARER.format(me_url=me_url), "py")] if values["access_token"] else []
    is_lms, data = lms.is_lms(), json.dumps(_grant(values))
    names = {"me_url": me_url, "token_url": values["token_url"], "data": data, "scheme": "JWT" if is_lms else "Bearer"}
    found = [Snippet("python", label, _BASIC.format(**names), "py")]
    if is_lms:
        warning = _(
            "OAuthAPIClient sends the client secret as a form field, which a stock LMS writes to its tracking log. "
            "Prefer the program with requests."
        )
        text = _CLIENT.format(me_url=me_url, root=conf.root_url())
        found.append(Snippet("python-client", _("Python with OAuthAPIClient"), text, "py", warning))
    return found


_BEARER = """\
import os

import requests

headers = {{"Authorization": f"Bearer {{os.environ['OPENEDX_ACCESS_TOKEN']}}"}}
response = requests.get("{me_url}", headers=headers, timeout=60)
response.raise_for_status()
print(response.json())
"""

# RFC 6749 section 2.3.1: both are percent-encoded.
_BASIC = """\
import os
from urllib.parse import quote

import requests

response = requests.post(
    "{token_url}",
    data={data},
    auth=(
        quote(os.environ["OPENEDX_CLIENT_ID"], safe=""),
        quote(os.environ["OPENEDX_CLIENT_SECRET"], safe=""),
    ),
    timeout=60,
)
response.raise_for_status()
headers = {{"Authorization": f"{scheme} {{response.json()['access_token']}}"}}
response = requests.get("{me_url}", headers=headers, timeout=60)
response.raise_for_status()
print(response.json())
"""

_CLIENT = """\
import os

from edx_rest_api_client.client import OAuthAPIClient

client = OAuthAPIClient("{root}", os.environ["OPENEDX_CLIENT_ID"], os.environ["OPENEDX_CLIENT_SECRET"])
response = client.get("{me_url}", timeout=60)
response.raise_for_status()
print(response.json())
"""


def _github(values: dict[str, Any]) -> str:
    """Return a command that stores the credentials as secrets; it reads them from its standard input."""
    kept = {key: values[key] for key in ("client_id", "client_secret", "access_token")}
    return f"gh secret set --env-file - <<'EOF'\n{render_values(kept, format='env')}EOF\n"
