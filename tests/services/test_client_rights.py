"""Provisioning with rights: each option, what it leaves in the database, what it never does, and what is refused."""

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
    """As a site that is no LMS sees itself: without the models of its apps student and oauth_dispatch."""
    found, absent = lms._model, ("student", "oauth_dispatch")
    monkeypatch.setattr(lms, "_model", lambda label, name: None if label in absent else found(label, name))


def permission(name: str) -> Permission:
    app_label, codename = name.split(".")
    return Permission.objects.get(content_type__app_label=app_label, codename=codename)


def provision(name: str = "bot", **wanted: Any) -> Credentials:
    return api.provision(ClientSpec(name=name, **wanted), authority=OPERATOR)


def client(name: str = "bot") -> ApiClient:
    return ApiClient.objects.select_related("user", "application").get(name=name)


def held(username: str = "bot") -> dict[str, set[Any]]:
    """What the service user has, straight from the rows; only what there is."""
    user = User.objects.get(username=username)
    rights = {
        "permissions": {f"{each.content_type.app_label}.{each.codename}" for each in user.user_permissions.all()},
        "groups": {group.name for group in user.groups.all()},
        "roles": {(row.role, row.org, str(row.course_id or "")) for row in CourseAccessRole.objects.filter(user=user)},
    }
    return {kind: values for kind, values in rights.items() if values}


def opened(name: str = "bot") -> tuple[set[str], set[str], bool]:
    """The scopes and filters of the application, and whether it is restricted, straight from the rows."""
    application = client(name).application
    row = ApplicationAccess.objects.filter(application=application).first()
    restricted = RestrictedApplication.objects.filter(application=application).exists()
    return {*(row.scopes if row else ())}, {*(row.filters or () if row else ())}, restricted


def everything() -> dict[str, int]:
    """How many rows every table of the site has, many-to-many tables included."""
    models = apps.get_models(include_auto_created=True)
    return {model._meta.db_table: model._base_manager.count() for model in models if model._meta.managed}


def overprivileged() -> dict[str, tuple[str, ...]]:
    return {each.name: each.excess for each in api.list_clients(overprivileged=True)}


# Each option, by the command

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
def test_an_option_gives_its_right_and_no_other(case: str) -> None:
    arguments, wanted = OPTIONS[case]
    assert provisioned("bot", *arguments)["status"] == "created"
    user = User.objects.get(username="bot")
    assert held() == wanted
    assert (user.is_staff, user.is_superuser) == (False, False)
    assert opened() == (set(), set(), False)


@pytest.mark.parametrize("case", OPTIONS)
def test_the_second_run_changes_nothing(case: str) -> None:
    arguments, wanted = OPTIONS[case]
    provisioned("bot", *arguments)
    before = everything()
    again = provisioned("bot", *arguments)
    assert (again["status"], again["client_secret"], again["access_token"]) == ("unchanged", None, None)
    assert (held(), everything()) == (wanted, before)


def test_scopes_beyond_the_defaults_are_what_the_application_may_ask_for() -> None:
    result = provisioned("bot", "--scope", "read", "--scope", "grades:read", "--scope", "user_id")
    assert result["scope"] == "read grades:read user_id"
    assert opened() == ({"grades:read", "user_id"}, set(), False)


def test_default_scopes_need_no_row() -> None:
    provisioned("bot", "--scope", "read", "--scope", "write")
    assert not ApplicationAccess.objects.exists()


def test_filters_are_kept_beside_the_scopes() -> None:
    provisioned("bot", "--scope", "grades:read", "--filter", "content_org:CET", "--filter", "tpa_provider:saml-cet")
    assert opened() == ({"grades:read"}, {"content_org:CET", "tpa_provider:saml-cet"}, False)


def test_a_filter_without_a_scope_is_kept_too() -> None:
    provisioned("bot", "--filter", "content_org:CET")
    assert opened() == (set(), {"content_org:CET"}, False)


