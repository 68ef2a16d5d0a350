"""Test that jobs run the commands with the operator's arguments, and without secrets in their logs."""

from __future__ import annotations

import itertools
import json
import stat
from pathlib import Path
from typing import Any

import pytest

# dev is like local with other files: one test shows that both reach the LMS.
MODES = ("local", "k8s")
SECRET = "typed-secret-7Qd0vXk2mZs9LbT4rWyH1u8e"
# Characters with a meaning in Jinja, a shell, Kubernetes, argparse or an encoding.
VALUES = (
    "plain",
    "with  two spaces ",
    "it's",
    '"double" and \\backslash\\',
    "$HOME $(touch {canary}) ${{PATH}} $$ $$$ $(SERVICE_VARIANT) $$(SERVICE_VARIANT)",
    "`touch {canary}`",
    "; touch {canary} #",
    "first\nsecond\r\n\tthird\n",
    "{{{{ MYSQL_ROOT_PASSWORD }}}} {{% for x in y %}} {{# note #}} {{{{",
    "-x",
    "--staff",
    "--",
    "=",
    "",
    "*",
    "~",
    "é ї 漢 🦊",
    "%s %(prog)s",
    "&&|<>()!",
)


def credentials(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.mark.parametrize("mode", MODES)
def test_job_arguments_arrive_unchanged(site: Any, mode: str, tmp_path: Path) -> None:
    recorder = tmp_path / "recorder"
    recorder.mkdir()
    (recorder / "manage.py").write_text("import json, sys; json.dump(sys.argv[1:], open('seen', 'w'))\n")
    site.environment["FAKE_LMS_FOLDER"] = str(recorder)
    canary = tmp_path / "canary"
    values = [value.format(canary=canary) for value in VALUES]

    words = [word for value in values for word in ("--scope", value)]
    site.works(mode, "do", "provision-api-client", "--dry-run", "--staff", *words, f"--purpose={values[4]}", "--", "-n")

    seen = json.loads((recorder / "seen").read_text())
    expected = [f"--purpose={values[4]}", "--staff", *(f"--scope={value}" for value in values), "--dry-run"]
    assert seen == ["lms", "provision_api_client", *expected, "--", "-n"]
    assert not canary.exists()


@pytest.mark.parametrize("mode", ["local", "dev", "k8s"])
def test_job_writes_token_to_file_only(site: Any, mode: str, mounted: Path) -> None:
    path = mounted / "bot.json"
    done = site.works(mode, "do", "provision-api-client", "bot", "--format", "json", "--output", str(path))

    issued = credentials(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = done.stdout + done.stderr + site.everything_said()
    assert "Issued an access token" in said
    assert issued["access_token"] not in said
    assert issued["client_secret"] not in said
    assert site.accepts(issued["access_token"])


def test_unmounted_output_is_rejected(site: Any) -> None:
    done = site.tutor("local", "do", "provision-api-client", "bot", "--output", "bot.env")
    assert done.code == 1
    assert "is lost with this container; use a path in a mounted directory." in done.stderr
    assert site.clients() == []


@pytest.mark.parametrize(("mode", "job"), [("local", "provision-api-client"), ("k8s", "rotate-api-client")])
def test_printing_job_is_rejected_early(site: Any, mode: str, job: str) -> None:
    done = site.tutor(mode, "do", job, "bot")
    assert done.code == 1
    assert "Error: the job would print secrets" in done.stderr
    assert "manage.py" not in site.everything_said()


@pytest.mark.parametrize("output", ["-", "/dev/stdout", "//dev/fd/1", "/proc/self/fd/1", "/srv/../dev/stdout"])
def test_standard_output_prints_by_every_name(site: Any, output: str) -> None:
    done = site.tutor("local", "do", "provision-api-client", "bot", "--output", output)
    assert done.code == 1
    assert "Error: the job would print secrets" in done.stderr


def test_print_secrets_allows_printing(site: Any) -> None:
    done = site.works("local", "do", "provision-api-client", "bot", "--format=json", "--print-secrets")
    printed = json.loads(done.stdout[done.stdout.index("{") :])
    assert site.accepts(printed["access_token"])


def test_stdin_secret_is_not_repeated(site: Any) -> None:
    done = site.works(
        *("local", "do", "provision-api-client", "bot", "--no-token"),
        *("--client-id", "bot", "--client-secret-from", "stdin"),
        input=SECRET,
    )
    assert SECRET not in done.stdout + done.stderr + site.everything_said()
    verified = site.works(
        *("local", "do", "verify-api-client", "--client-id", "bot", "--client-secret-from", "stdin"), input=SECRET
    )
    assert "works" in verified.stdout


def test_kubernetes_job_rejects_stdin(site: Any) -> None:
    for job in (("verify-api-client", "--token-from", "stdin"), ("provision-api-client", "--plan", "--from-file", "-")):
        done = site.tutor("k8s", "do", *job, input="x")
        assert done.code == 1
        assert "Error: stdin: a Kubernetes job has no standard input." in done.stderr


def test_manifest_is_planned_and_applied(site: Any, mounted: Path) -> None:
    manifest = json.dumps({"clients": [{"name": "bot"}, {"name": "reports"}]})
    job = ("local", "do", "provision-api-client", "--from-file", "-")
    planned = site.tutor(*job, "--plan", input=manifest)
    assert "Would register the API client bot." in planned.stdout + planned.stderr
    assert site.clients() == []

    refused = site.tutor(*job, input=manifest)
    assert "Error: the job would print secrets" in refused.stderr
    done = site.works(*job, "--format=json", f"--output={mounted}", input=manifest)
    assert [client["name"] for client in site.clients()] == ["bot", "reports"]
    for path in mounted.iterdir():
        assert credentials(path)["access_token"] not in done.stdout + done.stderr + site.everything_said()
    assert len([*mounted.iterdir()]) == 2


def test_jobs_cover_client_lifecycle(site: Any, mounted: Path) -> None:
    first, second = mounted / "first.json", mounted / "second.json"
    modes = itertools.cycle(MODES)

    def do(*arguments: str) -> str:
        mode = next(modes)
        done = site.works(mode, "do", *arguments)
        return done.stdout + (site.pod_logs() if mode == "k8s" else "")

    do("provision-api-client", "bot", "--format=json", f"--output={first}")
    assert '"name": "bot"' in do("list-api-clients", "--format=json")
    assert "bot" in do("verify-api-client", "bot")
    do("rotate-api-client", "bot", "--format=json", f"--output={second}")
    assert credentials(first)["access_token"] != credentials(second)["access_token"]
    assert "Retired the client." in do("revoke-api-client", "bot", "--retire")
    assert [client["state"] for client in site.clients()] == ["retired"]


@pytest.mark.parametrize("mode", MODES)
def test_failing_job_fails_tutor(site: Any, mode: str) -> None:
    done = site.tutor(mode, "do", "revoke-api-client", "nobody")
    assert done.code == 1
    assert "no API client has this name" in done.stderr + (site.pod_logs() if mode == "k8s" else "")
