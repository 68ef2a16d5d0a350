"""Test the tables: exactly as recorded on MariaDB, otherwise what every database can tell."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from oauth2_provider.models import get_application_model
from opaque_keys.edx.django.models import CourseKeyField

pytestmark = pytest.mark.versions

LMS_TABLES = (
    "auth_user",
    "auth_userprofile",
    "oauth_dispatch_applicationaccess",
    "oauth_dispatch_restrictedapplication",
    "student_courseaccessrole",
)
TOOLKIT_TABLES = ("oauth2_provider_accesstoken", "oauth2_provider_application")

# PostgreSQL stores the unique email as an expression index without columns. test_users.py tests it.
NOT_A_COLUMN = {("postgresql", "auth_user"): {("email",)}}


@pytest.fixture
def toolkit_is_the_recorded_one() -> bool:
    """Return whether django-oauth-toolkit is the LMS's 1.7.1; 2.0 and later add columns."""
    return not hasattr(get_application_model(), "post_logout_redirect_uris")


@pytest.mark.databases
@pytest.mark.parametrize("table", LMS_TABLES)
def test_lms_tables_match_recording(table: str, contract: dict[str, Any], db: None) -> None:
    recorded = contract["schema"][table]
    assert _nullable_by_column(table) == _recorded_nullable_by_column(recorded)
    unique = {tuple(i["columns"].split(",")) for i in recorded["indexes"] if i["unique"]}
    assert _unique(table) == unique - NOT_A_COLUMN.get((connection.vendor, table), set())


@pytest.mark.databases
@pytest.mark.parametrize("table", TOOLKIT_TABLES)
def test_dot_tables_match_recording(
    table: str, contract: dict[str, Any], toolkit_is_the_recorded_one: bool, db: None
) -> None:
    recorded = _recorded_nullable_by_column(contract["schema"][table])
    actual = _nullable_by_column(table)
    if toolkit_is_the_recorded_one:
        assert actual == recorded
    else:
        assert actual.items() >= recorded.items()


@pytest.mark.databases
@pytest.mark.vendor("mysql")
@pytest.mark.parametrize("table", [*LMS_TABLES, *TOOLKIT_TABLES])
def test_mariadb_types_and_indexes_match(
    table: str, contract: dict[str, Any], toolkit_is_the_recorded_one: bool, db: None
) -> None:
    actual, recorded = _mariadb_table(table), contract["schema"][table]
    # The collation of keys is chosen by opaque-keys 4 itself.
    keys = CourseKeyField(max_length=255).db_parameters(connection).get("collation")
    columns = [[*row[:-1], keys or row[-1]] if row[0] == "course_id" else row for row in recorded["columns"]]
    if table in LMS_TABLES or toolkit_is_the_recorded_one:
        assert actual == {
            "columns": sorted(columns),
            "indexes": sorted(recorded["indexes"], key=lambda index: index["name"]),
        }
    else:
        collations = {name: collation for name, _, _, _, collation in recorded["columns"]}
        assert collations.items() <= {name: row[-1] for name, *row in actual["columns"]}.items()


def _nullable_by_column(table: str) -> dict[str, bool]:
    with connection.cursor() as cursor:
        description = connection.introspection.get_table_description(cursor, table)
    return {column.name: bool(column.null_ok) for column in description}


def _recorded_nullable_by_column(recorded: dict[str, Any]) -> dict[str, bool]:
    return {name: nullable == "YES" for name, _, nullable, _, _ in recorded["columns"]}


def _unique(table: str) -> set[tuple[str, ...]]:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table).values()
    unique = (each for each in constraints if each["unique"] or each["primary_key"])
    return {tuple(each["columns"]) for each in unique if each["columns"]}


def _mariadb_table(table: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, column_type, is_nullable, column_key, collation_name"
            " FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = %s",
            [table],
        )
        columns = sorted([str(value) for value in row] for row in cursor.fetchall())
        cursor.execute(
            "SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index), MIN(non_unique) = 0"
            " FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = %s"
            " GROUP BY index_name",
            [table],
        )
        indexes = [
            {"name": name, "columns": names, "unique": bool(unique)} for name, names, unique in cursor.fetchall()
        ]
    return {"columns": columns, "indexes": sorted(indexes, key=lambda index: index["name"])}
