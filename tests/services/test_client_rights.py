"""Test provisioning with rights: each option, its rows, its limits and its errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import jwt
import pytest
import requests
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User

from common.djangoapps.student import roles
from common.djangoapps.student.models import CourseAccessRole
from edx_api_provisioning import api
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.exceptions import Conflict, InvalidSpec, NotAllowed
from edx_api_provisioning.core.parsing import parse_site_url
from edx_api_provisioning.core.planning import Action
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.core.secrets import basic_authorization
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication
from tests.factories import OPERATOR, AccessTokenFactory, ApplicationFactory, UserFactory, person, provisioned, run

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


@pytest.fixture
def plain_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a site without the LMS models of student and oauth_dispatch."""
    found, absent = lms._model, ("student", "oauth_dispatch")
    monkeypatch.setattr(lms, "_model", lambda label, name: None if label in absent else found(label, name))


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


# Each option of the command

OPTIONS: dict[str, tuple[list[str], dict[str, set[Any]]]] = {
    "permission": (["--permission", MODES], {"permissions": {MODES}}),
    "permissions": (["--permission", MODES, "--permission", DEACTIVATE], {"permissions": {MODES, DEACTIVATE}}),
    "group": (["--group", "Data Science"], {"groups": {"Data Science"}}),
    "course key": (["--course-role", f"staff@{COURSE}"], {"roles": {("staff", "CET", COURSE)}}),
    "organization": (["--course-role", "instructor@CET"], {"roles": {("instructor", "CET", "")}}),
    "global role": (["--global-role", "support"], {"roles": {("support", "", "")}}),
    "all": (
        [
            f"--permission={MODES}",
            "--group=ops",
            f"--course-role=staff@{COURSE}",
            "--course-role=staff@CET",
            "--global-role=support",
        ],
        {
            "permissions": {MODES},
            "groups": {"ops"},
            "roles": {("staff", "CET", COURSE), ("staff", "CET", ""), ("support", "", "")},
        },
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_option_grants_only_its_right(case: str) -> None:
    arguments, wanted = OPTIONS[case]
    assert provisioned("bot", *arguments)["status"] == "created"
    user = User.objects.get(username="bot")
    assert user_rights() == wanted
    assert (user.is_staff, user.is_superuser) == (False, False)
    assert application_access() == (set(), set(), False)


@pytest.mark.parametrize("case", OPTIONS)
def test_second_run_changes_nothing(case: str) -> None:
    arguments, wanted = OPTIONS[case]
    provisioned("bot", *arguments)
    before = all_row_counts()
    again = provisioned("bot", *arguments)
    assert (again["status"], again["client_secret"], again["access_token"]) == ("unchanged", None, None)
    assert (user_rights(), all_row_counts()) == (wanted, before)


def test_extra_scopes_add_application_access() -> None:
    result = provisioned("bot", "--scope", "read", "--scope", "grades:read", "--scope", "user_id")
    assert result["scope"] == "read grades:read user_id"
    assert application_access() == ({"grades:read", "user_id"}, set(), False)


def test_default_scopes_need_no_row() -> None:
    provisioned("bot", "--scope", "read", "--scope", "write")
    assert not ApplicationAccess.objects.exists()


def test_filters_are_stored_with_scopes() -> None:
    provisioned("bot", "--scope", "grades:read", "--filter", "content_org:CET", "--filter", "tpa_provider:saml-cet")
    assert application_access() == ({"grades:read"}, {"content_org:CET", "tpa_provider:saml-cet"}, False)


def test_filter_needs_no_scope() -> None:
    provisioned("bot", "--filter", "content_org:CET")
    assert application_access() == (set(), {"content_org:CET"}, False)


def test_restricted_client_gets_no_token() -> None:
    result = provisioned("bot", "--restricted", "--scope", "grades:read", "--filter", "content_org:CET")
    assert application_access() == ({"grades:read"}, {"content_org:CET"}, True)
    assert (result["access_token"], result["expires_at"], result["token_type"]) == (None, None, None)
    assert result["client_secret"]
    assert not client().application.accesstoken_set.exists()


@pytest.mark.databases
def test_second_run_keeps_application_access() -> None:
    arguments = ["bot", "--restricted", "--scope", "grades:read", "--filter", "content_org:CET"]
    provisioned(*arguments)
    before = all_row_counts()
    assert provisioned(*arguments)["status"] == "unchanged"
    assert (application_access(), all_row_counts()) == (({"grades:read"}, {"content_org:CET"}, True), before)


@pytest.mark.databases
def test_user_and_application_rights_combine() -> None:
    provisioned("bot", "--staff", "--permission", CANCEL, "--scope", "grades:read", "--filter", "content_org:CET")
    assert User.objects.get(username="bot").is_staff
    assert user_rights() == {"permissions": {CANCEL}}
    assert application_access() == ({"grades:read"}, {"content_org:CET"}, False)


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


# Refusals: one line, exit code 1, nothing written

UNGRANTED = (
    "unknown scope %s. Available: certificates:read, email, grades:read, profile, read, tpa:read, user_id, write."
)
COURSE_ROLE = "--course-role: write it like staff@course-v1:edX+DemoX+2026 or staff@edX."
REFUSED = {
    "--permission nonsense": "--permission: write it like app_label.change_model.",
    "--permission course_modes.": "--permission: write it like app_label.change_model.",
    "--permission Course.Change": "--permission: write it like app_label.change_model.",
    "--permission course_modes.fly": "--permission: this site has no permission course_modes.fly.",
    "--group Nobody": "--group: this site has no group Nobody.",
    "--group OPS": "--group: this site has no group OPS. Did you mean ops?",
    "--group=": "--group: cannot be empty; leave it out for the default.",
    "--course-role staff": COURSE_ROLE,
    "--course-role staff@": COURSE_ROLE,
    "--course-role @CET": COURSE_ROLE,
    "--course-role Staff@CET": COURSE_ROLE,
    "--course-role staff@course-v1:CET+GW_01": COURSE_ROLE,
    "--course-role staff@course-v1:CET+GW_01+1+2": COURSE_ROLE,
    "--course-role staff@library-v1:CET+Lib": COURSE_ROLE,
    "--course-role staff@CET/GW_01/2021": COURSE_ROLE,
    "--global-role Support": "--global-role: use the name of a role, such as support.",
    "--global-role support@CET": "--global-role: use the name of a role, such as support.",
    "--scope grades:write": f"--scope: {UNGRANTED % 'grades:write'}",
    "--scope course_modes:read": f"--scope: {UNGRANTED % 'course_modes:read'}",
    "--scope=grades:read,user_id": f"--scope: {UNGRANTED % 'grades:read,user_id'}",
    "--filter content_org": "--filter: write it like content_org:edX.",
    "--filter content_org:": "--filter: write it like content_org:edX.",
    "--filter :edX": "--filter: write it like content_org:edX.",
    "--filter content_org:edX,CET": "--filter: write it like content_org:edX.",
    f"--filter content_org:{'x' * 21}": (
        "--filter: at most 25 entries of at most 32 characters (LMS limit)."
    ),
    " ".join(f"--filter content_org:{number}" for number in range(26)): (
        "--filter: at most 25 entries of at most 32 characters (LMS limit)."
    ),
    "--profile grades": "--filter: the profile grades needs one of the form content_org:{org}.",
    "--profile grades --filter tpa_provider:saml": (
        "--filter: the profile grades needs one of the form content_org:{org}."
    ),
    "--profile gradebook --course-role staff@CET": (
        "--course-role: the profile gradebook needs one of the form limited_staff@{course_key}."
    ),
    "--profile retirement --username other": (
        "--username: the profile retirement is for the user RETIREMENT_SERVICE_USER alone."
    ),
    "--restricted --expires-in 90d": (
        "--expires-in: not allowed together with --no-token or --restricted, which issue no access token."
    ),
}  # fmt: skip


@pytest.mark.parametrize("arguments", REFUSED)
def test_refusal_is_one_line_and_writes_nothing(arguments: str) -> None:
    before = all_row_counts()
    assert run("bot", *arguments.split()).refusal == REFUSED[arguments]
    assert all_row_counts() == before


def test_unknown_profile_lists_known_ones() -> None:
    before = all_row_counts()
    refusal = run("bot", "--profile", "everything").refusal
    assert refusal.startswith("--profile: unknown profile. Available: account-deactivation, accounts-read, ")
    assert all_row_counts() == before


def test_profile_needs_its_setting(settings: Any) -> None:
    del settings.RETIREMENT_SERVICE_WORKER_USERNAME
    assert run("bot", "--profile", "retirement").refusal == (
        "--profile: retirement needs the setting RETIREMENT_SERVICE_WORKER_USERNAME, which this site lacks."
    )


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


NO_ROLES = "this site has no course access roles (student.CourseAccessRole)."
NO_ACCESS = "this site has no application access (oauth_dispatch.ApplicationAccess)."
PLAIN: dict[str, tuple[Any, str]] = {
    "course_roles": ((f"staff@{COURSE}",), NO_ROLES),
    "global_roles": (("support",), NO_ROLES),
    "filters": (("content_org:CET",), NO_ACCESS),
    "restricted": (True, NO_ACCESS),
    "scopes": (("grades:read",), "unknown scope grades:read. Available: email, profile, read, write."),
    "profile": ("gradebook", "unknown profile."),
}


@pytest.mark.parametrize("field", PLAIN)
def test_plain_django_names_missing_models(plain_site: None, field: str) -> None:
    before, (value, message) = all_row_counts(), PLAIN[field]
    with pytest.raises(InvalidSpec) as refused:
        provision(permissions=(MODES,), **{field: value})
    assert (refused.value.message, refused.value.field) == (message, field)
    assert all_row_counts() == before


def test_plain_django_grants_permissions(plain_site: None) -> None:
    arguments = ["bot", "--permission", MODES, "--group", "ops"]
    provisioned(*arguments)
    assert user_rights() == {"permissions": {MODES}, "groups": {"ops"}}
    assert provisioned(*arguments)["status"] == "unchanged"


def test_plain_django_scopes_need_no_row(plain_site: None, settings: Any) -> None:
    scopes = "oauth2_provider.scopes.SettingsScopes"
    settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, "SCOPES_BACKEND_CLASS": scopes}
    arguments = ["bot", "--scope", "read", "--scope", "grades:read"]
    assert provisioned(*arguments)["scope"] == "read grades:read"
    assert not ApplicationAccess.objects.exists()
    assert provisioned(*arguments)["status"] == "unchanged"


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


def test_undeclared_kinds_are_kept() -> None:
    provision(permissions=(MODES,), groups=("ops",), scopes=("grades:read",), filters=("content_org:CET",))
    before = user_rights(), application_access(), client().declared_rights
    assert provision().status == "unchanged"
    assert provision(purpose="reports").status == "updated"
    assert (user_rights(), application_access(), client().declared_rights) == before


@pytest.mark.parametrize(
    "given", [("--staff",), ("--superuser",), ("--profile", "commerce"), ("--profile", "retirement")]
)
def test_contact_alone_changes_nothing_else(settings: Any, given: tuple[str, ...]) -> None:
    settings.RETIREMENT_SERVICE_WORKER_USERNAME = "bot"
    provisioned("bot", *given)
    kept = "is_staff", "is_superuser", "profile", "declared_rights", "access_token_id", "user_id"
    before = user_rights(), application_access(), ApiClient.objects.values(*kept).get()

    assert provisioned("bot", "--contact", "ops@example.org")["status"] == "updated"
    assert client().contact == "ops@example.org"
    assert (user_rights(), application_access(), ApiClient.objects.values(*kept).get()) == before


def test_empty_declaration_removes_all() -> None:
    provision(permissions=(MODES,), groups=("ops",), course_roles=("staff@CET",), global_roles=("support",))
    provision(permissions=())
    assert user_rights() == {}
    assert client().declared_rights == []


def test_foreign_rights_are_removed() -> None:
    provision(permissions=(MODES,))
    user = User.objects.get(username="bot")
    user.user_permissions.add(permission(DEACTIVATE))
    CourseAccessRole.objects.create(user=user, role="support")
    provision(permissions=(MODES,))
    assert user_rights() == {"permissions": {MODES}}


def test_missing_rights_are_restored() -> None:
    provision(permissions=(MODES,), groups=("ops",))
    User.objects.get(username="bot").groups.clear()
    provision(permissions=(MODES,), groups=("ops",))
    assert user_rights() == {"permissions": {MODES}, "groups": {"ops"}}


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


def test_existing_user_loses_no_rights(ada: User) -> None:
    provision(username="ada", use_existing_user=True, permissions=(MODES,))
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


@pytest.mark.parametrize("flag", ["staff", "superuser"])
def test_existing_user_flags_never_change(ada: User, flag: str) -> None:
    with pytest.raises(Conflict):
        provision(username="ada", use_existing_user=True, **{flag: True})
    ada.refresh_from_db()
    assert (ada.is_staff, ada.is_superuser) == (False, False)


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
        f"permission:{MODES}",
        f"permission:{DEACTIVATE}",
        "scope:grades:read",
    ]
    assert overprivileged() == {}


