"""Settings of plain Django with its own Application and AccessToken models."""

from __future__ import annotations

import os
from typing import Any

import dj_database_url

SECRET_KEY = "insecure-key-of-a-site-with-models-of-its-own-" + "0123456789abcdef"
ALLOWED_HOSTS = ["testserver"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(os.environ.get("DATABASE_URL") or "sqlite://:memory:")}
# Separate, because the tests that start this have their own.
DATABASES["default"]["TEST"] = {
    "NAME": f"test_{DATABASES['default']['NAME']}_swapped" if DATABASES["default"].get("HOST") else None
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "own",
    "oauth2_provider",
    "edx_api_provisioning",
]
OAUTH2_PROVIDER_APPLICATION_MODEL = "own.OwnApplication"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "own.OwnAccessToken"
OAUTH2_PROVIDER = {"SCOPES": {"read": "Reading", "write": "Writing"}}
EDX_API_PROVISIONING = {"ROOT_URL": "https://site.example.org"}
