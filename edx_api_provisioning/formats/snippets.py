"""Render texts to copy that use issued credentials: calls, programs, files and the secrets of a pipeline.

Shell commands read a secret from a variable, never from their own text. ``printf`` is built into the shell: the secret
is in the arguments of no process and in no history of a shell.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.formats.rendering import ENV_PREFIX, FORMATS, render_values

_TOKEN, _SECRET = f"{ENV_PREFIX}ACCESS_TOKEN", f"{ENV_PREFIX}CLIENT_SECRET"
"""The variables of an env file that the commands read."""


def api_request(method: str, url: str, *, scheme: str = "bearer") -> str:
    """Return the command that sends a request; the token is in the variable that an env file has for it."""
    options = "" if method == "GET" else f"-X {method} "
    if method in ("POST", "PUT", "PATCH"):
        options += "-H 'Content-Type: application/json' -d @body.json "
    header, variable = ("JWT", "JWT") if scheme == "jwt" else ("Bearer", _TOKEN)
    return f"""printf 'Authorization: {header} %s' "${variable}" | curl -H @- {options}{shlex.quote(url)}"""


def _token_request(client_id: str, url: str, *, scope: str = "") -> str:
    """Return the command that requests a token, of an LMS a JWT, with HTTP Basic: a form would be logged by the LMS."""
    jwt = " -d token_type=jwt" if lms.is_lms() else ""
    scopes = f" --data-urlencode {shlex.quote(f'scope={scope}')}" if scope else ""
    form = f"-d grant_type=client_credentials{jwt}{scopes}"
    return f"""printf 'user = "%s:%s"' {quote(client_id, safe="")} "${_SECRET}" | curl -K - {form} {shlex.quote(url)}"""


def _pasted(variable: str, command: str) -> str:
    """Return a command line that first reads its variable from the terminal."""
    return f"read -r {variable}; {command}"


def _encoding_note(client_secret: str) -> str:
    """Return what to do with a secret that differs from its percent-encoded form; an empty text if it does not."""
    if quote(client_secret, safe="") == client_secret:
        return ""
    return _("percent-encode the client secret: it holds more than letters and digits")


def next_steps(credentials: Credentials, *, env_file: str | None) -> Iterator[str]:
    """Yield what to do with issued credentials, line by line.

    Args:
        env_file: the env file that holds them; None if they are elsewhere.
    """
    me_url, token_url, docs_url = conf.url("ME_PATH"), conf.url("TOKEN_PATH"), conf.url("API_DOCS_PATH")

    def command(variable: str, rest: str) -> str:
        return "  " + (f". {shlex.quote(os.path.abspath(env_file))}; {rest}" if env_file else _pasted(variable, rest))

    paste = "" if env_file else _(" (then paste it)")
    if credentials.access_token is not None and me_url:
        yield _("Test the access token%s:") % paste
        yield command(_TOKEN, api_request("GET", me_url))
    if credentials.client_secret is not None and token_url:
        paste = "" if env_file else _(" (then paste the client secret)")
        jwt = _("Get a JWT, which lasts an hour and will outlive Bearer tokens in Open edX%s:")
        yield (jwt if lms.is_lms() else _("Get a short-lived token%s:")) % paste
        scope = " ".join(credentials.scopes) if credentials.restricted else ""
        yield command(_SECRET, _token_request(credentials.client_id, token_url, scope=scope))
        if note := _encoding_note(credentials.client_secret.reveal()):
            yield f"  ({note})"
    if docs_url:
        yield _("Read the API documentation: %s") % docs_url
    if credentials.expires_at is not None:
        values = {"end": f"{credentials.expires_at:%Y-%m-%d}", "name": credentials.name}
        yield _("The access token expires on %(end)s; replace it before with: rotate_api_client %(name)s") % values


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
        line = _pasted(_TOKEN, api_request("GET", me_url))
        found.append(Snippet("call-0", _("Call the API (then paste the access token)"), line))
    if values["client_secret"] and token_url:
        line = _token_request(values["client_id"], token_url, scope=_grant(values).get("scope", ""))
        label = _("Get a JWT") if lms.is_lms() else _("Get a short-lived token")
        label += _(" (then paste the client secret)")
        note = _encoding_note(values["client_secret"])
        found.append(Snippet("call-1", label, _pasted(_SECRET, line), warning=note))
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
