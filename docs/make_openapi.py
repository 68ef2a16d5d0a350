#!/usr/bin/env python
"""Write docs/reference/openapi.json, the description of the REST API, from the views: `python docs/make_openapi.py`."""

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
        "description": "An opaque access token: Bearer TOKEN.",
    },
    "JWT": {
        "type": "apiKey", "in": "header", "name": "Authorization",
        "description": "A JWT of the site's token endpoint: JWT TOKEN.",
    },
}  # fmt: skip


def document() -> dict[str, Any]:
    """The OpenAPI 2.0 document of the views as they are."""
    from django.test import override_settings
    from django.urls import include, path
    from drf_yasg import openapi
    from drf_yasg.codecs import OpenAPICodecJson
    from drf_yasg.generators import OpenAPISchemaGenerator

    from edx_api_provisioning import conf

    info = openapi.Info(
        title="edx-api-provisioning",
        default_version="v1",
        description="API clients of an Open edX site: made, rotated, revoked and looked after.",
    )
    patterns = [path(PREFIX, include("edx_api_provisioning.rest_api.urls", namespace="edx_api_provisioning"))]
    with override_settings(EDX_API_PROVISIONING={**conf.DEFAULTS, "REST_API": True}):
        found = OpenAPISchemaGenerator(info, url="https://lms.example.org", patterns=patterns).get_schema(None, True)
    made = json.loads(OpenAPICodecJson([]).encode(found))
    _link(made["paths"])
    made |= {"securityDefinitions": _SECURITY, "security": [{name: []} for name in _SECURITY], "definitions": {}}
    return _named(made, made["definitions"])


def _link(paths: dict[str, Any]) -> None:
    """What may be done with a client once it was made (x-links: OpenAPI 3 has links, 2 has not)."""
    named = {"parameters": {"name": "$response.body#/name"}}
    links = {
        operation["operationId"]: {"operationId": operation["operationId"], **named}
        for path, methods in paths.items()
        for method, operation in methods.items()
        if "{name}" in path and method != "parameters"
    }
    paths["/clients/"]["post"]["responses"]["201"]["x-links"] = links


def _named(part: Any, definitions: dict[str, Any]) -> Any:
    """The document with what stands in many answers written once, under its name."""
    from edx_api_provisioning.rest_api.v1 import documentation

    names = {getattr(documentation, name.upper())["description"]: name for name in _NAMES}
    if isinstance(part, list):
        return [_named(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    made = {key: value if value is definitions else _named(value, definitions) for key, value in part.items()}
    # Of what may be null too, only the place itself can say so.
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