def test_a_restricted_client_gets_no_opaque_token() -> None:
    result = provisioned("bot", "--restricted", "--scope", "grades:read", "--filter", "content_org:CET")
    assert opened() == ({"grades:read"}, {"content_org:CET"}, True)
    assert (result["access_token"], result["expires_at"], result["token_type"]) == (None, None, None)
    assert result["client_secret"]
    assert not client().application.accesstoken_set.exists()


@pytest.mark.databases
def test_scopes_filters_and_the_restriction_are_left_alone_by_the_second_run() -> None:
    arguments = ["bot", "--restricted", "--scope", "grades:read", "--filter", "content_org:CET"]
    provisioned(*arguments)
    before = everything()
    assert provisioned(*arguments)["status"] == "unchanged"
    assert (opened(), everything()) == (({"grades:read"}, {"content_org:CET"}, True), before)


@pytest.mark.databases
def test_rights_of_the_user_and_of_the_application_go_together() -> None:
    provisioned("bot", "--staff", "--permission", CANCEL, "--scope", "grades:read", "--filter", "content_org:CET")
    assert User.objects.get(username="bot").is_staff
    assert held() == {"permissions": {CANCEL}}
    assert opened() == ({"grades:read"}, {"content_org:CET"}, False)


def test_a_profile_gives_what_it_grants_and_is_remembered() -> None:
    provisioned("bot", "--profile", "commerce")
    assert held() == {"permissions": {MODES}}
    assert client().profile == "commerce"
    assert provisioned("bot", "--profile", "commerce")["status"] == "unchanged"


def test_a_profile_and_options_give_both() -> None:
    provisioned("bot", "--profile", "commerce", "--permission", DEACTIVATE, "--group", "ops")
    assert held() == {"permissions": {MODES, DEACTIVATE}, "groups": {"ops"}}


def test_what_a_profile_leaves_open_is_given_by_its_option() -> None:
    provisioned("bot", "--profile", "gradebook", "--course-role", f"limited_staff@{COURSE}")
    assert held() == {"roles": {("limited_staff", "CET", COURSE)}}


# What is refused: one line, exit code 1, and nothing written

UNGRANTED = (
    "unknown scope %s; available: certificates:read, email, grades:read, profile, read, tpa:read, user_id, write."
)
COURSE_ROLE = "--course-role: write it like staff@course-v1:edX+DemoX+2026 or staff@edX."
REFUSED = {
    "--permission nonsense": "--permission: write it like course_modes.change_coursemode.",
    "--permission course_modes.": "--permission: write it like course_modes.change_coursemode.",
    "--permission Course.Change": "--permission: write it like course_modes.change_coursemode.",
    "--permission course_modes.fly": "--permission: this site has no permission course_modes.fly.",
    "--group Nobody": "--group: this site has no group Nobody.",
    "--group OPS": "--group: this site has no group OPS.",
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
def test_what_cannot_be_given_is_one_line_and_nothing_written(arguments: str) -> None:
    before = everything()
    assert run("bot", *arguments.split()).refusal == REFUSED[arguments]
    assert everything() == before


def test_an_unknown_profile_is_answered_with_those_there_are() -> None:
    before = everything()
    refusal = run("bot", "--profile", "everything").refusal
    assert refusal.startswith("--profile: unknown profile; available: account-deactivation, accounts-read, ")
    assert everything() == before


def test_a_profile_for_a_user_that_the_settings_do_not_name_is_refused(settings: Any) -> None:
    del settings.RETIREMENT_SERVICE_WORKER_USERNAME
    assert run("bot", "--profile", "retirement").refusal == (
        "--profile: retirement needs the setting RETIREMENT_SERVICE_WORKER_USERNAME, which this site lacks."
    )


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ("--profile enrollments", "--staff: staff clients are not allowed here (EDX_API_PROVISIONING['ALLOW_STAFF'])."),
        ("--scope grades:read", "--scope: unknown scope grades:read; available: read."),
        (
            "--profile grades --filter content_org:CET",
            "--scope: unknown scope grades:read; available: read.",
        ),
    ],
)
def test_the_sites_policy_holds_for_rights_and_for_what_a_profile_brings(
    settings: Any, arguments: str, refusal: str
) -> None:
    settings.EDX_API_PROVISIONING = {
        **settings.EDX_API_PROVISIONING,
        "ALLOW_STAFF": False,
        "ALLOWED_SCOPES": ["read"],
    }
    before = everything()
    assert run("bot", *arguments.split()).refusal == refusal
    assert everything() == before


