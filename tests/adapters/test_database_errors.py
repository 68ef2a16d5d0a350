"""Errors of the database name the column and the value at fault."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import Error, IntegrityError, OperationalError, connection
from oauth2_provider.models import get_application_model

from edx_api_provisioning.adapters.database import in_transaction
from edx_api_provisioning.adapters.database_errors import explain
from edx_api_provisioning.core.exceptions import DatabaseFailure
from edx_api_provisioning.models import ApiClient
from tests.factories import SECRET, UserFactory


def failure(work: Callable[[], Any]) -> DatabaseFailure:
    with pytest.raises(DatabaseFailure) as caught:
        in_transaction(work)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def insert(**values: Any) -> None:
    """Insert a user past the model, as another receiver of the site could."""
    user = UserFactory.build(**values)
    get_user_model()._default_manager.bulk_create([user])


@pytest.mark.django_db
@pytest.mark.databases
def test_unique_value_is_named() -> None:
    insert(username="bot", email="bot@example.org")

    error = failure(lambda: insert(username="bot", email="other@example.org"))

    assert error.field == "username"
    shown = "the value" if connection.vendor == "sqlite" else "'bot'"
    assert error.message.startswith(f"{shown} is already taken, perhaps in another spelling")


@pytest.mark.django_db
@pytest.mark.databases
def test_unique_client_id_is_named() -> None:
    model = get_application_model()

    error = failure(lambda: [model._default_manager.bulk_create([model(client_id="taken")]) for _number in range(2)])

    assert error.field == "client_id"


@pytest.mark.django_db
@pytest.mark.databases
def test_required_column_is_named() -> None:
    error = failure(lambda: insert(username="bot", email="bot@example.org", first_name=None))

    assert error.field is None
    assert error.message.startswith(
        "a value of the column first_name must not be null, and this package does not set it."
    )


@pytest.mark.django_db
@pytest.mark.databases
@pytest.mark.vendor("mysql", "postgresql")
def test_long_value_is_rejected_by_its_column() -> None:
    error = failure(lambda: insert(username="b" * 151, email="bot@example.org"))

    assert "is too long for its column. Use a shorter value." in error.message
    assert error.field == ("username" if connection.vendor == "mysql" else None)


@pytest.mark.django_db(transaction=True)
@pytest.mark.databases
def test_missing_row_is_named() -> None:
    error = failure(lambda: ApiClient.objects.create(name="report", user_id=987_654))

    assert "refers to a row that does not exist" in error.message
    if connection.vendor != "sqlite":
        assert error.message.startswith("a value of the column user_id refers to")


def of_driver(kind: type[Error], text: str, **cause: Any) -> Error:
    error = kind(text)
    error.__cause__ = type("DriverError", (Exception,), cause)()
    return error


CASES = {
    "MySQL 8 unique": (
        IntegrityError(1062, "Duplicate entry 'bot' for key 'auth_user.username'"),
        ("username", "'bot' is already taken"),
    ),
    "MariaDB unique": (
        IntegrityError(1062, "Duplicate entry 'it''s' for key 'email'"),
        ("email", "\"it''s\" is already taken"),
    ),
    "Django's index": (
        IntegrityError(1062, "Duplicate entry 'a' for key 'app_model_name_0a1b2c_uniq'"),
        ("name", "'a' is already taken"),
    ),
    "token": (
        IntegrityError(1062, f"Duplicate entry '{SECRET}' for key 'token'"),
        (None, "a value of the column token is already taken"),
    ),
    "MySQL default": (
        OperationalError(1364, "Field 'tenant_id' doesn't have a default value"),
        (None, "a value of the column tenant_id must not be null"),
    ),
    "MySQL null": (
        IntegrityError(1048, "Column 'email' cannot be null"),
        ("email", "the value must not be null"),
    ),
    "MySQL character": (
        OperationalError(1366, "Incorrect string value: '\\xF0\\x9F' for column `db`.`auth_user`.`username` at row 1"),
        ("username", "the value has a character that the database cannot store"),
    ),
    "MySQL collation": (
        OperationalError(
            1267, "Illegal mix of collations (utf8mb3_general_ci,IMPLICIT) and (utf8mb4_general_ci,COERCIBLE)"
        ),
        (None, "a value has a character that the database cannot store"),
    ),
    "MySQL foreign key": (
        IntegrityError(
            1452, "a foreign key constraint fails (`db`.`t`, CONSTRAINT `c` FOREIGN KEY (`user_id`) REFERENCES"
        ),
        (None, "a value of the column user_id refers to a row"),
    ),
    "PostgreSQL null": (
        of_driver(
            IntegrityError, 'null value in column "tenant" of relation "auth_user" violates ...', sqlstate="23502"
        ),
        (None, "a value of the column tenant must not be null"),
    ),
    "PostgreSQL unique": (
        of_driver(IntegrityError, "...\nDETAIL:  Key (username)=(bot) already exists.", pgcode="23505"),
        ("username", "'bot' is already taken"),
    ),
    "SQLite unique": (
        of_driver(
            IntegrityError, "UNIQUE constraint failed: auth_user.email", sqlite_errorname="SQLITE_CONSTRAINT_UNIQUE"
        ),
        ("email", "the value is already taken"),
    ),
}


@pytest.mark.parametrize(("error", "expected"), CASES.values(), ids=CASES)
def test_error_names_column(error: Error, expected: tuple[str | None, str]) -> None:
    explanation = explain(error)

    field, beginning = expected
    assert explanation.field == field
    assert explanation.message.startswith(beginning)
    assert explanation.message.endswith(").")
    assert SECRET not in str(explanation)


def test_other_errors_are_not_explained() -> None:
    assert explain(OperationalError(2006, "gone")).message == (
        "the database failed (OperationalError 2006); nothing was changed. "
        "See the database log, then run the command again."
    )


@pytest.mark.django_db
def test_missing_default_is_not_retried() -> None:
    tries = SimpleNamespace(count=0)

    def work() -> None:
        tries.count += 1
        raise IntegrityError(1048, "Column 'tenant' cannot be null")

    failure(work)
    assert tries.count == 1
