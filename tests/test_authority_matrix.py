"""Every authority tries every action on every target, and one rule says which of it works.

What is refused changes nothing and tells nothing; what works gives nobody more than they have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from openedx.core.djangoapps.oauth_dispatch.jwt import create_jwt
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess
from tests import admin_client
from tests.admin_client import Browser
from tests.factories import OPERATOR, AccessTokenFactory, ApplicationFactory, UserFactory
from tests.lifecycle_helpers import all_rows
from tests.rest_api.callers import ALL, SCOPES, SITE, Caller, by_bearer, by_jwt, by_session, make_user, token_of
from tests.sampling import some

pytestmark = pytest.mark.django_db

GROWTH = {"permissions": ["course_modes.change_coursemode"]}
HIDDEN = "hidden-address@example.org"
NEEDS = {"create": "provision", "change": "provision", "grow": "provision", "token": "rotate", "secret": "rotate"}


@pytest.fixture(autouse=True)
def switched_on(settings: Any) -> None:
    settings.EDX_API_PROVISIONING = {**settings.EDX_API_PROVISIONING, **SITE}


@dataclass(frozen=True)
class Who:
    """An authority, as the rule sees it."""

    permissions: frozenset[str] = frozenset(ALL)
    superuser: bool = False
    changes: bool = True
    """Whether the credential may change anything."""
    restricted: bool = False


@dataclass(frozen=True)
class Target:
    """A client, as the rule sees it."""

    strong: bool = False
    """Whether its user has rights, or is a person."""
    person: bool = False
    promoted: bool = False


def allowed(who: Who, action: str, target: Target, *, view: bool) -> bool:
    """Return whether it works: the one rule."""
    needed = {NEEDS.get(action, "revoke"), *(["view"] if view else [])}
    if not who.changes or not (who.superuser or needed <= who.permissions):
        return False
    if action in ("revoke", "retire"):
        return True  # It takes away, and gives nobody anything.
    if who.restricted:
        return False  # None of these clients is restricted.
    if action == "create":
        return True
    if target.promoted:
        return False  # Nothing is issued or changed before somebody has looked at it.
    if action == "grow":
        return who.superuser and not target.person
    return who.superuser or not target.strong


# Authorities at the REST API


def subsets() -> Iterable[tuple[str, ...]]:
    return itertools.chain.from_iterable(itertools.combinations(ALL, size) for size in range(len(ALL) + 1))


def third_party(user: Any) -> Caller:
    row = token_of(user, scope="read write profile")
    row.application.authorization_grant_type = "authorization-code"
    row.application.save()
    return Caller(f"Bearer token-of-{user.pk}-{row.application_id}-{'x' * 20}")


def stale(by: Callable[..., Caller]) -> Callable[[Any], Caller]:
    def caller(user: Any) -> Caller:
        made = by(user)
        ApiClient.objects.filter(user=user).update(last_cut=datetime.now(UTC) + timedelta(seconds=2))
        return made

    return caller


def restricted(user: Any) -> Caller:
    row = token_of(user, restricted=True, scope=" ".join(SCOPES))
    ApplicationAccess.objects.create(application=row.application, scopes=list(SCOPES), filters=["content_org:edX"])
    return Caller(f"JWT {create_jwt(row, asymmetric=True)}")


REST: dict[str, tuple[Callable[[Any], Caller], Who]] = {
    **{f"session: {' '.join(some_)}": (by_session, Who(frozenset(some_))) for some_ in subsets()},
    **{f"JWT: {' '.join(some_)}": (by_jwt, Who(frozenset(some_))) for some_ in subsets()},
    "session of a superuser": (by_session, Who(superuser=True)),
    "JWT of a superuser": (by_jwt, Who(superuser=True)),
    "token": (by_bearer, Who()),
    "token of a superuser": (by_bearer, Who(superuser=True)),
    **{
        f"token, scope {scope or 'none'}": (
            lambda user, scope=scope: by_bearer(user, scope=scope),
            Who(superuser=True, changes=False),
        )
        for scope in ("", "read", "profile", "email", "api_provisioning:write")
    },
    "JWT, scope read": (lambda user: by_jwt(user, "read"), Who(superuser=True, changes=False)),
    "JWT of a restricted client": (restricted, Who(restricted=True)),
    "JWT of a superuser's restricted client": (restricted, Who(superuser=True, restricted=True)),
    "token of a third party": (third_party, Who(superuser=True, changes=False)),
    "token of an unmanaged application": (lambda user: by_bearer(user, managed=False), Who(changes=False)),
    "JWT of an unmanaged application": (lambda user: by_jwt(user, managed=False), Who(changes=False)),
    "stale token": (stale(by_bearer), Who(superuser=True, changes=False)),
    "stale JWT": (stale(by_jwt), Who(superuser=True, changes=False)),
}

PATHS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "create": ("POST", "/clients/", {"name": "new"}),
    "change": ("PATCH", "/clients/report/", {"contact": "ann@example.org"}),
    "grow": ("PATCH", "/clients/report/", GROWTH),
    "token": ("POST", "/clients/report/token/", {}),
    "secret": ("POST", "/clients/report/secret/", {}),
    "revoke": ("POST", "/clients/report/revoke/", {}),
    "retire": ("POST", "/clients/report/revoke/", {"retire": True}),
}


# Targets


def promoted() -> None:
    api.provision(ClientSpec(name="report", email=HIDDEN), authority=OPERATOR)
    get_user_model().objects.filter(username="report").update(is_superuser=True, is_staff=True)


def shared() -> None:
    UserFactory(username="person", email=HIDDEN)
    for name in ("first", "report"):
        api.provision(ClientSpec(name=name, username="person", use_existing_user=True), authority=OPERATOR)


def adopted() -> None:
    application = ApplicationFactory(client_id="the-id", user=UserFactory(username="person", email=HIDDEN))
    AccessTokenFactory(application=application)
    api.adopt("report", client_id="the-id", authority=OPERATOR)


TARGETS: dict[str, tuple[Callable[[], Any], Target]] = {
    "plain": (lambda: api.provision(ClientSpec(name="report", email=HIDDEN), authority=OPERATOR), Target()),
    "stronger": (
        lambda: api.provision(ClientSpec(name="report", superuser=True, email=HIDDEN), authority=OPERATOR),
        Target(strong=True),
    ),
    "with a right": (
        lambda: api.provision(
            ClientSpec(name="report", permissions=("auth.view_group",), email=HIDDEN), authority=OPERATOR
        ),
        Target(strong=True),
    ),
    "shared": (shared, Target(strong=True, person=True)),
    "adopted": (adopted, Target(strong=True, person=True)),
    "later promoted": (promoted, Target(strong=True, promoted=True)),
}
ACTIONS = tuple(PATHS)


def sample(whos: Iterable[str], least: int) -> list[tuple[str, str]]:
    """Return pairs of authorities and targets: all in the full run, else those of every n-th."""
    pairs = [*itertools.product(whos, TARGETS)]
    step = max(1, len(pairs) // some(least, len(pairs)))
    return pairs[::step]


@pytest.mark.parametrize(("name", "target"), sample(REST, 30))
def test_rest_follows_the_rule(name: str, target: str) -> None:
    build, who = REST[name]
    make, seen = TARGETS[target]
    make()
    caller = build(make_user(*(who.permissions if not who.superuser else ()), is_superuser=who.superuser))
    wrong = []
    for action in ACTIONS:
        method, path, body = PATHS[action]
        with transaction.atomic():
            before = all_rows()
            answer = caller(method, path, body)
            worked = answer.status_code in (200, 201)
            if worked != allowed(who, action, seen, view=True):
                wrong.append(f"{action}: {answer.status_code} {answer.content.decode()[:300]}")
            elif not worked and (all_rows() != before or HIDDEN in answer.content.decode()):
                wrong.append(f"{action}: refused, but it changed or told something")
            transaction.set_rollback(True)
    assert not wrong, "\n".join(wrong)


ADMIN = {
    **{f"staff: {' '.join(some_)}": Who(frozenset(some_)) for some_ in subsets()},
    "superuser": Who(superuser=True),
}
PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "create": ("provision", {"name": "new"}),
    "change": ("provision", {"contact": "ann@example.org"}),
    "grow": ("provision", {"permissions": "\n".join(GROWTH["permissions"])}),
    "token": ("rotate", {"token": "on"}),
    "secret": ("rotate", {"token": None, "secret": "on"}),
    "revoke": ("revoke", {}),
    "retire": ("retire", {}),
}


def sent(browser: Browser, page: str, query: str, answers: dict[str, Any]) -> Any:
    """Send a form, over its preview if it has one."""
    answer = browser.open(page, query)
    if answer.status_code == 200:
        answer = browser.send(answer, **answers)
    if "_confirm" in answer.content.decode():
        answer = browser.send(answer, _confirm="yes")
    return answer


@pytest.mark.parametrize(("name", "target"), sample(ADMIN, 12))
def test_admin_follows_the_rule(name: str, target: str) -> None:
    who = ADMIN[name]
    make, seen = TARGETS[target]
    make()
    browser = Browser(admin_client.make_staff(*who.permissions, is_staff=True, is_superuser=who.superuser))
    wrong = []
    for action, (page, answers) in PAGES.items():
        with transaction.atomic():
            before = all_rows()
            query = "" if action == "create" else f"client={ApiClient.objects.get(name='report').pk}"
            answer = sent(browser, page, query, answers)
            worked = {k: v for k, v in all_rows().items() if k != "ApiClientEvent"} != {
                k: v for k, v in before.items() if k != "ApiClientEvent"
            }
            # The permission to view clients is for the lists alone.
            if worked != allowed(who, action, seen, view=False):
                wrong.append(f"{action}: {answer.status_code} {admin_client.text(answer)[-300:]}")
            elif not worked and HIDDEN in answer.content.decode():
                wrong.append(f"{action}: refused, but it told something")
            transaction.set_rollback(True)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("target", TARGETS)
def test_operator_is_not_limited(target: str) -> None:
    make, seen = TARGETS[target]
    make()
    spec = ClientSpec(name="report", permissions=tuple(GROWTH["permissions"]))
    doings: dict[str, Callable[[], Any]] = {
        "create": lambda: api.provision(ClientSpec(name="new"), authority=OPERATOR),
        "grow": lambda: api.provision(spec, authority=OPERATOR),
        "token": lambda: api.rotate("report", authority=OPERATOR),
        "secret": lambda: api.rotate("report", token=False, secret=True, authority=OPERATOR),
        "revoke": lambda: api.revoke("report", authority=OPERATOR),
        "retire": lambda: api.revoke("report", retire=True, authority=OPERATOR),
    }
    for action, do in doings.items():
        with transaction.atomic():
            try:
                do()
                worked = True
            except ProvisioningError:
                worked = False
            assert worked == allowed(Who(superuser=True), action, seen, view=False), action
            transaction.set_rollback(True)