NO_ROLES = "this site has no course access roles (student.CourseAccessRole)."
NO_ACCESS = "this site has no application access (oauth_dispatch.ApplicationAccess)."
PLAIN = {
    f"--course-role staff@{COURSE}": f"--course-role: {NO_ROLES}",
    "--global-role support": f"--global-role: {NO_ROLES}",
    "--filter content_org:CET": f"--filter: {NO_ACCESS}",
    "--restricted": f"--restricted: {NO_ACCESS}",
    "--scope grades:read": "--scope: unknown scope grades:read; available: email, profile, read, write.",
    "--profile gradebook --course-role limited_staff@course-v1:a+b+c": f"--course-role: {NO_ROLES}",
}


@pytest.mark.parametrize("arguments", PLAIN)
def test_a_site_that_is_no_lms_names_what_it_lacks_and_nothing_is_half_done(plain_site: None, arguments: str) -> None:
    before = everything()
    assert run("bot", "--permission", MODES, *arguments.split()).refusal == PLAIN[arguments]
    assert everything() == before


def test_a_site_that_is_no_lms_gives_permissions_and_groups(plain_site: None) -> None:
    arguments = ["bot", "--permission", MODES, "--group", "ops"]
    provisioned(*arguments)
    assert held() == {"permissions": {MODES}, "groups": {"ops"}}
    assert provisioned(*arguments)["status"] == "unchanged"


def test_a_site_that_is_no_lms_grants_its_scopes_without_a_row_for_them(plain_site: None, settings: Any) -> None:
    scopes = "oauth2_provider.scopes.SettingsScopes"
    settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, "SCOPES_BACKEND_CLASS": scopes}
    arguments = ["bot", "--scope", "read", "--scope", "grades:read"]
    assert provisioned(*arguments)["scope"] == "read grades:read"
    assert not ApplicationAccess.objects.exists()
    assert provisioned(*arguments)["status"] == "unchanged"


# Users that were made here get just what is declared


def test_of_a_user_made_here_declared_rights_are_reached_exactly() -> None:
    provision(permissions=(MODES,), groups=("ops",), course_roles=(f"staff@{COURSE}",), global_roles=("support",))
    changed = provision(permissions=(MODES, DEACTIVATE), course_roles=("staff@CET",))
    assert held() == {"permissions": {MODES, DEACTIVATE}, "roles": {("staff", "CET", "")}}
    assert changed.status == "updated"
    assert set(changed.changes) >= {
        f"Granted the user course_role:staff@CET, permission:{DEACTIVATE}.",
        f"Removed course_role:staff@{COURSE}, global_role:support, group:ops from the user.",
    }
    assert provision(permissions=(MODES, DEACTIVATE), course_roles=("staff@CET",)).status == "unchanged"


def test_what_is_not_spoken_of_is_left_as_it_is() -> None:
    provision(permissions=(MODES,), groups=("ops",), scopes=("grades:read",), filters=("content_org:CET",))
    before = held(), opened(), client().declared_rights
    assert provision().status == "unchanged"
    assert provision(purpose="reports").status == "updated"
    assert (held(), opened(), client().declared_rights) == before


def test_declaring_none_takes_all() -> None:
    provision(permissions=(MODES,), groups=("ops",), course_roles=("staff@CET",), global_roles=("support",))
    provision(permissions=())
    assert held() == {}
    assert client().declared_rights == []


def test_what_others_gave_to_a_user_made_here_is_taken_when_rights_are_declared() -> None:
    provision(permissions=(MODES,))
    user = User.objects.get(username="bot")
    user.user_permissions.add(permission(DEACTIVATE))
    CourseAccessRole.objects.create(user=user, role="support")
    provision(permissions=(MODES,))
    assert held() == {"permissions": {MODES}}


