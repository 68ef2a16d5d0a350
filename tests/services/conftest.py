"""Fixtures of the tests of services: a settable clock, and a database for parallel processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lifecycle_helpers import NOON, Clock, clock_at
from tests.subprocesses import database_for_processes


@pytest.fixture
def clock() -> Iterator[Clock]:
    with clock_at(NOON) as clock:
        yield clock


@pytest.fixture
def shared_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    with database_for_processes(tmp_path):
        yield
