"""Test the LMS adapter: usernames, accounts, roles, restrictions; and plain Django, which has none of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User, UserManager
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models.signals import post_save, pre_save
from edx_rest_framework_extensions.auth.jwt import decoder
from edx_rest_framework_extensions.auth.jwt.authentication import JwtAuthentication
from edx_rest_framework_extensions.paginators import DefaultPagination
from oauth2_provider.models import get_access_token_model
from rest_framework.authentication import SessionAuthentication

from common.djangoapps.student.helpers import AccountValidationError
from common.djangoapps.student.models import CourseAccessRole, UserProfile
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.state import Access
from lms.djangoapps.user_tours.models import UserTour
from openedx.core.djangoapps.content.course_overviews.models import CourseOverview
from openedx.core.djangoapps.notifications.models import NotificationPreference
from openedx.core.djangoapps.oauth_dispatch import api as oauth_dispatch_api
from openedx.core.djangoapps.oauth_dispatch.jwt import create_jwt
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess, RestrictedApplication
from openedx.core.djangoapps.user_api.accounts import signals as accounts_signals
from openedx.core.djangoapps.user_api.accounts.signals import USER_RETIRE_LMS_CRITICAL
from openedx.core.djangoapps.user_api.models import UserRetirementStatus
from openedx.core.lib.api.authentication import BearerAuthentication
from tests.factories import AccessTokenFactory, ApplicationFactory, UserFactory, statements

pytestmark = [pytest.mark.django_db, pytest.mark.versions]


def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a site without any LMS app."""
    monkeypatch.setattr(lms, "_model", lambda label: None)


@pytest.fixture
def plain_django(monkeypatch: pytest.MonkeyPatch) -> None:
    plain(monkeypatch)


@contextmanager
def receiver(signal: Any, function: Callable[..., None]) -> Iterator[None]:
    signal.connect(function, sender=User)
    try:
        yield
    finally:
        signal.disconnect(function, sender=User)


def create(**options: Any) -> User:
    wanted = {"username": "report", "email": "report@example.org", "staff": False, "superuser": False}
    [user] = lms.create_users([lms.NewUser(**{**wanted, "full_name": "report", **options})])
    return user


# Tokens


def test_user_tokens_end_through_lms(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(oauth_dispatch_api, "destroy_oauth_tokens", asked.append)
    user = UserFactory()

    lms.end_tokens_of_user(user)

    assert asked == [user]


def of_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(oauth_dispatch_api, "destroy_oauth_tokens")


def of_one_without_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, oauth_dispatch_api.__name__, None)


@pytest.mark.parametrize("site", [plain, of_another_release, of_one_without_its_module])
def test_user_tokens_end_without_lms_helper(
    monkeypatch: pytest.MonkeyPatch, site: Callable[[pytest.MonkeyPatch], None]
) -> None:
    site(monkeypatch)
    token, other = AccessTokenFactory(), AccessTokenFactory()
    AccessTokenFactory(application=None, user=token.user)

    lms.end_tokens_of_user(token.user)

    assert list(get_access_token_model().objects.all()) == [other]


# User names


@pytest.mark.parametrize("username", ["ab", "a" * 30, "api-client", "API_Client", "007", "-_"])
def test_lms_username_is_accepted(username: str) -> None:
    assert lms.username_problem(username) is None


@pytest.mark.parametrize(
    ("username", "problem"),
    [
        ("a", "use 2 to 30 characters, as the LMS wants it."),
        ("a" * 31, "use 2 to 30 characters, as the LMS wants it."),
        *(
            (username, "use letters A-Z and a-z, digits, '_' and '-'.")
            for username in ("a b", "a.b", "a@example.org", "apí", "клиент", "ab\n")
        ),
        ("retired__user_1", "names that begin with retired__user_ are kept for retired accounts."),
        ("RETIRED__user_1", "names that begin with retired__user_ are kept for retired accounts."),
    ],
)
def test_invalid_lms_username_is_rejected(username: str, problem: str) -> None:
    assert lms.username_problem(username) == problem


def test_unicode_username_follows_lms_pattern(settings: Any) -> None:
    settings.FEATURES = {"ENABLE_UNICODE_USERNAME": True}
    settings.USERNAME_REGEX_PARTIAL = r"[\w .@_+-]+"

    assert lms.username_problem("клиент") is None
    assert lms.username_problem("a/b") is not None
    assert lms.username_problem("ab\n") is not None
    assert lms.username_problem("ы" * 31) is not None

    del settings.USERNAME_REGEX_PARTIAL
    assert lms.username_problem("report") is not None