def test_what_others_took_from_a_user_made_here_is_given_back_when_rights_are_declared() -> None:
    provision(permissions=(MODES,), groups=("ops",))
    User.objects.get(username="bot").groups.clear()
    provision(permissions=(MODES,), groups=("ops",))
    assert held() == {"permissions": {MODES}, "groups": {"ops"}}


def test_scopes_and_filters_of_a_client_made_here_are_reached_exactly_too() -> None:
    provision(scopes=("read", "grades:read"), filters=("content_org:CET", "content_org:edX"))
    provision(scopes=("read", "user_id"), filters=("content_org:edX",))
    assert opened() == ({"user_id"}, {"content_org:edX"}, False)
    provision(scopes=("read",))
    assert opened() == (set(), {"content_org:edX"}, False)
    provision(filters=())
    assert not ApplicationAccess.objects.exists()


def test_a_role_is_given_in_the_spelling_that_is_declared() -> None:
    provision(course_roles=("staff@course-v1:cet+gw_01+1",))
    provision(course_roles=("staff@course-v1:CET+GW_01+1",))
    assert held() == {"roles": {("staff", "CET", "course-v1:CET+GW_01+1")}}


def test_another_profile_leaves_nothing_of_the_one_before() -> None:
    provision(profile="commerce")
    provision(profile="course-catalog")
    assert (held(), client().declared_rights) == ({}, [])


# Users that were made elsewhere are only ever given more, and only if that is said


@pytest.fixture
def ada() -> User:
    user = UserFactory(username="ada")
    user.user_permissions.add(permission(DEACTIVATE))
    user.groups.add(Group.objects.get(name="ops"))
    CourseAccessRole.objects.create(user=user, role="staff", org="edX")
    return user


def test_an_existing_user_keeps_what_it_has(ada: User) -> None:
    provision(username="ada", use_existing_user=True, permissions=(MODES,), course_roles=("staff@CET",))
    assert held("ada") == {
        "permissions": {MODES, DEACTIVATE},
        "groups": {"ops"},
        "roles": {("staff", "edX", ""), ("staff", "CET", "")},
    }


def test_declaring_fewer_rights_takes_nothing_from_an_existing_user(ada: User) -> None:
    provision(username="ada", use_existing_user=True, permissions=(MODES,))
    before = held("ada")
    provision(username="ada", use_existing_user=True, permissions=(), groups=())
    assert held("ada") == before


@pytest.mark.parametrize(
    "arguments", [["--permission", MODES], ["--course-role", "staff@CET"], ["--profile", "commerce"]]
)
def test_an_existing_user_is_given_more_only_if_that_is_said(ada: User, arguments: list[str]) -> None:
    provision(username="ada", use_existing_user=True)
    before = everything(), held("ada")
    lacking = "course_role:staff@CET" if "--course-role" in arguments else f"permission:{MODES}"
    assert run("bot", *arguments).refusal == (
        f"--username: the existing account ada lacks {lacking}; pass --use-existing-user to grant that."
    )
    assert (everything(), held("ada")) == before
    assert provisioned("bot", "--use-existing-user", *arguments)["status"] == "updated"


def test_rights_that_an_existing_user_has_need_no_word(ada: User) -> None:
    provision(username="ada", use_existing_user=True)
    before = held("ada")
    provision(permissions=(DEACTIVATE,), groups=("ops",))
    assert held("ada") == before


@pytest.mark.parametrize("flag", ["staff", "superuser"])
def test_flags_of_an_existing_user_are_never_changed(ada: User, flag: str) -> None:
    with pytest.raises(Conflict):
        provision(username="ada", use_existing_user=True, **{flag: True})
    ada.refresh_from_db()
    assert (ada.is_staff, ada.is_superuser) == (False, False)


@pytest.mark.databases
@pytest.mark.vendor("mysql")
def test_a_role_that_the_database_takes_for_one_that_is_there_is_one_line_and_nothing_written(ada: User) -> None:
    before = everything(), held("ada")
    ran = run("bot", "--username=ada", "--use-existing-user", "--course-role=staff@edx")
    assert "is already taken, " in ran.refusal
    assert ran.refusal.endswith("Nothing was changed (IntegrityError 1062).")
    assert (everything(), held("ada")) == before


