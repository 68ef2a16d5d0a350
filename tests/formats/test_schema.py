"""Test client descriptions: allowed values, and all problems in one error."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats.schema import DIALECT, PUBLIC_FIELDS, InvalidFields, client_schema, read_client

GOOD: dict[str, Any] = {
    "name": "report",
    "username": "report-bot",
    "email": "report@example.org",
    "use_existing_user": True,
    "staff": True,
    "superuser": False,
    "contact": "ops@example.org",
    "purpose": "the monthly report",
    "profile": "grades",
    "permissions": ["course_modes.change_coursemode"],
    "groups": ["readers"],
    "course_roles": ["staff@edX"],
    "global_roles": ["support"],
    "scopes": ["read", "grades:read"],
    "filters": ["content_org:edX"],
    "restricted": False,
    "token": True,
    "expires_in": "90d",
    "self_rotation": True,
    "client_id": "report-id",
}


def problems(given: dict[str, Any]) -> dict[str | None, str]:
    with pytest.raises(InvalidFields) as refusal:
        read_client(given)
    return {problem.field: problem.message for problem in refusal.value.problems}


def valid(given: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft202012Validator(client_schema()).is_valid(given))


def test_fields_cover_client_spec() -> None:
    assert {field.name for field in fields(ClientSpec)} - set(PUBLIC_FIELDS) == {
        "client_secret",
        "access_token",
        "manifest",
    }


def test_description_is_read() -> None:
    spec = read_client(GOOD)

    assert spec.expires_in == timedelta(days=90)
    assert spec.scopes == ("read", "grades:read")
    as_given = {name: value for name, value in GOOD.items() if isinstance(value, (str, bool)) and name != "expires_in"}
    assert {name: getattr(spec, name) for name in as_given} == as_given


def test_values_are_converted_and_null_is_omitted() -> None:
    assert read_client({"name": "report", "expires_at": "2027-01-31"}, manifest="team") == ClientSpec(
        name="report", expires_at=datetime(2027, 1, 31, tzinfo=UTC), manifest="team"
    )
    assert read_client({"name": "report", **dict.fromkeys(set(PUBLIC_FIELDS) - {"name"})}) == ClientSpec(name="report")


@pytest.mark.parametrize(
    ("field", "texts"),
    [
        ("name", ["a", "A.b_c-9", "9" * 100]),
        ("contact", ["a@example.org", ""]),
        ("expires_in", ["1h", "90d", "5000w", "P90D", "PT12H", "P1DT12H30M"]),
        ("expires_at", ["2027-01-31", "2027-01-31T12:00Z", "2027-01-31 12:00+02:00", "20270131", "2027-W05-1"]),
    ],
)
def test_every_spelling_is_accepted(field: str, texts: list[str]) -> None:
    for text in texts:
        assert read_client({"name": "report", field: text})


def test_all_problems_are_listed() -> None:
    found = problems(
        {
            "name": "a b",
            "staff": "yes",
            "scopes": "read",
            "email": 5,
            "expires_in": "soon",
            "owner": "ann",
            "groups": [""],
        }
    )

    assert found["staff"] == "give true or false."
    assert found["scopes"] == "give a list of texts."
    assert found["email"] == "give one text."
    assert found["expires_in"].startswith("not a positive time span")
    assert found["owner"].startswith("unknown field; use one of name, contact")
    assert found["name"].startswith("use letters, digits")
    assert found["groups"] == "cannot be empty; leave it out for the default."
    assert len(found) == 7


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"name": "every client needs a name."}),
        ({"name": None}, {"name": "every client needs a name."}),
        (
            {"name": "report", "expires_in": "90d", "expires_at": "2027-01-31"},
            {"expires_at": "use either a lifetime or an expiry date, not both."},
        ),
        (
            {"name": "report", "email": "a@b", "contact": "c@d"},  # Each by itself is found by the client's own check.
            {"email": "not an email address.", "contact": "not an email address."},
        ),
        ({"name": "report", "username": "a\0b"}, {"username": "use printable characters only."}),
        ({"name": "report", "profile": "line\nbreak"}, {"profile": "use printable characters only."}),
        ({"name": "report", "groups": ["\ud800"]}, {"groups": "use printable characters only."}),
    ],
)
def test_problem_names_its_field(given: dict[str, Any], expected: dict[str, str]) -> None:
    assert problems(given) == expected


def test_error_repeats_no_value() -> None:
    secret = "a-secret-in-the-wrong-place-0123456789"
    with pytest.raises(InvalidSpec) as refusal:
        read_client({"name": "report", "client_secret": secret, "expires_in": secret, "scopes": [secret, 1]})
    assert secret not in str(refusal.value)
    assert secret not in repr(refusal.value)


def test_schema_is_valid() -> None:
    schema = {"$schema": DIALECT, **client_schema()}
    jsonschema.Draft202012Validator.check_schema(schema)
    assert all(field["description"].endswith(".") for field in schema["properties"].values())


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        (GOOD, True),
        ({"name": "report", "expires_at": "2027-01-31"}, True),
        ({}, False),
        ({"name": "a b"}, False),
        ({"name": "x" * 101}, False),
        ({"name": "report", "username": ""}, False),
        ({"name": "report", "staff": "yes"}, False),
        ({"name": "report", "scopes": "read"}, False),
        ({"name": "report", "scopes": ["read write"]}, False),
        ({"name": "report", "permissions": ["change"]}, False),
        ({"name": "report", "filters": ["edX"]}, False),
        ({"name": "report", "client_id": "a:b"}, False),
        ({"name": "report", "groups": [""]}, False),
        ({"name": "report", "purpose": "x" * 256}, False),
        ({"name": "report", "owner": "ann"}, False),
    ],
)
def test_schema_agrees_with_reader(given: dict[str, Any], fits: bool) -> None:
    assert valid(given) is fits
    try:
        read_client(given)
    except InvalidFields:
        assert not fits
    else:
        assert fits
