"""Test that /api-docs/ and our documentation describe the actual API."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.test import Client

from edx_api_provisioning.formats.schema import PUBLIC_FIELDS
from edx_api_provisioning.rest_api.v1 import documentation, requests
from tests.rest_api.callers import Caller, good

ROOT = Path(__file__).parents[2]


def maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_openapi", ROOT / "docs/make_openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_openapi_file_is_current() -> None:
    written = json.loads((ROOT / "docs/reference/openapi.json").read_text())

    assert maker().document() == written, "Run: python docs/make_openapi.py"


def test_openapi_describes_methods_and_fields() -> None:
    document = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    operations = [
        operation
        for methods in document["paths"].values()
        for method, operation in methods.items()
        if method != "parameters"
    ]

    assert len(operations) == 12
    for operation in operations:
        assert operation["summary"].endswith(".")
        assert {"401", "403", "404", "429", "503"} <= set(operation["responses"])
        assert all(parameter["description"] for parameter in operation["parameters"] if parameter["in"] != "body")
    create = document["paths"]["/clients/"]["post"]["parameters"][0]["schema"]
    assert set(create["properties"]) == {*PUBLIC_FIELDS, "reason"} == set(requests.CREATE)
    assert create["required"] == ["name"]
    assert create["additionalProperties"] is False
    assert create["example"]["name"]


@pytest.mark.django_db
def test_responses_have_the_documented_fields(root: Caller) -> None:
    created = good(root.post("/clients/", {"name": "report"}), 201)

    assert set(created) == set(documentation.CREDENTIALS["properties"])
    assert set(good(root.get("/clients/report/"))) == set(documentation.CLIENT["properties"])
    assert set(good(root.get("/clients/report/events/"))["results"][0]) == set(documentation.EVENT["properties"])
    assert set(good(root.get("/whoami/"))) == set(documentation.IDENTITY["properties"])


@pytest.mark.django_db
@pytest.mark.parametrize("on", [True, False])
def test_site_api_docs_follow_setting(on: bool, settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, "REST_API": on}

    shown = json.loads(Client().get("/api-docs/", headers={"Accept": "application/openapi+json"}).content)

    paths = {path for path in shown["paths"] if "api-provisioning" in path}
    assert any(path.endswith("/whoami/") for path in paths)
    assert any(path.endswith("/clients/{name}/token/") for path in paths) is on
    assert (len(paths) == 1) is not on


def test_documentation_libraries_are_optional() -> None:
    found = importlib.util.spec_from_file_location("without", documentation.__file__)
    assert found is not None
    assert found.loader is not None
    without: Any = importlib.util.module_from_spec(found)
    with mock.patch.dict("sys.modules", {"drf_yasg": None, "edx_api_doc_tools": None}):
        found.loader.exec_module(without)

    def view() -> None: ...

    assert without.documented({})(view) is view
    assert without.AutoSchema.__bases__ == (object,)
