"""Settings of plain Django with what the environment variable SITE names.

``people`` has users known by their address, transactions around requests and its own scopes backend; ``replica`` reads
from another database; ``company`` has columns without a default.
"""

from __future__ import annotations

import os
from typing import Any

import dj_database_url
import django

SITE = os.environ["SITE"]
SECRET_KEY = "insecure-key-of-an-odd-site-" + "0123456789abcdef" * 2
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "odd_urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(os.environ.get("DATABASE_URL") or "sqlite://:memory:")}
# Separate, because the tests that start this have their own.
DATABASES["default"]["TEST"] = {
    "NAME": f"test_{DATABASES['default']['NAME']}_odd" if DATABASES["default"].get("HOST") else None
}
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "people",
    "oauth2_provider",
    "edx_api_provisioning",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
OAUTH2_PROVIDER: dict[str, Any] = {"SCOPES": {"read": "Reading", "write": "Writing"}}
EDX_API_PROVISIONING = {"ROOT_URL": "https://site.example.org", "REST_API": True, "REST_API_BEARER": True}
if SITE == "people":
    AUTH_USER_MODEL = "people.Person"
    DATABASES["default"]["ATOMIC_REQUESTS"] = True
    OAUTH2_PROVIDER["SCOPES_BACKEND_CLASS"] = "people.scopes.ScopesByName"
if SITE == "company":
    AUTH_USER_MODEL = "people.Employee"
    OAUTH2_PROVIDER_APPLICATION_MODEL = "people.DepartmentApplication"
if SITE == "replica":
    # It has no tables: whatever is read from it fails.
    DATABASES["replica"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    DATABASE_ROUTERS = ["people.replica.ReadsFromReplica"]
