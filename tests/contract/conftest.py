"""Accounts, applications and tokens of the recorded contract.

`contract.json` holds the answers of a real LMS. Its users are named `k-<kind>`, their tokens `tok-<kind>`; the request
bodies are in the tests.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from common.djangoapps.student.models import CourseAccessRole, UserProfile
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication
from tests.factories import ApplicationFactory

COURSE = "course-v1:CET+GW_01+2021_2022_FA"
RIGHTS = {
    "staffer": {"is_staff": True},
    "super": {"is_staff": True, "is_superuser": True},
    "inactive": {"is_active": False},
}
KINDS = ("plain", "staffer", "super", "noprofile", "inactive", "noapp", "restricted", "courserole", "scoped")


@pytest.fixture(scope="session")
def contract() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("contract.json").read_text())


@pytest.fixture
def recorded(db: None, settings: Any) -> None:
    """Create the rows of the recorded LMS, which used this hasher too."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    for kind in KINDS:
        user = User.objects.create_user(f"k-{kind}", f"k-{kind}@example.com", **RIGHTS.get(kind, {}))
        if kind != "noprofile":
            UserProfile.objects.create(user=user, name=user.username)
        application = None if kind == "noapp" else _application(kind, user)
        _token(kind, user=user, application=application)
    plain = User.objects.get(username="k-plain")
    _token("expired", user=plain, expires=timezone.now() - timedelta(seconds=1))
    _token("nulluser", user=None)
    CourseAccessRole.objects.create(
        user=User.objects.get(username="k-courserole"), org="CET", course_id=COURSE, role="staff"
    )


def _application(kind: str, user: User) -> Any:
    application = ApplicationFactory(name=kind, user=user, client_id=f"client-{kind}", client_secret=f"secret-{kind}")
    if kind == "restricted":
        RestrictedApplication.objects.create(application=application)
    if kind == "scoped":
        ApplicationAccess.objects.create(
            application=application, scopes=["user_id", "grades:read"], filters=["content_org:edX"]
        )
    return application


def _token(kind: str, **fields: Any) -> None:
    model = get_access_token_model()
    fields.setdefault("expires", timezone.now() + timedelta(days=1))
    # In bulk, without signals: the receiver for restricted applications may be connected already.
    model.objects.bulk_create([model(token=f"tok-{kind}", scope="read write", **fields)])


@pytest.fixture
def capabilities(db: None) -> SimpleNamespace:
    """Return what affects the recorded answers: the recorded LMS had MariaDB and django-oauth-toolkit 1.7.1."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CASE WHEN 'a' = 'A' THEN 1 ELSE 0 END")
        database_folds_case = cursor.fetchone()[0] == 1
    fields = {field.name: field for field in get_access_token_model()._meta.get_fields()}
    return SimpleNamespace(
        database_folds_case=database_folds_case,
        database_limits_length=connection.vendor != "sqlite",
        token_is_looked_up_by_checksum="token_checksum" in fields,
        token_column_is_limited=fields["token"].max_length is not None,
    )
