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
    assert {name: getattr(spec, name) for name, value in GOOD.items() if isinstance(value, (str, bool))} | {
        "expires_in": "90d"
    } == {name: value for name, value in GOOD.items() if isinstance(value, (str, bool))}


def test_expiry_date_is_read() -> None:
    assert read_client({"name": "report", "expires_at": "2027-01-31"}).expires_at == datetime(2027, 1, 31, tzinfo=UTC)


def test_null_equals_omitted() -> None:
    assert read_client({"name": "report", **dict.fromkeys(set(PUBLIC_FIELDS) - {"name"})}) == ClientSpec(name="report")


def test_manifest_name_is_added() -> None:
    assert read_client({"name": "report"}, manifest="team").manifest == "team"


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


@pytest.mark.parametrize("given", [{}, {"name": None}])
def test_client_needs_a_name(given: dict[str, Any]) -> None:
    assert problems(given) == {"name": "every client needs a name."}


def test_conflicting_fields_are_rejected() -> None:
    assert problems({"name": "report", "expires_in": "90d", "expires_at": "2027-01-31"}) == {
        "expires_at": "use either a lifetime or an expiry date, not both."
    }


@pytest.mark.parametrize("value", ["a\0b", "line\nbreak", "\ud800"], ids=["NUL", "newline", "half a character"])
@pytest.mark.parametrize("field", ["username", "profile", "groups"])
def test_unstorable_text_is_rejected(field: str, value: str) -> None:
    given = {"name": "report", field: [value] if field == "groups" else value}

    assert problems(given) == {field: "use printable characters only."}


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
