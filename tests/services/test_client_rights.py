"""Test provisioning with rights: each option, its rows, its limits and its errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from oauth2_provider.models import get_access_token_model

from common.djangoapps.student import roles
from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning import api
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.exceptions import Conflict, InvalidSpec, NotAllowed
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication
from tests.factories import OPERATOR, AccessTokenFactory, ApplicationFactory, UserFactory, person, provisioned, run
from tests.lifecycle_helpers import answer

pytestmark = pytest.mark.django_db

COURSE = "course-v1:CET+GW_01+2021_2022_FA"
MODES = "course_modes.change_coursemode"
DEACTIVATE = "student.can_deactivate_users"
CANCEL = "user_api.change_userretirementstatus"


@pytest.fixture(autouse=True)
def groups(db: None, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    Group.objects.create(name="ops").permissions.add(permission(MODES))
    Group.objects.create(name="Data Science")


def permission(name: str) -> Permission:
    app_label, codename = name.split(".")
    return Permission.objects.get(content_type__app_label=app_label, codename=codename)


def provision(name: str = "bot", **wanted: Any) -> Credentials:
    return api.provision(ClientSpec(name=name, **wanted), authority=OPERATOR)


def client(name: str = "bot") -> ApiClient:
    return ApiClient.objects.select_related("user", "application").get(name=name)


def user_rights(username: str = "bot") -> dict[str, set[Any]]:
    """Return the non-empty rights of the service user, read from the rows."""
    user = User.objects.get(username=username)
    rights = {
        "permissions": {f"{each.content_type.app_label}.{each.codename}" for each in user.user_permissions.all()},
        "groups": {group.name for group in user.groups.all()},
        "roles": {(row.role, row.org, str(row.course_id or "")) for row in CourseAccessRole.objects.filter(user=user)},
    }
    return {kind: values for kind, values in rights.items() if values}


def application_access(name: str = "bot") -> tuple[set[str], set[str], bool]:
    """Return scopes and filters of the application and whether it is restricted, read from the rows."""
    application = client(name).application
    row = ApplicationAccess.objects.filter(application=application).first()
    restricted = RestrictedApplication.objects.filter(application=application).exists()
    return {*(row.scopes if row else ())}, {*(row.filters or () if row else ())}, restricted


def all_row_counts() -> dict[str, int]:
    """Return the number of rows of every table, including many-to-many tables."""
    models = apps.get_models(include_auto_created=True)
    return {model._meta.db_table: model._base_manager.count() for model in models if model._meta.managed}


def overprivileged() -> dict[str, tuple[str, ...]]:
    return {each.name: each.excess for each in api.list_clients(overprivileged=True)}


# Each option


EVERY_RIGHT = (
    f"--permission={MODES}",
    f"--permission={DEACTIVATE}",
    "--group=ops",
    "--group=Data Science",
    f"--course-role=staff@{COURSE}",
    "--course-role=instructor@CET",
    "--global-role=support",
)


def test_options_grant_only_their_rights() -> None:
    made = provisioned("bot", *EVERY_RIGHT)
    rights, before = user_rights(), all_row_counts()
    user = User.objects.get(username="bot")
    assert (made["status"], user.is_staff, user.is_superuser) == ("created", False, False)
    assert rights == {
        "permissions": {MODES, DEACTIVATE},
        "groups": {"ops", "Data Science"},
        "roles": {("staff", "CET", COURSE), ("instructor", "CET", ""), ("support", "", "")},
    }
    assert application_access() == (set(), set(), False)

    again = provisioned("bot", *EVERY_RIGHT)
    assert (again["status"], again["client_secret"], again["access_token"]) == ("unchanged", None, None)
    assert (user_rights(), all_row_counts()) == (rights, before)


@pytest.mark.parametrize(
    ("wanted", "access"),
    [
        ({"scopes": ("read", "grades:read", "user_id")}, ({"grades:read", "user_id"}, set(), False)),
        ({"filters": ("content_org:CET",)}, (set(), {"content_org:CET"}, False)),
        (
            {"scopes": ("grades:read",), "filters": ("content_org:CET", "tpa_provider:saml"), "restricted": True},
            ({"grades:read"}, {"content_org:CET", "tpa_provider:saml"}, True),
        ),
    ],
)
def test_scopes_and_filters_are_of_the_application(wanted: dict[str, Any], access: Any) -> None:
    provision(staff=True, permissions=(CANCEL,), **wanted)
    assert application_access() == access
    assert (client().user.is_staff, user_rights()) == (True, {"permissions": {CANCEL}})
    before = all_row_counts()
    assert provision(**wanted).status == "unchanged"
    assert (application_access(), all_row_counts()) == (access, before)


def test_default_scopes_need_no_row() -> None:
    provision(scopes=("read", "write"))
    assert not ApplicationAccess.objects.exists()


def test_restricted_client_gets_no_token() -> None:
    made = provisioned("bot", "--restricted", "--scope", "grades:read")
    assert (made["access_token"], made["expires_at"], made["token_type"]) == (None, None, None)
    assert made["client_secret"]
    assert not client().application.accesstoken_set.exists()


def test_profile_grants_and_is_recorded() -> None:
    provisioned("bot", "--profile", "commerce")
    assert user_rights() == {"permissions": {MODES}}
    assert client().profile == "commerce"
    assert provisioned("bot", "--profile", "commerce")["status"] == "unchanged"


def test_profile_and_options_combine() -> None:
    provisioned("bot", "--profile", "commerce", "--permission", DEACTIVATE, "--group", "ops")
    assert user_rights() == {"permissions": {MODES, DEACTIVATE}, "groups": {"ops"}}


def test_option_completes_profile() -> None:
    provisioned("bot", "--profile", "gradebook", "--course-role", f"limited_staff@{COURSE}")
    assert user_rights() == {"roles": {("limited_staff", "CET", COURSE)}}


# Refusals


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["run", "dry run"])
@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ("--permission course_modes.fly", "--permission: this site has no permission course_modes.fly."),
        ("--group OPS", "--group: this site has no group OPS. Did you mean ops?"),
        ("--profile grades", "--filter: the profile grades needs one of the form content_org:{org}."),
    ],
)
def test_refusal_is_one_line_and_writes_nothing(arguments: str, refusal: str, more: tuple[str, ...]) -> None:
    before = all_row_counts()
    assert run("bot", *arguments.split(), *more).refusal == refusal
    assert all_row_counts() == before


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ("--profile enrollments", "--staff: staff clients are not allowed here (EDX_API_PROVISIONING['ALLOW_STAFF'])."),
        ("--scope grades:read", "--scope: unknown scope grades:read. Available: read."),
        (
            "--profile grades --filter content_org:CET",
            "--scope: unknown scope grades:read. Available: read.",
        ),
    ],
)
def test_site_policy_covers_profile_rights(settings: Any, arguments: str, refusal: str) -> None:
    settings.EDX_API_PROVISIONING = {
        **settings.EDX_API_PROVISIONING,
        "ALLOW_STAFF": False,
        "ALLOWED_SCOPES": ["read"],
    }
    before = all_row_counts()
    assert run("bot", *arguments.split()).refusal == refusal
    assert all_row_counts() == before


def test_plain_django_has_no_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lms, "_model", lambda label: None)
    with pytest.raises(InvalidSpec, match=r"^profile: unknown profile\.$"):
        provision(profile="gradebook")


# Users created here get exactly the declared rights


def test_declared_rights_replace_old() -> None:
    provision(permissions=(MODES,), groups=("ops",), course_roles=(f"staff@{COURSE}",), global_roles=("support",))
    changed = provision(permissions=(MODES, DEACTIVATE), course_roles=("staff@CET",))
    assert user_rights() == {"permissions": {MODES, DEACTIVATE}, "roles": {("staff", "CET", "")}}
    assert changed.status == "updated"
    assert set(changed.changes) >= {
        f"Granted the user course_role:staff@CET, permission:{DEACTIVATE}.",
        f"Removed course_role:staff@{COURSE}, global_role:support, group:ops from the user.",
    }
    assert provision(permissions=(MODES, DEACTIVATE), course_roles=("staff@CET",)).status == "unchanged"

    provision(permissions=())
    assert (user_rights(), client().declared_rights) == ({}, [])


def test_rights_changed_by_others_are_corrected() -> None:
    provision(permissions=(MODES,), groups=("ops",))
    user = User.objects.get(username="bot")
    user.groups.clear()
    user.user_permissions.add(permission(DEACTIVATE))
    CourseAccessRole.objects.create(user=user, role="support")
    provision(permissions=(MODES,), groups=("ops",))
    assert user_rights() == {"permissions": {MODES}, "groups": {"ops"}}


@pytest.mark.parametrize(
    "given",
    [
        ("--staff",),
        ("--superuser",),
        ("--profile", "commerce"),
        ("--profile", "retirement"),
        ("--permission", MODES, "--group", "ops", "--scope", "grades:read", "--filter", "content_org:CET"),
    ],
)
def test_contact_alone_changes_nothing_else(settings: Any, given: tuple[str, ...]) -> None:
    settings.RETIREMENT_SERVICE_WORKER_USERNAME = "bot"
    provisioned("bot", *given)
    kept = "is_staff", "is_superuser", "profile", "declared_rights", "access_token_id", "user_id"
    before = user_rights(), application_access(), ApiClient.objects.values(*kept).get()

    assert provisioned("bot", "--contact", "ops@example.org")["status"] == "updated"
    assert client().contact == "ops@example.org"
    assert (user_rights(), application_access(), ApiClient.objects.values(*kept).get()) == before


def test_declared_scopes_and_filters_replace_old() -> None:
    provision(scopes=("read", "grades:read"), filters=("content_org:CET", "content_org:edX"))
    provision(scopes=("read", "user_id"), filters=("content_org:edX",))
    assert application_access() == ({"user_id"}, {"content_org:edX"}, False)
    provision(scopes=("read",))
    assert application_access() == (set(), {"content_org:edX"}, False)
    provision(filters=())
    assert not ApplicationAccess.objects.exists()


def test_role_spelling_is_corrected() -> None:
    provision(course_roles=("staff@course-v1:cet+gw_01+1",))
    provision(course_roles=("staff@course-v1:CET+GW_01+1",))
    assert user_rights() == {"roles": {("staff", "CET", "course-v1:CET+GW_01+1")}}


def test_new_profile_replaces_old() -> None:
    provision(profile="commerce")
    provision(profile="course-catalog")
    assert (user_rights(), client().declared_rights) == ({}, [])


# Existing users only gain rights, and only on request


@pytest.fixture
def ada() -> User:
    user = UserFactory(username="ada")
    user.user_permissions.add(permission(DEACTIVATE))
    user.groups.add(Group.objects.get(name="ops"))
    CourseAccessRole.objects.create(user=user, role="staff", org="edX")
    return user


def test_existing_user_keeps_its_rights(ada: User) -> None:
    provision(username="ada", use_existing_user=True, permissions=(MODES,), course_roles=("staff@CET",))
    assert user_rights("ada") == {
        "permissions": {MODES, DEACTIVATE},
        "groups": {"ops"},
        "roles": {("staff", "edX", ""), ("staff", "CET", "")},
    }
    before = user_rights("ada")
    provision(username="ada", use_existing_user=True, permissions=(), groups=())
    assert user_rights("ada") == before


@pytest.mark.parametrize(
    "arguments", [["--permission", MODES], ["--course-role", "staff@CET"], ["--profile", "commerce"]]
)
def test_existing_user_gains_rights_on_request(ada: User, arguments: list[str]) -> None:
    provision(username="ada", use_existing_user=True)
    before = all_row_counts(), user_rights("ada")
    lacking = "course_role:staff@CET" if "--course-role" in arguments else f"permission:{MODES}"
    assert run("bot", *arguments).refusal == (
        f"--username: the existing account ada lacks {lacking}; pass --use-existing-user to grant that."
    )
    assert (all_row_counts(), user_rights("ada")) == before
    assert provisioned("bot", "--use-existing-user", *arguments)["status"] == "updated"


def test_rights_already_held_need_no_option(ada: User) -> None:
    provision(username="ada", use_existing_user=True)
    before = user_rights("ada")
    provision(permissions=(DEACTIVATE,), groups=("ops",))
    assert user_rights("ada") == before


@pytest.mark.databases
@pytest.mark.vendor("mysql")
def test_mysql_near_match_role_is_one_line(ada: User) -> None:
    before = all_row_counts(), user_rights("ada")
    ran = run("bot", "--username=ada", "--use-existing-user", "--course-role=staff@edx")
    assert "is already taken, " in ran.refusal
    assert ran.refusal.endswith("Nothing was changed (IntegrityError 1062).")
    assert (all_row_counts(), user_rights("ada")) == before


@pytest.fixture
def adopted(ada: User) -> ApiClient:
    application = ApplicationFactory(user=ada)
    ApplicationAccess.objects.create(application=application, scopes=["grades:read"], filters=["content_org:edX"])
    AccessTokenFactory(application=application)
    api.adopt("bot", client_id=application.client_id, authority=OPERATOR)
    return client()


def test_adopted_application_only_gains(adopted: ApiClient) -> None:
    provision(scopes=("read", "user_id"), filters=("content_org:CET",), reissue=True)
    assert application_access() == ({"grades:read", "user_id"}, {"content_org:edX", "content_org:CET"}, False)
    provision(scopes=("read",), filters=())
    assert application_access() == ({"grades:read", "user_id"}, {"content_org:edX", "content_org:CET"}, False)


def test_adoption_declares_found_rights(adopted: ApiClient) -> None:
    assert adopted.declared_rights == [
        "course_role:staff@edX",
        "filter:content_org:edX",
        "group:ops",
        f"permission:{DEACTIVATE}",
        "scope:grades:read",
    ]
    assert overprivileged() == {}


def test_permissions_of_a_group_stay_those_of_the_group(adopted: ApiClient) -> None:
    User.objects.get(username="ada").delete()

    provision()
    assert User.objects.get(username=client("bot").user.username).has_perm(MODES)
    Group.objects.get(name="ops").permissions.clear()
    assert not User.objects.get(username=client("bot").user.username).has_perm(MODES)


def test_declared_group_that_is_gone_is_named() -> None:
    Group.objects.create(name="ops2")
    provision(groups=("ops2",))
    Group.objects.get(name="ops2").delete()
    User.objects.get(username="bot").delete()

    with pytest.raises(InvalidSpec, match="this site has no group ops2") as refusal:
        provision()
    assert refusal.value.field == "groups"
    assert provision(groups=()).status == "updated"


def test_adopted_user_gains_rights_on_request(adopted: ApiClient) -> None:
    with pytest.raises(Conflict):
        provision(global_roles=("support",))
    provision(global_roles=("support",), use_existing_user=True, reissue=True)
    assert user_rights("ada")["roles"] == {("staff", "edX", ""), ("support", "", "")}


# Restrictions


def test_live_token_prevents_restriction() -> None:
    provision()
    before = all_row_counts()
    assert run("bot", "--restricted").refusal == (
        "--restricted: the client has an access token, which a restriction would not revoke; revoke it first."
    )
    assert all_row_counts() == before
    api.revoke("bot", authority=OPERATOR)
    assert provision(restricted=True).status == "updated"
    assert application_access() == (set(), set(), True)


@pytest.mark.parametrize(
    "issue",
    [
        lambda: AccessTokenFactory(application=client().application),
        lambda: api.rotate("bot", authority=OPERATOR, token=False, secret=True, grace=timedelta(days=1)),
    ],
    ids=["granted token", "old secret"],
)
def test_received_credentials_prevent_restriction(issue: Callable[[], object]) -> None:
    provision(token=False)
    issue()
    with pytest.raises(Conflict, match="revoke"):
        provision(restricted=True)
    assert application_access() == (set(), set(), False)


def test_restriction_keeps_scopes_and_filters() -> None:
    provision(scopes=("grades:read",), filters=("content_org:CET",), token=False)
    provision(restricted=True)
    assert application_access() == ({"grades:read"}, {"content_org:CET"}, True)


def test_restricted_client_is_made_again_restricted() -> None:
    wanted: dict[str, Any] = {"scopes": ("grades:read",), "filters": ("content_org:CET",)}
    provision(restricted=True, **wanted)
    before = application_access("bot")
    client("bot").application.delete()

    made = provision(contact="ann@example.org")

    assert (application_access("bot"), made.access_token, made.client_secret is None) == (before, None, False)
    assert api.get_client("bot").issues == ()
    client("bot").application.delete()
    provision(filters=())
    assert application_access("bot") == ({"grades:read"}, set(), True)


def test_adopted_client_is_still_declared_restricted() -> None:
    """A promoted user is accepted by adopting the client again."""
    provision(restricted=True, filters=("content_org:CET",))
    User.objects.filter(username="bot").update(is_staff=True)

    api.adopt("bot", client_id=client("bot").application.client_id, authority=OPERATOR)

    assert api.get_client("bot").issues == ()
    assert "restricted" in client("bot").declared_rights


def test_lifted_restriction_is_not_used() -> None:
    provision(restricted=True, filters=("content_org:CET",))
    RestrictedApplication.objects.all().delete()

    for wanted in ({"token": True}, {"filters": ()}, {}):
        with pytest.raises(Conflict, match="no longer restricted; restrict it again with --restricted, or adopt"):
            provision(**wanted)

    assert provision(restricted=True).status == "updated"
    RestrictedApplication.objects.all().delete()
    api.adopt("bot", client_id=client("bot").application.client_id, authority=OPERATOR)
    assert provision(token=True).access_token is not None


def test_application_in_its_grace_period_stays_restricted() -> None:
    provision(restricted=True, filters=("content_org:CET",))
    old = client("bot").application
    api.rotate("bot", token=False, secret=True, grace=timedelta(days=1), authority=OPERATOR)
    # Somebody lifts the restriction of the new one, and has that accepted.
    RestrictedApplication.objects.filter(application=client("bot").application).delete()
    api.adopt("bot", client_id=client("bot").application.client_id, authority=OPERATOR)

    provision(filters=("content_org:CET", "content_org:edX"))

    assert RestrictedApplication.objects.get().application == old


def test_declared_rights_come_back_with_the_user() -> None:
    provision(permissions=(MODES,), course_roles=("staff@edX",))
    User.objects.get(username="bot").delete()

    provision()

    assert User.objects.get(username="bot").has_perm(MODES)
    assert api.client_rights("bot") >= {f"permission:{MODES}", "course_role:staff@edX"}
    assert provision().status == "unchanged"


def test_declared_scopes_come_back_with_the_application() -> None:
    wanted: dict[str, Any] = {"scopes": ("read", "grades:read")}
    provision(**wanted)
    client("bot").application.delete()

    provision()
    assert application_access() == ({"grades:read"}, set(), False)
    client("bot").application.delete()
    provision(scopes=("read",))
    assert application_access() == (set(), set(), False)
    assert provision(scopes=("read",)).status == "unchanged"


def test_no_scopes_are_the_default_ones() -> None:
    assert provision(scopes=()).scopes == ("read", "write", "email", "profile")
    assert provision(scopes=()).status == "unchanged"


def test_restriction_by_hand_is_accepted_with_its_token() -> None:
    made = provision()
    RestrictedApplication.objects.create(application=client("bot").application)

    provision(restricted=True, filters=("content_org:CET",))

    assert answer(made.access_token) == "ok"
    assert client("bot").access_token is not None


def test_restricted_client_forgets_a_token_whose_row_is_gone() -> None:
    provision()
    get_access_token_model().objects.all().delete()

    provision(restricted=True)

    assert api.get_client("bot").issues == ()
    assert provision().status == "unchanged"


def test_omitting_restricted_keeps_restriction() -> None:
    provision(restricted=True, scopes=("grades:read",))
    assert provision(token=False, scopes=("user_id",)).status == "updated"
    assert application_access() == ({"user_id"}, set(), True)


# Dry runs


def test_dry_run_lists_additions() -> None:
    before = all_row_counts()
    ran = run("bot", "--dry-run", "--restricted", "--scope=grades:read", "--filter=content_org:CET", *EVERY_RIGHT)
    assert ran.code == 0
    roles = f"course_role:instructor@CET, course_role:staff@{COURSE}, global_role:support"
    access = "scope:grades:read, filter:content_org:CET, restricted to these"
    assert {
        f"Would grant the user {roles}, group:Data Science, group:ops, permission:{MODES}, permission:{DEACTIVATE}.",
        f"Would let the application request: {access}.",
    } <= {*ran.stdout.splitlines()}
    assert "access token" not in ran.stdout
    assert all_row_counts() == before


def test_dry_run_lists_removals() -> None:
    provision(permissions=(MODES,), groups=("ops",), scopes=("grades:read",))
    before = all_row_counts(), user_rights(), application_access()
    ran = run("bot", "--dry-run", "--group", "ops", "--scope", "read")
    assert f"Would remove permission:{MODES} from the user." in ran.stdout.splitlines()
    assert "Would let the application request: the default scopes only." in ran.stdout.splitlines()
    assert (all_row_counts(), user_rights(), application_access()) == before


# Declared rights and excess

DECLARED = {
    "permissions": (MODES,),
    "groups": ("Data Science",),
    "course_roles": (f"staff@{COURSE}",),
    "global_roles": ("support",),
    "scopes": ("read", "grades:read"),
    "filters": ("content_org:CET",),
}


def test_declared_rights_are_recorded_and_updated() -> None:
    provision(**DECLARED)
    assert client().declared_rights == [
        f"course_role:staff@{COURSE}",
        "filter:content_org:CET",
        "global_role:support",
        "group:Data Science",
        f"permission:{MODES}",
        "scope:grades:read",
    ]
    provision(permissions=(DEACTIVATE,))
    assert client().declared_rights == ["filter:content_org:CET", f"permission:{DEACTIVATE}", "scope:grades:read"]
    provision(scopes=("user_id",), filters=())
    assert client().declared_rights == [f"permission:{DEACTIVATE}", "scope:user_id"]


def _flag(**flags: bool) -> Callable[[User], Any]:
    return lambda user: User.objects.filter(pk=user.pk).update(**flags)


def _access(field: str, value: str) -> Callable[[User], Any]:
    def give(user: User) -> None:
        row = ApplicationAccess.objects.get(application=client().application)
        setattr(row, field, [*getattr(row, field), value])
        row.save()

    return give


EXCESS: dict[str, tuple[Callable[[User], Any], tuple[str, ...]]] = {
    "superuser": (_flag(is_superuser=True), ("superuser",)),
    "staff": (_flag(is_staff=True), ("staff",)),
    "permission": (
        lambda user: user.user_permissions.add(permission(DEACTIVATE)),
        (f"permission:{DEACTIVATE}",),
    ),
    "group": (lambda user: user.groups.add(Group.objects.create(name="none of its own")), ("group:none of its own",)),
    "group with a permission that it has": (
        lambda user: user.groups.add(Group.objects.get(name="ops")),
        ("group:ops",),
    ),
    "permission by another group": (
        lambda user: _group_with(DEACTIVATE).user_set.add(user),
        ("group:more", f"permission:{DEACTIVATE}"),
    ),
    "course role": (
        lambda user: CourseAccessRole.objects.create(user=user, role="instructor", org="CET", course_id=COURSE),
        (f"course_role:instructor@{COURSE}",),
    ),
    "scope": (_access("scopes", "user_id"), ("scope:user_id",)),
    "filter": (_access("filters", "content_org:edX"), ("filter:content_org:edX",)),
}


def _group_with(name: str) -> Group:
    group = Group.objects.create(name="more")
    group.permissions.add(permission(name))
    return group


@pytest.mark.parametrize("case", EXCESS)
def test_undeclared_rights_are_reported(case: str) -> None:
    give, excess = EXCESS[case]
    provision("other", **DECLARED)
    provision(**DECLARED)
    assert overprivileged() == {}
    give(client().user)
    assert overprivileged() == {"bot": excess}


@pytest.mark.parametrize(
    "wanted",
    [{}, {"staff": True}, {"superuser": True}, DECLARED, {"groups": ("ops",)}, {"profile": "retirement"}],
    ids=["nothing", "staff", "superuser", "every kind", "a group with a permission", "a profile by name"],
)
def test_declared_rights_are_not_reported(wanted: dict[str, Any]) -> None:
    provision(**wanted)
    assert overprivileged() == {}


def test_existing_account_rights_are_accepted(ada: User) -> None:
    provision(username="ada", use_existing_user=True)
    assert overprivileged() == {}
    provision("another", username="ada", use_existing_user=True, permissions=(MODES,))
    assert overprivileged() == {}
    ada.user_permissions.add(permission(CANCEL))
    excess = (f"permission:{CANCEL}",)
    assert overprivileged() == {"another": excess, "bot": (*excess,)}


def test_superuser_reports_only_extra_rights() -> None:
    provision(superuser=True)
    client().user.user_permissions.add(permission(MODES))
    assert overprivileged() == {"bot": (f"permission:{MODES}",)}


# Who asks


@pytest.mark.parametrize(
    ("wanted", "lacking"),
    [
        ({"staff": True}, "staff"),
        ({"superuser": True}, "superuser, staff"),
        ({"permissions": (MODES,)}, f"permission:{MODES}"),
        ({"groups": ("ops",)}, "group:ops"),
        ({"course_roles": (f"staff@{COURSE}",)}, f"course_role:staff@{COURSE}"),
        ({"global_roles": ("support",)}, "global_role:support"),
        ({"scopes": ("grades:read",)}, "scope:grades:read"),
        ({"filters": ("content_org:CET",)}, "filter:content_org:CET"),
        ({"profile": "commerce"}, f"permission:{MODES}"),
        ({"name": "RETIREMENT_SERVICE_USER"}, "name:retirement"),
        ({"username": "retirement_service_user"}, "name:retirement"),
    ],
)
def test_cannot_grant_rights_one_lacks(wanted: dict[str, Any], lacking: str) -> None:
    asker, superuser = UserFactory(), UserFactory(is_superuser=True)
    spec = ClientSpec(**{"name": "bot", **wanted})
    before = all_row_counts()
    for ask in (api.plan_client, partial(api.provision, authority=OPERATOR)):
        with pytest.raises(NotAllowed) as raised:
            ask(spec, authority=person(asker))
        assert f"that you do not have: {lacking}. Ask" in raised.value.message
    assert all_row_counts() == before
    assert api.provision(spec, authority=person(superuser, "test")).status == "created"


def test_jwt_command_requests_given_scopes() -> None:
    shown = run("bot", "--restricted", "--scope", "grades:read").stderr
    assert "--data-urlencode 'scope=read write email profile grades:read'" in shown


# The plan


# Roles and courses that the LMS does not have


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ({"course_roles": (f"stuff@{COURSE}",)}, "course_roles: this site has no role stuff. Did you mean staff?"),
        ({"global_roles": ("supprt",)}, "global_roles: this site has no role supprt. Did you mean support?"),
        (
            {"global_roles": ("queen",)},
            "global_roles: this site has no role queen. Available: beta_testers, course_creator_group, "
            "data_researcher, finance_admin, instructor, library_user, limited_staff, org_course_creator_group, "
            "sales_admin, staff, support.",
        ),
    ],
)
def test_unknown_role_is_refused(wanted: dict[str, Any], line: str) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        api.plan_client(ClientSpec(name="bot", **wanted), authority=OPERATOR)

    assert f"{refusal.value.field}: {refusal.value.message}" == line


def test_roles_of_the_site_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(roles.REGISTERED_ACCESS_ROLES, "course_marker", object)

    assert provision(course_roles=(f"course_marker@{COURSE}",)).issued


def test_unknown_course_is_warned_of() -> None:
    CourseOverview.objects.create(id=COURSE, org="CET")
    spec = ClientSpec(name="bot", course_roles=(f"staff@{COURSE}", "staff@course-v1:CET+GW_01+No", "staff@CET"))
    warning = (
        "the LMS has no course course-v1:CET+GW_01+No; check the course key. The role has no effect until the course "
        "exists."
    )

    assert api.plan_client(spec, authority=OPERATOR).warnings == (warning,)
    assert api.provision(spec, authority=OPERATOR).warnings == (warning,)
    assert api.provision(spec, authority=OPERATOR).warnings == ()
