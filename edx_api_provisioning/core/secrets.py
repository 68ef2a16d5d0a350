"""Hold, read and forget secrets."""

from __future__ import annotations

import math
import os
import sys
import traceback
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hmac import compare_digest
from typing import NoReturn
from urllib.parse import quote

from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import InvalidSpec


@contextmanager
def scrub_tracebacks() -> Iterator[None]:
    """Let an error pass, but without the local variables of the functions that it ended.

    Whoever reports errors shows these: Django's debug page and its mails to the admins, Sentry, a debugger. A database
    driver's frames hold the statement and its values, and the ``repr`` of DOT's AccessToken is the token.
    """
    try:
        yield
    except BaseException as error:
        _forget(error, seen=set())
        raise


def _forget(error: BaseException | None, seen: set[int]) -> None:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    traceback.clear_frames(error.__traceback__)
    _forget(error.__cause__, seen)
    _forget(error.__context__, seen)


# The least entropy of an own secret: random hexadecimal digits of the shortest allowed length have more.
_BITS = 80


def is_guessable(value: str) -> bool:
    """Return whether a secret repeats itself or has too few different characters for its length."""
    bits = sum(count * math.log2(len(value) / count) for count in Counter(value).values())
    return bits < _BITS or value in (value + value)[1:-1]


def read_secret(field: str, source: str | None, *, stdin: bool = True) -> Secret | None:
    """Return the value of ``env:VARIABLE``, the first line of ``file:PATH``, or the next line of ``stdin``.

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
    scheme, _colon, place = source.partition(":")
    if scheme == "file" and place:
        return _read_file(field, place)
    if scheme != "env" or not place:
        # What was typed is not repeated: it may be the secret itself.
        message = (
            _("give env:VARIABLE, file:PATH or stdin, not the value itself.")
            if stdin
            else _("give env:VARIABLE or file:PATH.")
        )
        raise InvalidSpec(message, field=field)
    if place not in os.environ:
        raise InvalidSpec(_("no such variable in the environment."), field=field)
    return Secret(os.environ[place])


def _read_file(field: str, path: str) -> Secret:
    try:
        with open(path, encoding="utf-8") as file:
            return Secret(file.readline().rstrip("\r\n"))
    except OSError as error:
        raise InvalidSpec(_("the file cannot be read: %s.") % error.strerror, field=field) from None
    except ValueError:  # It is no text, or the path holds a null byte.
        raise InvalidSpec(_("the file cannot be read: it is not text in UTF-8."), field=field) from None


class Secret:
    """A value that only :meth:`reveal` gives away: not ``str``, ``repr``, ``format``, ``pickle`` or ``copy``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret is not serialised; reveal() it where it is written out.")


def basic_authorization(client_id: str, client_secret: Secret) -> str:
    """Return the Authorization header of HTTP Basic for a client (RFC 6749 section 2.3.1).

    Both parts are percent-encoded, since django-oauth-toolkit decodes them with ``unquote_plus``. In a form they would
    end up in the LMS's tracking log (common/djangoapps/track/middleware.py).
    """
    pair = f"{quote(client_id, safe='')}:{quote(client_secret.reveal(), safe='')}"
    return f"Basic {b64encode(pair.encode()).decode()}"
