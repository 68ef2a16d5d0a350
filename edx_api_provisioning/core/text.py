"""Make text of others safe to print."""

from __future__ import annotations


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
