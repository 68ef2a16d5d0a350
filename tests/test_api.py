"""Test the public Python API."""

from __future__ import annotations

import inspect

import pytest

from edx_api_provisioning import api


@pytest.mark.parametrize("name", api.__all__)
def test_public_functions_are_documented(name: str) -> None:
    function = getattr(api, name)

    assert inspect.isfunction(function)
    assert inspect.getdoc(function)
    assert f"``{name}``" in api.__doc__


@pytest.mark.parametrize("name", ["provision", "rotate", "revoke", "adopt"])
def test_writing_functions_need_actor(name: str) -> None:
    parameters = inspect.signature(getattr(api, name)).parameters

    assert parameters["authority"].default is inspect.Parameter.empty
    assert {parameters[option].kind for option in ("authority", "reason", "request_id")} == {
        inspect.Parameter.KEYWORD_ONLY
    }
