"""Look-up and end of tokens, for every django-oauth-toolkit the sandbox runs on."""

from __future__ import annotations

import hashlib
from typing import Any

from oauth2_provider.models import get_access_token_model, get_refresh_token_model


def find_access_token(raw_token: str) -> Any | None:
    """As the LMS does on django-oauth-toolkit 1.7.1: the database compares, so its collation decides about case.

    From 3.0 on the table is looked up by a checksum, which no collation blurs.
    """
    tokens = get_access_token_model().objects.select_related("user", "application")
    if hasattr(tokens.model, "token_checksum"):
        checksum = hashlib.sha256(raw_token.encode()).hexdigest()
        return tokens.filter(token_checksum=checksum).first()
    return tokens.filter(token=raw_token).first()


def destroy_oauth_tokens(user: Any) -> None:
    """All tokens of an account, as after a password reset."""
    get_access_token_model().objects.filter(user=user.id).delete()
    get_refresh_token_model().objects.filter(user=user.id).delete()
