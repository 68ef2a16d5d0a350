"""Run the jobs of ``make test``, ``newest``, ``matrix`` or ``coverage``, beside servers of their own.

Each job is an environment of tox.ini. Which there are depends on the Pythons of this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests import servers

TOX = str(Path(sys.executable).with_name("tox"))
TOOLS = f"py{sys.version_info.major}{sys.version_info.minor}"
SUPPORTED = ("py311", "py312")
LMS, NEWEST = "dj42-dot171", "dj52-dot34"


def is_installed(name: str) -> bool:
    """Return whether tox finds that Python: py312 is python3.12."""
    command = shutil.which(f"python3.{name[3:]}")
    return command is not None and subprocess.run([command, "-c", ""], capture_output=True, check=False).returncode == 0


def select_jobs(target: str, pythons: list[str]) -> tuple[list[str], list[str]]:
    """Return the jobs of a target, in the order of their start, and what is not tested for want of a Python."""
    newest = f"{next((name for name in reversed(SUPPORTED) if name in pythons), pythons[-1])}-{NEWEST}"
    if target == "newest":
        return [f"{newest}-others", f"{newest}-browser", "tutor20", "tutor21"], []
    if target == "test":
        if TOOLS in SUPPORTED:
            whole, more, missing = f"{TOOLS}-{LMS}", [f"{newest}-edges"], []
        else:
            whole, more, missing = newest, [], [f"py311-{LMS} (the versions that the LMS pins) with every database"]
        others, *parts = [f"{whole}-{part}" for part in ("others", "mysql", "postgres", "browser")]
        # The documentation's commands wait for the network: the other jobs have the time.
        return [others, "docs", *parts, "tutor22", *more, "lint"], missing
    listed = subprocess.run([TOX, "list", "--no-desc", "-m", target], capture_output=True, text=True, check=True)
    jobs = listed.stdout.split()
    missing = [job for job in jobs if job[:2] == "py" and job[:5] not in pythons]
    return [job for job in jobs if job not in missing], missing


def main(target: str) -> int:
    if target == "newest":
        # `make test` has run the others on these versions.
        os.environ["TEST_OTHERS"] = "not browser and not once and not versions"
    # Find a Python given by its path like the others, which come first.
    os.environ["PATH"] += os.pathsep + str(Path(os.path.realpath(sys.executable)).parent)
    jobs, missing = select_jobs(target, [name for name in ("py311", "py312", "py313") if is_installed(name)])
    print("Jobs:", *jobs, flush=True)
    command = [TOX, "run-parallel", "--parallel", "4", "--parallel-no-spinner", "-e", ",".join(jobs)]
    code = servers.main(command)
    if missing:
        print("NOT TESTED, for want of Python 3.11 or 3.12:", *missing, sep="\n    ")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