def test_adopted_user_gains_rights_on_request(adopted: ApiClient) -> None:
    with pytest.raises(Conflict):
        provision(global_roles=("support",))
    provision(global_roles=("support",), use_existing_user=True, reissue=True)
    assert user_rights("ada")["roles"] == {("staff", "edX", ""), ("support", "", "")}


# Restrictions


@pytest.mark.databases
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


def test_live_grant_token_prevents_restriction() -> None:
    provision(token=False)
    AccessTokenFactory(application=client().application)
    with pytest.raises(Conflict, match="revoke"):
        provision(restricted=True)
    assert application_access() == (set(), set(), False)


def test_old_secret_prevents_restriction() -> None:
    provision(token=False)
    api.rotate("bot", authority=OPERATOR, token=False, secret=True, grace=timedelta(days=1))
    with pytest.raises(Conflict):
        provision(restricted=True)


def test_restriction_keeps_scopes_and_filters() -> None:
    provision(scopes=("grades:read",), filters=("content_org:CET",), token=False)
    provision(restricted=True)
    assert application_access() == ({"grades:read"}, {"content_org:CET"}, True)


def test_omitting_restricted_keeps_restriction() -> None:
    provision(restricted=True, scopes=("grades:read",))
    assert provision(token=False, scopes=("user_id",)).status == "updated"
    assert application_access() == ({"user_id"}, set(), True)


