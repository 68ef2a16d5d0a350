"""Explain errors of MySQL, MariaDB, PostgreSQL and SQLite: the column and the value at fault, where the error tells."""

from __future__ import annotations

import re
from enum import Enum

from django.db import Error
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from edx_api_provisioning.core.exceptions import DatabaseFailure


class Problem(Enum):
    """A class of error, with the codes of MySQL (numbers), PostgreSQL (SQLSTATE) and SQLite (names)."""

    UNIQUE = (1062, "23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")
    NOT_NULL = (1048, 1364, "23502", "SQLITE_CONSTRAINT_NOTNULL")
    FOREIGN_KEY = (1216, 1217, 1451, 1452, "23503", "SQLITE_CONSTRAINT_FOREIGNKEY")
    TOO_LONG = (1406, "22001")
    CHARACTER = (1366, 1267, "22021", "22P05")


_MESSAGES = {
    Problem.UNIQUE: gettext_lazy(
        "%(thing)s is already taken, perhaps in another spelling: a database may ignore case and accents. Use another."
    ),
    Problem.NOT_NULL: gettext_lazy(
        "%(thing)s must not be null, and this package does not set it. Give the column a default."
    ),
    Problem.FOREIGN_KEY: gettext_lazy(
        "%(thing)s refers to a row that does not exist, or a row that is still in use. Run the command again."
    ),
    Problem.TOO_LONG: gettext_lazy("%(thing)s is too long for its column. Use a shorter value."),
    Problem.CHARACTER: gettext_lazy(
        "%(thing)s has a character that the database cannot store. Use another, or convert the table to utf8mb4."
    ),
}

# Columns that are fields of a ClientSpec too. Values of other columns, such as tokens, are never shown.
_FIELDS = ("username", "email", "name", "client_id")

_PATTERNS = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"Duplicate entry '(?P<value>.*)' for key '(?:\w+\.)?(?P<column>\w+)'",  # MySQL and MariaDB
        r"FOREIGN KEY \(`(?P<column>\w+)`\)",
        r"column `\w+`\.`\w+`\.`(?P<column>\w+)`",
        r"(?:Column|column|Field) '(?P<column>\w+)'",
        r"Key \((?P<column>\w+)\)=\((?P<value>.*)\)",  # PostgreSQL
        r"column \"(?P<column>\w+)\" of relation",
        r"constraint failed: \w+\.(?P<column>\w+)",  # SQLite
    )
]


def error_code(error: Error) -> int | str | None:
    """Return MySQL's number, PostgreSQL's SQLSTATE or SQLite's name of an error; None if it has none."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    first = error.args[0] if error.args else None
    return state or getattr(cause, "sqlite_errorname", None) or (first if isinstance(first, int) else None)


def named(error: Error) -> str:
    """Return the class and the code of an error."""
    return " ".join(str(part) for part in (type(error).__name__, error_code(error)) if part)


def problem_of(error: Error) -> Problem | None:
    """Return the class of an error; None if it is of another class."""
    code = error_code(error)
    return next((problem for problem in Problem if code in problem.value), None)


def explain(error: Error) -> DatabaseFailure:
    """Return a one-line explanation. It never contains a value that may be secret."""
    code = named(error)
    problem = problem_of(error)
    if problem is None:
        return DatabaseFailure(
            _("the database failed (%s); nothing was changed. See the database log, then run the command again.") % code
        )
    column, value = _fault(error)
    field = column if column in _FIELDS else None
    if field is None:
        thing = _("a value of the column %s") % column if column else _("a value")
    else:
        thing = repr(value) if value is not None else _("the value")
    return DatabaseFailure(
        _("%(says)s Nothing was changed (%(code)s).") % {"says": _MESSAGES[problem] % {"thing": thing}, "code": code},
        field=field,
    )


def _fault(error: Error) -> tuple[str, str | None]:
    """Return the column and the value that an error names; an empty string and None if it does not."""
    for pattern in _PATTERNS:
        if match := pattern.search(str(error)):
            named = match["column"]
            # An index of Django is called like its column, or has it in its name.
            column = next((each for each in _FIELDS if named == each or f"_{each}_" in named), named)
            return column, match.groupdict().get("value")
    return "", None