@pytest.fixture
def adopted(ada: User) -> ApiClient:
    application = ApplicationFactory(user=ada)
    ApplicationAccess.objects.create(application=application, scopes=["grades:read"], filters=["content_org:edX"])
    AccessTokenFactory(application=application)
    api.adopt("bot", client_id=application.client_id, authority=OPERATOR)
    return client()


def test_the_application_of_an_adopted_client_only_gains(adopted: ApiClient) -> None:
    provision(scopes=("read", "user_id"), filters=("content_org:CET",), reissue=True)
    assert opened() == ({"grades:read", "user_id"}, {"content_org:edX", "content_org:CET"}, False)
    provision(scopes=("read",), filters=())
    assert opened() == ({"grades:read", "user_id"}, {"content_org:edX", "content_org:CET"}, False)


def test_an_adopted_client_is_declared_as_it_was_found(adopted: ApiClient) -> None:
    assert adopted.declared_rights == [
        "course_role:staff@edX",
        "filter:content_org:edX",
        "group:ops",
        f"permission:{MODES}",
        f"permission:{DEACTIVATE}",
        "scope:grades:read",
    ]
    assert overprivileged() == {}


def test_the_user_of_an_adopted_client_is_given_more_only_if_that_is_said(adopted: ApiClient) -> None:
    with pytest.raises(Conflict):
        provision(global_roles=("support",))
    provision(global_roles=("support",), use_existing_user=True, reissue=True)
    assert held("ada")["roles"] == {("staff", "edX", ""), ("support", "", "")}


# Restrictions


@pytest.mark.databases
def test_a_client_with_a_live_token_is_not_restricted() -> None:
    provision()
    before = everything()
    assert run("bot", "--restricted").refusal == (
        "--restricted: the client has an access token, which a restriction would not revoke; revoke it first."
    )
    assert everything() == before
    api.revoke("bot", authority=OPERATOR)
    assert provision(restricted=True).status == "updated"
    assert opened() == (set(), set(), True)


def test_an_application_with_a_live_token_of_its_own_grant_is_not_restricted_either() -> None:
    provision(token=False)
    AccessTokenFactory(application=client().application)
    with pytest.raises(Conflict, match="revoke"):
        provision(restricted=True)
    assert opened() == (set(), set(), False)


def test_a_client_whose_old_secret_still_works_is_not_restricted() -> None:
    provision(token=False)
    api.rotate("bot", authority=OPERATOR, token=False, secret=True, grace=timedelta(days=1))
    with pytest.raises(Conflict):
        provision(restricted=True)


def test_a_restriction_leaves_scopes_and_filters_as_they_are() -> None:
    provision(scopes=("grades:read",), filters=("content_org:CET",), token=False)
    provision(restricted=True)
    assert opened() == ({"grades:read"}, {"content_org:CET"}, True)


def test_a_restriction_is_never_lifted_by_leaving_it_out() -> None:
    provision(restricted=True, scopes=("grades:read",))
    assert provision(token=False, scopes=("user_id",)).status == "updated"
    assert opened() == ({"user_id"}, set(), True)


def test_a_token_for_a_restricted_client_is_refused() -> None:
    provision(restricted=True)
    with pytest.raises(Conflict, match="restricted") as raised:
        provision()
    assert raised.value.field == "token"


# A dry run shows it all


def test_a_dry_run_says_what_would_be_given_and_writes_nothing() -> None:
    before = everything()
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
    assert everything() == before


def test_a_dry_run_says_what_would_be_taken_and_writes_nothing() -> None:
    provision(permissions=(MODES,), groups=("ops",), scopes=("grades:read",))
    before = everything(), held(), opened()
    ran = run("bot", "--dry-run", "--group", "ops", "--scope", "read")
    assert f"Would remove permission:{MODES} from the user." in ran.stdout.splitlines()
    assert "Would let the application request: the default scopes only." in ran.stdout.splitlines()
    assert (everything(), held(), opened()) == before


