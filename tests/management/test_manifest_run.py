"""Test ``provision_api_client --from-file`` as an operator sees it."""

from __future__ import annotations

import io
import json
import stat
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from django.db import connections

from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import batch, verification
from tests.factories import SECRET, CommandResult, UserFactory, row_counts, run
from tests.lifecycle_helpers import answer
from tests.subprocesses import Process, database_for_processes, provision

pytestmark = pytest.mark.django_db

MANIFEST = """\
manifest: data-team
defaults: {contact: ops@example.org, expires_in: 90d}
clients:
- {name: reports, purpose: the weekly report}
- {name: grades, scopes: [read]}
- {name: bare, token: false, expires_in: null}
"""
NAMES = ["reports", "grades", "bare"]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "clients.yaml"
    path.write_text(MANIFEST)
    return path


def apply(path: Path, *arguments: str, **options: Any) -> CommandResult:
    return run("--from-file", str(path), *arguments, **options)


def lines(ran: CommandResult) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ran.stdout)
    return found


@pytest.mark.versions
def test_each_client_is_a_json_line(manifest: Path) -> None:
    ran = apply(manifest, "--format", "json")

    assert (ran.code, ran.stderr) == (0, "Result: 3 created.\n")
    assert [line["name"] for line in lines(ran)] == NAMES
    alone = run("alone", "--format", "json").result
    assert {*lines(ran)[0]} == {*alone}
    assert answer(lines(ran)[0]["access_token"]) == "ok"
    assert [line["verified"] for line in lines(ran)] == [True] * 3
    assert lines(ran)[2]["access_token"] is None
    before = row_counts()

    again = apply(manifest, "--format", "jsonl")

    assert (again.code, again.stderr) == (0, "Result: 3 unchanged.\n")
    unchanged = [json.loads(line) for line in again.stdout.splitlines()]
    assert [line["client_id"] for line in unchanged] == [line["client_id"] for line in lines(ran)]
    for line in unchanged:
        assert (line["status"], line["client_secret"], line["access_token"]) == ("unchanged", None, None)
    assert row_counts() == before


def test_text_shows_only_issued(manifest: Path) -> None:
    from_stdin = run("--from-file", "-", stdin=MANIFEST)

    assert from_stdin.stdout.count("These secrets are shown only once.") == 3
    assert apply(manifest).stdout == ""


def test_yaml_is_a_document_stream(manifest: Path) -> None:
    documents = [*yaml.safe_load_all(apply(manifest, "--format", "kubernetes-secret").stdout)]

    assert [document["kind"] for document in documents] == ["Secret"] * 3
    assert [document["metadata"]["name"] for document in documents] == NAMES


def test_output_directory_has_private_files(manifest: Path, tmp_path: Path) -> None:
    directory = tmp_path / "new" / "credentials"

    ran = apply(manifest, "--format", "env", "--output", str(directory))

    assert (ran.code, ran.stdout) == (0, "")
    assert sorted(path.name for path in directory.iterdir()) == ["bare.env", "grades.env", "reports.env"]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    text = (directory / "reports.env").read_text()
    secret = text.partition("OPENEDX_CLIENT_SECRET=")[2].partition("\n")[0]
    assert len(secret) == 128
    assert secret not in ran.stderr
    assert apply(manifest, "--format", "env", "--output", str(directory)).stderr == "Result: 3 unchanged.\n"


def test_file_in_the_way_refuses_its_client_alone(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "grades.env").write_text("mine")
    (tmp_path / "grades.env").chmod(0o600)
    before = row_counts()

    ran = apply(manifest, "--format", "env", "--output", str(tmp_path))

    assert ran.code == 1
    assert f"grades: output: {tmp_path}/grades.env exists and holds something else; give --force" in ran.stderr
    assert row_counts()["ApiClient"] == before["ApiClient"] + 2
    assert {path.name for path in tmp_path.iterdir()} == {"clients.yaml", *(f"{name}.env" for name in NAMES)}
    assert (tmp_path / "grades.env").read_text() == "mine"
    forced = apply(manifest, "--format", "env", "--output", str(tmp_path), "--force")
    assert forced.stderr == "Result: 2 unchanged, 1 created.\n"
    assert "OPENEDX_CLIENT_ID" in (tmp_path / "grades.env").read_text()


