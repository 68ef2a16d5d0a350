"""Every authority tries every action on every target, and one rule says which of it works.

What is refused changes nothing and tells nothing; what works gives nobody more than they have.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction

from edx_api_provisioning import api, tasks
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.core.spec import ClientSpec, change_client
from edx_api_provisioning.models import ApiClient
from tests import admin_client
from tests.admin_client import Browser
from tests.factories import OPERATOR, AccessTokenFactory, ApplicationFactory, UserFactory, person
from tests.lifecycle_helpers import all_rows
from tests.rest_api.callers import ALL, SITE, Caller, by_bearer, by_jwt, by_restricted, by_session, make_user
from tests.sampling import FULL

pytestmark = pytest.mark.django_db

MODES = "course_modes.change_coursemode"
HIDDEN = ("hidden-address@example.org", "view_group")
"""The address and a right of target users, which nobody is told without the permission to view users."""
NEEDS = {"token": "rotate", "secret": "rotate", "revoke": "revoke", "retire": "revoke"}


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

    @property
    def views_users(self) -> bool:
        return not self.restricted and (self.superuser or "view_user" in self.permissions)


@dataclass(frozen=True)
class Target:
    """A client, as the rule sees it."""

    strong: bool = False
    """True if its user has rights, or is a person."""
    person: bool = False
    promoted: bool = False
    received: bool = False
    """True if a person without rights received the credentials."""
    restricted: bool = False


def allowed(who: Who, action: str, target: Target, *, rest: bool) -> bool:
    """Return whether it works: the one rule."""
    needed = {NEEDS.get(action, "provision")}
    if rest or "name" not in BODIES.get(action, {}):
        needed.add("view")  # To act on a client, one has to see it.
    if not who.changes or not (who.superuser or needed <= who.permissions):
        return False
    if action in ("revoke", "retire"):
        # It takes away, and gives nobody anything. A restricted client has no tokens.
        return action == "retire" or not target.restricted
    if who.restricted:
        return target.restricted and action in ("change", "secret")
    if action == "create":
        return True
    if action == "create superuser":
        return who.superuser
    if action == "share":
        return who.superuser and target.person
    if target.promoted or (target.restricted and action == "token"):
        return (
            False  # Nothing is issued or changed before somebody has looked at it; restricted clients have no tokens.
        )
    if action in ("grow", "grow with reissue"):
        return who.superuser and not target.person and (action == "grow with reissue" or not target.received)
    return who.superuser or not target.strong


# Authorities at the REST API


def subsets() -> Iterable[tuple[str, ...]]:
    every = (*ALL, "view_user")
    return itertools.chain.from_iterable(itertools.combinations(every, size) for size in range(len(every) + 1))


def changed(by: Callable[..., Caller], **application: str) -> Callable[[Any], Caller]:
    """Return the caller with a credential of an application that is changed."""

    def caller(user: Any) -> Caller:
        made = by(user)
        user.oauth2_provider_application.update(**application)
        return made

    return caller


def of_client(by: Callable[..., Caller], **client: Any) -> Callable[[Any], Caller]:
    """Return the caller with a credential of a client that is changed."""

    def caller(user: Any) -> Caller:
        made = by(user)
        ApiClient.objects.filter(user=user).update(**client)
        return made

    return caller


def of_two(user: Any) -> Caller:
    ApplicationFactory(user=user)
    return by_jwt(user)


REFUSED = Who(superuser=True, changes=False)

REST: dict[str, tuple[Callable[[Any], Caller], Who]] = {
    **{f"session: {' '.join(some_)}": (by_session, Who(frozenset(some_))) for some_ in subsets()},
    **{f"JWT: {' '.join(some_)}": (by_jwt, Who(frozenset(some_))) for some_ in subsets()},
    "session of a superuser": (by_session, Who(superuser=True)),
    "JWT of a superuser": (by_jwt, Who(superuser=True)),
    "token": (by_bearer, Who()),
    "token of a superuser": (by_bearer, Who(superuser=True)),
    **{
        f"token, scope {scope or 'none'}": (lambda user, scope=scope: by_bearer(user, scope=scope), REFUSED)
        for scope in ("", "read", "profile", "email", "api_provisioning:write")
    },
    "JWT, scope read": (lambda user: by_jwt(user, "read"), REFUSED),
    "JWT of a restricted client": (by_restricted, Who(restricted=True)),
    "JWT of a superuser's restricted client": (by_restricted, Who(superuser=True, restricted=True)),
    "JWT of a user with two applications": (of_two, REFUSED),
    **{
        f"{name} {what}": (build(by), REFUSED)
        for name, by in (("token", by_bearer), ("JWT", by_jwt))
        for what, build in {
            "of a third party": lambda by: changed(by, authorization_grant_type="authorization-code"),
            "of a public application": lambda by: changed(by, client_type="public"),
            "of an unmanaged application": lambda by: lambda user: by(user, managed=False),
            "of a retired client": lambda by: of_client(by, state="retired"),
            "from before the last cut": lambda by: of_client(by, last_cut=datetime.now(UTC) + timedelta(days=1)),
        }.items()
    },
}

BODIES: dict[str, dict[str, Any]] = {
    "create": {"name": "new"},
    "create superuser": {"name": "new", "staff": True, "superuser": True},
    "share": {"name": "new", "username": "report", "use_existing_user": True},
    "change": {"contact": "ann@example.org"},
    "grow": {"permissions": [MODES]},
    "grow with reissue": {"permissions": [MODES], "reissue": True},
    "retire": {"retire": True},
}


def asked(action: str) -> tuple[str, str, dict[str, Any]]:
    """Return method, path and body of the request for an action."""
    body = BODIES.get(action, {})
    if "name" in body:
        return "POST", "/clients/", body
    if action in ("change", "grow", "grow with reissue"):
        return "PATCH", "/clients/report/", body
    return "POST", f"/clients/report/{'revoke' if action == 'retire' else action}/", body


# Targets


def provisioned(authority: Authority = OPERATOR, name: str = "report", **wanted: Any) -> None:
    api.provision(ClientSpec(name=name, **{"email": HIDDEN[0], **wanted}), authority=authority)


def promoted(_caller: Any) -> None:
    provisioned()
    get_user_model().objects.filter(username="report").update(is_superuser=True, is_staff=True)


def demoted(_caller: Any) -> None:
    provisioned(permissions=("auth.view_group",))
    get_user_model().objects.get(username="report").user_permissions.clear()


def shared(_caller: Any) -> None:
    UserFactory(username="report", email=HIDDEN[0])
    for name in ("first", "report"):
        provisioned(name=name, username="report", use_existing_user=True, email=None)


def adopted(_caller: Any) -> None:
    application = ApplicationFactory(client_id="the-id", user=UserFactory(username="report", email=HIDDEN[0]))
    AccessTokenFactory(application=application)
    api.adopt("report", client_id="the-id", authority=OPERATOR)


TARGETS: dict[str, tuple[Callable[[Any], Any], Target]] = {
    "plain": (lambda _caller: provisioned(), Target()),
    "own": (lambda caller: provisioned(person(caller)), Target(received=True)),
    "foreign": (lambda _caller: provisioned(person(UserFactory())), Target(received=True)),
    "stronger": (lambda _caller: provisioned(superuser=True), Target(strong=True)),
    "with a right": (lambda _caller: provisioned(permissions=("auth.view_group",)), Target(strong=True)),
    "restricted": (
        lambda _caller: provisioned(restricted=True, token=False, filters=("content_org:edX",)),
        Target(strong=True, restricted=True),
    ),
    "shared": (shared, Target(strong=True, person=True)),
    "adopted": (adopted, Target(strong=True, person=True)),
    "later promoted": (promoted, Target(strong=True, promoted=True)),
    "later demoted": (demoted, Target()),
}
ACTIONS = (
    "create", "create superuser", "share", "change", "grow", "grow with reissue", "token", "secret", "revoke", "retire",
)  # fmt: skip


def pairs(whos: Iterable[str]) -> list[tuple[str, str]]:
    """Return each authority with each target; in the sample with one target, and few subsets of permissions."""
    if FULL:
        return [*itertools.product(whos, TARGETS)]
    few = [name for number, name in enumerate(whos) if ":" not in name or number % 7 == 0]
    return [*zip(few, itertools.cycle(TARGETS))]


def mistakes(who: Who, target: Target, do: Callable[[str], str], *, rest: bool) -> list[str]:
    """Return the actions that do not follow the rule, and refusals that tell or change something.

    Args:
        do: try an action, and return what was answered.
    """
    wrong = []
    # The admin shows the rights of clients to those who may view clients.
    hidden = HIDDEN[:1] if not rest and "view" in who.permissions else HIDDEN
    for action in ACTIONS:
        block = transaction.atomic()
        block._from_testcase = True  # Tasks begin a durable transaction.
        with block:
            before = all_rows()
            answer = do(action)
            worked = all_rows() != before
            if worked != allowed(who, action, target, rest=rest):
                wrong.append(f"{action}: {answer[-300:]}")
            elif not who.views_users and any(each in answer for each in hidden):
                wrong.append(f"{action}: told {answer[-300:]}")
            transaction.set_rollback(True)
    return wrong


@pytest.mark.parametrize(("name", "target"), pairs(REST))
def test_rest_follows_the_rule(name: str, target: str) -> None:
    build, who = REST[name]
    make, seen = TARGETS[target]
    user = make_user(*(who.permissions if not who.superuser else ()), is_superuser=who.superuser)
    make(user)
    caller = build(user)

    def do(action: str) -> str:
        method, path, body = asked(action)
        return f"{(answer := caller(method, path, body)).status_code} {answer.content.decode()}"

    seen = replace(seen, received=seen.received and not (target == "own" and who.superuser))
    assert mistakes(who, seen, do, rest=True) == []


ADMIN = {
    **{f"staff: {' '.join(some_)}": Who(frozenset(some_)) for some_ in subsets()},
    "superuser": Who(superuser=True),
}
PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "create": ("provision", {"name": "new"}),
    "create superuser": ("provision", {"name": "new", "staff": "on", "superuser": "on"}),
    "share": ("provision", {"name": "new", "username": "report", "use_existing_user": "on"}),
    "change": ("provision", {"contact": "ann@example.org"}),
    "grow": ("provision", {"permissions": MODES}),
    "grow with reissue": ("provision", {"permissions": MODES, "reissue": "on"}),
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


@pytest.mark.parametrize(("name", "target"), pairs(ADMIN))
def test_admin_follows_the_rule(name: str, target: str) -> None:
    who = ADMIN[name]
    make, seen = TARGETS[target]
    browser = Browser(admin_client.make_staff(*who.permissions, is_staff=True, is_superuser=who.superuser))
    make(browser.user)

    def do(action: str) -> str:
        page, answers = PAGES[action]
        query = "" if "name" in answers else f"client={ApiClient.objects.get(name='report').pk}"
        answer = sent(browser, page, query, answers)
        return f"{answer.status_code} {admin_client.text(answer)}"

    seen = replace(seen, received=seen.received and not (target == "own" and who.superuser))
    assert mistakes(who, seen, do, rest=False) == []


def by_api(action: str) -> str:
    name = BODIES.get(action, {}).get("name", "report")
    wanted = {k: tuple(v) if isinstance(v, list) else v for k, v in BODIES.get(action, {}).items()}
    try:
        if action in ("token", "secret"):
            api.rotate(name, token=action == "token", secret=action == "secret", authority=OPERATOR)
        elif action in ("revoke", "retire"):
            api.revoke(name, retire=action == "retire", authority=OPERATOR)
        elif name == "report":
            api.provision(change_client(name, api.get_client(name).declared, wanted), authority=OPERATOR)
        else:
            api.provision(ClientSpec(**wanted), authority=OPERATOR)
    except ProvisioningError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("target", TARGETS)
def test_operator_is_not_limited(target: str) -> None:
    make, seen = TARGETS[target]
    make(UserFactory())

    assert mistakes(Who(superuser=True), seen, by_api, rest=False) == []


@pytest.mark.parametrize("target", TARGETS)
def test_tasks_follow_the_rule(target: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make, seen = TARGETS[target]
    make(UserFactory())
    ApiClient.objects.update(token_issued=None)  # A token of unknown age is due.
    numbers = itertools.count()

    def do(action: str) -> str:
        caplog.clear()
        options = {"directory": str(tmp_path / str(next(numbers)))}
        if action == "token":
            tasks.rotate_expiring.apply((["report"],), {**options, "within": "900d"})
        elif action in ("secret", "revoke", "retire"):
            by_api(action)  # There is no task for it.
        else:
            client = {"name": "report", **BODIES[action]}
            tasks.provision_manifest.apply((json.dumps({"clients": [client]}),), options)
        return caplog.text

    assert mistakes(Who(superuser=True), seen, do, rest=False) == []
