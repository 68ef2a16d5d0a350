"""How much the tests try: a sample or, with TEST_FULL (``make matrix``), everything."""

from __future__ import annotations

import os
from collections.abc import Iterable

FULL = "TEST_FULL" in os.environ


def some(sample: int, everything: int) -> int:
    """Return how many to try."""
    return everything if FULL else sample


def some_of(last: int) -> Iterable[int]:
    """Return at which of the numbers from 1 to the last something is to happen: each eighth and the last three."""
    return range(1, last + 1) if FULL else sorted({*range(1, last + 1, 8), *range(max(1, last - 2), last + 1)})
