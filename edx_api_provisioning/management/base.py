"""The base classes of the commands: errors as one line, results delivered once."""

from __future__ import annotations

import getpass
import os
from argparse import ArgumentParser, BooleanOptionalAction, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, DjangoHelpFormatter
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.commands import COMMANDS
from edx_api_provisioning.core.exceptions import ClientNotFound, ProvisioningError
from edx_api_provisioning.core.options import CLIENT, FLAG, FORMAT, SECRET, Option
from edx_api_provisioning.core.text import printable, suggest
from edx_api_provisioning.data import Applied, Authority, Credentials, Status
from edx_api_provisioning.formats import destinations, examination, files, rendering, snippets
from edx_api_provisioning.formats.schema import parse


class _HelpFormatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's order of options, and examples as they are written."""


def add_option(parser: Any, option: Option) -> None:
    """Add an option of the table to an argparse parser or group."""
    how: dict[str, Any] = {"help": _(option.help), "default": option.default}
    if option.positional:
        how |= {"metavar": option.metavar} | ({} if option.required else {"nargs": "?"})
        parser.add_argument(option.name, **how)
        return
    how |= {"dest": option.name, "required": option.required}
    if option.kind == FLAG:
        how["action"] = "store_true"
        if option.negatable:
            # Without a default, argparse does not write it into the help.
            how |= {"action": BooleanOptionalAction, "default": None}
    elif option.choices or option.kind == FORMAT:
        how["choices"] = option.choices or tuple(rendering.FORMATS)
    else:
        how["metavar"] = option.metavar
        if option.many:
            how |= {"action": "append", "help": _("%s Repeatable.") % how["help"]}
    parser.add_argument(option.flag, **how)
    parser.set_defaults(**{option.name: option.default})


