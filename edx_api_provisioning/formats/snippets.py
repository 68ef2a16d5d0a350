"""Render texts to copy that use issued credentials: calls, programs, files and the secrets of a pipeline."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.formats import requests
from edx_api_provisioning.formats.rendering import ENV_PREFIX, FORMATS, render_values


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
        *_calls(values),
        *(Snippet(key, label, render_values(values, format=key), FORMATS[key].ending) for key, label in files),
        *_programs(values),
        Snippet("github", _("GitHub Actions secrets"), _GITHUB.format(file=f"{values['name']}.env")),
    ]


def _calls(values: dict[str, Any]) -> list[Snippet]:
    """Return shell commands that use the issued credentials, which are then pasted into the terminal."""
    found, me_url, token_url = [], conf.url("ME_PATH"), values["token_url"]
    if values["access_token"] and me_url:
        line = requests.pasted(requests.TOKEN, requests.api_request("GET", me_url))
        found.append(Snippet("call-0", _("Call the API (then paste the access token)"), line))
    if values["client_secret"] and token_url:
        line = requests.token_request(values["client_id"], token_url, scope=_grant(values).get("scope", ""))
        label = _("Get a JWT") if lms.is_lms() else _("Get a short-lived token")
        label += _(" (then paste the client secret)")
        note = requests.encoding_note(values["client_secret"])
        found.append(Snippet("call-1", label, requests.pasted(requests.SECRET, line), warning=note))
    return found


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

# gh takes only the secrets: it would hide values like "true" in every log.
_GITHUB = f"grep -E '^{ENV_PREFIX}(CLIENT_ID|CLIENT_SECRET|ACCESS_TOKEN)=' {{file}} | gh secret set --env-file -\n"
