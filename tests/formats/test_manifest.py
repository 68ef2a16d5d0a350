"""Test that a manifest is read, or that every problem is reported with its place."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
import yaml

from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats import manifest
from edx_api_provisioning.formats.manifest import InvalidManifest, manifest_schema, read
from tests.factories import SECRET

YAML = """\
# of the data team
manifest: data-team
defaults: &all
  contact: ops@example.org
  expires_in: 90d
clients:
  - name: reports
    purpose: 'the weekly report'
    scopes: [read, email]
  - {name: grades, staff: true, contact: null}
  - <<: {purpose: of the year, contact: a@example.org}
    name: 2026
    expires_in: ~
    expires_at: 2027-01-31
"""
READ = (
    ClientSpec(
        name="reports",
        manifest="data-team",
        contact="ops@example.org",
        expires_in=timedelta(days=90),
        purpose="the weekly report",
        scopes=("read", "email"),
    ),
    ClientSpec(name="grades", manifest="data-team", staff=True, expires_in=timedelta(days=90)),
    ClientSpec(
        name="2026",
        manifest="data-team",
        purpose="of the year",
        contact="a@example.org",
        expires_at=datetime(2027, 1, 31, tzinfo=UTC),
    ),
)


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidManifest) as refusal:
        read(text)
    assert str(refusal.value) == "\n".join(refusal.value.problems)
    return list(refusal.value.problems)


@pytest.fixture(params=["libyaml", "pure"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use PyYAML with and without libyaml."""
    assert hasattr(yaml, "CSafeLoader")
    if request.param == "pure":
        monkeypatch.setattr(manifest, "_Loader", yaml.SafeLoader)


with_each_loader = pytest.mark.usefixtures("loader")


@with_each_loader
def test_manifest_is_read() -> None:
    assert (read(YAML).name, read(YAML).clients) == ("data-team", READ)


def test_json_manifest_is_read() -> None:
    assert read("clients: []").clients == ()
    text = json.dumps({"clients": [{"name": "a", "purpose": 'say "1/2" é \U0001f600', "token": False}]})
    assert read(text).clients == (ClientSpec(name="a", purpose='say "1/2" é \U0001f600', token=False),)
    tabs = '{\n\t"clients": [\n\t\t{"name":\t"a\\/b"}\n\t]\n}'.replace("a\\/b", "a")
    assert read(tabs).clients == (ClientSpec(name="a"),)


def test_split_manifest_keeps_clients() -> None:
    whole = read(YAML)

    parts = list(whole.split(2))

    assert [len(read(part).clients) for part in parts] == [2, 1]
    assert [spec for part in parts for spec in read(part).clients] == [*READ]
    assert {read(part).name for part in parts} == {"data-team"}
    assert [read(part).name for part in read("clients: [{name: a}]").split(1)] == [None]


def test_anchors_and_merges_are_resolved() -> None:
    text = """
defaults: {purpose: &why the report}
clients:
  - &first {name: first, scopes: &scopes [read]}
  - {<<: *first, name: second, purpose: another}
  - {<<: [{contact: a@example.org}, {contact: b@example.org, staff: true}], name: third, purpose: *why, scopes: *scopes}
"""
    assert read(text).clients == (
        ClientSpec(name="first", purpose="the report", scopes=("read",)),
        ClientSpec(name="second", purpose="another", scopes=("read",)),
        ClientSpec(name="third", purpose="the report", scopes=("read",), contact="a@example.org", staff=True),
    )


SOURCE = "clients[0].client_secret_from"


def test_scalars_are_read_as_text() -> None:
    text = "clients: [{name: no, purpose: 1_000, username: 0x1F, email: 'true@example.org', client_id: 12:30:45}]"
    # A client id may not contain a colon, though.
    assert problems(text) == ["1:92: clients[0].client_id: use printable ASCII characters without spaces or ':'."]
    spec = read(text.replace("12:30:45", "1e3")).clients[0]
    assert (spec.name, spec.purpose, spec.username, spec.client_id) == ("no", "1_000", "0x1F", "1e3")
    assert read("clients: [{name: 'null', purpose: '~'}]").clients == (ClientSpec(name="null", purpose="~"),)


def test_secret_comes_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", SECRET)
    monkeypatch.setenv("MY_TOKEN", SECRET[::-1])

    [spec] = read("clients: [{name: a, client_secret_from: env:MY_SECRET, access_token_from: env:MY_TOKEN}]").clients

    assert spec.client_secret is not None
    assert spec.access_token is not None
    assert (spec.client_secret.reveal(), spec.access_token.reveal()) == (SECRET, SECRET[::-1])