@pytest.mark.parametrize(
    ("username", "taken"), [("a", True), ("a.b@c+d", True), ("a" * 150, True), ("a" * 151, False), ("a b", False)]
)
def test_plain_django_username_rules_apply(plain_django: None, username: str, taken: bool) -> None:
    assert (lms.username_problem(username) is None) is taken


def test_plain_django_lists_all_name_errors(plain_django: None) -> None:
    name = "a b" * 51
    with pytest.raises(ValidationError) as refusal:
        User._meta.get_field("username").clean(name, None)

    assert len(refusal.value.messages) == 2
    assert lms.username_problem(name) == " ".join(refusal.value.messages)


# Accounts


@pytest.mark.parametrize("flags", [(False, False), (True, False), (True, True)], ids=str)
def test_new_user_has_flags_and_no_password(flags: tuple[bool, bool]) -> None:
    user = User.objects.get(pk=create(staff=flags[0], superuser=flags[1]).pk)

    assert (user.username, user.email) == ("report", "report@example.org")
    assert (user.is_active, user.is_staff, user.is_superuser) == (True, *flags)
    assert not user.has_usable_password()
    assert UserProfile.objects.get(user=user).name == "report"
    assert UserTour.objects.filter(user=user).count() == 1
    assert NotificationPreference.objects.filter(user=user).count() == 14


@pytest.mark.databases
def test_bulk_users_equal_single_users() -> None:
    wanted = [
        lms.NewUser("report", "report@EXAMPLE.org", staff=True, superuser=False, full_name="Reports"),
        lms.NewUser("boss", "boss@example.org", staff=False, superuser=True, full_name="Her"),
    ]
    with statements() as sent:
        together = lms.create_users(wanted)
    users = [*together, *(create(username=f"{each.username}-2", email=f"2-{each.email}",
        staff=each.staff, superuser=each.superuser, full_name=each.full_name) for each in wanted)]  # fmt: skip

    assert [
        (user.username, user.email, user.is_staff, user.is_superuser, user.has_usable_password(), user.profile.name)
        for user in User.objects.filter(pk__in=[user.pk for user in users]).order_by("pk")
    ] == [
        ("report", "report@example.org", True, False, False, "Reports"),
        ("boss", "boss@example.org", False, True, False, "Her"),
        ("report-2", "2-report@example.org", True, False, False, "Reports"),
        ("boss-2", "2-boss@example.org", False, True, False, "Her"),
    ]
    assert all(UserTour.objects.filter(user=user).count() == 1 for user in users)
    assert len([sql for sql in sent if re.match("INSERT INTO .auth_user. ", sql)]) == 1


def test_custom_user_manager_creates_each(monkeypatch: pytest.MonkeyPatch) -> None:
    class OwnManager(UserManager[User]):
        def create_user(self, username: str, *arguments: Any, **fields: Any) -> User:
            return super().create_user(username, *arguments, **fields, first_name="Robot")

    users: Any = OwnManager()
    users.model = User
    monkeypatch.setattr(User, "objects", users)
    wanted = [lms.NewUser(name, f"{name}@example.org", False, False, name) for name in ("report", "other")]

    assert [user.first_name for user in lms.create_users(wanted)] == ["Robot", "Robot"]


def test_bulk_users_are_read_back_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(connection.features), "can_return_rows_from_bulk_insert", False)
    wanted = [lms.NewUser(name, f"{name}@example.org", False, False, f"The {name}") for name in ("report", "other")]

    users = lms.create_users(wanted)

    assert [user.pk for user in users] == [User.objects.get(username=each.username).pk for each in wanted]
    assert [UserProfile.objects.get(user=user).name for user in users] == ["The report", "The other"]


def test_new_user_is_not_sent_to_marketing() -> None:
    seen: list[bool] = []

    def look(instance: User, **_signal: Any) -> None:
        seen.append(hasattr(instance, "_called_by_management_command"))

    with receiver(pre_save, look), receiver(post_save, look):
        create()

    assert seen == [False, False]


def test_existing_profile_is_kept() -> None:
    def make(instance: User, created: bool, **_signal: Any) -> None:
        if created:
            UserProfile.objects.create(user=instance, name="by the site")

    UserFactory()  # so that the account's primary key differs from its profile's
    with receiver(post_save, make):
        user = create()

    assert UserProfile.objects.get(user=user).name == "by the site"


