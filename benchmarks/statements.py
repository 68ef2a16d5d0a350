"""Run a management command in this process and print its SQL statements, without parameters, as JSON.

They are counted by Django's execute_wrapper: the package keeps its statements out of Django's own SQL log.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import django
from django.core.management import call_command
from django.db import connection


def statements(*command: str) -> list[str]:
    sent: list[str] = []

    def record(execute: Callable[..., Any], sql: str, *arguments: Any) -> Any:
        sent.append(sql)
        return execute(sql, *arguments)

    connection.ensure_connection()  # Ignore statements that a driver sends on connecting.
    with connection.execute_wrapper(record), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        call_command(*command)
    return sent


if __name__ == "__main__":
    django.setup()
    print(json.dumps(statements(*sys.argv[1:])))
