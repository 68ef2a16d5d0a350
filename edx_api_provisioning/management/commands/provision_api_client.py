"""``manage.py lms provision_api_client``: an API client in one step."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import InvalidSpec, ProvisioningError
from edx_api_provisioning.core.parsing import parse_instant, parse_lifetime
from edx_api_provisioning.core.secrets import read_secret
from edx_api_provisioning.data import DEFAULT_NAME, ClientSpec, Credentials
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.management import manifest_run
from edx_api_provisioning.management.base import IssuingCommand, operator

# The options that are handed on as they are typed.
_PLAIN = (
    "name", "username", "email", "use_existing_user", "staff", "superuser", "token", "client_id", "contact", "purpose",
    "restricted", "profile",
)  # fmt: skip
_REPEATABLE = ("scopes", "filters", "permissions", "groups", "course_roles", "global_roles")
# What is about one client; with --from-file, the file says it.
_OF_ONE = (
    *_PLAIN, *_REPEATABLE, "expires_in", "expires_at", "self_rotation", "client_secret_from", "access_token_from",
    "dry_run", "verify_url", "rollback_on_failure",
)  # fmt: skip


class Command(IssuingCommand):
    help = _("Make a service user, an OAuth2 application and an access token for the site's API; show them once.")
    epilog = """
examples:
  an enrolment bot, for 90 days:
    manage.py lms provision_api_client enrolment-bot --expires-in 90d --contact ops@example.org
  into a file that only you can read, for a shell to load:
    manage.py lms provision_api_client report --format env --output report.env
  what would happen:
    manage.py lms provision_api_client report --staff --dry-run
  all clients of a file, each into a file of its own:
    manage.py lms provision_api_client --from-file clients.yaml --plan
    manage.py lms provision_api_client --from-file clients.yaml --format env --output /srv/credentials

