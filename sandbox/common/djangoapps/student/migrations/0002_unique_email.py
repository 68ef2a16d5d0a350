"""Make email addresses unique, ignoring case.

The LMS's table has this index although Django's model does not declare it; its column collation ignores case.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

CREATE = {
    "mysql": "ALTER TABLE auth_user ADD CONSTRAINT email UNIQUE (email)",
    "postgresql": "CREATE UNIQUE INDEX auth_user_email_folded ON auth_user (LOWER(email))",
    "sqlite": "CREATE UNIQUE INDEX auth_user_email_folded ON auth_user (email COLLATE NOCASE)",
}
DROP = {
    "mysql": "ALTER TABLE auth_user DROP INDEX email",
    "postgresql": "DROP INDEX auth_user_email_folded",
    "sqlite": "DROP INDEX auth_user_email_folded",
}


def create(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute(CREATE[schema_editor.connection.vendor])


def drop(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute(DROP[schema_editor.connection.vendor])


class Migration(migrations.Migration):
    dependencies = [
        ("student", "0001_initial"),
        # The last migration that alters auth_user: SQLite rebuilds a table to alter it and would lose the index.
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    # Not atomic: MySQL cannot change a table inside a transaction.
    operations = [migrations.RunPython(create, drop, atomic=False)]
