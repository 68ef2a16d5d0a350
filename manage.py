#!/usr/bin/env python
"""Run a management command in the sandbox: `python manage.py lms COMMAND`, as in the LMS's own manage.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

USAGE = "usage: python manage.py lms COMMAND [options]"


def main(argv: list[str]) -> None:
    if argv[1:2] != ["lms"]:
        print(USAGE, file=sys.stderr)
        sys.exit(2)
    sys.path.insert(0, str(Path(__file__).resolve().parent / "sandbox"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lms.envs.sandbox")

    from django.core.management import execute_from_command_line

    execute_from_command_line([argv[0], *argv[2:]])


if __name__ == "__main__":
    main(sys.argv)