def test_restricted_client_refuses_token() -> None:
    provision(restricted=True)
    with pytest.raises(Conflict, match="restricted") as raised:
        provision(token=True)
    assert raised.value.field == "token"


# Dry runs


def test_dry_run_lists_additions() -> None:
    before = all_row_counts()
    arguments = [
        "--permission",
        MODES,
        "--group",
        "ops",
        "--course-role",
        f"staff@{COURSE}",
        "--global-role",
        "support",
    ]
    ran = run("bot", "--dry-run", "--restricted", "--scope", "grades:read", "--filter", "content_org:CET", *arguments)
    assert ran.code == 0
    assert (
        f"Would grant the user course_role:staff@{COURSE}, global_role:support, group:ops, permission:{MODES}."
        in ran.stdout.splitlines()
    )
    assert (
        "Would let the application request: scope:grades:read, filter:content_org:CET, restricted to these."
        in ran.stdout.splitlines()
    )
    assert "access token" not in ran.stdout
    assert all_row_counts() == before


def test_dry_run_lists_removals() -> None:
    provision(permissions=(MODES,), groups=("ops",), scopes=("grades:read",))
    before = all_row_counts(), user_rights(), application_access()
    ran = run("bot", "--dry-run", "--group", "ops", "--scope", "read")
    assert f"Would remove permission:{MODES} from the user." in ran.stdout.splitlines()
    assert "Would let the application request: the default scopes only." in ran.stdout.splitlines()
    assert (all_row_counts(), user_rights(), application_access()) == before


