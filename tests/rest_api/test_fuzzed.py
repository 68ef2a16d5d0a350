"""Test with generated requests that every response matches the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.lifecycle_helpers import provisioned
from tests.rest_api.callers import ALL, by_bearer, make_user
from tests.sampling import some

pytestmark = pytest.mark.django_db

DOCUMENT = Path(__file__).parents[2] / "docs/reference/openapi.json"
QUIET = settings(max_examples=some(3, 30), deadline=None, suppress_health_check=list(HealthCheck))

WHO: dict[str, Callable[[], dict[str, str]]] = {
    "anonymous": dict,
    "plain": lambda: by_bearer(make_user()).headers,
    "staff": lambda: by_bearer(make_user(*ALL, is_staff=True)).headers,
    "superuser": lambda: by_bearer(make_user(is_superuser=True, is_staff=True)).headers,
}


@pytest.fixture(scope="module", autouse=True)
def one_connection() -> Iterator[None]:
    """Keep the test's connection open after a request."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(scope="module")
def described() -> Any:
    """Load the OpenAPI document for the sandbox in this process."""
    site = get_wsgi_application()

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/openapi.json":
            return site(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [DOCUMENT.read_bytes()]

    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    # Not expressible in the document: existing permissions, groups and profiles, the LMS's username rules, conflicting
    # values, and values from earlier responses.
    schema.config.checks.positive_data_acceptance.expected_statuses += ["400", "412", "422"]
    # Every caller has its own credential; Schemathesis must not generate one.
    schema.config.generation.with_security_parameters = False
    return schema


# To others a wrong request is one that they may not send.
NEGATIVE = [(who, GenerationMode.NEGATIVE) for who in ("staff", "superuser")]


@pytest.mark.parametrize(("who", "mode"), [*((who, GenerationMode.POSITIVE) for who in WHO), *NEGATIVE])
def test_responses_match_openapi(described: Any, who: str, mode: GenerationMode) -> None:
    headers = WHO[who]()
    provisioned("aa")
    failures = []
    for result in described.get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and operation.label == "GET /whoami/":
            continue  # It has no input that could be invalid.

        @QUIET
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered(case: Any) -> None:
            case.call_and_validate(headers=headers)

        try:
            answered()
        except Exception as failure:  # Schemathesis raises many kinds.
            failures.append(f"{operation.label}: {failure!r} {getattr(failure, 'exceptions', '')}")
    assert not failures, "\n\n".join(failures)


def test_stateful_calls_match_openapi(described: Any) -> None:
    headers = WHO["superuser"]()
    done = set()

    class Life(described.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            # Each run starts from the same state.
            self.world = transaction.atomic()
            self.world.__enter__()

        def teardown(self) -> None:
            transaction.set_rollback(True)
            self.world.__exit__(None, None, None)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(self, response: Any, case: Any, **_kwargs: Any) -> None:
            case.validate_response(response, headers=headers, recorder=self.recorder)

        def after_call(self, response: Any, case: Any) -> None:
            super().after_call(response, case)
            if response.status_code < 300:
                done.add(case.operation.label)

    Life.run(settings=settings(QUIET, max_examples=some(8, 100), stateful_step_count=8))

    # The links work: created clients were found again.
    assert {"POST /clients/", "GET /clients/{name}/"} <= done, done
