"""An email address belongs to one user, in whatever case it is written.

The LMS's table has this although Django's model does not say so; there the collation of the column folds the case.
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
        # The last one that alters auth_user: SQLite rebuilds a table to alter it and would lose the index.
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    # Not in a transaction of its own: MySQL refuses to change a table inside one.
    operations = [migrations.RunPython(create, drop, atomic=False)]