@pytest.mark.parametrize(
    ("error", "field", "words"),
    [
        (AccountValidationError("Taken by another.", field="username"), "username", "Taken by another."),
        (AccountValidationError("No such domain.", field="email"), "email", "No such domain."),
        (AccountValidationError("Not today.", field=None), "username", "Not today."),
        (type("AccountValidationError", (Exception,), {})("Never."), "username", "Never."),
        (ValidationError({"email": ["Required.", "And valid."]}), "username", "Required. And valid."),
    ],
    ids=["of the LMS, for the name", "for the address", "for nothing", "of an LMS that names no field", "of Django"],
)
def test_receiver_refusal_is_reported(error: Exception, field: str, words: str) -> None:
    def refuse(**_signal: Any) -> None:
        raise error

    with receiver(pre_save, refuse), pytest.raises(InvalidSpec) as refusal:
        create()

    assert (refusal.value.field, refusal.value.message) == (field, words)


def test_broken_receiver_is_not_a_refusal() -> None:
    def fail(**_signal: Any) -> None:
        raise ZeroDivisionError

    with receiver(pre_save, fail), pytest.raises(ZeroDivisionError):
        create()


def test_plain_django_creates_no_profile(plain_django: None) -> None:
    user = create()

    assert not UserProfile.objects.filter(user=user).exists()


@pytest.mark.parametrize(
    ("username", "retired"), [("retired__user_abc", True), ("report", False), ("RETIRED__USER_abc", False)]
)
def test_retired_prefix_marks_account(username: str, retired: bool) -> None:
    assert lms.is_retired(username) is retired


def test_no_retired_prefix_means_no_retired(settings: Any) -> None:
    del settings.RETIRED_USERNAME_PREFIX

    assert lms.is_retired("retired__user_abc") is False
    assert lms.username_problem("retired__user_abc") is None


