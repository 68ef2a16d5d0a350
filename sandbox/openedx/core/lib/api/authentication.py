"""The LMS's Bearer authentication (openedx/core/lib/api/authentication.py), with the recorded answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.utils import timezone
from oauth2_provider.models import get_application_model
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from openedx.core.djangoapps.oauth_dispatch.api import find_access_token

if TYPE_CHECKING:
    from rest_framework.request import Request


def _refusal(code: str, message: str) -> AuthenticationFailed:
    return AuthenticationFailed({"error_code": code, "developer_message": message})


class BearerAuthentication(BaseAuthentication):
    """Opaque access tokens of active users."""

    allow_inactive_users = False

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        words = get_authorization_header(request).split()
        # The words are counted before the scheme is checked: "Basic" alone is refused here too.
        if len(words) == 1:
            raise _refusal("token_not_provided", "Invalid token header. No credentials provided.")
        if len(words) > 2:
            raise _refusal("token_malformed", "Invalid token header. Token string should not contain spaces.")
        if not words or words[0].lower() != b"bearer":
            return None
        return self.authenticate_credentials(words[1].decode())

    def authenticate_credentials(self, raw_token: str) -> tuple[User, Any]:
        """Raise AuthenticationFailed; a token without a user raises AttributeError, as in the LMS (500)."""
        token = find_access_token(raw_token)
        if token is None:
            raise _refusal("token_nonexistent", "The provided access token does not match any valid tokens.")
        if token.expires < timezone.now():
            raise _refusal("token_expired", "The provided access token has expired and is no longer valid.")
        user = token.user
        # An unusable password marks a disabled person, but also a service user: an application tells them apart.
        if not user.has_usable_password() and not get_application_model().objects.filter(user=user).exists():
            raise _refusal("user_is_disabled", f"User disabled by admin: {user.get_username()}")
        if not self.allow_inactive_users and not user.is_active:
            raise _refusal("user_not_active", f"User inactive or deleted: {user.get_username()}")
        return user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class BearerAuthenticationAllowInactiveUser(BearerAuthentication):
    """Opaque access tokens of any user, as most of the LMS's views accept."""

    allow_inactive_users = True
