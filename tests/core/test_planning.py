"""Test the planning rules without a database: spec and current state give a plan."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from edx_api_provisioning.core.exceptions import Conflict, InvalidSpec, NearMatch
from edx_api_provisioning.core.planning import Action, Plan, make_plan
from edx_api_provisioning.core.results import Status
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import CurrentState, Site
from tests.factories import (
    NOW,
    SECRET,
    TOKEN,
    CurrentClientFactory,
    CurrentUserFactory,
    SiteFactory,
    StateFactory,
)

NOTHING = CurrentState()
DAY = timedelta(days=1)


def plan(found: CurrentState = NOTHING, site: Site | None = None, **wanted: Any) -> Plan:
    return make_plan(ClientSpec(name="report", **wanted), found, site or SiteFactory())


def actions(made: Plan) -> list[Action]:
    return [step.action for step in made.steps]


# A new client


def test_new_client_plans_all_steps() -> None:
    made = plan()

    assert actions(made) == [
        Action.CREATE_CLIENT, Action.CREATE_USER, Action.CREATE_APPLICATION, Action.ISSUE_TOKEN,
    ]  # fmt: skip
    assert made.status is Status.CREATED
    assert (made.username, made.email) == ("report", "report@lms.example.org")
    assert (made.expires_at, made.scopes) == (NOW + 365 * DAY, ("read", "write"))


def test_every_step_has_a_description() -> None:
    assert [step.planned for step in plan(staff=True, scopes=("read",), expires_in=90 * DAY).steps] == [
        "Would register the API client report.",
        "Would create the user report <report@lms.example.org>, staff, with an unusable password.",
        "Would create the confidential application report for the client credentials grant.",
        "Would issue an access token that expires at 2026-05-30 12:00 UTC, with the scopes read.",
    ]


def test_default_email_follows_username() -> None:
    assert plan(username="grades-bot").email == "grades-bot@lms.example.org"
    made = plan(username="grades-bot", email="bots@example.org")
    assert (made.username, made.email) == ("grades-bot", "bots@example.org")


def test_no_token_is_planned_without_token() -> None:
    made = plan(token=False)

    assert Action.ISSUE_TOKEN not in actions(made)
    assert (made.expires_at, made.scopes) == (None, ())


@pytest.mark.parametrize(
    ("wanted", "site", "ends"),
    [
        ({}, {"lifetime": 7 * DAY}, NOW + 7 * DAY),
        ({}, {"max_lifetime": 90 * DAY}, NOW + 90 * DAY),
        ({"expires_in": timedelta(hours=12)}, {}, NOW + timedelta(hours=12)),
        ({"expires_in": 730 * DAY}, {}, NOW + 730 * DAY),
        ({"expires_at": NOW + DAY}, {}, NOW + DAY),
        ({"expires_at": NOW + DAY + timedelta(microseconds=999_999)}, {}, NOW + DAY),
    ],
)
def test_expiry_follows_spec_and_site(wanted: dict[str, Any], site: dict[str, Any], ends: Any) -> None:
    assert plan(site=SiteFactory(**site), **wanted).expires_at == ends


@pytest.mark.parametrize(
    ("wanted", "warning"),
    [({}, ""), ({"staff": True}, "staff client"), ({"superuser": True}, "superuser client")],
    ids=["plain", "staff", "superuser"],
)
def test_rights_add_warning(wanted: dict[str, bool], warning: str) -> None:
    warnings = plan(**wanted).warnings

    assert len(warnings) == bool(warning)
    assert warning in " ".join(warnings)


# Existing clients


def test_complete_client_is_unchanged() -> None:
    made = plan(StateFactory())

    assert made.steps == ()
    assert made.status is Status.UNCHANGED
    assert (made.expires_at, made.scopes) == (NOW + 30 * DAY, ("read", "write"))


@pytest.mark.parametrize(
    "wanted",
    [
        {"username": "report"},
        {"email": "report@lms.example.org"},
        {"email": "Report@LMS.example.org"},
        {"use_existing_user": True},
        {"expires_at": NOW + 30 * DAY},
        {"expires_in": 365 * DAY},
        {"scopes": ("write", "read")},
        {"client_id": "the-client-id"},
        {"client_secret": Secret(SECRET)},
        {"access_token": Secret(TOKEN)},
        {"contact": ""},
        {"purpose": ""},
    ],
    ids=str,
)
def test_matching_spec_is_unchanged(wanted: dict[str, Any]) -> None:
    assert plan(StateFactory(access_token_pk=9), **wanted).status is Status.UNCHANGED


@pytest.mark.parametrize(
    ("left", "issued"),
    [(timedelta(seconds=1), False), (timedelta(0), True), (timedelta(seconds=-1), True), (timedelta(-400), True)],
    ids=str,
)
def test_expired_token_is_reissued(left: timedelta, issued: bool) -> None:
    made = plan(StateFactory(client__token__expires_at=NOW + left))

    assert actions(made) == ([Action.ISSUE_TOKEN] if issued else [])
    assert made.status is (Status.UPDATED if issued else Status.UNCHANGED)


def test_deleted_token_is_reissued() -> None:
    made = plan(StateFactory(client__token=None, client__token_lifetime=DAY), expires_in=DAY, scopes=("read",))

    assert actions(made) == [Action.ISSUE_TOKEN]
    assert (made.expires_at, made.scopes) == (NOW + DAY, ("read",))


def test_deleted_token_stays_away_unless_wanted() -> None:
    assert plan(StateFactory(client__token=None), token=False).status is Status.UNCHANGED


@pytest.mark.parametrize(
    "wanted",
    [{"token": True}, {"expires_in": DAY}, {"expires_at": NOW + DAY}, {"access_token": Secret(TOKEN)}],
    ids=str,
)
def test_client_without_token_gets_one_only_if_asked(wanted: dict[str, Any]) -> None:
    without = StateFactory(client__token=None, client__has_token=False)

    assert plan(without).status is Status.UNCHANGED
    assert actions(plan(without, contact="ops@example.org")) == [Action.UPDATE_CLIENT]
    assert actions(plan(without, **wanted)) == [Action.ISSUE_TOKEN]


def test_deleted_application_is_recreated() -> None:
    made = plan(StateFactory(client__application=None, client__token=None))

    assert actions(made) == [Action.CREATE_APPLICATION, Action.ISSUE_TOKEN]
    assert made.status is Status.UPDATED


def test_deleted_user_recreates_everything() -> None:
    client = CurrentClientFactory(user_pk=None, username=None, application=None, token=None)

    made = plan(CurrentState(client=client))

    assert actions(made) == [Action.CREATE_USER, Action.CREATE_APPLICATION, Action.ISSUE_TOKEN]
    assert made.status is Status.UPDATED


def test_existing_account_is_used_on_request() -> None:
    user = CurrentUserFactory(linked=False)

    made = plan(CurrentState(user=user), use_existing_user=True)

    assert actions(made)[:2] == [Action.CREATE_CLIENT, Action.USE_USER]
    assert made.steps[1].planned == (
        "Would use the account report, which is neither staff nor superuser, as the service user."
    )
    assert made.email == user.email


def test_scopes_are_changed_in_place() -> None:
    made = plan(StateFactory(), scopes=("read", "email"))

    assert made.has(Action.UPDATE_SCOPES)
    assert not made.has(Action.ISSUE_TOKEN)
    assert made.scopes == ("read", "email")
    assert made.expires_at == NOW + 30 * DAY
    assert "Would change the scopes of the access token from read write to read email." in [
        step.planned for step in made.steps
    ]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"contact": "ops@example.org"}, "Would change the contact from ann@example.org to ops@example.org."),
        ({"contact": ""}, "Would change the contact from ann@example.org to -."),
        ({"purpose": "weekly report"}, "Would change the purpose from - to weekly report."),
    ],
)
def test_contact_and_purpose_are_updated(wanted: dict[str, str], says: str) -> None:
    made = plan(StateFactory(client__contact="ann@example.org"), **wanted)

    assert [(step.action, step.planned) for step in made.steps] == [(Action.UPDATE_CLIENT, says)]
    assert made.status is Status.UPDATED


# Refusals

EXISTING = StateFactory()
STAFF = CurrentUserFactory(is_staff=True)
SUPERUSER = CurrentUserFactory(is_staff=True, is_superuser=True)
BARE_SUPERUSER = CurrentUserFactory(is_superuser=True)
RESTRICTED = StateFactory(client__token=None, client__application__restricted=True)

REFUSALS = {
    "an end that is past": (InvalidSpec, "expires_at", "past", {"expires_at": NOW - DAY}, NOTHING, {}),
    "an end that is now": (InvalidSpec, "expires_at", "past", {"expires_at": NOW}, NOTHING, {}),
    "a past end, though a token is there": (InvalidSpec, "expires_at", "past", {"expires_at": NOW}, EXISTING, {}),
    "too long a life": (InvalidSpec, "expires_in", "730 days", {"expires_in": 731 * DAY}, NOTHING, {}),
    "too far an end": (InvalidSpec, "expires_at", "730 days", {"expires_at": NOW + 731 * DAY}, NOTHING, {}),
    "a life beyond the site's limit": (
        InvalidSpec, "expires_in", "maximum is 30 days.*MAX_TOKEN_LIFETIME", {"expires_in": 31 * DAY}, NOTHING,
        {"max_lifetime": 30 * DAY, "lifetime": 30 * DAY},
    ),
    "an unknown scope": (
        InvalidSpec, "scopes", "unknown scope admin. Available: email, grades:read, read, write",
        {"scopes": ("root", "read", "admin")}, NOTHING, {},
    ),
    "filters on a site without them": (
        InvalidSpec, "filters", "has no application access", {"filters": ("content_org:edX",)}, NOTHING,
        {"has_access": False},
    ),
    "a restriction on a site without them": (
        InvalidSpec, "restricted", "has no application access", {"restricted": True}, NOTHING, {"has_access": False}
    ),
    "too many filters": (
        InvalidSpec, "filters", "at most 25 entries of at most 32 characters",
        {"filters": tuple(f"content_org:{number}" for number in range(26))}, NOTHING, {"has_access": True},
    ),
    "too long a filter": (
        InvalidSpec, "filters", "at most 25 entries of at most 32 characters",
        {"filters": (f"content_org:{'x' * 21}",)}, NOTHING, {"has_access": True},
    ),
    "staff where the site has none": (
        InvalidSpec, "staff", "ALLOW_STAFF", {"staff": True}, NOTHING, {"staff_allowed": False}
    ),
    "a superuser, being staff, where the site has none": (
        InvalidSpec, "staff", "ALLOW_STAFF", {"superuser": True}, NOTHING, {"staff_allowed": False}
    ),
    "a superuser where the site has none": (
        InvalidSpec, "superuser", "ALLOW_SUPERUSER", {"superuser": True}, NOTHING, {"superuser_allowed": False}
    ),
    "nobody to answer for it": (InvalidSpec, "contact", "requires the email", {}, NOTHING, {"contact_required": True}),
    "nobody any more": (
        InvalidSpec, "contact", "requires the email", {"contact": ""}, StateFactory(client__contact="ops@example.org"),
        {"contact_required": True},
    ),
    "a user name the site has rules against": (
        InvalidSpec, "username", "too short", {}, CurrentState(username_problem="too short"), {}
    ),
    "a guessed address that is none": (InvalidSpec, "email", "email address", {"username": "two words"}, NOTHING, {}),
    "an address of somebody else": (
        Conflict, "email", "report@lms.example.org belongs to the user ada; choose another",
        {}, CurrentState(email_owner="ada"), {},
    ),
    "a name in another spelling": (
        NearMatch, "name", "report conflicts with the existing Report",
        {}, StateFactory(client__name="Report"), {},
    ),
    "a user name in another spelling": (
        NearMatch, "username", "report conflicts with the existing repórt",
        {"use_existing_user": True}, CurrentState(user=CurrentUserFactory(linked=False, username="repórt")), {},
    ),
    "a client_id in another spelling": (
        NearMatch, "client_id", "id conflicts with the existing ID",
        {"client_id": "id"}, CurrentState(client_id_owner="ID"), {},
    ),
    "a client_id of another application": (
        Conflict, "client_id", "choose another", {"client_id": "id"}, CurrentState(client_id_owner="id"), {}
    ),
    "a token of somebody else": (
        Conflict, "access_token", "choose another", {"access_token": Secret(TOKEN)}, CurrentState(access_token_pk=5), {}
    ),
    "an account made elsewhere": (
        Conflict, "username", "--use-existing-user", {}, CurrentState(user=CurrentUserFactory(linked=False)), {}
    ),
    "more rights than the account has": (
        Conflict, "username", "is neither staff nor superuser, but this request says staff; .*not changed",
        {"staff": True}, EXISTING, {},
    ),
    "all rights, which the account has not": (
        Conflict, "username", "is staff, but this request says a superuser;",
        {"superuser": True}, StateFactory(user=STAFF), {},
    ),
    "fewer rights than the account has": (
        Conflict, "username", "is staff, but .* says neither staff nor superuser;", {}, StateFactory(user=STAFF), {}
    ),
    "staff, where the account is a superuser": (
        Conflict, "username", "is a superuser, but .* says staff;", {"staff": True}, StateFactory(user=SUPERUSER), {}
    ),
    "a superuser, where the account is one without being staff": (
        Conflict, "username", "is a superuser without the staff flag, but this request says a superuser;",
        {"superuser": True}, StateFactory(user=BARE_SUPERUSER), {},
    ),
    "an inactive account": (
        Conflict, "username", "not active; activate it", {}, StateFactory(user=CurrentUserFactory(active=False)), {}
    ),
    "another address than the account has": (
        Conflict, "email", "has the email address report@lms.example.org", {"email": "other@example.org"}, EXISTING, {}
    ),
    "a retired client": (
        Conflict, "name", "retired; provision a new client", {}, StateFactory(client__retired=True), {}
    ),
    "another user than the client has": (
        Conflict, "username", "belongs to the user report", {"username": "other"}, EXISTING, {}
    ),
    "an application given to another user": (
        Conflict, "name", "was changed; correct it", {}, StateFactory(client__application__user_pk=1), {}
    ),
    "an application without a user": (
        Conflict, "name", "was changed; correct it", {}, StateFactory(client__application__user_pk=None), {}
    ),
    "an application left without its user": (
        Conflict, "name", "was changed; correct it", {},
        CurrentState(client=CurrentClientFactory(user_pk=None, username=None, application__user_pk=None)), {},
    ),
    "an application for another grant": (
        Conflict, "name", "correct it in the admin", {},
        StateFactory(client__application__client_credentials=False), {},
    ),
    "another client_id than the client has": (
        Conflict, "client_id", "has the client id the-client-id, which cannot be changed",
        {"client_id": "other"}, EXISTING, {},
    ),
    "another secret than the client has": (
        Conflict, "client_secret", "has another secret",
        {"client_secret": Secret(SECRET)}, StateFactory(client_secret_matches=False), {},
    ),
    "another token than the client has": (
        Conflict, "access_token", "has another access token",
        {"access_token": Secret(TOKEN)}, StateFactory(access_token_pk=5), {},
    ),
    "a token the client has not": (
        Conflict, "access_token", "has another access token", {"access_token": Secret(TOKEN)}, EXISTING, {}
    ),
    "another end than the token has": (
        Conflict, "expires_at",
        "expires at 2026-03-31T12:00:00.*rotate_api_client report --expires-at 2026-03-02T12:00:00",
        {"expires_at": NOW + DAY}, EXISTING, {},
    ),
    "another lifetime than the token has": (
        Conflict, "expires_in", "issued for 90 days; .*rotate_api_client report --expires-in 30d",
        {"expires_in": 30 * DAY}, StateFactory(client__token_lifetime=90 * DAY), {},
    ),
    "another lifetime than the site's default": (
        Conflict, "expires_in", "issued for 365 days; .*rotate_api_client report --expires-in 36h",
        {"expires_in": timedelta(hours=36)}, EXISTING, {},
    ),
    "no token where there is one": (
        Conflict, "token", "has an access token; .*revoke_api_client report", {"token": False}, EXISTING, {}
    ),
    "a token for a restricted application": (Conflict, "token", "--no-token.*JWTs", {}, RESTRICTED, {}),
}  # fmt: skip


@pytest.mark.parametrize(("error", "field", "words", "wanted", "found", "site"), REFUSALS.values(), ids=REFUSALS)
def test_plan_is_refused(
    error: type[Exception], field: str, words: str, wanted: dict[str, Any], found: CurrentState, site: dict[str, Any]
) -> None:
    with pytest.raises(error, match=words) as refusal:
        plan(found, SiteFactory(**site), **wanted)

    assert type(refusal.value) is error
    assert refusal.value.field == field
    assert "\n" not in str(refusal.value)


def test_restricted_application_needs_no_token() -> None:
    restricted = StateFactory(client__token=None, client__has_token=False, client__application__restricted=True)

    assert plan(restricted).status is Status.UNCHANGED


def test_existing_contact_is_sufficient() -> None:
    found = StateFactory(client__contact="ops@example.org")

    assert plan(found, SiteFactory(contact_required=True)).status is Status.UNCHANGED


@pytest.mark.parametrize("restricted", [False, True])
def test_filter_without_restriction_is_warned_of(restricted: bool) -> None:
    made = plan(site=SiteFactory(has_access=True), filters=("content_org:edX",), restricted=restricted)

    assert ("Pass --restricted too." in " ".join(made.warnings)) is not restricted


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "lms", None])
def test_default_email_is_valid_on_any_site(host: str | None) -> None:
    made = plan(site=SiteFactory(host=host))

    assert made.email == "report@api-client.invalid"
    assert "create the user report <report@api-client.invalid>" in " ".join(step.planned for step in made.steps)
    assert made.warnings == (
        "the host of the site is not a mail domain, so the new user gets report@api-client.invalid, "
        "which receives no mail. Pass --email.",
    )
    assert plan(site=SiteFactory(host=host), email="ops@example.org").warnings == ()


@pytest.mark.parametrize("host", ["lms.example.org", "localhost"])
def test_default_email_is_at_the_host(host: str) -> None:
    assert (plan(site=SiteFactory(host=host)).email, plan(site=SiteFactory(host=host)).warnings) == (
        f"report@{host}",
        (),
    )
