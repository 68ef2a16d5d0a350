"""Test that wrong usage of every command is one line and exit code 2, and changes nothing."""

from __future__ import annotations

import pytest

from edx_api_provisioning.core.commands import COMMANDS
from tests.factories import run
from tests.lifecycle_helpers import all_rows, provisioned

pytestmark = pytest.mark.django_db

FROM_FILE = "not allowed together with --from-file; set it in the manifest."
ONE_QUESTION = "METHOD: give METHOD and PATH, --client NAME, --profiles, or --error TEXT."
ONE_STDIN = "--client-secret-from: only one value can come from stdin; give the other as env:VARIABLE or file:PATH."

MISUSES = {
    "provision_api_client": {
        "--plan": "--plan: needs --from-file.",
        "--prune": "--prune: needs --from-file.",
        "--fail-fast": "--fail-fast: needs --from-file.",
        "--from-file - name": f"NAME: {FROM_FILE}",
        "--from-file - --staff": f"--staff: {FROM_FILE}",
        "--from-file - --scope read": f"--scope: {FROM_FILE}",
        "--from-file - --no-token": f"--no-token: {FROM_FILE}",
        "--from-file - --dry-run": "--dry-run: not allowed together with --from-file; use --plan.",
        "--from-file - --verify-url https://lms.example.org": (
            "--verify-url: not allowed together with --from-file; run verify_api_client --url for each client."
        ),
        "--from-file - --format env": (
            "--output: several clients would write the same variables; pass a directory to --output."
        ),
        "--client-secret-from stdin --access-token-from stdin": ONE_STDIN,
    },
    "rotate_api_client": {
        "": "NAME: give either a NAME or --expiring-within.",
        "report --expiring-within 1d": "NAME: give either a NAME or --expiring-within.",
        "report --secret --expires-in 1d": "--expires-in: needs --token; --secret alone issues no access token.",
        "report --secret --expires-at 2100-01-01": (
            "--expires-at: needs --token; --secret alone issues no access token."
        ),
    },
    "verify_api_client": {
        "": "NAME: give a NAME, --token-from, or --client-id with --client-secret-from.",
        "--client-id x": "--client-id: give --client-id and --client-secret-from together.",
        "--client-secret-from stdin": "--client-id: give --client-id and --client-secret-from together.",
        "--token-from stdin --client-id x --client-secret-from stdin": ONE_STDIN,
        "report --url https://no-such-host.invalid": (
            "--url: nothing to verify; give --token-from, or --client-id with --client-secret-from, too."
        ),
        "report --course course-v1:a+b+c": "--course: needs NAME and --url.",
    },
    "explain_api_access": {
        "": ONE_QUESTION,
        "GET": ONE_QUESTION,
        "GET --client report": ONE_QUESTION,
        "GET /api/user/v1/me --profiles": "--profiles: not allowed together with METHOD and PATH.",
        "GET /api/user/v1/me --error 403": "--error: not allowed together with METHOD and PATH.",
    },
}


@pytest.mark.parametrize("command", MISUSES)
def test_misuse_is_one_line(command: str) -> None:
    provisioned()
    before = all_rows()

    done = {line: run(*line.split(), command=command, stdin="clients: [{name: one}]") for line in MISUSES[command]}

    assert {line: ran.misuse for line, ran in done.items()} == MISUSES[command]
    assert all_rows() == before


@pytest.mark.parametrize("command", ["revoke_api_client", "rotate_api_client", "verify_api_client"])
def test_empty_name_is_one_line(command: str) -> None:
    provisioned()

    assert run("", command=command).refusal.startswith("NAME: no API client has this name")


REFUSED_BY_PARSER = {
    "provision_api_client": ["a b", "--nonsense"],
    "rotate_api_client": ["a b"],
    "revoke_api_client": ["", "report --retire --delete"],
    "adopt_api_client": ["", "report", "--client-id the-id"],
    "list_api_clients": ["NAME", "--expired --unmanaged", "--expired --unused-for 1d"],
    "notify_expiring_api_clients": ["NAME"],
    "explain_api_access": ["--client report --profiles", "--client report --error 403"],
    "verify_api_client": ["a b"],
}


@pytest.mark.parametrize("command", REFUSED_BY_PARSER)
def test_parser_exits_2_with_usage(command: str) -> None:
    for line in [*REFUSED_BY_PARSER[command], "--format xml"]:
        done = run(*line.split(), command=command)

        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.startswith("usage: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_every_option(command: str) -> None:
    done = run("--help", command=command)

    assert done.code == 0
    for option in COMMANDS[command].options:
        assert option.flag in done.stdout
    assert "Exit code: 0 " in done.stdout
    assert "nrolment" not in done.stdout  # American spelling
