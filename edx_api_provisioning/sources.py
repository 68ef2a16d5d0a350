"""Where secrets of the operator's own come from: never from an argument, which every process can read."""

from __future__ import annotations

import os
import sys

from django.utils.translation import gettext as _

from edx_api_provisioning.data import Secret
from edx_api_provisioning.exceptions import InvalidSpec


def read_secret(field: str, source: str | None, *, stdin: bool = True) -> Secret | None:
    """The value that stands in the environment (``env:VARIABLE``) or on the next line of standard input (``stdin``).

    Args:
        stdin: whether standard input may be named.

    Raises:
        InvalidSpec: if it is not there, or ``source`` is something else.
    """
    if source is None:
        return None
    if source == "stdin" and stdin:
        try:
            return Secret(sys.stdin.readline().rstrip("\r\n"))
        except (AttributeError, UnicodeDecodeError):  # Closed, or bytes that are no text.
            raise InvalidSpec(_("nothing could be read from standard input."), field=field) from None
    scheme, _colon, variable = source.partition(":")
    if scheme != "env" or not variable:
        # What was typed is not repeated: it may be the secret itself.
        message = _("give env:VARIABLE or stdin, not the value itself.") if stdin else _("give env:VARIABLE.")
        raise InvalidSpec(message, field=field)
    if variable not in os.environ:
        raise InvalidSpec(_("no such variable in the environment."), field=field)
    return Secret(os.environ[variable])
