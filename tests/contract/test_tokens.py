"""Test the column that stores tokens."""

from __future__ import annotations

import base64
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from openedx.core.djangoapps.oauth_dispatch.api import find_access_token

pytestmark = pytest.mark.versions


@pytest.mark.parametrize("length", [255, 256])
def test_token_length_limit_matches_recording(
    length: int, contract: dict[str, Any], db: None, capabilities: SimpleNamespace
) -> None:
    expected = contract["token_column"][f"{length} characters"]
    if not (capabilities.token_column_is_limited and capabilities.database_limits_length):
        expected = "ok"
    outcome = _stored(length * "x")
    if connection.vendor != "mysql":  # the message is MariaDB's own
        outcome, expected = (text.partition("(")[0] for text in (outcome, expected))
    assert outcome == expected


def test_token_case_lookup_matches_recording(
    contract: dict[str, Any], recorded: None, capabilities: SimpleNamespace
) -> None:
    folded = capabilities.database_folds_case and not capabilities.token_is_looked_up_by_checksum
    found = contract["token_column"]["lookup of TOK-PLAIN finds tok-plain"] if folded else False
    assert find_access_token("tok-plain") is not None
    assert (find_access_token("TOK-PLAIN") is not None) is found


@pytest.mark.parametrize("form", [{}, {"token_type": "jwt"}])
def test_grant_expires_after_created_plus_lifetime(form: dict[str, str], recorded: None) -> None:
    answer = Client().post(
        "/oauth2/access_token",
        {"grant_type": "client_credentials", **form},
        headers={"Authorization": f"Basic {base64.b64encode(b'client-plain:secret-plain').decode()}"},
    )
    assert answer.status_code == 200
    token = get_access_token_model().objects.latest("pk")
    assert token.created < token.expires - timedelta(seconds=36000) <= token.updated
    assert token.expires - token.created < timedelta(seconds=36060)


def _stored(token: str) -> str:
    try:
        with transaction.atomic():
            get_access_token_model().objects.create(token=token, expires=timezone.now())
    except Exception as error:
        return repr(error)
    return "ok"
