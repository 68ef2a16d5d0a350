"""Define the management commands and their options, for their parsers, the Tutor jobs and the reference pages.

It imports the standard library only and runs on Python 3.10, as :mod:`~edx_api_provisioning.core.options` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from edx_api_provisioning.core.options import (
    CLIENT,
    DURATION,
    DURATION_TEXT,
    FLAG,
    FORMAT,
    MANY,
    REASON,
    RESULT,
    SECRET,
    TOKEN,
    URL,
    Option,
    gettext_noop,
)

_ = gettext_noop


NEW_TOKEN = Option(
    "token", _("Issue a new access token."), label=_("new access token"), kind=FLAG, default=False, part=TOKEN
)
NEW_SECRET = Option(
    "secret",
    _("Issue a new client secret. With a grace period, the client moves to a new application and client ID."),
    label=_("new client secret"),
    kind=FLAG,
    default=False,
    part=TOKEN,
)
GRACE = Option(
    "grace",
    _("Grace period in which the old credentials keep working, such as 24h or 7d. Default: none."),
    label=_("grace period"),
    kind=DURATION,
    part=TOKEN,
    **DURATION_TEXT,
)


class Command(NamedTuple):
    """A management command."""

    help: str
    options: tuple[Option, ...]
    job: bool = True
    """True if it is a Tutor job too."""
    issues: bool = False
    """True if its result holds secrets."""


def _switch(name: str, help: str, *, part: str = "", exclusive: str = "") -> Option:
    return Option(name, help, kind=FLAG, default=False, part=part, exclusive=exclusive)


def _name(help: str, *, required: bool = True) -> Option:
    return Option("name", help, metavar="NAME", positional=True, required=required)


_TEXT_OR_JSON = Option("format", _("Output format. Default: text."), choices=("text", "json"), default="text")
_RESULT = (
    Option("format", _("Output format. Default: text."), kind=FORMAT, metavar="FORMAT", default="text", part=RESULT),
    Option(
        "output",
        _("File for the credentials, with mode 0600; for many clients a directory; - for standard output."),
        metavar="PATH",
        part=RESULT,
    ),
    _switch("force", _("Let --output replace a file that holds something else."), part=RESULT),
    Option(
        "verify",
        _("Verify the credentials before they are delivered (the default)."),
        kind=FLAG,
        default=True,
        negatable=True,
        part=RESULT,
    ),
    Option(
        "verify_url",
        _("Then verify them over HTTP, at this public https address of the site."),
        kind=URL,
        metavar="URL",
        part=RESULT,
    ),
)
_SOURCE = _("env:VARIABLE, file:PATH or stdin; not the value itself, because every process can read arguments.")

RETIRE = _switch(
    "retire",
    _("Revoke the secret too, and deactivate the service user if it was created for this client alone."),
    exclusive="end",
)

COMMANDS: Mapping[str, Command] = {
    "provision_api_client": Command(
        _("Create a service user, an OAuth2 application and an access token, and show the credentials once."),
        issues=True,
        options=(
            *CLIENT.values(),
            _switch("dry_run", _("Show what would be done, and do nothing.")),
            REASON,
            Option(
                "from_file",
                _("Manifest of many clients, YAML or JSON, instead of NAME; - is standard input."),
                metavar="PATH",
                part=MANY,
            ),
            _switch("plan", _("Show what the manifest would change, and do nothing."), part=MANY),
            _switch("prune", _("Retire the clients that have left the manifest of this name."), part=MANY),
            _switch("fail_fast", _("Stop at the first client that is refused."), part=MANY),
            _switch("print_schema", _("Print the JSON Schema of a manifest, and do nothing."), part=MANY),
            *_RESULT,
        ),
    ),
    "rotate_api_client": Command(
        _("Issue a new access token, a new client secret, or both for an API client, and show them once."),
        issues=True,
        options=(
            _name(_("Name of the API client."), required=False),
            Option(
                "expiring_within",
                _("Rotate every client whose token expires within this time, once half its lifetime is over."),
                kind=DURATION,
                metavar="TIME",
            ),
            NEW_TOKEN._replace(help=_("Issue a new access token (the default).")),
            NEW_SECRET,
            CLIENT["expires_in"],
            CLIENT["expires_at"],
            GRACE,
            REASON,
            *_RESULT,
        ),
    ),
    "revoke_api_client": Command(
        _("Revoke all access tokens of an API client; with --retire or --delete, end the client too."),
        options=(
            _name(_("Name of the API client.")),
            RETIRE,
            _switch(
                "delete",
                _("Retire the client, then delete it with its application and such a user; keep its history."),
                exclusive="end",
            ),
            REASON,
            _TEXT_OR_JSON,
        ),
    ),
    "list_api_clients": Command(
        _("List the API clients with their rights, expiry dates and issues. Secrets are never listed."),
        options=(
            Option(
                "expiring_within",
                _("List only clients whose token has expired or expires within this time, such as 30d."),
                kind=DURATION,
                metavar="TIME",
                exclusive="which",
            ),
            Option(
                "unused_for",
                _("List only active clients that were not used for this time, such as 90d."),
                kind=DURATION,
                metavar="TIME",
                exclusive="which",
            ),
            _switch("expired", _("List only clients whose token has expired."), exclusive="which"),
            _switch(
                "unmanaged",
                _("List the client credentials applications and long-lived tokens of no API client instead."),
                exclusive="which",
            ),
            _switch(
                "overprivileged",
                _("List only clients with more rights than options or a profile declared."),
                exclusive="which",
            ),
            _switch("fail_if_any", _("Exit with code 2 if anything is listed.")),
            _TEXT_OR_JSON._replace(
                choices=("text", "json", "jsonl"),
                help=_("Output format; json is an array, jsonl one object a line. Default: text."),
            ),
        ),
    ),
    "verify_api_client": Command(
        _("Verify an access token, or a client ID and secret: whose they are, what they can do and when they expire."),
        options=(
            _name(_("Name of an API client, to list its issues."), required=False),
            Option("token", _SOURCE, kind=SECRET, metavar="SOURCE"),
            Option(
                "client_id",
                _("Client ID of an application, verified with its secret by a real token request."),
                metavar="ID",
            ),
            Option("client_secret", _SOURCE, kind=SECRET, metavar="SOURCE"),
            Option(
                "url", _("Verify over HTTP too, at this public https address of the site."), kind=URL, metavar="URL"
            ),
            Option(
                "course",
                _("Course to try the endpoints of the client's profile on, with NAME and --url."),
                metavar="KEY",
                lms=True,
            ),
            _TEXT_OR_JSON,
        ),
    ),
    "adopt_api_client": Command(
        _("Manage an existing application, its user and its longest-lived access token as an API client."),
        job=False,
        options=(
            _name(_("Name for the API client.")),
            Option("client_id", _("Client ID of the application."), metavar="ID", required=True),
            CLIENT["contact"],
            CLIENT["purpose"],
            REASON,
            _TEXT_OR_JSON,
        ),
    ),
    "notify_expiring_api_clients": Command(
        _("Mail the contacts of API clients whose token expires soon or that are not used."),
        job=False,
        options=(
            _TEXT_OR_JSON._replace(help=_("Output format for the names of the notified clients. Default: text.")),
        ),
    ),
    "replace_api_client_contact": Command(
        _("Replace the email address of a contact in all API clients and their history."),
        job=False,
        options=(
            Option("old", _("Email address to replace."), metavar="OLD", positional=True, required=True),
            Option("new", _("Email address to put in its place."), metavar="NEW", positional=True, required=True),
        ),
    ),
    "explain_api_access": Command(
        _("Show what an API request needs, what a client can do, which access profiles exist, or what an error means."),
        job=False,
        options=(
            Option("method", _("Method of a request, such as GET."), metavar="METHOD", positional=True),
            Option("path", _("Path of the request, with its query if it has one."), metavar="PATH", positional=True),
            Option("client", _("API client whose rights to compare."), metavar="NAME", exclusive="which"),
            _switch("profiles", _("List the access profiles."), exclusive="which"),
            Option(
                "error",
                _("Explain an answer of the API or the token endpoint; give its text, or its status or error code."),
                exclusive="which",
            ),
            _TEXT_OR_JSON,
        ),
    ),
}
