"""Settings of plain Django with its own Application and AccessToken models and the package, without the LMS."""

from __future__ import annotations

import os
from typing import Any

import dj_database_url

SECRET_KEY = "insecure-key-of-a-plain-site-" + "0123456789abcdef" * 2
ALLOWED_HOSTS = ["localhost", "testserver"]
ROOT_URLCONF = "plain_urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(os.environ.get("DATABASE_URL") or "sqlite://:memory:")}
# Separate, because the tests that start this have their own.
DATABASES["default"]["TEST"] = {
    "NAME": f"test_{DATABASES['default']['NAME']}_plain" if DATABASES["default"].get("HOST") else None
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "own",
    "oauth2_provider",
    "edx_api_provisioning",
]
MIDDLEWARE = ["django.contrib.auth.middleware.AuthenticationMiddleware"]
MIDDLEWARE.insert(0, "django.contrib.sessions.middleware.SessionMiddleware")
OAUTH2_PROVIDER_APPLICATION_MODEL = "own.OwnApplication"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "own.OwnAccessToken"
# The site's refresh tokens are not its own: django-oauth-toolkit 3.4 advises against that.
SILENCED_SYSTEM_CHECKS = ["oauth2_provider.W011"]
OAUTH2_PROVIDER = {"SCOPES": {"read": "Reading", "write": "Writing", "https://example.org/auth/reports.readonly": "…"}}
EDX_API_PROVISIONING = {
    "ROOT_URL": "https://site.example.org",
    "ME_PATH": "/me",
}
