"""What the commands share: errors as one line, secrets from safe places, results handed over once."""

from __future__ import annotations

import getpass
import os
from argparse import ArgumentParser, BooleanOptionalAction, RawDescriptionHelpFormatter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError, DjangoHelpFormatter
from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.commands import COMMANDS
from edx_api_provisioning.core.exceptions import OutputFailure, ProvisioningError
from edx_api_provisioning.core.options import CLIENT, FLAG, FORMAT, Option
from edx_api_provisioning.core.parsing import parse_site_url
from edx_api_provisioning.data import Authority, Credentials, Verification
from edx_api_provisioning.formats import files, rendering


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
        groups: dict[str, Any] = {"": parser}
        for option in self.table.options:
            part = "" if option.positional else option.part
            if part not in groups:
                groups[part] = parser.add_argument_group(_(part))
            if option.exclusive and option.exclusive not in groups:
                groups[option.exclusive] = groups[part].add_mutually_exclusive_group()
            add_option(groups[option.exclusive or part], option)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name, subcommand, epilog=self.epilog, formatter_class=_HelpFormatter, **kwargs
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.quiet = options["verbosity"] == 0
        try:
            self.run(**{name: _typed(value) for name, value in options.items()})
        except ProvisioningError as error:
            raise CommandError(_line(error)) from None

    def run(self, *args: Any, **options: Any) -> None:
        """Do it; the options are keyword arguments.

        Raises:
            ProvisioningError: shown as one line, with exit code 1.
        """
        raise NotImplementedError

    def show(self, text: str) -> None:
        """Write a result to standard output, where nothing else is written.

        Raises:
            OutputFailure: if nobody reads it.
        """
        try:
            self.stdout.write(text, ending="")
            self.stdout.flush()
        except (AttributeError, OSError, ValueError) as error:  # AttributeError and ValueError: it is closed.
            why = getattr(error, "strerror", None) or _("standard output is closed")
            raise OutputFailure(_("the result could not be written: %s.") % why) from None

    def say(self, line: str) -> None:
        """Tell the person at the terminal something beside the result."""
        if not self.quiet:
            self.stderr.write(line)


class IssuingCommand(ClientCommand):
    """A command that issues credentials, proves them and hands them over once."""

    def issue(
        self,
        make: Callable[[], Credentials],
        *,
        to: str | None,
        give_up: Callable[[Credentials], None],
        options: dict[str, Any],
    ) -> None:
        """Make credentials, prove them, and hand them over to the file ``to`` or to standard output.

        Args:
            give_up: called when they were made and could not be handed over.
        """
        url = parse_site_url(options["verify_url"]) if options["verify_url"] is not None else None
        # A file that is in the way is to be found before anything is made.
        with files.NewFile(to, force=options["force"]) if to else nullcontext() as file:
            credentials = make()
            try:
                verification = None
                if options["verify"] and credentials.issued:
                    verification = api.verify(credentials, url=url)
                    if url is not None:
                        for check in verification.checks:
                            self.say(_("Tried: %s.") % rendering.render_check(check).rstrip("."))
                    self._check(verification, options)
                text = rendering.render(credentials, verification, format=options["format"])
                if file is not None and credentials.issued:
                    file.write(text)
                else:
                    self.show(text)
            except BaseException:  # Ctrl-C too
                give_up(credentials)
                raise
        self._tell(credentials, to)
        if verification is not None and not verification.ok:
            raise CommandError(_("The credentials exist and were handed over, but: %s") % _failures(verification))

    def _check(self, verification: Verification, options: dict[str, Any]) -> None:
        if options.get("rollback_on_failure") and not verification.ok:
            raise ProvisioningError(_("Everything was taken back, because: %s") % _failures(verification))

    def _tell(self, credentials: Credentials, path: str | None) -> None:
        for change in credentials.changes:
            self.say(_("Done: %s.") % change)
        if credentials.issued and path:
            self.say(_("The credentials are in %s.") % path)
        elif not credentials.issued:
            self.say(_("Nothing was issued, so there is no secret to show."))


def operator() -> Authority:
    """Return the operator's authority, with the name of the system account for the history."""
    try:
        return Authority.operator(f"command line: {getpass.getuser()}")
    except (KeyError, OSError):  # In a container the user id may have no name.
        return Authority.operator(f"command line: uid {os.getuid()}")


def _typed(value: Any) -> Any:
    """What was typed, where argparse (before Python 3.13) makes an empty list of the value ``--``."""
    if isinstance(value, list):
        return [_typed(each) for each in value] or "--"
    return value


def _failures(verification: Verification) -> str:
    return " ".join(f"{check.what}: {check.meaning}" for check in verification.checks if not check.ok)


_BY_FIELD = {option.name: option for command in COMMANDS.values() for option in command.options} | {**CLIENT}


def flag(field: str) -> str:
    """Return the option that fills a field of a ClientSpec."""
    return _BY_FIELD[field].flag if field in _BY_FIELD else "--" + field.replace("_", "-")


def _line(error: ProvisioningError) -> str:
    return f"{flag(error.field)}: {error.message}" if error.field is not None else error.message
