"""Test creating users: what the LMS's receivers and its database accept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from common.djangoapps.student.models import UserProfile
from lms.djangoapps.user_tours.models import UserTour

pytestmark = pytest.mark.versions

CREATED = "created profile=False"
CASES = {
    "plain": ("k-new", "k-new@example.com"),
    "no email": ("k-new", ""),
    "dup email other case": ("k-new", "K-PLAIN@example.com"),
    "dup username other case": ("K-PLAIN", "k-new@example.com"),
    "long": (151 * "a", "k-new@example.com"),
    "31": (31 * "a", "k-new@example.com"),
    "space": ("k new", "k-new@example.com"),
    "unicode": ("k-айдос", "k-new@example.com"),
    "emoji": ("k-\N{GRINNING FACE}", "k-new@example.com"),
    "retired": ("retired__user_foo", "k-new@example.com"),
}


@pytest.mark.databases
@pytest.mark.parametrize("case", [case for case in CASES if case != "emoji"])
def test_user_creation_matches_recording(
    case: str, contract: dict[str, Any], recorded: None, capabilities: SimpleNamespace
) -> None:
    outcome = _outcome(*CASES[case])
    expected = contract["create_user"][case]
    if case == "dup username other case" and not capabilities.database_folds_case:
        expected = CREATED
    if case == "long" and not capabilities.database_limits_length:
        expected = CREATED
    if expected.startswith("django.db.utils") and connection.vendor != "mysql":
        # The message is MariaDB's own.
        outcome, expected = (text.partition(":")[0] for text in (outcome, expected))
    assert outcome == expected


@pytest.mark.databases
def test_emoji_username_is_accepted(db: None) -> None:
    assert _outcome(*CASES["emoji"]) == CREATED


@pytest.mark.vendor("mysql")
def test_emoji_fails_on_utf8mb3(contract: dict[str, Any], db: None) -> None:
    """Use utf8mb3 as the recorded connection did; the recording looked up each name before creating the user."""
    with connection.cursor() as cursor:
        cursor.execute("SET NAMES utf8mb3")
        try:
            User.objects.get(username=CASES["emoji"][0])
        except DatabaseError as error:
            outcome = _described(error)
        finally:
            cursor.execute("SET NAMES utf8mb4")
    assert outcome == contract["create_user"]["emoji"]


def test_user_from_command_gets_profile(db: None) -> None:
    user = User(username="k-new", email="k-new@example.com")
    user._called_by_management_command = True
    user.save()
    user.save()
    assert UserProfile.objects.get(user=user).name == ""


def test_bulk_created_user_skips_receivers(db: None) -> None:
    User.objects.bulk_create([User(username="retired__user_foo", email="")])
    assert not UserTour.objects.exists()


def _outcome(username: str, email: str) -> str:
    try:
        with transaction.atomic():
            user = User.objects.create_user(username, email)
    except Exception as error:
        return _described(error)
    return f"created profile={UserProfile.objects.filter(user=user).exists()}"


def _described(error: Exception) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}: {error}"