def test_a_dry_run_of_a_profile_says_its_rights_and_the_warning() -> None:
    ran = run("bot", "--dry-run", "--profile", "enrollments")
    assert "staff" in ran.stdout
    assert (
        "Warning: a staff client can read and change nearly every course and learner record through the API."
        in ran.stdout.splitlines()
    )
    assert not ApiClient.objects.exists()


def test_a_refusal_is_the_same_in_a_dry_run() -> None:
    for arguments in ("--permission course_modes.fly", "--profile grades"):
        assert run("bot", "--dry-run", *arguments.split()).refusal == REFUSED[arguments]


# What was declared, and what is beyond it

DECLARED = {
    "permissions": (MODES,),
    "groups": ("Data Science",),
    "course_roles": (f"staff@{COURSE}",),
    "global_roles": ("support",),
    "scopes": ("read", "grades:read"),
    "filters": ("content_org:CET",),
}


def test_what_was_declared_is_recorded() -> None:
    provision(**DECLARED)
    assert client().declared_rights == [
        f"course_role:staff@{COURSE}",
        "filter:content_org:CET",
        "global_role:support",
        "group:Data Science",
        f"permission:{MODES}",
        "scope:grades:read",
    ]


def test_declared_rights_change_with_what_is_declared() -> None:
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
def test_what_others_gave_beyond_what_was_declared_is_found_and_nothing_else(case: str) -> None:
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
def test_a_client_with_what_was_declared_is_not_overprivileged(wanted: dict[str, Any]) -> None:
    provision(**wanted)
    assert overprivileged() == {}


def test_an_account_that_was_made_elsewhere_comes_with_what_it_has(ada: User) -> None:
    provision(username="ada", use_existing_user=True)
    assert overprivileged() == {}
    provision("another", username="ada", use_existing_user=True, permissions=(MODES,))
    assert overprivileged() == {}
    ada.user_permissions.add(permission(CANCEL))
    excess = (f"permission:{CANCEL}",)
    assert overprivileged() == {"another": excess, "bot": (*excess,)}


def test_a_declared_superuser_with_more_beside_is_listed_with_that_alone() -> None:
    provision(superuser=True)
    client().user.user_permissions.add(permission(MODES))
    assert overprivileged() == {"bot": (f"permission:{MODES}",)}


def test_a_restriction_that_others_lifted_is_found() -> None:
    provision(profile="grades", filters=("content_org:CET",))
    assert next(api.list_clients()).issues == ()
    RestrictedApplication.objects.all().delete()
    assert next(api.list_clients()).issues == ("unrestricted",)


@pytest.mark.parametrize(
    ("give", "declare"),
    [
        (EXCESS["permission"][0], {**DECLARED, "permissions": (MODES, DEACTIVATE)}),
        (EXCESS["scope"][0], {**DECLARED, "scopes": ("read", "grades:read", "user_id")}),
        (EXCESS["filter"][0], {**DECLARED, "filters": ("content_org:CET", "content_org:edX")}),
    ],
    ids=["permission", "scope", "filter"],
)
def test_what_others_gave_is_no_excess_once_it_is_declared(
    give: Callable[[User], Any], declare: dict[str, Any]
) -> None:
    provision(**DECLARED)
    give(client().user)
    provision(**declare)
    assert overprivileged() == {}


def test_the_list_names_the_excess_and_can_fail_on_it() -> None:
    provision("quiet")
    provision()
    client().user.user_permissions.add(permission(MODES))
    ran = run("--overprivileged", command="list_api_clients")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.stdout.splitlines()[1:]] == ["bot", "beyond"]
    assert ran.stdout.endswith(f"beyond the declared rights: permission:{MODES}\n")
    assert run("--overprivileged", "--fail-if-any", command="list_api_clients").code == 2


