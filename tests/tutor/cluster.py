"""Stand-ins for ``docker`` and ``kubectl`` that record their arguments and run a job's script.

The script runs with the environment of the openedx image, in the folder of ``manage.py``. FAKE_LMS_PYTHON,
FAKE_LMS_FOLDER and FAKE_STATE name the Python of that image, the folder, and the folder for records.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

STATE = Path(os.environ["FAKE_STATE"])


def run(command: list[str], environment: dict[str, str], **streams: Any) -> int:
    """Run a container's command like the image: sh is the system's, python is the LMS's."""
    lms = Path(os.environ["FAKE_LMS_PYTHON"])
    image = {
        "PATH": f"{lms.parent}:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "LMS_CFG": f"{os.environ['TUTOR_ROOT']}/env/apps/openedx/config/lms.env.yml",
        "DATABASE_URL": os.environ["DATABASE_URL"],
        "LMS_ROOT_URL": "https://lms.example.org",
        "LMS_SERVER": os.environ["LMS_SERVER"],
    }
    done = subprocess.run(command, cwd=os.environ["FAKE_LMS_FOLDER"], env={**image, **environment}, **streams)
    return done.returncode


def docker(arguments: list[str]) -> int:
    """Handle `docker compose … run --rm [-T] SERVICE COMMAND…`; refuse anything else."""
    if arguments[-3:] == ["ls", "--format", "json"]:
        print("[]")
    if "run" not in arguments:
        return 0
    options, command = arguments[: arguments.index("run")], arguments[arguments.index("run") + 1 :]
    while command[0].startswith("-"):
        command.pop(0)
    service, *command = command
    return run(command, _compose_environment(options, service))


def _compose_environment(options: list[str], service: str) -> dict[str, str]:
    environment: dict[str, str] = {}
    for flag, path in pairwise(options):
        if flag == "-f":
            services = yaml.safe_load(Path(path).read_text())["services"]
            environment |= services.get(service, {}).get("environment", {})
    # The sandbox has its own settings.
    return {name: str(value) for name, value in environment.items() if name != "DJANGO_SETTINGS_MODULE"}


def kubectl(arguments: list[str]) -> int:
    """Handle `kubectl kustomize`, and `kubectl apply` of one job, which is finished on return."""
    if arguments[0] == "kustomize":
        print(Path(arguments[1], "k8s/jobs.yml").read_text())
    elif arguments[:2] == ["apply", "-f"]:
        run_job(yaml.safe_load(Path(arguments[2]).read_text()))
    elif arguments[0] == "apply" and arguments[3].startswith("--selector"):
        label, _equals, wanted = arguments[4].partition("=")
        for manifest in yaml.safe_load_all(Path(arguments[2], "k8s/jobs.yml").read_text()):
            if manifest["metadata"]["labels"].get(label) == wanted:
                run_job(manifest)
    return 0


def run_job(manifest: dict[str, Any]) -> None:
    """Run a job like a cluster: expand the arguments, keep the log, retry after a failure."""
    name, container = manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]["containers"][0]
    environment = {item["name"]: item["value"] for item in container["env"]}
    command = [expand(argument, environment) for argument in container["args"]]
    environment.pop("DJANGO_SETTINGS_MODULE")
    with open(STATE / "pods.log", "ab") as log:
        for _attempt in range(1 + manifest["spec"]["backoffLimit"]):
            code = run(command, environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if code == 0:
                break
    (STATE / "jobs").mkdir(exist_ok=True)
    status = {"succeeded": 1} if code == 0 else {"failed": 1}
    (STATE / "jobs" / f"{name}.json").write_text(json.dumps({"metadata": {"name": name}, "status": status}))


def expand(argument: str, environment: dict[str, str]) -> str:
    """Replace known ``$(NAME)``, and ``$$`` by ``$``. Kubernetes, third_party/forked/golang/expansion."""

    def replaced(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else environment.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replaced, argument)


if __name__ == "__main__":
    program, *rest = sys.argv[1:]
    with open(STATE / "calls.jsonl", "a") as calls:
        calls.write(json.dumps([program, *rest]) + "\n")
    sys.exit({"docker": docker, "kubectl": kubectl}[program](rest))
