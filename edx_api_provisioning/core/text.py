"""Make text of others safe to print, and correct what was mistyped."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from django.utils.translation import gettext as _


def printable(text: str, *, keep: str = "") -> str:
    """Return ``text`` with control characters and other unprintable ones as backslash escapes.

    A terminal obeys escape sequences, and a line break in a name looks like another row or log line.

    Args:
        keep: characters that stay as they are, such as line breaks.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode() for each in text
    )


def suggest(problem: str, word: str, known: Iterable[str], *, all_known: bool = True) -> str:
    """Return a problem with a word, and the similar known word; without one, all known words unless told not to."""
    words = {each.lower(): each for each in known}
    if near := get_close_matches(word.lower(), words, n=1, cutoff=0.8):
        return " ".join([problem, _("Did you mean %s?") % words[near[0]]])
    if not all_known or not words:
        return problem
    return " ".join([problem, _("Available: %s.") % ", ".join(sorted(words.values()))])
