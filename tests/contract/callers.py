"""Create sandbox accounts with exactly the given rights, and send requests as them.

Rights are strings as in edx_api_provisioning/adapters/access_catalogue.py; this module creates their rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_application_model
from oauth2_provider.scopes import get_scopes_backend

from common.djangoapps.student.models import CourseAccessRole, UserProfile
from edx_api_provisioning.core.secrets import Secret, basic_authorization
from edx_api_provisioning.core.spec import COURSE_KEY
from openedx.core.djangoapps.django_comment_common.models import Role
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication
from tests.factories import ApplicationFactory

SECRET = "a-secret-of-the-contract-tests-0123456789"


@dataclass(frozen=True)
class Caller:
    username: str
    client_id: str
    client_secret: Secret
    rights: frozenset[str]
    tokens: dict[str, str] = field(default_factory=dict)
    """Tokens by scheme; the JWT is issued on first use."""


def make_caller(username: str, rights: frozenset[str] = frozenset(), *, is_active: bool = True) -> Caller:
    user = User.objects.create_user(
        username,
        f"{username}@example.com",
        is_staff="staff" in rights,
        is_superuser="superuser" in rights,
        is_active=is_active,
    )
    UserProfile.objects.create(user=user, name=username)
    application = ApplicationFactory(name=username, user=user, client_id=f"client-of-{username}", client_secret=SECRET)
    # In bulk, without signals: the receiver for restricted applications may be connected already.
    token, expires = f"token-of-{username}", timezone.now() + timedelta(days=1)
    model = get_access_token_model()
    model.objects.bulk_create(
        [model(token=token, user=user, application=application, scope="read write", expires=expires)]
    )
    if "restricted" in rights:
        RestrictedApplication.objects.create(application=application)
    values: dict[str, list[str]] = {}
    for right in sorted(rights):
        kind, _colon, value = right.partition(":")
        values.setdefault(kind, []).append(value)
    if "scope" in values or "filter" in values:
        ApplicationAccess.objects.create(
            application=application, scopes=values.get("scope", []), filters=values.get("filter")
        )
    for value in values.get("permission", []):
        app_label, codename = value.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app_label, codename=codename))
    for value in values.get("group", []):
        user.groups.add(Group.objects.get(name=value))
    for value in values.get("course_role", []):
        role, where = value.split("@")
        course = COURSE_KEY.fullmatch(where)
        CourseAccessRole.objects.create(
            user=user, role=role, org=course["org"] if course else where, course_id=where if course else ""
        )
    for value in values.get("global_role", []):
        CourseAccessRole.objects.create(user=user, role=value)
    for value in values.get("forum_role", []):
        name, course_id = value.split("@")
        Role.objects.create(name=name, course_id=course_id).users.add(user)
    known = rights | {f"username:{username}"}
    return Caller(username, application.client_id, Secret(SECRET), known, {"bearer": token})


def authorization(caller: Caller | None, scheme: str) -> dict[str, str]:
    """Return the Authorization header of the caller: an opaque token for ``bearer``, a JWT for ``jwt``."""
    if caller is None:
        return {}
    if scheme == "jwt" and scheme not in caller.tokens:
        caller.tokens["jwt"] = _jwt(caller)
    return {"Authorization": f"{'JWT' if scheme == 'jwt' else 'Bearer'} {caller.tokens[scheme]}"}


def _jwt(caller: Caller) -> str:
    """Issue a JWT as the grant does, with every scope the client may have."""
    application = get_application_model().objects.get(client_id=caller.client_id)
    form = {
        "grant_type": "client_credentials",
        "token_type": "jwt",
        "scope": " ".join(get_scopes_backend().get_available_scopes(application=application)),
    }
    basic = {"Authorization": basic_authorization(caller.client_id, caller.client_secret)}
    answer = Client().post("/oauth2/access_token", form, headers=basic)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["access_token"])


def status_of(caller: Caller | None, scheme: str, method: str, path: str, body: Any = None) -> int:
    """Return the response status of one request."""
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    data = {} if body is None else {"data": body, "content_type": content_type}
    send = getattr(Client(raise_request_exception=False), method.lower())
    return int(send(path, headers=authorization(caller, scheme), **data).status_code)