Running it again changes nothing and shows no secret. Exit code: 0 done or nothing to do, 1 not done (of many: not all)
or not proved, 2 wrong usage, or --plan found something to do.
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "name",
            nargs="?",
            default=DEFAULT_NAME,
            metavar="NAME",
            help=_("the API client's name (default: %(default)s)"),
        )
        add("--dry-run", action="store_true", help=_("say what would be done, and do nothing"))
        add("--reason", default="", metavar="TEXT", help=_("why, for the history"))

        user = parser.add_argument_group(_("service user"))
        add = user.add_argument
        add("--username", help=_("created if absent (default: NAME)"))
        add("--email", help=_("of a new user (default: USERNAME at the site's host)"))
        add("--use-existing-user", action="store_true", help=_("let an account that was made elsewhere be the user"))
        add("--staff", action="store_true", help=_("a new user may do what staff may: nearly everything"))
        add("--superuser", action="store_true", help=_("a new user may do everything (implies --staff)"))
        add("--contact", metavar="EMAIL", help=_("the person who answers for this client"))
        add("--purpose", metavar="TEXT", help=_("what it is for"))

        rights = parser.add_argument_group(_("rights of the user, and what its application may ask for"))
        add = rights.add_argument
        for option, metavar, text in (
            ("--permission", "APP.CODENAME", _("a Django permission, such as course_modes.change_coursemode")),
            ("--group", "NAME", _("a group that exists")),
            ("--course-role", "ROLE@COURSE", _("a course access role: staff@course-v1:edX+DemoX+2026 or staff@edX")),
            ("--global-role", "ROLE", _("a role without a course, such as support")),
            ("--filter", "FILTER", _("of what its JWTs reach, such as content_org:edX")),
        ):
            repeatable = _("%s; repeatable") % text
            add(option, action="append", dest=f"{option[2:].replace('-', '_')}s", metavar=metavar, help=repeatable)
        restricted = _("a RestrictedApplication: only JWTs, and only what their scopes and filters open")
        add("--restricted", action="store_true", help=restricted)
        add(
            "--profile",
            metavar="NAME",
            help=_("all that a purpose needs and no more; see explain_api_access --profiles"),
        )

        token = parser.add_argument_group(_("access token"))
        add = token.add_argument
        add("--expires-in", metavar="TIME", help=_("90d, 12h, 52w or P90D (default: 365d, or as the site has it)"))
        add("--expires-at", metavar="DATE", help=_("2027-01-31 or 2027-01-31T12:00Z"))
        own = _("whether the client may give itself the next token with the one it has (off)")
        add("--self-rotation", choices=("on", "off"), help=own)
        add("--no-token", dest="token", action="store_false", help=_("only client id and secret"))
        scope = _("repeatable (default: the site's default scopes)")
        add("--scope", action="append", dest="scopes", metavar="SCOPE", help=scope)

        values = parser.add_argument_group(_("values of your own"))
        add = values.add_argument
        add("--client-id", metavar="ID", help=_("default: generated"))
        source = _("env:VARIABLE or stdin; never an argument, which every process can read")
        add("--client-secret-from", metavar="SOURCE", help=source)
        add("--access-token-from", metavar="SOURCE", help=source)

        many = parser.add_argument_group(_("many clients"))
        add = many.add_argument
        from_file = _("instead of NAME: a manifest of many clients, YAML or JSON; - for standard input")
        add("--from-file", metavar="PATH", help=from_file)
        add("--plan", action="store_true", help=_("say what the manifest would change, and do nothing"))
        add("--prune", action="store_true", help=_("retire clients that have left the manifest of this name"))
        add("--fail-fast", action="store_true", help=_("stop at the first client that is refused"))
        add("--print-schema", action="store_true", help=_("print the JSON Schema of a manifest, and do nothing"))

        self.add_result_arguments(parser)
        add = parser.add_argument
        add("--rollback-on-failure", action="store_true", help=_("keep nothing that cannot be proved"))

    def run(self, *, dry_run: bool, reason: str, **options: Any) -> None:
        if options["print_schema"]:
            from edx_api_provisioning.formats.manifest import manifest_schema

            self.show(json.dumps(manifest_schema(), indent=2) + "\n")
            return
        if options["from_file"] is not None:
            self._run_many({"dry_run": dry_run, "reason": reason, **options})
            return
        for option in ("plan", "prune", "fail_fast"):
            if options[option]:
                raise InvalidSpec(_("goes with --from-file."), field=option)
        spec, path = _spec(options), options["output"]
        if dry_run:
            self.show(rendering.render_plan(api.plan_client(spec, authority=operator()), format=options["format"]))
            return
        self.issue(
            lambda: api.provision(spec, authority=operator(), reason=reason, announce=self._warn),
            # A run that makes nothing needs no file, and is to leave the one it made the first time alone.
            to=path if path and api.plan_client(spec, authority=operator()).steps else None,
            give_up=self._take_back,
            options=options,
        )

    def _run_many(self, options: dict[str, Any]) -> None:
        # Here, for what reading YAML costs everybody who does not.

        parser = self.create_parser("manage.py", "provision_api_client")
        for name in _OF_ONE:
            if options[name] != parser.get_default(name):
                raise InvalidSpec(_("does not go with --from-file: what describes a client is in there."), field=name)
        manifest = manifest_run.read_file(options["from_file"])
        (manifest_run.show_plan if options["plan"] else manifest_run.apply)(self, manifest, options)

    def _warn(self, plan: Any) -> None:
        for warning in plan.warnings:
            self.say(_("Warning: %s") % warning)

    def _take_back(self, credentials: Credentials) -> None:
        try:
            if api.undo(credentials, authority=operator()):
                self.stderr.write(_("What was made was taken back."))
        except ProvisioningError as error:
            left = _("The credentials of %(name)s exist, but nobody has them, and taking them back failed: %(why)s")
            self.stderr.write(left % {"name": credentials.name, "why": error})


def _spec(options: dict[str, Any]) -> ClientSpec:
    wanted: dict[str, Any] = {name: options[name] for name in _PLAIN}
    wanted |= {name: tuple(options[name]) if options[name] else None for name in _REPEATABLE}
    if options["client_secret_from"] == options["access_token_from"] == "stdin":  # noqa: S105 - a source
        raise InvalidSpec(_("only one value can come from stdin; give the other as env:VARIABLE."), field="stdin")
    return ClientSpec(
        **wanted,
        expires_in=parse_lifetime(options["expires_in"]) if options["expires_in"] is not None else None,
        expires_at=parse_instant(options["expires_at"]) if options["expires_at"] is not None else None,
        self_rotation=None if options["self_rotation"] is None else options["self_rotation"] == "on",
        client_secret=read_secret("client_secret", options["client_secret_from"]),
        access_token=read_secret("access_token", options["access_token_from"]),
    )