def test_the_list_is_empty_where_nobody_has_more() -> None:
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
def test_nobody_gives_what_they_do_not_have(wanted: dict[str, Any], lacking: str) -> None:
    asker, superuser = UserFactory(), UserFactory(is_superuser=True)
    spec = ClientSpec(**{"name": "bot", **wanted})
    before = everything()
    for ask in (api.plan_client, partial(api.provision, authority=OPERATOR)):
        with pytest.raises(NotAllowed) as raised:
            ask(spec, authority=person(asker))
        assert f"that you do not have: {lacking}. Ask" in raised.value.message
    assert everything() == before
    assert api.provision(spec, authority=person(superuser, "test")).status == "created"


def test_what_the_askers_groups_bring_counts_as_theirs() -> None:
    asker = UserFactory()
    asker.groups.add(Group.objects.get(name="ops"))
    spec = ClientSpec(name="bot", permissions=(MODES,), groups=("ops",))
    assert api.provision(spec, authority=person(asker, "test")).status == "created"


# JWTs over HTTP


def granted(live_server: Any, credentials: Credentials, **form: str) -> requests.Response:
    assert credentials.client_secret is not None
    return requests.post(
        f"{live_server.url}/oauth2/access_token",
        data={
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret.reveal(),
            **form,
        },
        timeout=10,
    )


def payload(answer: requests.Response) -> dict[str, Any]:
    assert answer.json()["token_type"] == "JWT"
    return jwt.decode(answer.json()["access_token"], options={"verify_signature": False})


def test_the_jwt_of_a_restricted_client_carries_scopes_and_filters_as_asked(live_server: Any) -> None:
    credentials = provision(restricted=True, scopes=("grades:read", "user_id"), filters=("content_org:CET",))
    claims = payload(granted(live_server, credentials, token_type="jwt", scope="read grades:read"))
    assert claims["scopes"] == ["read", "grades:read"]
    assert claims["filters"] == ["content_org:CET"]
    assert claims["is_restricted"] is True
    assert claims["preferred_username"] == "bot"
    # What is not asked for is not in it, but for user_id, which the LMS adds.
    assert set(payload(granted(live_server, credentials, token_type="jwt"))["scopes"]) == {
        "read", "write", "email", "profile", "user_id",
    }  # fmt: skip
    refused = granted(live_server, credentials, token_type="jwt", scope="certificates:read")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


def test_the_jwt_of_an_unrestricted_client_carries_them_too(live_server: Any) -> None:
    credentials = provision(scopes=("read", "grades:read"), filters=("content_org:CET",))
    claims = payload(granted(live_server, credentials, token_type="jwt", scope="grades:read"))
    assert (claims["scopes"], claims["filters"], claims["is_restricted"]) == (
        ["grades:read"],
        ["content_org:CET"],
        False,
    )


def test_the_opaque_token_of_a_restricted_client_is_expired(live_server: Any) -> None:
    credentials = provision(restricted=True)
    answer = granted(live_server, credentials)
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    me = requests.get(f"{live_server.url}/api/user/v1/me", headers=headers, timeout=10)
    assert (me.status_code, me.json()["error_code"]) == (401, "token_expired")


def test_a_restricted_client_is_proved_over_http(live_server: Any) -> None:
    arguments = ["--restricted", "--scope", "grades:read", "--filter", "content_org:CET"]
    result = provisioned("bot", *arguments, "--verify-url", live_server.url)
    assert (result["verified"], result["access_token"]) == (True, None)


def test_what_is_proved_of_a_restricted_client_is_its_jwt(live_server: Any) -> None:
    credentials = provision(restricted=True)
    proof = api.verify(credentials, url=parse_site_url(live_server.url))
    assert proof.ok
    assert [check.what for check in proof.checks] == [
        "client id and secret with the site's OAuth2 validator",
        "JWT for client id and secret over HTTP",
    ]


def test_the_line_that_gets_a_jwt_asks_for_the_scopes_that_were_given() -> None:
    shown = run("bot", "--restricted", "--scope", "grades:read").stdout
    assert "grades%3Aread" in shown


# The plan


def test_the_plan_has_a_step_for_each_kind_of_change() -> None:
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
            "global_roles: this site has no role queen. It has: beta_testers, course_creator_group, data_researcher, "
            "finance_admin, instructor, library_user, limited_staff, org_course_creator_group, sales_admin, staff, "
            "support.",
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