def test_dry_run_lists_profile_rights() -> None:
    ran = run("bot", "--dry-run", "--profile", "enrollments")
    assert "staff" in ran.stdout
    assert (
        "Warning: a staff client can read and change nearly every course and learner record through the API."
        in ran.stdout.splitlines()
    )
    assert not ApiClient.objects.exists()


def test_dry_run_refuses_like_a_run() -> None:
    for arguments in ("--permission course_modes.fly", "--profile grades"):
        assert run("bot", "--dry-run", *arguments.split()).refusal == REFUSED[arguments]


# Declared rights and excess

DECLARED = {
    "permissions": (MODES,),
    "groups": ("Data Science",),
    "course_roles": (f"staff@{COURSE}",),
    "global_roles": ("support",),
    "scopes": ("read", "grades:read"),
    "filters": ("content_org:CET",),
}


def test_declared_rights_are_recorded() -> None:
    provision(**DECLARED)
    assert client().declared_rights == [
        f"course_role:staff@{COURSE}",
        "filter:content_org:CET",
        "global_role:support",
        "group:Data Science",
        f"permission:{MODES}",
        "scope:grades:read",
    ]


def test_declared_rights_are_updated() -> None:
    provision(**DECLARED)
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
    "superuser and staff": (_flag(is_superuser=True, is_staff=True), ("superuser", "staff")),
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
    "role in an organization": (
        lambda user: CourseAccessRole.objects.create(user=user, role="staff", org="CET"),
        ("course_role:staff@CET",),
    ),
    "global role": (
        lambda user: CourseAccessRole.objects.create(user=user, role="course_creator_group"),
        ("global_role:course_creator_group",),
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


def test_lifted_restriction_is_reported() -> None:
    provision(profile="grades", filters=("content_org:CET",))
    assert next(iter(api.list_clients())).issues == ()
    RestrictedApplication.objects.all().delete()
    assert next(iter(api.list_clients())).issues == ("unrestricted",)


@pytest.mark.parametrize(
    ("give", "declare"),
    [
        (EXCESS["permission"][0], {**DECLARED, "permissions": (MODES, DEACTIVATE)}),
        (EXCESS["scope"][0], {**DECLARED, "scopes": ("read", "grades:read", "user_id")}),
        (EXCESS["filter"][0], {**DECLARED, "filters": ("content_org:CET", "content_org:edX")}),
    ],
    ids=["permission", "scope", "filter"],
)
def test_excess_ends_when_declared(give: Callable[[User], Any], declare: dict[str, Any]) -> None:
    provision(**DECLARED)
    give(client().user)
    provision(**declare)
    assert overprivileged() == {}


def test_list_reports_excess_and_exits_2() -> None:
    provision("quiet")
    provision()
    client().user.user_permissions.add(permission(MODES))
    ran = run("--overprivileged", command="list_api_clients")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.stdout.splitlines()[1:]] == ["bot", "beyond"]
    assert ran.stdout.endswith(f"beyond the declared rights: permission:{MODES}\n")
    assert run("--overprivileged", "--fail-if-any", command="list_api_clients").code == 2