class ClientCommand(BaseCommand):
    """A command of ours: ``run`` does it, and a ProvisioningError becomes one line and exit code 1."""

    # Checking the system imports every URL of the LMS: seconds, for nothing that these commands need.
    requires_system_checks = []  # noqa: RUF012 - as Django declares it
    epilog = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = COMMANDS[type(self).__module__.rpartition(".")[2]]
        self.help = _(self.table.help)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of the command, by group."""
        groups: dict[str, Any] = {"": parser}
        for option in self.table.options:
            if option.lms and not api.is_lms():
                parser.set_defaults(**{option.name: option.default})
                continue
            part = "" if option.positional else option.part
            if part not in groups:
                groups[part] = parser.add_argument_group(_(part))
            if option.exclusive and option.exclusive not in groups:
                groups[option.exclusive] = groups[part].add_mutually_exclusive_group()
            add_option(groups[option.exclusive or part], option)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """Return the parser with the epilog of the command."""
        epilog = self.epilog if api.is_lms() else self.epilog.replace("manage.py lms", "manage.py")
        return super().create_parser(prog_name, subcommand, epilog=epilog, formatter_class=_HelpFormatter, **kwargs)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the command, and turn its errors into CommandError."""
        self.quiet = options["verbosity"] == 0
        try:
            self.run(**options | self._values(options))
        except ProvisioningError as error:
            line = _line(error, options)
            if isinstance(error, ClientNotFound):
                names = (client.name for client in api.list_clients())
                line = suggest(line, options.get("name") or options.get("client") or "", names, all_known=False)
            raise CommandError(line) from None

    def _values(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the options in the types that the services take."""
        if [options[option.name] for option in self.table.options if option.kind == SECRET].count("stdin") > 1:
            message = _("only one value can come from stdin; give the other as env:VARIABLE or file:PATH.")
            raise wrong_usage("--client-secret-from", message)
        given = {option: _text(options[option.name]) for option in self.table.options}
        return {
            option.name: value if value is None else parse(option, value, stdin=True) for option, value in given.items()
        }

    def run(self, *args: Any, **options: Any) -> None:
        """Run the command; the options are keyword arguments."""
        raise NotImplementedError

    @property
    def out(self) -> Any:
        """Return standard output itself; Django's wrapper has no file descriptor and adds line ends."""
        return self.stdout._out

    def show(self, text: str) -> None:
        """Write a result to standard output, where nothing else is written."""
        destinations.write(self.out, text)

    def say(self, line: str) -> None:
        """Tell the person at the terminal something beside the result."""
        if not self.quiet:
            self.warn(line)

    def warn(self, line: str) -> None:
        """Write a line to standard error, whose state never decides the outcome."""
        with suppress(AttributeError, OSError, ValueError):  # It is closed or full.
            self.stderr.write(printable(line, keep="\n"))


class IssuingCommand(ClientCommand):
    """A command that issues credentials, verifies them and delivers them once."""

    @contextmanager
    def destination(self, options: dict[str, Any], *, many: bool) -> Iterator[destinations.Destination]:
        """Return where ``--output`` says that credentials go: a stream, a file, or files in a directory."""
        path, format = options["output"], options["format"]
        out = destinations.open_stream("-" if path is None else path, self.out)
        if out is None:
            if many:
                files.make_directory(path)
            path_of = partial(rendering.path_of, directory=path, format=format) if many else lambda _name: path
            yield destinations.Files(path_of, format=format, force=options["force"])
            return
        if many and format in ("env", "docker-env"):
            raise wrong_usage(
                "--output", _("several clients would write the same variables; pass a directory to --output.")
            )
        render = rendering.render_one_of_many if many else rendering.render
        try:
            with destinations.Stream(out, partial(render, format=format), array=many and format == "json") as stream:
                yield stream
        finally:
            if out is not self.out:
                out.close()

    def issue_one(
        self, issue: Callable[[destinations.Destination], Iterable[Applied]], options: dict[str, Any]
    ) -> None:
        """Issue credentials for one client, deliver them, and say what was done."""
        with self.destination(options, many=False) as destination:
            [applied] = issue(destination)
            credentials = applied.unwrap()
        if not credentials.issued:
            self.show(rendering.render(credentials, format=options["format"]))
        path = options["output"] if destination.settles else None
        self.finish(credentials, options, path=path)
        if credentials.status is Status.CREATED and (path is not None or options["format"] == "text"):
            for line in snippets.next_steps(credentials, env_file=path if options["format"] == "env" else None):
                self.say(line)

    def finish(self, credentials: Credentials, options: dict[str, Any], *, path: str | None = None) -> None:
        """Print the changes and the file of the credentials, and verify them over HTTP if requested."""
        for warning in credentials.warnings:
            self.say(_("Warning: %s") % warning)
        for change in credentials.changes:
            self.say(change)
        if not credentials.issued:
            self.say(_("No credentials were issued; to issue new ones, run: rotate_api_client %s") % credentials.name)
            return
        if path is not None:
            self.say(_("The credentials are in %s.") % path)
        if options["verify_url"] is not None:
            self._verify_over_http(credentials, options["verify_url"])

    def _verify_over_http(self, credentials: Credentials, url: str) -> None:
        failed = _("The credentials exist and were delivered, but: %s")
        try:
            verification = api.verify(credentials, url=url)
        except ProvisioningError as error:
            raise CommandError(failed % error.message) from None
        for check in verification.checks:
            self.say(_("Check: %s.") % examination.render_check(check).rstrip("."))
        if not verification.ok:
            failures = (f"{check.what}: {check.meaning}" for check in verification.checks if check.ok is False)
            raise CommandError(failed % " ".join(failures))


def operator() -> Authority:
    """Return the operator's authority, with the name of the system account for the history."""
    try:
        return Authority.operator(f"command line: {getpass.getuser()}")
    except (KeyError, OSError):  # In a container the user id may have no name.
        return Authority.operator(f"command line: uid {os.getuid()}")


def _text(value: Any) -> Any:
    """Return a value as it was typed: argparse before Python 3.13 turns ``--`` into an empty list."""
    return [_text(each) for each in value] or "--" if isinstance(value, list) else value


_BY_FIELD = {option.name: option for command in COMMANDS.values() for option in command.options} | {**CLIENT}


def flag(field: str) -> str:
    """Return the option that fills a field of a ClientSpec."""
    return _BY_FIELD[field].flag if field in _BY_FIELD else "--" + field.replace("_", "-")


def wrong_usage(flag: str, message: str) -> CommandError:
    """Return the error for options that are missing or exclude each other: exit code 2, as that of the parser."""
    return CommandError(f"{flag}: {message}", returncode=2)


def _line(error: ProvisioningError, options: Mapping[str, Any]) -> str:
    if error.field is None:
        return error.message
    option = _BY_FIELD.get(error.field)
    negated = option is not None and option.negatable and options.get(option.name) is False
    return f"{option.negative_flag if option and negated else flag(error.field)}: {error.message}"
