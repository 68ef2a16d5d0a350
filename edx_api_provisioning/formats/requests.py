"""Write shell commands that call the API and read the secret from a variable, never from their own text.

``printf`` is built into the shell: the secret is in the arguments of no process and in no history of a shell.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from urllib.parse import quote

from django.utils.translation import gettext as _

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.formats.rendering import ENV_PREFIX

TOKEN, SECRET = f"{ENV_PREFIX}ACCESS_TOKEN", f"{ENV_PREFIX}CLIENT_SECRET"
"""The variables of an env file that the commands read."""


def api_request(method: str, url: str, *, scheme: str = "bearer") -> str:
    """Return the command that sends a request; the token is in the variable that an env file has for it."""
    options = "" if method == "GET" else f"-X {method} "
    if method in ("POST", "PUT", "PATCH"):
        options += "-H 'Content-Type: application/json' -d @body.json "
    header, variable = ("JWT", "JWT") if scheme == "jwt" else ("Bearer", TOKEN)
    return f"""printf 'Authorization: {header} %s' "${variable}" | curl -H @- {options}{shlex.quote(url)}"""


def token_request(client_id: str, url: str, *, scope: str = "") -> str:
    """Return the command that requests a token, of an LMS a JWT, with HTTP Basic: a form would be logged by the LMS."""
    jwt = " -d token_type=jwt" if lms.is_lms() else ""
    scopes = f" --data-urlencode {shlex.quote(f'scope={scope}')}" if scope else ""
    form = f"-d grant_type=client_credentials{jwt}{scopes}"
    return f"""printf 'user = "%s:%s"' {quote(client_id, safe="")} "${SECRET}" | curl -K - {form} {shlex.quote(url)}"""


def pasted(variable: str, command: str) -> str:
    """Return a command line that first reads its variable from the terminal."""
    return f"read -r {variable}; {command}"


def encoding_note(client_secret: str) -> str:
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
        return "  " + (f". {shlex.quote(os.path.abspath(env_file))}; {rest}" if env_file else pasted(variable, rest))

    paste = "" if env_file else _(" (then paste it)")
    if credentials.access_token is not None and me_url:
        yield _("Test the access token%s:") % paste
        yield command(TOKEN, api_request("GET", me_url))
    if credentials.client_secret is not None and token_url:
        paste = "" if env_file else _(" (then paste the client secret)")
        jwt = _("Get a JWT, which lasts an hour and will outlive Bearer tokens in Open edX%s:")
        yield (jwt if lms.is_lms() else _("Get a short-lived token%s:")) % paste
        scope = " ".join(credentials.scopes) if credentials.restricted else ""
        yield command(SECRET, token_request(credentials.client_id, token_url, scope=scope))
        if note := encoding_note(credentials.client_secret.reveal()):
            yield f"  ({note})"
    if docs_url:
        yield _("Read the API documentation: %s") % docs_url
    if credentials.expires_at is not None:
        values = {"end": f"{credentials.expires_at:%Y-%m-%d}", "name": credentials.name}
        yield _("The access token expires on %(end)s; replace it before with: rotate_api_client %(name)s") % values