def test_account_is_named_by_the_sites_field(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lms.usernames_are_emails() is False

    monkeypatch.setattr(User, "USERNAME_FIELD", "email")
    assert lms.usernames_are_emails() is True


def test_lms_tells_of_retirements(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lms.retirement_signal() is USER_RETIRE_LMS_CRITICAL

    with monkeypatch.context() as patch:
        patch.delattr(accounts_signals, "USER_RETIRE_LMS_CRITICAL")
        assert lms.retirement_signal() is None
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, accounts_signals.__name__, None)
        assert lms.retirement_signal() is None
    monkeypatch.delitem(apps.app_configs, "user_api")
    assert lms.retirement_signal() is None


def test_retirement_names_an_account_before_and_after() -> None:
    user, other = UserFactory(), UserFactory()
    UserRetirementStatus.objects.create(
        user=user, original_username="a", original_email="a@example.org", retired_username="b", retired_email="b@x.org"
    )

    assert lms.retirement_of(user) == ("a", "a@example.org", "b", "b@x.org")
    assert lms.retirement_of(other) is None


# Course access roles


def test_courses_without_overview_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    known, unknown = "course-v1:edX+DemoX+2026", "course-v1:edX+DemoX+2027"
    CourseOverview.objects.create(id=known, org="edX")

    assert lms.unknown_courses([known, unknown]) == {unknown}
    with statements() as sent:
        assert lms.unknown_courses([]) == frozenset()
    assert sent == []
    plain(monkeypatch)
    assert lms.unknown_courses([known, unknown]) == frozenset()


def test_roles_of_openedx_authz_are_changed_there(monkeypatch: pytest.MonkeyPatch) -> None:
    user, there, changed = UserFactory(), frozenset({"course_role:a@edX", "course_role:b@edX"}), []
    monkeypatch.setattr(lms.authz, "keeps", lambda right: right != "global_role:support")
    monkeypatch.setattr(lms.authz, "roles_of_users", lambda pks: dict.fromkeys(pks, there))
    for name in ("assign", "unassign"):
        monkeypatch.setattr(lms.authz, name, lambda *args, name=name: changed.append((name, *args)))

    lms.change_course_roles(
        user,
        add=frozenset({"course_role:c@edX", "course_role:d@edX", "global_role:support"}),
        remove=frozenset({"course_role:a@edX", "course_role:elsewhere@edX"}),
    )

    assert changed == [
        ("unassign", user, {"course_role:a@edX"}),
        ("assign", user, "course_role:c@edX"),
        ("assign", user, "course_role:d@edX"),
    ]
    assert [*lms.course_roles([user.pk]).values()] == [{"global_role:support"}]
    changed.clear()
    assert lms.remove_assignments(user) is True
    assert changed == [("unassign", user, there)]


@pytest.mark.databases
def test_course_roles_round_trip() -> None:
    assert (bool(lms.registered_roles()), lms.is_lms()) == (True, True)
    user = UserFactory()
    course = "course-v1:edX+DemoX+2026"
    rights = frozenset({f"course_role:staff@{course}", "course_role:staff@edX", "global_role:support"})

    lms.change_course_roles(user, add=rights, remove=frozenset())
    assert lms.course_roles([user.pk])[user.pk] == rights
    assert {(row.role, row.org, str(row.course_id or "")) for row in CourseAccessRole.objects.all()} == {
        ("staff", "edX", course), ("staff", "edX", ""), ("support", "", ""),
    }  # fmt: skip
    CourseAccessRole.objects.create(user=user, role="instructor", org="edX", course_id="")
    assert lms.course_roles([user.pk])[user.pk] == rights | {"course_role:instructor@edX"}

    removed = frozenset({"course_role:staff@edX", "course_role:instructor@edX"})
    lms.change_course_roles(user, add=frozenset(), remove=removed)
    assert lms.course_roles([user.pk])[user.pk] == rights - removed


# Applications


def test_restricted_application_is_detected() -> None:
    # In this order their primary keys differ from those of the restrictions.
    other, application = ApplicationFactory(), ApplicationFactory()
    RestrictedApplication.objects.create(application=application)

    assert lms.is_restricted(application.pk) is True
    assert lms.is_restricted(other.pk) is False


@pytest.mark.databases
def test_set_access_replaces_access() -> None:
    application = ApplicationFactory()
    assert lms.access(application) == Access()

    lms.set_access(application, Access(("grades:read",), ("content_org:edX",)), restricted=True)
    assert lms.access(application) == Access(("grades:read",), ("content_org:edX",))
    assert lms.is_restricted(application.pk)

    lms.set_access(application, Access(("user_id",), ()), restricted=True)
    assert lms.access(application) == Access(("user_id",), ())
    assert RestrictedApplication.objects.filter(application=application).count() == 1

    lms.set_access(application, Access(), restricted=False)
    assert lms.access(application) == Access()
    assert not ApplicationAccess.objects.exists()
    assert not lms.is_restricted(application.pk)


def test_plain_django_has_no_roles_or_access(plain_django: None) -> None:
    application = ApplicationFactory()

    lms.set_access(application, Access(("read",), ()), restricted=True)
    lms.change_course_roles(application.user, add=frozenset({"global_role:support"}), remove=frozenset())

    assert lms.course_roles([application.user.pk]) == {}
    assert lms.access(application) == Access()
    assert lms.restrictions() is None
    assert (lms.registered_roles(), lms.is_lms(), lms.is_restricted(application.pk)) == (None, False, False)


def test_missing_app_gives_no_model() -> None:
    assert lms._model("no_such_app.Model") is None
    assert lms._model("student.NoSuchModel") is None


# The REST API


def test_lms_authentication_prefers_jwt() -> None:
    assert lms.authentication_classes(bearer=False) == (JwtAuthentication, SessionAuthentication)
    assert lms.authentication_classes(bearer=True) == (JwtAuthentication, BearerAuthentication, SessionAuthentication)


def test_without_jwt_bearer_comes_first(settings: Any) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_AUTHENTICATION_CLASSES": []}

    assert lms.authentication_classes(bearer=True) == (BearerAuthentication, SessionAuthentication)
    assert lms.jwt_claims("", JwtAuthentication()) is None


def test_jwt_claims_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "configured_jwt_decode_handler", lambda token: {"decoded": token})

    assert lms.jwt_claims("a.b.c", JwtAuthentication()) == {"decoded": "a.b.c"}
    assert lms.jwt_claims("a.b.c", BearerAuthentication()) is None


def test_presented_jwt_is_read(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    token = AccessTokenFactory()

    claims, problem = lms.read_jwt(Secret(create_jwt(token, asymmetric=False)))
    assert (claims["preferred_username"], problem) == (token.user.username, None)

    monkeypatch.setattr("time.time", lambda: 0)
    expired = create_jwt(token, asymmetric=False)
    monkeypatch.undo()
    assert lms.read_jwt(Secret(expired)) == ({}, "jwt_expired")
    assert lms.read_jwt(Secret("a.b.c")) == ({}, "jwt_invalid")
    assert caplog.text == ""
    assert decoder.logger.disabled is False


def test_site_without_jwts_reads_none(settings: Any) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_AUTHENTICATION_CLASSES": []}

    assert lms.read_jwt(Secret("a.b.c")) == ({}, "jwt_refused")


def test_lms_pagination_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lms.pagination_class() is DefaultPagination

    monkeypatch.setitem(sys.modules, "edx_rest_framework_extensions.paginators", None)
    assert lms.pagination_class() is None
