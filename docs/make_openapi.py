#!/usr/bin/env python
"""Generate docs/reference/openapi.json from the views of the REST API: `python docs/make_openapi.py`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs/reference/openapi.json"
PREFIX = "api/api-provisioning/"
_NAMES = ("Client", "Credentials", "Event", "Identity", "Problem", "Planned", "Applied")
_SECURITY = {
    "Bearer": {
        "type": "apiKey", "in": "header", "name": "Authorization",
        "description": "An opaque access token, if the site sets REST_API_BEARER, and for self-rotation: Bearer TOKEN.",
    },
    "JWT": {
        "type": "apiKey", "in": "header", "name": "Authorization",
        "description": "A JWT of the site's token endpoint: JWT TOKEN.",
    },
}  # fmt: skip


def document() -> dict[str, Any]:
    """Return the OpenAPI 2.0 document of the views."""
    from django.test import override_settings
    from django.urls import include, path
    from drf_yasg import openapi
    from drf_yasg.codecs import OpenAPICodecJson
    from drf_yasg.generators import OpenAPISchemaGenerator

    from edx_api_provisioning import conf

    info = openapi.Info(
        title="edx-api-provisioning",
        default_version="v1",
        description="Create, rotate, revoke and monitor the API clients of an Open edX site.",
    )
    patterns = [path(PREFIX, include("edx_api_provisioning.rest_api.urls", namespace="edx_api_provisioning"))]
    with override_settings(EDX_API_PROVISIONING={**conf.DEFAULTS, "REST_API": True}):
        found = OpenAPISchemaGenerator(info, url="https://lms.example.org", patterns=patterns).get_schema(None, True)
    made = json.loads(OpenAPICodecJson([]).encode(found))
    _link(made["paths"])
    made |= {"securityDefinitions": _SECURITY, "security": [{name: []} for name in _SECURITY], "definitions": {}}
    return _named(made, made["definitions"])


def _link(paths: dict[str, Any]) -> None:
    """Link a created client to the operations on it (x-links, because OpenAPI 2 has no links)."""
    named = {"parameters": {"name": "$response.body#/name"}}
    links = {
        operation["operationId"]: {"operationId": operation["operationId"], **named}
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "{name}" in path and method != "parameters"
    }
    paths["/clients/"]["post"]["responses"]["201"]["x-links"] = links


def _named(part: Any, definitions: dict[str, Any]) -> Any:
    """Return the document with each repeated shape moved to the definitions."""
    from edx_api_provisioning.rest_api.v1 import documentation

    names = {getattr(documentation, name.upper())["description"]: name for name in _NAMES}
    if isinstance(part, list):
        return [_named(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    made = {key: value if value is definitions else _named(value, definitions) for key, value in part.items()}
    # A reference cannot be marked as nullable.
    if (
        made.get("type") != "object"
        or "x-nullable" in made
        or (name := names.get(str(made.get("description")))) is None
    ):
        return made
    definitions[name] = made
    return {"$ref": f"#/definitions/{name}"}


def text() -> str:
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "sandbox"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lms.envs.sandbox")
    import django

    django.setup()
    FILE.write_text(text())
