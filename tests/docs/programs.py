"""Stand-ins on the PATH for programs that have nothing to act on in the documentation tests.

``kubectl`` records its arguments, reads its input, and runs a pod's command here. ``pip`` and ``tutor`` only record
their arguments (``tests/tutor`` runs the real Tutor). ``make`` is the real one with ``--dry-run``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import yaml


def kubectl(arguments: list[str]) -> int:
    options, _dashes, _command = " ".join(arguments).partition(" -- ")
    words = options.split()
    if words[0] == "exec":
        return subprocess.call(arguments[arguments.index("--") + 1 :])
    if words[:2] == ["create", "cronjob"]:
        # A pod's output goes to its log.
        code = subprocess.call(arguments[arguments.index("--") + 1 :], stdout=subprocess.DEVNULL)
        print(f"cronjob.batch/{words[2]} created")
        return code
    if words == ["apply", "-f", "-"]:
        manifest = yaml.safe_load(sys.stdin)
        print(f"{manifest['kind'].lower()}/{manifest['metadata']['name']} created")
        return 0
    if words[:2] == ["rollout", "restart"]:
        print(f"{words[2].replace('deployment', 'deployment.apps')} restarted")
        return 0
    print(f"error: unknown command {options}", file=sys.stderr)
    return 1


def make(arguments: list[str]) -> int:
    command = ["/usr/bin/make", "--dry-run", "--always-make", "-C", os.environ["REPOSITORY"], *arguments]
    return subprocess.call(command, stdout=subprocess.DEVNULL)


def main(program: str, arguments: list[str]) -> int:
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps([program, *arguments]) + "\n")
    known = {"kubectl": kubectl, "make": make}
    return known[program](arguments) if program in known else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
