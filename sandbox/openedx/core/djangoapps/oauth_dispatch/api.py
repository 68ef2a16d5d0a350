"""Find and end tokens, for every django-oauth-toolkit that the sandbox supports."""

from __future__ import annotations

import hashlib
from typing import Any

from oauth2_provider.models import get_access_token_model, get_refresh_token_model


def find_access_token(raw_token: str) -> Any | None:
    """Look up like the LMS on django-oauth-toolkit 1.7.1: the database collation decides about case.

    Since 3.0 the look-up uses a checksum, which is exact in every collation.
    """
    tokens = get_access_token_model().objects.select_related("user", "application")
    if hasattr(tokens.model, "token_checksum"):
        checksum = hashlib.sha256(raw_token.encode()).hexdigest()
        return tokens.filter(token_checksum=checksum).first()
    return tokens.filter(token=raw_token).first()


def destroy_oauth_tokens(user: Any) -> None:
    """Delete all tokens of an account, as after a password reset."""
    get_access_token_model().objects.filter(user=user.id).delete()
    get_refresh_token_model().objects.filter(user=user.id).delete()
