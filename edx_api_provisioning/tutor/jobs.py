"""Run the management commands as Tutor jobs (``tutor local|dev|k8s do …``) in the container of the LMS.

The arguments reach the container as one base64 word, so that no value is interpreted by Jinja (Tutor renders scripts),
by a shell (it runs them) or by Kubernetes (it expands ``$(NAME)`` and ``$$`` in arguments).
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import click
from tutor.commands.k8s import K8sContext
from tutor.exceptions import TutorError

from edx_api_provisioning.core.commands import COMMANDS, Command
from edx_api_provisioning.core.options import FLAG, Option

# It replaces itself with the command, which so has the standard input and the exit code. LMS_CFG is the path of the
# configuration in the image. Nothing in it is special to Jinja, in single quotes, or to Kubernetes.
_LAUNCHER = """
import base64, json, os, sys
job = json.loads(base64.b64decode(sys.argv[1]))
if job["output"]:
    path = os.path.abspath(job["output"])
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    if os.path.isdir(folder) and os.stat(folder).st_dev == os.stat("/").st_dev:
        sys.exit("--output: " + folder + " is lost with this container; use a path in a mounted directory.")
if job["client"]:
    with open(os.path.join(os.path.dirname(os.environ["LMS_CFG"]), "api-clients.json")) as file:
        secrets = json.load(file).get(job["client"])
    if secrets is None:
        sys.exit(job["client"] + " is not in the mounted configuration: save it; on Kubernetes, start too.")
    os.environ.update(secrets)
os.execv(sys.executable, [sys.executable, "./manage.py", "lms", *job["arguments"]])
"""

_PRINT_SECRETS = click.Option(
    ["--print-secrets"], is_flag=True, help="Let the job print secrets, although the output of jobs is kept in logs."
)
_REFUSED = (
    "the job would print secrets, and the output of jobs is kept in logs. Use --output with a path in a directory that "
    "is mounted into the job, or declare the client in API_PROVISIONING_CLIENTS, or accept it with --print-secrets."
)

# The other names of "-".
_STANDARD_STREAM = re.compile("/+(dev/(stdout|stderr|tty|fd/)|proc/)")

# Options with which a command issues nothing.
_DOES_NOTHING = ("dry_run", "plan", "print_schema")


def script(
    arguments: Sequence[str], *, output: str | None = None, client: str | None = None, silent: bool = False
) -> str:
    """Return a shell script for a container of the LMS that runs ``manage.py lms`` with exactly these arguments.

    Args:
        output: a path that is rejected if it would be lost with the container.
        client: a declared client whose secrets are put into the environment.
        silent: True to discard standard output.
    """
    job = json.dumps({"arguments": arguments, "output": output, "client": client})
    word = base64.b64encode(job.encode()).decode()
    return f"python -c '{_LAUNCHER}' {word}" + (" >/dev/null" if silent else "")


def command_line(command: str, options: Iterable[Option], values: dict[str, Any]) -> list[str]:
    """Return the arguments of ``manage.py lms``."""
    words = [command]
    names: list[str] = []
    for option in options:
        value = values.get(option.name)
        if option.kind == FLAG:
            if value:
                words.append(option.flag)
            elif value is False and option.negatable:
                words.append(option.negative_flag)
        elif option.many:
            words += [f"{option.flag}={item}" for item in value or ()]
        elif value is not None and option.positional:
            names.append(value)
        elif value is not None:
            words.append(f"{option.flag}={value}")
    # A name that begins with a dash is for the command to reject; it must not be read as an option.
    return [*words, *(["--", *names] if names else [])]


def _run(command: str, **values: Any) -> Iterator[tuple[str, str]]:
    table = COMMANDS[command]
    if ("stdin" in values.values() or values.get("from_file") == "-") and isinstance(
        click.get_current_context().obj, K8sContext
    ):
        raise TutorError("stdin: a Kubernetes job has no standard input.")
    brought = _brings_its_secrets(values)
    output = values.get("output") or "-"
    to_file = output != "-" and not _STANDARD_STREAM.match(os.path.normpath(output))
    issues = table.issues and not any(values.get(name) for name in _DOES_NOTHING)
    if issues and not (values["print_secrets"] or to_file or brought):
        raise TutorError(_REFUSED)
    # The result would repeat the secrets that were brought.
    silent = brought and issues and not (values["print_secrets"] or to_file)
    arguments = command_line(command, table.options, values)
    yield "lms", script(arguments, output=output if to_file else None, silent=silent)


def _brings_its_secrets(values: dict[str, Any]) -> bool:
    token = values.get("token") is False or values.get("restricted") or values.get("access_token")
    return bool(values.get("client_secret") and token)


def _command(command: str, table: Command) -> click.Command:
    secrets = [_PRINT_SECRETS] if table.issues else []
    arguments = [option for option in table.options if option.positional]
    about = "".join(f"\n\n{option.metavar}: {option.help}" for option in arguments)
    return click.Command(
        name=command.replace("_", "-"),
        params=[*map(_parameter, table.options), *secrets],
        callback=partial(_run, command),
        help=table.help + about,
        short_help=table.help,
    )


def _parameter(option: Option) -> click.Parameter:
    if option.positional:
        return click.Argument([option.name], required=option.required)
    if option.kind == FLAG:
        spelled = f"{option.flag}/{option.negative_flag}" if option.negatable else option.flag
        return click.Option([spelled, option.name], is_flag=True, default=None, help=option.help)
    kind = click.Choice(option.choices) if option.choices else click.STRING
    # A choice shows its values by itself.
    metavar = None if option.choices else option.metavar
    help = f"{option.help} Repeatable." if option.many else option.help
    return click.Option([option.flag, option.name], metavar=metavar, type=kind, multiple=option.many, help=help)


JOBS = {command: table for command, table in COMMANDS.items() if table.job}
TUTOR_COMMANDS = [_command(command, table) for command, table in JOBS.items()]