def test_list_without_excess_is_empty() -> None:
    provision(**DECLARED)
    ran = run("--overprivileged", "--fail-if-any", command="list_api_clients")
    assert (ran.code, ran.stdout) == (0, "")


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


def test_group_permissions_count_as_own() -> None:
    asker = UserFactory()
    asker.groups.add(Group.objects.get(name="ops"))
    spec = ClientSpec(name="bot", permissions=(MODES,), groups=("ops",))
    assert api.provision(spec, authority=person(asker, "test")).status == "created"


# JWTs over HTTP


def granted(live_server: Any, credentials: Credentials, **form: str) -> requests.Response:
    assert credentials.client_secret is not None
    return requests.post(
        f"{live_server.url}/oauth2/access_token",
        data={"grant_type": "client_credentials", **form},
        headers={"Authorization": basic_authorization(credentials.client_id, credentials.client_secret)},
        timeout=10,
    )


def payload(answer: requests.Response) -> dict[str, Any]:
    assert answer.json()["token_type"] == "JWT"
    return jwt.decode(answer.json()["access_token"], options={"verify_signature": False})


def test_restricted_jwt_has_scopes_and_filters(live_server: Any) -> None:
    credentials = provision(restricted=True, scopes=("grades:read", "user_id"), filters=("content_org:CET",))
    claims = payload(granted(live_server, credentials, token_type="jwt", scope="read grades:read"))
    assert claims["scopes"] == ["read", "grades:read"]
    assert claims["filters"] == ["content_org:CET"]
    assert claims["is_restricted"] is True
    assert claims["preferred_username"] == "bot"
    # Only requested scopes are included, except user_id, which the LMS adds.
    assert set(payload(granted(live_server, credentials, token_type="jwt"))["scopes"]) == {
        "read", "write", "email", "profile", "user_id",
    }  # fmt: skip
    refused = granted(live_server, credentials, token_type="jwt", scope="certificates:read")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


