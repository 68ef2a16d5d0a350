"""New rights come with new credentials, and a service user belongs to one client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import IntegrityError, connection, models, transaction
from oauth2_provider.models import get_access_token_model
from oauth2_provider.settings import oauth2_settings

from edx_api_provisioning import api
from edx_api_provisioning.adapters import roles
from edx_api_provisioning.core.exceptions import Conflict, InvalidSpec, NotAllowed
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.services import rotation
from openedx.core.djangoapps.django_comment_common.models import Role
from openedx.core.djangoapps.oauth_dispatch.models import ApplicationAccess
from tests.factories import OPERATOR, SECRET, AccessTokenFactory, ApplicationFactory, UserFactory, operator, person, run
from tests.lifecycle_helpers import all_rows, answer, client, granted, last_event, provisioned, shown

pytestmark = pytest.mark.django_db

MODES = "course_modes.change_coursemode"
HOUR = timedelta(hours=1)


def ann(*permissions: str, **flags: Any) -> Any:
    user = UserFactory(**flags)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def provision(authority: Any = OPERATOR, name: str = "report", **wanted: Any) -> Credentials:
    return api.provision(ClientSpec(name=name, **wanted), authority=authority)


def ended(credentials: Credentials) -> bool:
    """Return whether neither the token nor the secret works any more."""
    token = answer(credentials.access_token)
    secret = granted(credentials.client_id, credentials.client_secret)
    assert (token == "ok") == (secret is not None)
    return token != "ok"


# New rights come with new credentials


GROWTH: dict[str, dict[str, Any]] = {
    "a permission": {"permissions": (MODES,)},
    "a course role": {"course_roles": ("staff@edX",)},
    "a global role": {"global_roles": ("support",)},
    "a scope": {"scopes": ("read", "grades:read")},
    "a filter": {"filters": ("content_org:edX",)},
}


@pytest.mark.parametrize("growth", GROWTH)
def test_growth_beyond_recipient_needs_reissue(growth: str) -> None:
    first = provision(person(ann()))
    before = all_rows()

    for ask in (provision, lambda **wanted: api.plan_client(ClientSpec(name="report", **wanted), authority=OPERATOR)):
        with pytest.raises(Conflict, match="could not have granted"):
            ask(**GROWTH[growth])
    assert all_rows() == before

    second = provision(**GROWTH[growth], reissue=True)
    assert second.client_secret is not None
    assert second.access_token is not None
    assert ended(first)
    assert not ended(second)
    assert not provision(**GROWTH[growth], reissue=True).issued
    assert provision(**GROWTH[growth]).status == "unchanged"


def test_plan_tells_of_reissue() -> None:
    provision(person(ann()))

    plan = api.plan_client(ClientSpec(name="report", permissions=(MODES,), reissue=True), authority=OPERATOR)

    assert plan.change == "rotate"
    assert any("older JWTs stay valid for up to an hour" in step.planned for step in plan.steps)


@pytest.mark.parametrize(
    ("recipient", "wanted"),
    [(lambda: OPERATOR, {}), (lambda: OPERATOR, {"token": False}), (lambda: person(ann("change_coursemode")), {})],
    ids=["operator", "operator, no token", "somebody with the right"],
)
def test_recipient_with_the_right_keeps_credentials(recipient: Any, wanted: dict[str, Any]) -> None:
    provision(recipient(), **wanted)

    assert not provision(permissions=(MODES,), **wanted).issued


def test_unknown_recipient_counts_as_nobody() -> None:
    application = ApplicationFactory(client_id="the-id")
    api.adopt("report", client_id="the-id", authority=OPERATOR)

    with pytest.raises(Conflict, match="could not have granted"):
        provision(permissions=(MODES,), username=application.user.username, use_existing_user=True)


@pytest.mark.parametrize("which", [{"secret": True}, {"token": True}, {"secret": True, "token": True, "grace": HOUR}])
def test_every_recipient_counts(which: dict[str, Any]) -> None:
    """The operator created it; a lesser person has rotated a part of it, or still has the older part."""
    provision()
    api.rotate("report", authority=person(ann()), **{"token": False, **which})

    with pytest.raises(Conflict, match="could not have granted"):
        provision(permissions=(MODES,))


def test_older_credentials_count_until_they_end() -> None:
    provision(person(ann()))
    api.rotate("report", token=True, secret=True, grace=HOUR, authority=OPERATOR)
    with pytest.raises(Conflict, match="could not have granted"):
        provision(permissions=(MODES,))

    api.rotate("report", token=True, secret=True, authority=OPERATOR)

    assert not provision(permissions=(MODES,)).issued


def test_reissue_ends_the_older_application() -> None:
    first = provision(person(ann()))
    api.rotate("report", token=True, secret=True, grace=HOUR, authority=OPERATOR)
    assert not ended(first)

    provision(permissions=(MODES,), reissue=True)

    assert ended(first)


def test_reissue_has_a_new_recipient() -> None:
    provision(person(ann()), token=False)
    api.rotate("report", token=False, secret=True, authority=OPERATOR)

    provision(person(ann("change_coursemode")), token=False, permissions=(MODES,), reissue=True)

    with pytest.raises(Conflict, match="could not have granted"):
        provision(token=False, permissions=(MODES, "auth.view_group"))


def test_grant_token_of_recipient_ends_with_reissue() -> None:
    first = provision(person(ann()))
    token = granted(first.client_id, first.client_secret)
    assert token is not None

    provision(permissions=(MODES,), reissue=True)

    assert answer(token) != "ok"


def test_own_secret_of_lesser_recipient_is_refused() -> None:
    first = provision(person(ann()))
    assert first.client_secret is not None
    secret = Secret(first.client_secret.reveal())

    with pytest.raises(Conflict, match="choose another"):
        provision(permissions=(MODES,), reissue=True, client_secret=secret)

    second = provision(permissions=(MODES,), reissue=True, client_secret=Secret(SECRET))
    assert shown(second.client_secret) == SECRET
    assert ended(first)
    again = provision(permissions=(MODES,), reissue=True, client_secret=Secret(SECRET))
    assert again.status == "unchanged"


# What shrinks, shrinks for all


def test_scopes_shrink_for_all_credentials() -> None:
    scopes = ("read", "write", "grades:read")
    first = provision(scopes=scopes)
    old = client().application
    api.rotate("report", token=True, secret=True, grace=HOUR, authority=OPERATOR)
    granted(first.client_id, first.client_secret)

    provision(scopes=("read",))

    tokens = get_access_token_model().objects.filter(user=client().user)
    assert tokens.count() == 3
    assert not any("grades:read" in token.scope for token in tokens)
    assert not any("grades:read" in each.scopes for each in ApplicationAccess.objects.all())
    assert not ApplicationAccess.objects.filter(application=old).exists()
    assert api.rotate("report", authority=OPERATOR).scopes == ("read",)


def test_filters_shrink_for_all_credentials() -> None:
    provision(restricted=True, token=False, filters=("content_org:edX", "content_org:other"))
    api.rotate("report", token=False, secret=True, grace=HOUR, authority=OPERATOR)

    provision(token=False, filters=("content_org:edX",))

    found = [*ApplicationAccess.objects.values_list("filters", flat=True)]
    assert found == [["content_org:edX"], ["content_org:edX"]]


# A service user belongs to one client


def test_user_of_another_client_is_refused() -> None:
    provision(name="first", username="the-user")

    for authority in (OPERATOR, person(ann(is_superuser=True))):
        for consent in (False, True):
            with pytest.raises(Conflict, match="created for the API client first"):
                provision(authority, name="second", username="the-user", use_existing_user=consent)
    with pytest.raises(NotAllowed, match="this username is taken"):
        provision(person(ann()), name="second", username="the-user")


def test_database_keeps_one_owner() -> None:
    user = UserFactory()
    ApiClient.objects.create(name="first", owned_user=user)

    with pytest.raises(IntegrityError), transaction.atomic():
        ApiClient.objects.create(name="second", owned_user=user)


def test_created_user_is_owned() -> None:
    provision()
    user = UserFactory(username="person")
    provision(name="other", username="person", use_existing_user=True)

    assert client().owned_user == client().user
    assert (client("other").owned_user, client("other").user) == (None, user)


def test_sharing_is_in_both_histories() -> None:
    UserFactory(username="person")
    provision(name="first", username="person", use_existing_user=True)
    provision(name="second", username="person", use_existing_user=True)

    shared = ApiClientEvent.objects.get(kind="shared")
    assert (shared.client_name, shared.details["with"]) == ("first", "second")


def test_rights_of_another_client_stay() -> None:
    provision(name="owner", permissions=(MODES,))
    ApplicationFactory(user=client("owner").user, client_id="the-id")
    api.adopt("adopted", client_id="the-id", authority=OPERATOR)

    provision(name="owner", groups=())
    provision(name="owner", permissions=())
    provision(name="adopted", permissions=(), username=client("owner").user.username)

    assert client("owner").user.has_perm(MODES)


def test_rights_that_only_a_retired_client_declares_are_removed() -> None:
    provision(permissions=(MODES,))
    ApplicationFactory(user=client().user, client_id="the-id")
    api.adopt("adopted", client_id="the-id", authority=OPERATOR)
    assert provision(permissions=()).status == "updated"
    assert client().user.has_perm(MODES)

    api.revoke("adopted", retire=True, authority=OPERATOR)

    assert provision(permissions=()).status == "updated"
    assert not client().user.has_perm(MODES)


def test_adopting_a_shared_user_needs_consent() -> None:
    provision(name="owner")
    ApplicationFactory(user=client("owner").user, client_id="the-id")

    with pytest.raises(NotAllowed, match="only an operator or superuser"):
        api.adopt("adopted", client_id="the-id", authority=person(ann()))

    api.adopt("adopted", client_id="the-id", authority=person(ann(is_superuser=True)))
    assert ApiClientEvent.objects.get(kind="shared").client_name == "owner"


@pytest.mark.parametrize("grown", ["adopted", "new"])
def test_growth_counts_every_client_of_the_user(grown: str) -> None:
    """The credentials of the others gain the rights too."""
    user = UserFactory(username="person")
    ApplicationFactory(user=user, client_id="the-id")
    api.adopt("adopted", client_id="the-id", authority=OPERATOR)
    provision(name="other", username="person", use_existing_user=True)
    ApiClient.objects.filter(name="other").update(recipients={"secret": str(ann().pk), "token": "operator"})
    api.rotate("adopted", secret=True, authority=OPERATOR)
    wanted = {"username": "person", "use_existing_user": True, "permissions": (MODES,), "reissue": True}

    with pytest.raises(Conflict, match=f"received the credentials of other, .* permission:{MODES}"):
        provision(name=grown, **wanted)
    assert not user.has_perm(MODES)

    api.rotate("other", secret=True, authority=OPERATOR)
    provision(name=grown, **wanted)


def test_retiring_ends_every_client_of_the_user() -> None:
    first = provision(name="owner")
    application = ApplicationFactory(user=client("owner").user, client_id="the-id", client_secret=SECRET)
    api.adopt("adopted", client_id="the-id", authority=OPERATOR)

    api.revoke("owner", retire=True, authority=OPERATOR)

    assert {each.state for each in ApiClient.objects.all()} == {"retired"}
    assert ended(first)
    assert granted(application.client_id, Secret(SECRET)) is None
    assert not get_user_model().objects.get(username="owner").is_active
    assert {*ApiClientEvent.objects.filter(kind="retired").values_list("client_name", flat=True)} == {
        "owner",
        "adopted",
    }


def test_clients_without_a_user_do_not_share_it() -> None:
    for name in ("one", "two"):
        provision(name=name)
        client(name).user.delete()

    done = api.revoke("one", retire=True, authority=OPERATOR)

    assert client("two").state == ApiClient.State.ACTIVE
    assert not any("two" in change for change in done.changes)


# All rights are seen


def forum_administrator(user: Any) -> None:
    Role.objects.create(name="Administrator", course_id="course-v1:edX+DemoX+2026").users.add(user)


def test_forum_role_is_a_right() -> None:
    provisioned()
    forum_administrator(client().user)

    with pytest.raises(NotAllowed):
        api.rotate("report", authority=person(ann()))
    with pytest.raises(NotAllowed, match="forum_role:Administrator@course-v1:edX"):
        api.rotate("report", authority=person(ann("view_user")))
    assert [each.name for each in api.list_clients(overprivileged=True)] == ["report"]


def test_role_that_only_the_lms_gives_is_not_removed() -> None:
    provisioned()
    forum_administrator(client().user)

    provision(permissions=(MODES,))

    assert provision(permissions=()).changes[0] == f"Removed permission:{MODES} from the user."
    assert provision(permissions=()).status == "unchanged"
    assert client().user.roles.exists()


def test_student_of_a_forum_is_no_right() -> None:
    provisioned()
    Role.objects.create(name="Student", course_id="course-v1:edX+DemoX+2026").users.add(client().user)

    api.rotate("report", authority=person(ann()))


@pytest.fixture
def role_models(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Create tables as in edx-enterprise (enterprise/models.py) and the platform's system_wide_roles."""

    def model(label: str, **fields: Any) -> Any:
        app_label, _dot, name = label.partition(".")
        meta = type("Meta", (), {"app_label": app_label})
        return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, **fields})

    def link(to: Any, **options: Any) -> Any:
        return models.ForeignKey(to, models.CASCADE, related_name="+", **options)

    user_model, found = get_user_model(), {}
    customer = model("enterprise.EnterpriseCustomer", uuid=models.UUIDField(primary_key=True, default=uuid4))
    for role, assignment, more in (
        ("enterprise.SystemWideEnterpriseRole", "enterprise.SystemWideEnterpriseUserRoleAssignment",
         {"enterprise_customer": link(customer, null=True)}),
        ("system_wide_roles.SystemWideRole", "system_wide_roles.SystemWideRoleAssignment", {}),
    ):  # fmt: skip
        found[role] = model(role, name=models.CharField(max_length=255))
        found[assignment] = model(assignment, user=link(user_model), role=link(found[role]), **more)
    monkeypatch.setattr(
        roles, "apps", SimpleNamespace(get_model=lambda label: found.get(label) or apps.get_model(label))
    )
    every = [customer, *found.values()]
    with connection.schema_editor() as editor:
        for each in every:
            editor.create_model(each)
    yield {**found, "customer": customer}
    with connection.schema_editor() as editor:
        for each in reversed(every):
            editor.delete_model(each)
            del apps.all_models[each._meta.app_label][each._meta.model_name]
    apps.clear_cache()


