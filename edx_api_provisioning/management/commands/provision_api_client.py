"""``manage.py lms provision_api_client``: an API client in one step."""

from __future__ import annotations

import json
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from edx_api_provisioning import api
from edx_api_provisioning.core.options import CLIENT
from edx_api_provisioning.core.spec import ClientSpec, check_line
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.formats.manifest import manifest_schema
from edx_api_provisioning.management import manifest_run
from edx_api_provisioning.management.base import IssuingCommand, operator, wrong_usage

_IN_MANIFEST = gettext_noop("not allowed together with --from-file; set it in the manifest.")
# The options of one client that a manifest does not have.
_OF_ONE = {
    "dry_run": gettext_noop("not allowed together with --from-file; use --plan."),
    "verify_url": gettext_noop("not allowed together with --from-file; run verify_api_client --url for each client."),
}


class Command(IssuingCommand):
    epilog = """
examples:
  an enrollment bot, for 90 days:
    manage.py lms provision_api_client enrollment-bot --expires-in 90d --contact ops@example.org
  into a file that only you can read, for a shell to load:
    manage.py lms provision_api_client report --format env --output report.env
  what would happen:
    manage.py lms provision_api_client report --staff --dry-run
  all clients of a file, each into a file of its own:
    manage.py lms provision_api_client --from-file clients.yaml --plan
    manage.py lms provision_api_client --from-file clients.yaml --format env --output /srv/credentials

Running it again changes nothing and shows no secret. Exit code: 0 done or nothing to do, 1 not done (of many: not all)
or not verified, 2 wrong usage, or --plan found something to do.
"""

    def run(self, *, dry_run: bool, reason: str, **options: Any) -> None:
        check_line("reason", reason)  # a dry run records nothing, but a run would refuse it
        if options["print_schema"]:
            self.show(json.dumps(manifest_schema(), indent=2) + "\n")
            return
        if options["from_file"] is not None:
            self._run_many({"dry_run": dry_run, "reason": reason, **options})
            return
        for option in self.table.options:
            if option.name in ("plan", "prune", "fail_fast") and options[option.name]:
                raise wrong_usage(option.flag, _("needs --from-file."))
        spec = ClientSpec(**{name: options[name] for name in CLIENT if options[name] is not None})
        if dry_run:
            self.show(rendering.render_plan(api.plan_client(spec, authority=operator()), format=options["format"]))
            return
        about = {"authority": operator(), "reason": reason, "verify": options["verify"]}
        self.issue_one(lambda to: api.apply([spec], destination=to, **about), options)

    def _run_many(self, options: dict[str, Any]) -> None:
        for option in self.table.options:
            value = options[option.name]
            if (option.name in CLIENT or option.name in _OF_ONE) and value not in (None, option.default):
                given = option.negative_flag if value is False else option.flag
                raise wrong_usage(given, _(_OF_ONE.get(option.name, _IN_MANIFEST)))
        manifest = manifest_run.read_file(options["from_file"])
        if options["prune"]:
            manifest_run.require_name(manifest)
        (manifest_run.show_plan if options["plan"] else manifest_run.apply)(self, manifest, options)
