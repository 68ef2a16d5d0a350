"""Switch on the REST API and opaque tokens, and switch off throttling."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rest_api.callers import ALL, SITE, Caller, by_session, make_user


@pytest.fixture(autouse=True)
def switched_on(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, **SITE}


@pytest.fixture
def root(db: None) -> Caller:
    return by_session(make_user(is_staff=True, is_superuser=True))


@pytest.fixture
def helper(db: None) -> Caller:
    """A caller with all API client permissions and no other right."""
    return by_session(make_user(*ALL))
