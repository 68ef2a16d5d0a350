"""``manage.py lms provision_api_client``: an API client in one step."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError, DjangoHelpFormatter
from django.utils.translation import gettext as _

from edx_api_provisioning import api, output
from edx_api_provisioning.data import (
    DEFAULT_NAME,
    ClientSpec,
    Credentials,
    Secret,
    Verification,
    parse_instant,
    parse_lifetime,
    parse_site_url,
)
from edx_api_provisioning.exceptions import InvalidSpec, OutputFailure, ProvisioningError

# The options that are named otherwise than the field that they fill.
_OPTIONS = {
    "scopes": "--scope",
    "token": "--no-token",
    "name": "NAME",
    "client_secret": "--client-secret-from",
}
_OPTIONS["access_token"] = "--access-token-from"  # noqa: S105 - the name of an option

# The options that are handed on as they are typed.
_PLAIN = (
    "name", "username", "email", "use_existing_user", "staff", "superuser", "token", "client_id", "contact", "purpose"
)  # fmt: skip


class _HelpFormatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's order of options, and examples as they are written."""


class Command(BaseCommand):
    help = _("Make a service user, an OAuth2 application and an access token for the site's API; show them once.")
    # Checking the system imports every URL of the LMS: seconds, for nothing that this command needs.
    requires_system_checks = []  # noqa: RUF012 - as Django declares it

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(prog_name, subcommand, epilog=_EPILOG, formatter_class=_HelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "name",
            nargs="?",
            default=DEFAULT_NAME,
            metavar="NAME",
            help=_("the API client's name (%(default)s)"),
        )

        user = parser.add_argument_group(_("service user"))
        add = user.add_argument
        add("--username", help=_("created if absent (default: NAME)"))
        add("--email", help=_("of a new user (default: USERNAME at the site's host)"))
        add(
            "--use-existing-user",
            action="store_true",
            help=_("let an account that was made elsewhere be the user"),
        )
        add("--staff", action="store_true", help=_("a new user may do what staff may: nearly everything"))
        add("--superuser", action="store_true", help=_("a new user may do everything (implies --staff)"))
        add("--contact", metavar="EMAIL", help=_("the person who answers for this client"))
        add("--purpose", metavar="TEXT", help=_("what it is for"))

        token = parser.add_argument_group(_("access token"))
        add = token.add_argument
        add(
            "--expires-in",
            metavar="TIME",
            help=_("90d, 12h, 52w or P90D (default: 365d, or as the site has it)"),
        )
        add("--expires-at", metavar="DATE", help=_("2027-01-31 or 2027-01-31T12:00Z"))
        add("--no-token", dest="token", action="store_false", help=_("only client id and secret"))
        add(
            "--scope",
            action="append",
            dest="scopes",
            help=_("repeatable (default: the site's default scopes)"),
        )

        values = parser.add_argument_group(_("values of your own"))
        add = values.add_argument
        add("--client-id", metavar="ID", help=_("default: generated"))
        source = _("env:VARIABLE or stdin; never an argument, which every process can read")
        add("--client-secret-from", metavar="SOURCE", help=source)
        add("--access-token-from", metavar="SOURCE", help=source)

        results = parser.add_argument_group(_("result"))
        add = results.add_argument
        add("--format", choices=tuple(output.FORMATS), default="text", help=_("of the result (%(default)s)"))
        add(
            "--output",
            metavar="PATH",
            help=_("write the result to a new file of mode 0600, and no secret elsewhere"),
        )
        add("--force", action="store_true", help=_("let --output replace a file"))
        add("--dry-run", action="store_true", help=_("say what would be done, and do nothing"))
        verify = results.add_mutually_exclusive_group()
        add = verify.add_argument
        add("--no-verify", dest="verify", action="store_false", help=_("do not prove the credentials first"))
        add("--verify", action="store_true", default=True, help=_("prove the credentials first (the default)"))
        add = results.add_argument
        add(
            "--verify-url",
            metavar="URL",
            help=_("prove them over HTTP too, at the site's public https address"),
        )
        add("--rollback-on-failure", action="store_true", help=_("keep nothing that cannot be proved"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(**options)
        except ProvisioningError as error:
            raise CommandError(_line(error)) from None

    def _run(self, *, dry_run: bool, force: bool, format: str, verify_url: str | None, **options: Any) -> None:
        spec, path = _spec(options), options["output"]
        url = parse_site_url(verify_url) if verify_url is not None else None
        if dry_run:
            self.stdout.write(output.render_plan(api.plan_client(spec), format=format), ending="")
            return
        # A file that is in the way is to be found before anything is made; a run that makes nothing needs none.
        file = output.NewFile(path, force=force) if path and api.plan_client(spec).steps else nullcontext()
        with file as target:
            credentials = api.provision(spec, actor=_actor())
            try:
                verification = self._hand_over(credentials, target, format=format, url=url, **options)
            except BaseException:
                # Whatever went wrong, be it Ctrl-C: nobody got these credentials, so they are not to exist.
                self._take_back(credentials)
                raise
        self._tell(credentials, path)
        if verification is not None and not verification.ok:
            raise CommandError(_("The credentials exist and were handed over, but: %s") % _failures(verification))

    def _hand_over(
        self,
        credentials: Credentials,
        target: output.NewFile | None,
        *,
        format: str,
        verify: bool,
        url: str | None,
        rollback_on_failure: bool,
        **_options: Any,
    ) -> Verification | None:
        verification = api.verify(credentials, url=url) if verify and credentials.issued else None
        if rollback_on_failure and verification is not None and not verification.ok:
            raise ProvisioningError(_("Everything was taken back, because: %s") % _failures(verification))
        text = output.render(credentials, verification, format=format)
        if target is not None and credentials.issued:
            target.write(text)
            return verification
        try:
            self.stdout.write(text, ending="")
            self.stdout.flush()
        except OSError as error:
            raise OutputFailure(
                _("the result could not be written (%s); everything was taken back.") % error.strerror
            ) from None
        return verification

    def _take_back(self, credentials: Credentials) -> None:
        try:
            api.undo(credentials, actor=_actor())
        except ProvisioningError as error:
            left = _("The credentials of %(name)s exist, but nobody has them, and taking them back failed: %(why)s")
            self.stderr.write(left % {"name": credentials.name, "why": error})

    def _tell(self, credentials: Credentials, path: str | None) -> None:
        """What people want to know, beside the result."""
        for change in credentials.changes:
            self.stderr.write(_("Done: %s.") % change)
        for warning in credentials.warnings:
            self.stderr.write(_("Warning: %s") % warning)
        if credentials.issued and path:
            self.stderr.write(_("The credentials are in %s.") % path)
        elif not credentials.issued:
            self.stderr.write(_("Nothing was issued, so there is no secret to show."))


def _spec(options: dict[str, Any]) -> ClientSpec:
    wanted = {name: options[name] for name in _PLAIN}
    if options["client_secret_from"] == options["access_token_from"] == "stdin":  # noqa: S105 - a source
        raise InvalidSpec(_("only one value can come from stdin; give the other as env:VARIABLE."), field="stdin")
    return ClientSpec(
        **wanted,
        scopes=tuple(options["scopes"]) if options["scopes"] else None,
        expires_in=parse_lifetime(options["expires_in"]) if options["expires_in"] is not None else None,
        expires_at=parse_instant(options["expires_at"]) if options["expires_at"] is not None else None,
        client_secret=_secret("client_secret", options["client_secret_from"]),
        access_token=_secret("access_token", options["access_token_from"]),
    )


def _secret(field: str, source: str | None) -> Secret | None:
    """The value that stands in the environment or on standard input."""
    if source is None:
        return None
    if source == "stdin":
        return Secret(sys.stdin.readline().rstrip("\r\n"))
    scheme, _colon, variable = source.partition(":")
    if scheme != "env" or not variable:
        # What was typed is not repeated: it may be the secret itself.
        raise InvalidSpec(_("give env:VARIABLE or stdin, not the value itself."), field=field)
    if variable not in os.environ:
        raise InvalidSpec(_("no such variable in the environment."), field=field)
    return Secret(os.environ[variable])


def _actor() -> str:
    try:
        return f"command line: {getpass.getuser()}"
    except (KeyError, OSError):  # In a container the user id may have no name.
        return f"command line: uid {os.getuid()}"


def _failures(verification: Verification) -> str:
    return " ".join(f"{check.what}: {check.meaning}" for check in verification.checks if not check.ok)


def _line(error: ProvisioningError) -> str:
    if error.field is None:
        return error.message
    option = _OPTIONS.get(error.field, "--" + error.field.replace("_", "-"))
    return f"{option}: {error.message}"


_EPILOG = """
examples:
  an enrolment bot, for 90 days:
    manage.py lms provision_api_client enrolment-bot --expires-in 90d --contact ops@example.org
  into a file that only you can read, for a shell to load:
    manage.py lms provision_api_client report --format env --output report.env
  what would happen:
    manage.py lms provision_api_client report --staff --dry-run

Running it again changes nothing and shows no secret. Exit code: 0 done or nothing to do, 1 not done or not proved,
2 wrong usage.
"""
