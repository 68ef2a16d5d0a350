"""Test a client from outside with ``tutor local do tests``."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
import tutor.hooks
import yaml
from conftest import TUTOR_VERSION

from edx_api_provisioning.tutor import SMOKE_TEST

SECRET = "smoke-secret-7Qd0vXk2mZs9LbT4rWyH1u8e"
TESTS = getattr(tutor.hooks.Filters, "TESTS", None)


def test_smoke_test_is_registered() -> None:
    assert (TESTS is not None) is (TUTOR_VERSION >= 21)
    if TESTS is not None:
        assert ("lms", "smoke", SMOKE_TEST) in list(TESTS.iterate())


@pytest.mark.parametrize(("secret", "code"), [(SECRET, 0), ("another", 1)])
def test_smoke_test_needs_working_client(site: Any, server: str, secret: str, code: int) -> None:
    made = site.lms(
        *("provision_api_client", "bot", "--no-token", "--client-id", "bot", "--client-secret-from", "stdin"),
        input=SECRET,
    )
    assert made.code == 0, made.stderr
    variables = {"OAUTH2_CLIENT_ID": "bot", "OAUTH2_CLIENT_SECRET": secret, "LMS_PORT": str(urlsplit(server).port)}
    (site.folder / "client.yml").write_text(yaml.safe_dump(variables))
    # The plugin is installed below this repository; keep its pytest configuration out.
    (site.folder / "pytest.ini").touch()
    site.environment["PYTEST_ADDOPTS"] = f"-c {site.folder}/pytest.ini"

    if TESTS is None:  # Tutor 21 and later do this.
        site.environment |= {**variables, "LMS_HOST": "localhost", "ENABLE_HTTPS": "false"}
        done = site.run("python", "-m", "pytest", SMOKE_TEST)
    else:
        site.works("config", "save", "--set", "LMS_HOST=localhost", "--set", "ENABLE_HTTPS=false")
        options = ("--limit", "api-provisioning", "--env-file", "client.yml", "--cleanup", "skip")
        done = site.tutor("local", "do", "tests", "smoke", *options)
    assert done.code == code, done.stdout + done.stderr
    assert "2 passed" in done.stdout if code == 0 else "1 failed, 1 passed" in done.stdout
