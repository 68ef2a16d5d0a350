"""Settings of the sandbox, a small stand-in for the LMS. Not for production.

Settings of the LMS that affect a plugin have the same values here (see tests/contract/contract.json);
plugins are found and loaded as in lms/envs/common.py and lms/envs/production.py.

From the environment: DATABASE_URL, LMS_ROOT_URL, SECRET_KEY, DEBUG, ALLOWED_HOSTS and, for a django-oauth-toolkit
that has it, COMPLIANT_BCP_RFC9700_TOKEN_STORAGE.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dj_database_url
import django
from edx_django_utils.plugins import add_plugins, get_plugin_apps

SANDBOX = Path(__file__).resolve().parents[2]
PROJECT_TYPE = "lms.djangoapp"


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "on")


SECRET_KEY = os.environ.get("SECRET_KEY", "insecure-sandbox-key-" + "0123456789abcdef" * 4)
DEBUG = _flag("DEBUG")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
LMS_ROOT_URL = os.environ.get("LMS_ROOT_URL", "http://localhost:8000")
ROOT_URLCONF = "lms.urls"
SITE_ID = 1
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"


def _database() -> dict[str, Any]:
    url = os.environ.get("DATABASE_URL") or f"sqlite:///{SANDBOX / 'db.sqlite3'}"
    database: dict[str, Any] = {**dj_database_url.parse(url), "ATOMIC_REQUESTS": True}
    options = database.setdefault("OPTIONS", {})
    if database["ENGINE"].endswith("sqlite3"):
        options.setdefault("timeout", 30)
    elif database["ENGINE"].endswith("mysql"):
        options.setdefault("charset", "utf8mb4")
        database["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_general_ci"}
    return database


DATABASES = {"default": _database()}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.sites",
    "django.contrib.staticfiles",
    "waffle",
    "common.djangoapps.student.apps.StudentConfig",
    "lms.djangoapps.user_tours.apps.UserToursConfig",
    "oauth2_provider",
    "openedx.core.djangoapps.oauth_dispatch.apps.OAuthDispatchAppConfig",
    "common.djangoapps.course_modes.apps.CourseModesConfig",
    "openedx.core.djangoapps.content.course_overviews.apps.CourseOverviewsConfig",
    "openedx.core.djangoapps.django_comment_common.apps.DjangoCommentCommonConfig",
    "openedx.core.djangoapps.user_api.apps.UserApiConfig",
    "edxval.apps.EdxvalConfig",
    "openedx.core.djangoapps.notifications.apps.NotificationsConfig",
    "openedx.features.survey_report.apps.SurveyReportConfig",
    "rest_framework",
    "drf_yasg",
    # After the platform's apps: the admin classes connect a receiver that must come last.
    "django.contrib.admin",
    # openedx-authz, where it is installed, refers to their models.
    *(["organizations", "openedx.core.djangoapps.content_libraries"] if find_spec("openedx_authz") else []),
    *get_plugin_apps(PROJECT_TYPE),
]

# The LMS's order, with Django's own classes for SafeSessionMiddleware and CacheBackedAuthenticationMiddleware.
MIDDLEWARE = [
    "crum.CurrentRequestUserMiddleware",
    "edx_django_utils.cache.middleware.RequestCacheMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sites.middleware.CurrentSiteMiddleware",
    "edx_rest_framework_extensions.auth.jwt.middleware.JwtAuthCookieMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "common.djangoapps.track.middleware.TrackMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "waffle.middleware.WaffleMiddleware",
    "edx_rest_framework_extensions.auth.jwt.middleware.EnsureJWTAuthSettingsMiddleware",
]

TRACKING_IGNORE_URL_PATTERNS = [r"^/event", r"^/login", r"^/heartbeat", r"^/segmentio/event", r"^/performance"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [SANDBOX / "lms/templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "openedx.features.survey_report.context_processors.admin_extra_context",
            ]
        },
    }
]
SURVEY_REPORT_ENABLE = True

AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
LOGIN_URL = "/admin/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "common.djangoapps.util.password_policy_validators.MinimumLengthValidator",
        "OPTIONS": {"min_length": 8},
    },
    {
        "NAME": "common.djangoapps.util.password_policy_validators.MaximumLengthValidator",
        "OPTIONS": {"max_length": 75},
    },
]
RETIRED_USERNAME_PREFIX = "retired__user_"
RETIREMENT_SERVICE_WORKER_USERNAME = "RETIREMENT_SERVICE_USER"

OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth2_provider.Application"
OAUTH_EXPIRE_CONFIDENTIAL_CLIENT_DAYS = 365
_DEFAULT_SCOPES = {
    "read": "Read access",
    "write": "Write access",
    "email": "Know your email address",
    "profile": "Know your name and username",
}
OAUTH2_PROVIDER: dict[str, Any] = {
    "OAUTH2_VALIDATOR_CLASS": ("openedx.core.djangoapps.oauth_dispatch.dot_overrides.validators.EdxOAuth2Validator"),
    "REFRESH_TOKEN_EXPIRE_SECONDS": 7776000,
    "SCOPES_BACKEND_CLASS": "openedx.core.djangoapps.oauth_dispatch.scopes.ApplicationModelScopes",
    "SCOPES": {
        **_DEFAULT_SCOPES,
        "certificates:read": "Retrieve any course certificate",
        "grades:read": "Retrieve any course grade",
        "tpa:read": "Retrieve third-party authentication username mapping",
        "user_id": "Know your user identifier",
    },
    "DEFAULT_SCOPES": list(_DEFAULT_SCOPES),
    "REQUEST_APPROVAL_PROMPT": "auto_even_if_expired",
    "ERROR_RESPONSE_WITH_SCOPES": True,
}
if _flag("COMPLIANT_BCP_RFC9700_TOKEN_STORAGE"):
    OAUTH2_PROVIDER["COMPLIANT_BCP_RFC9700_TOKEN_STORAGE"] = True

_JWT_ISSUER = "http://127.0.0.1:8000/oauth2"
JWT_AUTH: dict[str, Any] = {
    "JWT_ALGORITHM": "HS256",
    "JWT_SIGNING_ALGORITHM": "RS512",
    "JWT_SECRET_KEY": SECRET_KEY,
    "JWT_ISSUER": _JWT_ISSUER,
    "JWT_AUDIENCE": "change-me",
    "JWT_ISSUERS": [{"ISSUER": _JWT_ISSUER, "AUDIENCE": "change-me", "SECRET_KEY": SECRET_KEY}],
    "JWT_SUPPORTED_VERSION": "1.2.0",
    "JWT_AUTH_HEADER_PREFIX": "JWT",
    "JWT_LEEWAY": 1,
    "JWT_VERIFY_EXPIRATION": True,
    "JWT_AUTH_COOKIE": "edx-jwt-cookie",
    "JWT_DECODE_HANDLER": "openedx.core.djangoapps.oauth_dispatch.jwt.decode_jwt",
}

REST_FRAMEWORK = {
    # No Bearer tokens by default: views that accept them say so.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "edx_rest_framework_extensions.auth.jwt.authentication.JwtAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PAGINATION_CLASS": "edx_rest_framework_extensions.paginators.DefaultPagination",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "PAGE_SIZE": 10,
    "URL_FORMAT_OVERRIDE": None,
}

# Mail is written to files: standard output is for results.
_MAIL_BACKEND, _MAIL_FOLDER = "django.core.mail.backends.filebased.EmailBackend", str(SANDBOX / "mail")
if django.VERSION >= (6, 1):
    MAILERS = {"default": {"BACKEND": _MAIL_BACKEND, "OPTIONS": {"file_path": _MAIL_FOLDER}}}
else:
    EMAIL_BACKEND, EMAIL_FILE_PATH = _MAIL_BACKEND, _MAIL_FOLDER

# The format names that drf-yasg needs now.
SWAGGER_USE_COMPAT_RENDERERS = False

# Send nothing to a monitoring service, without a warning about it.
OPENEDX_TELEMETRY: list[str] = []

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    # It logs each event with its receivers.
    "loggers": {"openedx_events": {"level": "WARNING"}},
}

add_plugins(__name__, PROJECT_TYPE, "common")
add_plugins(__name__, PROJECT_TYPE, "production")