def test_failed_client_is_named(manifest: Path) -> None:
    UserFactory(username="somebody", email="grades@localhost")

    ran = apply(manifest, "--format", "json")

    assert ran.code == 1
    assert [line["name"] for line in lines(ran)] == ["reports", "bare"]
    assert ran.stderr == (
        "grades: email: grades@localhost belongs to the user somebody; choose another address.\n"
        "Result: 2 created, 1 failed.\n"
        "CommandError: Not provisioned: grades.\n"
    )


def test_fail_fast_stops_at_first_error(manifest: Path) -> None:
    UserFactory(email="grades@localhost")

    ran = apply(manifest, "--fail-fast")

    assert (ran.code, [*ApiClient.objects.values_list("name", flat=True)]) == (1, ["reports"])


def test_superuser_client_shows_warning(tmp_path: Path) -> None:
    path = tmp_path / "clients.yaml"
    path.write_text("clients: [{name: mighty, superuser: true}]")

    assert "    Warning: a superuser client can" in apply(path, "--plan").stdout
    assert "mighty: Warning: a superuser client can" in apply(path).stderr


def test_no_verify_skips_verification(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "in_process", lambda _credentials: 1 / 0)

    ran = apply(manifest, "--format", "json", "--no-verify")

    assert (ran.code, [line["verified"] for line in lines(ran)]) == (0, [None] * 3)
    assert all(line["client_secret"] for line in lines(ran))


# The plan


def test_plan_changes_nothing(manifest: Path) -> None:
    before = row_counts()

    ran = apply(manifest, "--plan")

    assert ran.code == 2
    assert ran.stdout.startswith(
        "create reports\n    Would register the API client reports.\n    Would create the user reports"
    )
    assert ran.stderr == "Plan: 3 to create, 0 to update, 0 to rotate, 0 to retire, 0 unchanged.\n"
    assert row_counts() == before


def test_plan_tells_changes_apart(manifest: Path) -> None:
    apply(manifest)
    ApiClient.objects.get(name="reports").access_token.delete()  # type: ignore[union-attr]
    text = MANIFEST.replace("scopes: [read]", "scopes: [read], purpose: other")
    manifest.write_text(text.replace("- {name: bare, token: false, expires_in: null}", "- {name: new}"))

    ran = apply(manifest, "--plan", "--prune", "--format", "json")

    assert {line["name"]: line["change"] for line in lines(ran)} == {
        "reports": "rotate",
        "grades": "update",
        "new": "create",
        "bare": "retire",
    }
    assert ran.stderr == "Plan: 1 to create, 1 to update, 1 to rotate, 1 to retire, 0 unchanged.\n"
    assert apply(manifest, "--prune").stderr == "Result: 2 updated, 1 created, 1 retired.\n"
    assert ApiClient.objects.get(name="bare").state == "retired"


def test_empty_plan_exits_0(manifest: Path) -> None:
    apply(manifest)

    ran = apply(manifest, "--plan", "--prune")

    assert (ran.code, ran.stdout) == (0, "")
    assert {line["change"] for line in lines(apply(manifest, "--plan", "--format", "json"))} == {"unchanged"}


def test_impossible_plan_exits_1(manifest: Path) -> None:
    UserFactory(email="grades@localhost")

    ran = apply(manifest, "--plan")

    assert ran.code == 1
    assert "grades: email: grades@localhost belongs to" in ran.stderr
    assert ran.stderr.endswith("CommandError: Some clients are refused; see above.\n")


def test_failure_prevents_pruning(manifest: Path) -> None:
    apply(manifest)
    UserFactory(email="new@localhost")
    manifest.write_text(MANIFEST.replace("- {name: grades, scopes: [read]}", "- {name: new}"))

    ran = apply(manifest, "--prune")

    assert ran.code == 1
    assert "Nothing was pruned, because some clients failed.\n" in ran.stderr
    assert ApiClient.objects.get(name="grades").state == "active"


@pytest.mark.parametrize("plan", [("--plan",), ()])
def test_prune_needs_manifest_name(manifest: Path, plan: tuple[str, ...]) -> None:
    manifest.write_text("clients: [{name: reports}]")

    assert apply(manifest, "--prune", *plan).refusal == "--prune: the manifest has no name; add manifest: NAME."
    assert not ApiClient.objects.exists()


