"""The options of the management commands, for the help and the parsing on the operator's machine. Data only.

They are the commands' own, word for word: a test compares them with the commands' parsers.
"""

from __future__ import annotations

from typing import NamedTuple


class Option(NamedTuple):
    """An option of a management command."""

    flag: str
    value: str | None
    """What stands behind it in the help; ``a|b`` for a choice, None for a switch."""
    help: str
    many: bool = False

    @property
    def field(self) -> str:
        return self.flag.removeprefix("--").replace("-", "_")


class Job(NamedTuple):
    """A management command as a Tutor job."""

    help: str
    options: tuple[Option, ...]
    name: str | None = None
    """The help of its argument NAME; None without one."""
    name_required: bool = False
    issues: bool = False
    """Whether its result holds secrets."""


ON_OFF = "on|off"

_SOURCE = "env:VARIABLE or stdin; never an argument, which every process can read"

_REASON = Option("--reason", "TEXT", "why, for the history")

_OUTCOME = Option("--format", "text|json", "how the result is shown (default: text)")

# What a client is: these may stand in API_PROVISIONING_CLIENTS too.
CLIENT = (
    Option("--username", "USERNAME", "created if absent (default: NAME)"),
    Option("--email", "EMAIL", "of a new user (default: USERNAME at the site's host)"),
    Option("--use-existing-user", None, "let an account that was made elsewhere be the user"),
    Option("--staff", None, "a new user may do what staff may: nearly everything"),
    Option("--superuser", None, "a new user may do everything (implies --staff)"),
    Option("--contact", "EMAIL", "the person who answers for this client"),
    Option("--purpose", "TEXT", "what it is for"),
    Option(
        "--permission",
        "APP.CODENAME",
        "a Django permission, such as course_modes.change_coursemode; repeatable",
        many=True,
    ),
    Option("--group", "NAME", "a group that exists; repeatable", many=True),
    Option(
        "--course-role",
        "ROLE@COURSE",
        "a course access role: staff@course-v1:edX+DemoX+2026 or staff@edX; repeatable",
        many=True,
    ),
    Option("--global-role", "ROLE", "a role without a course, such as support; repeatable", many=True),
    Option("--filter", "FILTER", "of what its JWTs reach, such as content_org:edX; repeatable", many=True),
    Option("--restricted", None, "a RestrictedApplication: only JWTs, and only what their scopes and filters open"),
    Option("--profile", "NAME", "all that a purpose needs and no more; see explain_api_access --profiles"),
    Option("--expires-in", "TIME", "90d, 12h, 52w or P90D (default: 365d, or as the site has it)"),
    Option("--expires-at", "DATE", "2027-01-31 or 2027-01-31T12:00Z"),
    Option("--self-rotation", ON_OFF, "whether the client may give itself the next token with the one it has (off)"),
    Option("--no-token", None, "only client id and secret"),
    Option("--scope", "SCOPE", "repeatable (default: the site's default scopes)", many=True),
    Option("--client-id", "ID", "default: generated"),
)

_RESULT = (
    Option("--format", "text|json|env|yaml|kubernetes-secret", "how the result is shown (default: text)"),
    Option("--output", "PATH", "write the result to a new file of mode 0600, and no secret elsewhere"),
    Option("--force", None, "let --output replace a file"),
    Option("--no-verify", None, "do not prove the credentials first"),
    Option("--verify", None, "prove the credentials first (the default)"),
    Option("--verify-url", "URL", "prove them over HTTP too, at the site's public https address"),
)

JOBS = {
    "provision_api_client": Job(
        help="Make a service user, an OAuth2 application and an access token for the site's API; show them once.",
        name="the API client's name (default: api-client)",
        issues=True,
        options=(
            Option("--dry-run", None, "say what would be done, and do nothing"),
            _REASON,
            *CLIENT,
            Option("--client-secret-from", "SOURCE", _SOURCE),
            Option("--access-token-from", "SOURCE", _SOURCE),
            Option(
                "--from-file", "PATH", "instead of NAME: a manifest of many clients, YAML or JSON; - for standard input"
            ),
            Option("--plan", None, "say what the manifest would change, and do nothing"),
            Option("--prune", None, "retire clients that have left the manifest of this name"),
            Option("--fail-fast", None, "stop at the first client that is refused"),
            Option("--print-schema", None, "print the JSON Schema of a manifest, and do nothing"),
            *_RESULT,
            Option("--rollback-on-failure", None, "keep nothing that cannot be proved"),
        ),
    ),
    "rotate_api_client": Job(
        help="Give an API client a new access token, a new client secret, or both; show them once.",
        name="the API client",
        issues=True,
        options=(
            Option("--expiring-within", "TIME", "instead of NAME: all whose token ends within this time"),
            Option("--token", None, "a new access token (the default)"),
            Option("--secret", None, "a new client secret"),
            Option("--expires-in", "TIME", "of the new token: 90d, 12h, 52w or P90D"),
            Option("--expires-at", "DATE", "of the new token: 2027-01-31 or 2027-01-31T12:00Z"),
            Option("--grace", "TIME", "how long the old ones go on working (default: not at all)"),
            _REASON,
            *_RESULT,
        ),
    ),
    "revoke_api_client": Job(
        help="End all access tokens of an API client at once; with --retire or --delete, the client too.",
        name="the API client",
        name_required=True,
        options=(
            Option(
                "--retire",
                None,
                "end its secret too, and deactivate its user if that was made for it and owns nothing else",
            ),
            Option(
                "--delete", None, "retire it, then remove it with its application and such a user; its history stays"
            ),
            _REASON,
            _OUTCOME,
        ),
    ),
    "list_api_clients": Job(
        help=(
            "List the API clients, their rights, when their tokens end, and what others did to them. Never a secret."
        ),
        options=(
            Option("--expiring-within", "TIME", "only those whose token ends within this time or has ended: 30d, 12h"),
            Option("--expired", None, "only those whose token has ended"),
            Option(
                "--unmanaged",
                None,
                "instead: client credentials applications and long-lived tokens that belong to no API client",
            ),
            Option(
                "--overprivileged",
                None,
                "only those with more rights than were declared, by options or a profile",
            ),
            Option("--fail-if-any", None, "exit code 2 if anything is listed"),
            Option("--format", "text|json", "json: one object a line (default: text)"),
        ),
    ),
    "verify_api_client": Job(
        help="Say whether an access token, or a client id and secret, work; for whom, with which rights, how long.",
        name="an API client, to look at what became of it",
        options=(
            Option("--token-from", "SOURCE", _SOURCE),
            Option("--client-id", "ID", "of an application, with its secret: try the real grant"),
            Option("--client-secret-from", "SOURCE", _SOURCE),
            Option("--url", "URL", "try them over HTTP too, at the site's public https address"),
            Option("--course", "KEY", "with NAME and --url: a course to try the endpoints of its profile on"),
            _OUTCOME,
        ),
    ),
}
