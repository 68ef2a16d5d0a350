"""Errors that do not remember the secrets that were at hand where they arose."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def forgetful() -> Iterator[None]:
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