@pytest.mark.django_db(transaction=True)
def test_enterprise_and_system_roles_are_rights(role_models: dict[str, Any]) -> None:
    provisioned()
    customer = role_models["customer"].objects.create()
    for label, more, right in (
        (
            "enterprise.SystemWideEnterprise{}Role",
            {"enterprise_customer": customer},
            f"enterprise_role:admin@{customer.pk}",
        ),
        ("system_wide_roles.SystemWide{}Role", {}, "system_role:admin"),
    ):
        role = role_models[label.format("")].objects.create(name="admin")
        given = role_models[label.format("User" if "enterprise" in label else "") + "Assignment"]
        row = given.objects.create(user=client().user, role=role, **more)

        with pytest.raises(NotAllowed, match=right):
            api.rotate("report", authority=person(ann("view_user")))
        row.delete()
    api.rotate("report", authority=person(ann()))


def test_promotion_during_rotation_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account is read again, locked, when its rights are compared."""
    provisioned()
    find_issues = rotation.find_issues

    def promoted(*args: Any, **kwargs: Any) -> Any:
        get_user_model().objects.filter(username="report").update(is_superuser=True)
        return find_issues(*args, **kwargs)

    monkeypatch.setattr(rotation, "find_issues", promoted)

    with pytest.raises(NotAllowed):
        api.rotate("report", authority=person(ann()))


# Odd input


@pytest.mark.parametrize("secret", ["A" * 32, "ab" * 20, "secret" * 8])
def test_guessable_own_secret_is_refused(secret: str) -> None:
    with pytest.raises(InvalidSpec, match="can be guessed"):
        provision(client_secret=Secret(secret))
    with pytest.raises(InvalidSpec, match="can be guessed"):
        provision(access_token=Secret(secret))


def test_control_characters_in_a_label_are_escaped() -> None:
    provision(operator("command line: root\n2026 admin: bob\x1b[2J"))

    assert last_event().actor == "command line: root\\n2026 admin: bob\\x1b[2J"


def test_control_characters_of_an_application_are_escaped() -> None:
    ApplicationFactory(name="evil\x1b[2J\nforged row", client_id="the-id")

    shown_rows = run("--unmanaged", command="list_api_clients").stdout

    assert "evil\\x1b[2J\\nforged row" in shown_rows
    assert "\x1b" not in shown_rows


IN_FLIGHT: dict[str, Any] = {
    "rotated": lambda: api.rotate("report", secret=True, authority=OPERATOR),
    "rotated with grace": lambda: api.rotate("report", secret=True, grace=HOUR, authority=OPERATOR),
    "only the token": lambda: api.rotate("report", authority=OPERATOR),
    "reissued": lambda: provision(permissions=(MODES,), reissue=True),
    "revoked": lambda: api.revoke("report", authority=OPERATOR),
    "retired": lambda: api.revoke("report", retire=True, authority=OPERATOR),
}


@pytest.mark.versions
@pytest.mark.parametrize("change", IN_FLIGHT)
def test_grant_with_a_replaced_secret_is_refused(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = provision(person(ann()))
    validator = oauth2_settings.OAUTH2_VALIDATOR_CLASS
    authenticate = validator.authenticate_client

    def then_change(self: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        monkeypatch.setattr(validator, "authenticate_client", authenticate)
        result = authenticate(self, request, *args, **kwargs)
        IN_FLIGHT[change]()
        return bool(result)

    monkeypatch.setattr(validator, "authenticate_client", then_change)

    valid = change in ("rotated with grace", "only the token", "revoked")
    assert (granted(issued.client_id, issued.client_secret) is not None) == valid


def test_grant_in_flight_at_retirement_is_ended() -> None:
    issued = provision()
    api.revoke("report", retire=True, authority=OPERATOR)
    assert api.get_client("report").issues == ()
    token = AccessTokenFactory(application=client().application)

    assert api.get_client("report").issues == ("retired_token",)
    api.notify_expiring(authority=OPERATOR)

    assert not get_access_token_model().objects.filter(pk=token.pk).exists()
    assert (last_event().kind, last_event().client_name) == ("revoked", issued.name)
    before = all_rows()
    api.notify_expiring(authority=OPERATOR)
    assert all_rows() == before


def test_undefined_scope_is_refused() -> None:
    """A site that has not defined the scopes of this API cannot give them to a restricted client by mistake."""
    with pytest.raises(InvalidSpec, match="api_provisioning:write"):
        provision(restricted=True, token=False, scopes=("api_provisioning:write",))
