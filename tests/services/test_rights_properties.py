"""Test with generated options that no caller can grant more than its own rights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning import api
from edx_api_provisioning.adapters import access_catalogue
from edx_api_provisioning.core.exceptions import NotAllowed, ProvisioningError
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication
from tests import sampling
from tests.factories import ApplicationFactory, UserFactory, operator, person, row_counts

pytestmark = pytest.mark.django_db

COURSE = "course-v1:CET+GW_01+2021_2022_FA"
WORKER = "RETIREMENT_SERVICE_USER"
PERMISSIONS = ("course_modes.change_coursemode", "student.can_deactivate_users", "user_api.change_userretirementstatus")
GROUPS = {"modes": PERMISSIONS[:1], "retirement": PERMISSIONS[1:], "empty": ()}
# The written right, and its row.
COURSE_ROLES = {
    f"limited_staff@{COURSE}": ("limited_staff", "CET", COURSE),
    f"staff@{COURSE}": ("staff", "CET", COURSE),
    "staff@CET": ("staff", "CET", ""),
}
GLOBAL_ROLES = {"support": ("support", "", ""), "staff": ("staff", "", "")}
SCOPES = ("read", "grades:read", "certificates:read")
FILTERS = ("content_org:CET", "content_org:edX", "tpa_provider:saml")


@dataclass(frozen=True)
class Has:
    """The rights of one account."""

    superuser: bool = False
    staff: bool = False
    permissions: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    roles: frozenset[tuple[str, str, str]] = frozenset()

    def give(self, user: User) -> User:
        # A superuser who is not staff cannot be requested here.
        user.is_superuser, user.is_staff = self.superuser, self.staff or self.superuser
        user.save()
        user.user_permissions.add(*_permissions(self.permissions))
        user.groups.add(*Group.objects.filter(name__in=self.groups))
        rows = (CourseAccessRole(user=user, role=role, org=org, course_id=where) for role, org, where in self.roles)
        CourseAccessRole.objects.bulk_create(rows)
        return user


@dataclass(frozen=True)
class Application:
    """The scopes and filters of an application."""

    scopes: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    restricted: bool = False

    def give(self, application: Any) -> None:
        ApplicationAccess.objects.filter(application=application).delete()
        if self.scopes or self.filters:
            ApplicationAccess.objects.create(application=application, scopes=self.scopes, filters=self.filters or None)
        if self.restricted:
            RestrictedApplication.objects.get_or_create(application=application)


@dataclass(frozen=True)
class World:
    """The state before the request: the account ``ada`` and perhaps the client ``bot``."""

    ada: Has
    bot: str
    """``absent``, ``made`` here, ``existing`` (one of ada's), or ``adopted`` (created by ada)."""
    bot_has: Has
    """The current rights of the user if ``made``."""
    application: Application

    def make(self) -> Any:
        """Create it, and return the application of ada."""
        ada = self.ada.give(UserFactory(username="ada"))
        application = ApplicationFactory(user=ada, client_id="ada-s")
        if self.bot == "made":
            flags = {"staff": self.bot_has.staff, "superuser": self.bot_has.superuser}
            api.provision(ClientSpec(name="bot", token=False, **flags), authority=operator("operator"))
            self.bot_has.give(User.objects.get(username="bot"))
        elif self.bot == "existing":
            flags = {"staff": ada.is_staff, "superuser": ada.is_superuser}
            spec = ClientSpec(name="bot", username="ada", use_existing_user=True, token=False, **flags)
            api.provision(spec, authority=operator("operator"))
        elif self.bot == "adopted":
            api.adopt("bot", client_id="ada-s", authority=operator("operator"))
        client = ApiClient.objects.filter(name="bot").first()
        self.application.give(client.application if client else application)
        return application


def _permissions(names: Collection[str]) -> list[Permission]:
    """Return the permissions with these names; no two apps share one."""
    return [*Permission.objects.filter(codename__in=[name.split(".")[1] for name in names])] if names else []


def effective_rights(user: User, application: Any = None) -> frozenset[Any]:
    """Return all rights of an account from Django's and the LMS's own tables, with those of its application."""
    user = User.objects.get(pk=user.pk)
    row = ApplicationAccess.objects.filter(application=application).first() if application is not None else None
    return frozenset(
        [
            *(["superuser"] if user.is_superuser else []),
            *(["staff"] if user.is_staff else []),
            # A superuser has all rights; the flag is sufficient.
            *([] if user.is_superuser else user.get_all_permissions()),
            *(("group", group.name) for group in user.groups.all()),
            *CourseAccessRole.objects.filter(user=user).values_list("role", "org", "course_id"),
            # Names that a database might match in any spelling.
            *(["retirement worker"] if user.username.lower() == WORKER.lower() else []),
            # Only people themselves change their accounts and preferences.
            *([] if ApiClient.objects.filter(user=user, user_made=True).exists() else [("person", user.username)]),
            *(("scope", scope) for scope in (row.scopes if row else ())),
            *(("filter", entry) for entry in (row.filters or () if row else ())),
        ]
    )


def within(rights: frozenset[Any], asker: frozenset[Any]) -> bool:
    return "superuser" in asker or rights <= asker


def user_of(spec: ClientSpec) -> User | None:
    """Return the existing account that the spec refers to."""
    client = ApiClient.objects.select_related("user").filter(name=spec.name).first()
    return client.user if client else User.objects.filter(username=spec.username or spec.name).first()


def of_client(name: str) -> frozenset[Any]:
    client = ApiClient.objects.select_related("user", "application").filter(name=name).first()
    return effective_rights(client.user, client.application) if client and client.user else frozenset()


def written() -> dict[str, int]:
    tables = (User.user_permissions.through, User.groups.through, CourseAccessRole, ApplicationAccess)
    rows = {model._meta.db_table: model._base_manager.count() for model in (*tables, RestrictedApplication)}
    return {**row_counts(), **rows}


# Strategies

subsets = {
    "permissions": st.frozensets(st.sampled_from(PERMISSIONS)),
    "groups": st.frozensets(st.sampled_from(sorted(GROUPS))),
    "roles": st.frozensets(st.sampled_from(sorted({*COURSE_ROLES.values(), *GLOBAL_ROLES.values()}))),
}
seldom = st.sampled_from((False, False, False, True))
has = st.builds(Has, superuser=seldom, staff=st.booleans(), **subsets)
applications = st.one_of(
    st.just(Application()),
    st.builds(
        Application,
        scopes=st.frozensets(st.sampled_from(SCOPES[1:])).map(lambda found: tuple(sorted(found))),
        filters=st.frozensets(st.sampled_from(FILTERS)).map(lambda found: tuple(sorted(found))),
        restricted=st.booleans(),
    ),
)


def worlds(*bots: str) -> st.SearchStrategy[World]:
    return st.builds(World, ada=has, bot=st.sampled_from(bots), bot_has=has, application=applications)


def some(values: Any) -> st.SearchStrategy[tuple[str, ...] | None]:
    """Draw None or a subset."""
    chosen = st.frozensets(st.sampled_from(sorted(values)), max_size=3).map(lambda found: tuple(sorted(found)))
    return st.none() | chosen


specs = st.fixed_dictionaries(
    {
        "name": st.sampled_from(("bot", "bot", "bot", WORKER)),
        "username": st.sampled_from((None, None, None, "ada", WORKER, WORKER.lower())),
        "use_existing_user": st.booleans(),
        "staff": seldom,
        "superuser": seldom,
        "token": st.sampled_from((None, False, True)),
        "restricted": seldom,
        "permissions": some(PERMISSIONS),
        "groups": some(GROUPS),
        "course_roles": some(COURSE_ROLES),
        "global_roles": some(GLOBAL_ROLES),
        "scopes": some(SCOPES),
        "filters": some(FILTERS),
        "profile": st.none() | st.none() | st.sampled_from([profile.name for profile in access_catalogue.profiles()]),
    }
).filter(lambda wanted: not (wanted["token"] and wanted["restricted"]))


# Rotate the token, the secret, or both.
WAYS = ({"token": True}, {"token": False, "secret": True}, {"secret": True})


@dataclass
class Outcomes:
    """Count outcomes, so that a property that never applies fails."""

    counted: Counter[str] = field(default_factory=Counter)

    def require(self, *names: str) -> None:
        assert all(self.counted[name] for name in names), self.counted


def run_examples(examples: int, work: Callable[..., None], **drawn: st.SearchStrategy[Any]) -> None:
    """Run the work for several examples, each rolled back."""

    @settings(max_examples=examples, deadline=None, suppress_health_check=[*HealthCheck])
    @given(**drawn)
    def each(**values: Any) -> None:
        with transaction.atomic():
            work(**values)
            transaction.set_rollback(True)

    each()


@pytest.fixture(autouse=True)
def site(db: None, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    for name, permissions in GROUPS.items():
        Group.objects.create(name=name).permissions.add(*_permissions(permissions))


def refused(ask: Callable[[], Any]) -> ProvisioningError | None:
    """Return the refusal, or None; a refusal must not write anything."""
    before = written()
    try:
        ask()
    except ProvisioningError as error:
        assert written() == before
        return error
    return None


def account(asker: Has, *, worker: bool) -> User:
    return asker.give(UserFactory(username=WORKER if worker else "asker"))


def test_no_options_exceed_own_rights() -> None:
    outcomes = Outcomes()

    def work(asker: Has, worker: bool, world: World, wanted: dict[str, Any], fitting: bool) -> None:
        world.make()
        user = account(asker, worker=worker)
        limit = effective_rights(user)
        spec = ClientSpec(**wanted)
        if fitting and (existing := user_of(spec)):
            # Most drawn specs conflict with an existing account and are refused for that.
            flags = {"staff": existing.is_staff, "superuser": existing.is_superuser}
            spec = replace(spec, username=existing.username, use_existing_user=True, **flags)
        existing = user_of(spec)
        before = of_client(spec.name) | (effective_rights(existing) if existing else frozenset())
        planned = refused(lambda: api.plan_client(spec, authority=person(user)))
        error = refused(lambda: api.provision(spec, authority=person(user, "asker")))
        assert (type(planned), str(planned)) == (type(error), str(error))
        if error is None:
            outcomes.counted["given"] += 1
            assert within(of_client(spec.name), limit)
        elif not isinstance(error, NotAllowed) or "is taken" in str(error):
            outcomes.counted["refused otherwise"] += 1
        else:
            outcomes.counted["not allowed"] += 1
            # The check is meaningful: the unlimited operator gets or has the excess rights.
            api.provision(replace(spec, reissue=True), authority=operator("operator"))
            assert not within(of_client(spec.name) | before, limit)

    run_examples(
        sampling.some(60, 5_000),
        work,
        asker=has,
        worker=seldom,
        world=worlds("absent", "made", "made", "existing", "adopted"),
        wanted=specs,
        fitting=st.booleans(),
    )
    outcomes.require("given", "not allowed", "refused otherwise")


def test_rotation_and_adoption_never_exceed_own_rights() -> None:
    outcomes = Outcomes()

    def work(asker: Has, worker: bool, world: World, which: dict[str, bool]) -> None:
        ada = world.make()
        user = account(asker, worker=worker)
        by = person(user, "asker")
        limit = effective_rights(user)
        if world.bot == "absent":
            carried = effective_rights(ada.user, ada)
            error = refused(lambda: api.adopt("bot", client_id="ada-s", authority=by))
        else:
            carried = of_client("bot")
            error = refused(lambda: api.rotate("bot", authority=by, **which))
        if error is None:
            outcomes.counted["rotated" if world.bot != "absent" else "adopted"] += 1
            assert within(carried, limit)
            assert of_client("bot") == carried
        elif isinstance(error, NotAllowed):
            outcomes.counted["not allowed"] += 1
            assert not within(carried, limit)
        else:
            assert world.bot != "absent"

    run_examples(
        sampling.some(60, 5_000),
        work,
        asker=has,
        worker=seldom,
        world=worlds("absent", "made", "existing", "adopted"),
        which=st.sampled_from(WAYS),
    )
    outcomes.require("rotated", "adopted", "not allowed")


def test_own_account_needs_consent_too() -> None:
    asker = UserFactory(username="ada")
    spec = ClientSpec(name="bot", username="ada", use_existing_user=True)
    assert isinstance(refused(lambda: api.provision(spec, authority=person(asker, "asker"))), NotAllowed)
    assert api.provision(spec, authority=person(UserFactory(is_superuser=True), "root")).username == "ada"
