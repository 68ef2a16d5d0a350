"""``tutor local|dev|k8s do …``: the management commands as jobs, run in the LMS's container.

What an operator types reaches the container as one base64 word: no value meets Jinja (Tutor renders scripts), a shell
(it runs them) or Kubernetes (it expands ``$(NAME)`` and ``$$`` in arguments).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import click
from tutor.commands.k8s import K8sContext
from tutor.exceptions import TutorError

from edx_api_provisioning.core.options import JOBS, Job, Option

# It becomes the command, so that standard input and the exit code are the command's. LMS_CFG is where the image says
# that the configuration is. Written without what is special in Jinja, within single quotes, or to Kubernetes.
_LAUNCHER = """
import base64, json, os, sys
job = json.loads(base64.b64decode(sys.argv[1]))
if job["output"]:
    path = os.path.abspath(job["output"])
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    if os.path.isdir(folder) and os.stat(folder).st_dev == os.stat("/").st_dev:
        sys.exit("--output: " + folder + " goes away with this container; give a path in a mounted directory.")
if job["client"]:
    with open(os.path.join(os.path.dirname(os.environ["LMS_CFG"]), "api-clients.json")) as file:
        secrets = json.load(file).get(job["client"])
    if secrets is None:
        sys.exit(job["client"] + " is not in the configuration that is mounted: save it; for Kubernetes, start too.")
    os.environ.update(secrets)
os.execv(sys.executable, [sys.executable, "./manage.py", "lms", *job["arguments"]])
"""

_PRINT_SECRETS = click.Option(
    ["--print-secrets"], is_flag=True, help="let the job print secrets, though what jobs print is kept in logs"
)
_REFUSED = (
    "the job would print secrets, and what jobs print is kept in logs. Give --output with a path in a directory that "
    "is mounted into the job, or declare the client in API_PROVISIONING_CLIENTS, or accept it with --print-secrets."
)

# With these a command only says something.
_DOES_NOTHING = ("dry_run", "plan", "print_schema")


def script(
    arguments: Sequence[str], *, output: str | None = None, client: str | None = None, silent: bool = False
) -> str:
    """A shell script for a container of the LMS that runs ``manage.py lms`` with exactly these arguments.

    Args:
        output: a path that is refused if it would go away with the container.
        client: whose declared secrets are put into the environment.
        silent: drop what the command prints on standard output.
    """
    job = json.dumps({"arguments": arguments, "output": output, "client": client})
    word = base64.b64encode(job.encode()).decode()
    return f"python -c '{_LAUNCHER}' {word}" + (" >/dev/null" if silent else "")


def argument(option: Option, value: Any) -> Iterator[str]:
    """An option of a command line, with its value if it takes one."""
    if option.value is None:
        yield from [option.flag] if value else []
    elif option.many:
        yield from (f"{option.flag}={item}" for item in value or ())
    elif value is not None:
        yield f"{option.flag}={value}"


def command_line(command: str, options: Iterable[Option], values: dict[str, Any]) -> list[str]:
    """The arguments of ``manage.py lms``."""
    name = values.get("name")
    words = [word for option in options for word in argument(option, values.get(option.field))]
    # A name that begins with a dash is the command's to refuse, not to take for an option.
    return [command, *words, *(["--", name] if name is not None else [])]


def _run(command: str, **values: Any) -> Iterator[tuple[str, str]]:
    job = JOBS[command]
    reads = "stdin" in values.values() or values.get("from_file") == "-"
    if reads and isinstance(click.get_current_context().obj, K8sContext):
        raise TutorError("stdin: a Kubernetes job has no standard input.")
    brought = _brings_its_secrets(values)
    issues = job.issues and not any(values.get(name) for name in _DOES_NOTHING)
    if issues and not (values["print_secrets"] or values["output"] or brought):
        raise TutorError(_REFUSED)
    # The result would repeat the secrets that were brought.
    silent = brought and issues and not (values["print_secrets"] or values["output"])
    arguments = command_line(command, job.options, values)
    yield "lms", script(arguments, output=values.get("output"), silent=silent)


def _brings_its_secrets(values: dict[str, Any]) -> bool:
    token = values.get("no_token") or values.get("restricted") or values.get("access_token_from")
    return bool(values.get("client_secret_from") and token)


def _command(command: str, job: Job) -> click.Command:
    arguments = [click.Argument(["name"], required=job.name_required)] if job.name else []
    secrets = [_PRINT_SECRETS] if job.issues else []
    about = f"{job.help}\n\nNAME: {job.name}." if job.name else job.help
    return click.Command(
        name=command.replace("_", "-"),
        params=[*arguments, *map(_option, job.options), *secrets],
        callback=partial(_run, command),
        help=about,
        short_help=job.help,
    )


def _option(option: Option) -> click.Option:
    if option.value is None:
        return click.Option([option.flag], is_flag=True, help=option.help)
    kind = click.Choice(option.value.split("|")) if "|" in option.value else click.STRING
    # A choice shows what there is to choose from by itself.
    metavar = None if "|" in option.value else option.value
    return click.Option([option.flag], metavar=metavar, type=kind, multiple=option.many, help=option.help)


COMMANDS = [_command(command, job) for command, job in JOBS.items()]
