"""JSON Web Tokens for the grant (openedx/core/djangoapps/oauth_dispatch/jwt.py of the LMS)."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.contrib.auth.models import User
from edx_rest_framework_extensions.auth.jwt.decoder import jwt_decode_handler
from jwt.algorithms import RSAAlgorithm

from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication

LIFETIME = 3600


@functools.cache
def _signing_key() -> rsa.RSAPrivateKey:
    """Return the key of this process, created on first use. An LMS reads its own from JWT_PRIVATE_SIGNING_JWK."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    settings.JWT_AUTH["JWT_PUBLIC_SIGNING_JWK_SET"] = json.dumps({"keys": [public]})
    return key


def decode_jwt(token: str) -> dict[str, Any]:
    """Decode a JWT with the site's keys; without them the library raises another error."""
    _signing_key()
    return jwt_decode_handler(token)


def create_jwt(access_token: Any, *, asymmetric: bool) -> str:
    """Return the JWT for an opaque token, with its user, scopes and filters."""
    restricted = RestrictedApplication.objects.filter(application=access_token.application).exists()
    claims = _claims(access_token, restricted)
    if asymmetric or restricted:
        return jwt.encode(claims, _signing_key(), settings.JWT_AUTH["JWT_SIGNING_ALGORITHM"])
    return jwt.encode(claims, settings.JWT_AUTH["JWT_SECRET_KEY"], settings.JWT_AUTH["JWT_ALGORITHM"])


def _claims(access_token: Any, restricted: bool) -> dict[str, Any]:
    user: User = access_token.user
    access = ApplicationAccess.of(access_token.application)
    scopes = access_token.scope.split()
    now = int(time.time())
    claims = {
        "aud": settings.JWT_AUTH["JWT_AUDIENCE"],
        "exp": now + LIFETIME,
        "grant_type": access_token.application.authorization_grant_type,
        "iat": now,
        "iss": settings.JWT_AUTH["JWT_ISSUER"],
        "preferred_username": user.username,
        "scopes": scopes,
        "version": settings.JWT_AUTH["JWT_SUPPORTED_VERSION"],
        "sub": _anonymous_id(user),
        "filters": (access.filters or []) if access else [],
        "is_restricted": restricted,
        "email_verified": user.is_active,
    }
    if "email" in scopes:
        claims["email"] = user.email
    if "profile" in scopes:
        profile = getattr(user, "profile", None)
        claims |= {
            "name": profile.name if profile else None,
            "family_name": user.last_name,
            "given_name": user.first_name,
            "administrator": user.is_staff,
            "superuser": user.is_superuser,
        }
    if "user_id" in scopes:
        claims["user_id"] = user.pk
    return claims


def _anonymous_id(user: User) -> str:
    """Return the digest that stands for a user in the LMS's anonymous ids."""
    return hashlib.md5(f"{settings.SECRET_KEY}{user.pk}".encode(), usedforsecurity=False).hexdigest()
