"""Through whatever door credentials are made, nobody but who asked for them hears a secret, and no error tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.doors import DOORS, KNOWN, Door, furnish
from tests.ears import Ears, listening

pytestmark = pytest.mark.django_db


@pytest.fixture
def ears(
    caplog: pytest.LogCaptureFixture, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Ears]:
    with listening(caplog, settings, monkeypatch, tmp_path / "home") as ears:
        yield ears


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_nothing_is_overheard(ears: Ears, door: Door) -> None:
    furnish()
    ears.clear()

    printed = door(ears)()

    assert [page.status_code for page in ears.pages if page.status_code >= 400] == []
    assert ears.leaks(*printed, secrets=KNOWN) == []
    assert ears.events == []
