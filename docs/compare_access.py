"""Compare the endpoints of access.json with a checkout of openedx-platform, and print the rows to read again.

Usage: python docs/compare_access.py CHECKOUT
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ACCESS = Path(__file__).parents[1] / "edx_api_provisioning/access.json"
PLATFORM = ("cms", "common", "lms", "openedx")
BEARER = re.compile(r"BearerAuthentication|view_auth_classes")


def moved(endpoint: dict[str, Any], checkout: Path) -> Iterator[str]:
    """Return what a row says of the platform and the checkout does not confirm."""
    for source in endpoint["checked_in"].split("; "):
        path, *names = re.findall(r"[\w./]+", source)
        if path.split("/")[0] not in PLATFORM:
            continue  # of a library
        file = checkout / path
        if not file.is_file():
            yield f"{path} is gone"
            continue
        text = file.read_text()
        for name in names:
            if re.search(rf"\b{re.escape(name.rpartition('.')[2])}\b", text) is None:
                yield f"{path} does not mention {name}"
        if path.endswith("views.py") and "bearer" in endpoint["auth"] and BEARER.search(text) is None:
            yield f"{path} takes no Bearer tokens"


def main(checkout: Path) -> int:
    """Print the rows to read again, and return how many there are."""
    rows = [(row, list(moved(row, checkout))) for row in json.loads(ACCESS.read_text())["endpoints"]]
    for row, problems in rows:
        for problem in problems:
            print(f"{row['method']} {row['path']}: {problem}")
    return sum(1 for _row, problems in rows if problems)


if __name__ == "__main__":
    sys.exit(min(main(Path(sys.argv[1])), 1))