def test_unrestricted_jwt_has_scopes_and_filters(live_server: Any) -> None:
    credentials = provision(scopes=("read", "grades:read"), filters=("content_org:CET",))
    claims = payload(granted(live_server, credentials, token_type="jwt", scope="grades:read"))
    assert (claims["scopes"], claims["filters"], claims["is_restricted"]) == (
        ["grades:read"],
        ["content_org:CET"],
        False,
    )


def test_restricted_opaque_token_is_expired(live_server: Any) -> None:
    credentials = provision(restricted=True)
    answer = granted(live_server, credentials)
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    me = requests.get(f"{live_server.url}/api/user/v1/me", headers=headers, timeout=10)
    assert (me.status_code, me.json()["error_code"]) == (401, "token_expired")


def test_verify_url_proves_restricted_client(live_server: Any) -> None:
    arguments = ["--restricted", "--scope", "grades:read", "--filter", "content_org:CET"]
    result = provisioned("bot", *arguments, "--verify-url", live_server.url)
    assert (result["verified"], result["access_token"]) == (True, None)


def test_restricted_client_is_verified_by_jwt(live_server: Any) -> None:
    credentials = provision(restricted=True)
    proof = api.verify(credentials, url=parse_site_url(live_server.url))
    assert proof.ok
    assert [check.what for check in proof.checks] == [
        "client id and secret with the site's OAuth2 validator",
        "JWT for client id and secret over HTTP",
    ]


def test_jwt_command_requests_given_scopes() -> None:
    shown = run("bot", "--restricted", "--scope", "grades:read").stderr
    assert "--data-urlencode 'scope=read write email profile grades:read'" in shown


# The plan


def test_plan_has_step_per_kind_of_change() -> None:
    plan = api.plan_client(
        ClientSpec(name="bot", permissions=(MODES,), scopes=("grades:read",), restricted=True), authority=OPERATOR
    )
    assert [step.action for step in plan.steps] == [
        Action.CREATE_CLIENT,
        Action.CREATE_USER,
        Action.CREATE_APPLICATION,
        Action.CHANGE_RIGHTS,
        Action.SET_ACCESS,
    ]


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


def test_roles_are_known_without_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(roles.REGISTERED_ACCESS_ROLES)
    monkeypatch.delattr(roles, "REGISTERED_ACCESS_ROLES")

    assert lms.registered_roles() == before


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
