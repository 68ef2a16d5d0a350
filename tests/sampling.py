"""Decide how much the tests try: a sample that is the same each time, or everything (TEST_FULL, ``make matrix``)."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

from hypothesis import settings

T = TypeVar("T")

FULL = "TEST_FULL" in os.environ

settings.register_profile("sample", derandomize=True, database=None)
if not FULL:
    settings.load_profile("sample")


def some(sample: int, everything: int) -> int:
    """Return how many to try."""
    return everything if FULL else sample


def some_of(last: int, count: int) -> Iterable[int]:
    """Return at which of the numbers from 1 to the last something is to happen: the last, and others at random."""
    numbers = range(1, last + 1)
    if FULL:
        return numbers
    return sorted({last, *random.Random(last).sample(numbers, min(last, count) - 1)})  # noqa: S311


def each_nth(everything: Sequence[T], first: int, step: int) -> Sequence[T]:
    """Return each nth element, beginning with another one for another ``first``."""
    return everything if FULL else everything[first % step :: step]
