"""The authentication classes that the LMS's views list; many list them separately."""

from __future__ import annotations

from edx_rest_framework_extensions.auth.jwt.authentication import JwtAuthentication
from edx_rest_framework_extensions.auth.session.authentication import SessionAuthenticationAllowInactiveUser
from rest_framework.authentication import SessionAuthentication

from openedx.core.lib.api.authentication import BearerAuthentication, BearerAuthenticationAllowInactiveUser

AUTHENTICATION = (JwtAuthentication, BearerAuthentication, SessionAuthentication)
AUTHENTICATION_ALLOW_INACTIVE_USER = (
    JwtAuthentication,
    BearerAuthenticationAllowInactiveUser,
    SessionAuthenticationAllowInactiveUser,
)