def test_plan_prunes_nothing_if_a_run_would_not(manifest: Path) -> None:
    apply(manifest)
    manifest.write_text("manifest: data-team\nclients: [{name: reports, token: false}]")

    assert "0 to retire" in apply(manifest, "--prune", "--plan").stderr


@pytest.mark.parametrize("same", ["email: ops@example.org", "client_id: the-id", "username: bot"])
def test_plan_refuses_what_a_run_refuses(manifest: Path, same: str) -> None:
    manifest.write_text(f"defaults: {{{same}}}\nclients: [{{name: one}}, {{name: two}}]")
    field = same.partition(":")[0]

    planned = apply(manifest, "--plan", "--format", "json")
    applied = apply(manifest, "--format", "json")

    assert f"two: {field}: the client one, which comes before it, takes the same; choose another one." in planned.stderr
    assert (planned.code, applied.code) == (1, 1)
    assert [*ApiClient.objects.values_list("name", flat=True)] == ["one"]


# Options


def test_problems_have_file_and_line(manifest: Path) -> None:
    manifest.write_text(f"clients:\n- {{name: a, expires_in: {SECRET}}}\n- {{name: b, staff: 1}}\n")

    ran = apply(manifest)

    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr == (
        f"CommandError: {manifest}:2:25: clients[0].expires_in: "
        "not a positive time span; write it like 90d, 12h, 52w or P90D.\n"
        f"{manifest}:3:20: clients[1].staff: give true or false.\n"
        "Nothing was done: 2 problems.\n"
    )
    assert "standard input:1:1: " in run("--from-file", "-", stdin="x").stderr


def test_unreadable_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "latin1").write_bytes("clients: [] # ä".encode("latin-1"))

    assert apply(tmp_path / "none").refusal == "--from-file: cannot be read: No such file or directory."
    assert apply(tmp_path).refusal == "--from-file: cannot be read: Is a directory."
    assert apply(tmp_path / "latin1").refusal == "--from-file: this is not UTF-8 text."


def test_unusable_directory_is_reported(manifest: Path) -> None:
    assert apply(manifest, "--output", f"{manifest}/under").refusal == (
        f"--output: {manifest}/under cannot be written: Not a directory."
    )


def test_print_schema() -> None:
    ran = run("--print-schema")

    assert ran.code == 0
    assert json.loads(ran.stdout)["properties"]["clients"]["items"]["required"] == ["name"]


# On a terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_shows_progress(manifest: Path) -> None:
    clock = [float(second) for second in range(1000)]
    with (
        mock.patch("tests.factories.io.StringIO", Terminal),
        mock.patch("edx_api_provisioning.management.manifest_run.time.monotonic", side_effect=clock),
    ):
        ran = apply(manifest, "--format", "json")
        quiet = apply(manifest, "--verbosity", "0")

    assert "\r\x1b[K2 of 3 clients, 1 a second, 1 s left" in ran.stderr
    assert "clients," not in quiet.stderr
    assert "\r" not in apply(manifest).stderr


# At once


@pytest.mark.databases
@pytest.mark.versions
@pytest.mark.django_db(transaction=True)
def test_parallel_runs_create_each_client_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH", 4)
    names = [f"client-{number}" for number in range(10)]
    path = tmp_path / "clients.json"
    path.write_text(json.dumps({"clients": [{"name": name} for name in names]}))

    with database_for_processes(tmp_path):
        command = partial(provision, "--from-file", str(path), "--format", "json", "--no-verify")
        processes = [Process(command, tmp_path / str(number)) for number in range(8)]
        ended = [process.ended() for process in processes]

        assert {each.code for each in ended} == {0}, [each.stderr for each in ended if each.code]
        told = [line for each in ended for line in json.loads(each.stdout)]
        issued = [line for line in told if line["access_token"]]
        assert Counter(line["name"] for line in issued) == dict.fromkeys(names, 1)
        assert Counter(line["status"] for line in told) == {"created": 10, "unchanged": 70}
        assert all(answer(line["access_token"]) == "ok" for line in issued)
    connections.close_all()
