"""The public Python API: what other plugins may rely on."""

from __future__ import annotations

import inspect

import pytest

from edx_api_provisioning import api


@pytest.mark.parametrize("name", api.__all__)
def test_every_public_function_says_what_it_does_and_the_module_names_it(name: str) -> None:
    function = getattr(api, name)

    assert inspect.isfunction(function)
    assert inspect.getdoc(function)
    assert f"``{name}``" in api.__doc__


@pytest.mark.parametrize("name", ["provision", "rotate", "revoke", "adopt"])
def test_every_public_function_that_writes_wants_to_know_by_whom_and_runs_once_for_a_request(name: str) -> None:
    parameters = inspect.signature(getattr(api, name)).parameters

    assert parameters["authority"].default is inspect.Parameter.empty
    assert {parameters[option].kind for option in ("authority", "reason", "request_id")} == {
        inspect.Parameter.KEYWORD_ONLY
    }
