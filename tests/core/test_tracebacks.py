"""Test that scrubbed exceptions keep message, type and lines, and lose the local variables."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from edx_api_provisioning.core.secrets import scrub_tracebacks
from tests.factories import SECRET


def fail(secret: str) -> None:
    kept = [secret]
    raise ValueError(f"{len(kept)} is wrong")


def fail_again(secret: str) -> None:
    try:
        fail(secret)
    except ValueError as error:
        raise KeyError from error


def fail_later(secret: str) -> None:
    try:
        fail(secret)
    except ValueError as error:
        cause = error
    raise KeyError from cause


def fail_otherwise(secret: str) -> None:
    try:
        fail_again(secret)
    except KeyError:
        raise RuntimeError("otherwise") from None


def remembered(error: BaseException | None) -> str:
    """Return the local variables in all tracebacks of the exception chain, except the tests' own."""
    told = ""
    while error is not None:
        frames = [frame for frame, _line in traceback.walk_tb(error.__traceback__)]
        told += repr([frame.f_locals for frame in frames if not frame.f_code.co_name.startswith("test_")])
        error = error.__cause__ or error.__context__
    return told


@pytest.mark.parametrize(
    ("work", "kind"),
    [(fail, ValueError), (fail_again, KeyError), (fail_later, KeyError), (fail_otherwise, RuntimeError)],
)
def test_traceback_locals_are_cleared(work: Callable[[str], None], kind: type[Exception]) -> None:
    with pytest.raises(kind) as remembering:
        work(SECRET)
    assert SECRET in remembered(remembering.value)

    with pytest.raises(kind) as forgetting, scrub_tracebacks():
        work(SECRET)

    assert SECRET not in remembered(forgetting.value)
    assert forgetting.value.args == remembering.value.args
    names = [[frame.name for frame in traceback.extract_tb(each.tb)][1:] for each in (remembering, forgetting)]
    assert names[0] == names[1]


def test_cyclic_exception_chain_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    with pytest.raises(ValueError, match="first"), scrub_tracebacks():
        raise first


def test_successful_work_is_unaffected() -> None:
    @scrub_tracebacks()
    def work(secret: str) -> str:
        return secret

    assert work(SECRET) == SECRET