@with_each_loader
def test_all_problems_are_listed_with_place() -> None:
    text = """\
manifest: "data team"
default: {}
clients:
  - name: reports
    expires_in: soon
    scopes: read
    scope: x
  - name: reports
  - name: reports
  - 5
  - {}
  - <<: 7
    staff: yes
  - name: a
    name: b
"""
    found = problems(text)

    assert [problem.rpartition(": ")[0] for problem in found if ".scope:" not in problem] == [
        "2:1: default",
        "1:11: manifest",
        "5:17: clients[0].expires_in",
        "6:13: clients[0].scopes",
        "10:5: clients[3]",
        "11:5: clients[4].name",
        "12:9: <<",
        "13:12: clients[5].staff",
        "12:5: clients[5].name",
        "15:5: name",
        "9:5: clients[2].name",
    ]
    assert found[4].startswith("7:5: clients[0].scope: unknown field; use one of name, ")
    assert found[-2:] == [
        "15:5: name: this key is given twice; remove one.",
        "9:5: clients[2].name: line 8 already declares a client of this name.",
    ]


@with_each_loader
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: a manifest is a mapping with the key clients."),
        ("# nothing", "1:1: a manifest is a mapping with the key clients."),
        ("just text", "1:1: a manifest is a mapping with the key clients."),
        ("- a list", "1:1: a manifest is a mapping with the key clients."),
        ("{}", "1:1: the list of clients is missing; add clients."),
        ("clients: {name: a}", "1:1: clients: give a list of clients."),
        ("clients: text", "1:1: clients: give a list of clients."),
        ("clients: []\nclients: []", "2:1: clients: this key is given twice; remove one."),
        ("clients: []\ndefaults: {name: a}", "2:12: defaults.name: differs for each client; give it there."),
        ("manifest: [a]\nclients: []", "1:11: manifest: give one text."),
        ("defaults: 5\nclients: []", "1:11: defaults: give a mapping from field to value."),
        ("clients: []\n---\nclients: []", "2:1: but found another document"),
        ("clients: [*nobody]", "1:11: found undefined alias"),
        ("clients: [&self [*self]]", "1:11: clients[0]: give a mapping from field to value."),
        ("clients: [!!python/object:os.system {}]", "1:11: tags (!) are not supported; remove it."),
        ("clients: [!!str a]", "1:11: tags (!) are not supported; remove it."),
        ("clients: [{? [a] : b}]", "1:14: clients[0]: a key is a text."),
        ("clients: [{1: 2}]", "1:11: clients[0].name: every client needs a name."),
        ("clients: [{name: a, scopes: {a: b}}]", "1:29: clients[0].scopes: give a list of texts."),
        ("clients: [{name: a, staff: 'true'}]", "1:28: clients[0].staff: give true or false."),
        ("clients: [{name: a}, {name: a}]", "1:22: clients[1].name: line 1 already declares a client of this name."),
        ("clients: [{name: 'a\x00b'}]", "this is not UTF-8 text, or contains characters that YAML does not allow."),
        (
            "clients: [" + "[" * 500 + "]" * 500 + "]",
            "1:29: nested too deeply; a client has fields and lists of texts.",
        ),
        ("clients: [{name: a, client_secret_from: stdin}]", f"1:41: {SOURCE}: give env:VARIABLE or file:PATH."),
        (f"clients: [{{name: a, client_secret_from: {SECRET}}}]", f"1:41: {SOURCE}: give env:VARIABLE or file:PATH."),
        ("clients: [{name: a, client_secret_from: 'env:'}]", f"1:41: {SOURCE}: give env:VARIABLE or file:PATH."),
        ("clients: [{name: a, client_secret_from: [a]}]", f"1:41: {SOURCE}: give one text."),
        ("clients: [{name: a, client_secret_from: env:NOT_THERE}]", f"1:41: {SOURCE}: no such variable in the environ"),
    ],
)
def test_other_documents_are_rejected(text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "defaults: {staff: 1}\nclients: [{name: a}, {name: b, staff: true}, {name: c}]",
            ["1:19: clients[0].staff: give true or false.", "1:19: clients[2].staff: give true or false."],
        ),
        ("clients: [" + "{name: a}, " * 30 + "]", ["1:110: too many values; split the manifest."]),
        (f"#{'x' * 500}\nclients: []", ["1:1: a manifest has at most 500 characters; split it."]),
    ],
)
def test_only_these_problems_are_listed(text: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_MAX_CHARACTERS", 500)
    monkeypatch.setattr(manifest, "_MAX_VALUES", 20)
    assert problems(text) == expected


@with_each_loader
@pytest.mark.parametrize("text", ["clients: [", "clients:\n\t- name: a", 'clients: ["', "clients: [{name: a]"])
def test_yaml_error_has_place_and_no_content(text: str) -> None:
    [problem] = problems(text)
    line, column, message = problem.split(":", 2)
    assert line.isdigit()
    assert column.isdigit()
    assert "name" not in message


def test_aliases_do_not_explode() -> None:
    lines = ["defaults: {purpose: &a0 x}", "clients:", "- {name: a, scopes: &b0 [x, x, x, x, x, x, x, x, x]}"]
    lines += [f"- {{name: n{n}, scopes: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]}}" for n in range(1, 30)]
    assert len(problems("\n".join(lines))) == 29


def test_parts_may_come_in_any_order() -> None:
    parts = yaml.safe_dump({"clients": [{"name": "a"}], "defaults": {"staff": True}, "manifest": "team"})
    assert parts.startswith("clients")
    assert (read(parts).name, read(parts).clients) == ("team", (ClientSpec(name="a", staff=True, manifest="team"),))


@with_each_loader
@pytest.mark.parametrize("style", [">", "|", "|+", ">-"])
def test_block_scalar_newline_is_trimmed(style: str) -> None:
    text = f"clients:\n- name: a\n  purpose: {style}\n    the weekly report\n\n- name: b\n"
    assert [spec.purpose for spec in read(text).clients] == ["the weekly report", None]


def test_unprintable_keys_are_not_printed() -> None:
    found = problems('"\\e[31m": 1\nclients: [{name: a, "\\e]0;x": 1}]')
    assert [problem.rpartition(": ")[0] for problem in found[:1]] == ["1:1: ?[31m"]
    assert found[1].startswith("2:21: clients[0].?]0;x: ")
    assert all(problem.isprintable() for problem in found)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        # A long list for each of many clients, by defaults, aliases or merged mappings.
        ("defaults: {scopes: &a [" + "x, " * 200 + "], groups: *a}\nclients:\n" + "- name: a\n" * 90, "values"),
        ("clients:\n- &a {scopes: &b [" + "x, " * 200 + "], name: a}\n" + "- *a\n" * 90, "values"),
        ("clients:\n- &a {" + "".join(f"k{n}: , " for n in range(60)) + "}\n- {<<: [" + "*a, " * 200 + "]}", "values"),
        (
            "clients:\n- &a0 {x: }\n" + "".join(f"- &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 99)),
            "values",
        ),
        ("clients:\n- &a {<<: *a, x: }", "merged too deeply"),
        ("clients: [" * 9_000, "nested too deeply"),
        ("clients: {" * 9_000, "nested too deeply"),
        ("clients: [" + "a, " * 300 + "]", "The rest was not checked"),
        ("clients: [" + "a, " * 6_000 + "]", "too many values"),
    ],
    ids=["defaults", "aliases", "merges", "chain", "self", "lists", "mappings", "problems", "texts"],
)
@with_each_loader
def test_hostile_manifest_is_cheap(text: str, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_MAX_VALUES", 2_500)

    found = problems(text)

    assert len(found) <= 101
    assert limit in found[-1]


def test_long_list_in_defaults_takes_seconds() -> None:
    """200 KB once took four minutes and 1.4 GB."""
    text = "defaults: {scopes: &a [" + "x, " * 30_000 + "], groups: *a}\nclients:\n" + "- name: a\n" * 11_000
    assert len(text) > 200_000

    started = time.process_time()
    assert "values" in problems(text)[-1]
    assert time.process_time() - started < 20


def test_misplaced_secret_is_not_repeated() -> None:
    text = f"clients: [{{name: a, client_secret: {SECRET}, expires_in: {SECRET}, staff: {SECRET}}}]"
    assert all(SECRET not in problem for problem in problems(text))


# The published schema


def valid(document: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(manifest_schema()).is_valid(document))


def test_schema_accepts_valid_manifest() -> None:
    jsonschema.Draft202012Validator.check_schema(manifest_schema())
    document = yaml.load(YAML, Loader=yaml.BaseLoader)  # noqa: S506 - texts only
    document["clients"][1]["staff"] = True
    del document["clients"][2]["<<"]
    del document["clients"][1]["contact"], document["clients"][2]["expires_in"]
    assert valid(document)
    assert valid({"clients": [{"name": "a", "client_secret_from": "env:A"}]})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"clients": {}},
        {"clients": [{}]},
        {"clients": [], "default": {}},
        {"clients": [], "manifest": "a b"},
        {"clients": [], "defaults": {"name": "a"}},
        {"clients": [], "defaults": {"client_secret_from": "env:A"}},
        {"clients": [{"name": "a", "client_secret_from": "stdin"}]},
        {"clients": [{"name": "a", "client_secret": "x"}]},
    ],
)
def test_schema_rejects_invalid_manifest(document: Any) -> None:
    assert not valid(document)
    assert problems(json.dumps(document))
