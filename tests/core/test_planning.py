"""The rules, without a database: what is wanted and what exists, and the plan that follows."""

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
    FoundApplicationFactory,
    FoundClientFactory,
    FoundFactory,
    FoundTokenFactory,
    FoundUserFactory,
    SiteFactory,
)

NOTHING = CurrentState()
DAY = timedelta(days=1)


def plan(found: CurrentState = NOTHING, site: Site | None = None, **wanted: Any) -> Plan:
    return make_plan(ClientSpec(name="report", **wanted), found, site or SiteFactory())


def actions(made: Plan) -> list[Action]:
    return [step.action for step in made.steps]


# A new client


def test_where_nothing_exists_everything_is_made_in_the_order_of_need() -> None:
    made = plan()

    assert actions(made) == [
        Action.CREATE_CLIENT, Action.CREATE_USER, Action.CREATE_APPLICATION, Action.ISSUE_TOKEN,
    ]  # fmt: skip
    assert made.status is Status.CREATED
    assert (made.username, made.email) == ("report", "report@lms.example.org")
    assert (made.expires_at, made.scopes) == (NOW + 365 * DAY, ("read", "write"))


def test_every_step_says_in_words_what_will_be_done() -> None:
    assert [step.planned for step in plan(staff=True, scopes=("read",), expires_in=90 * DAY).steps] == [
        "Would register the API client report.",
        "Would create the user report <report@lms.example.org>, staff, with an unusable password.",
        "Would create the confidential application report for the client credentials grant.",
        "Would issue an access token that expires at 2026-05-30 12:00 UTC, with the scopes read.",
    ]


def test_the_user_and_its_address_are_the_wanted_ones() -> None:
    made = plan(username="grades-bot", email="bots@example.org")

    assert (made.username, made.email) == ("grades-bot", "bots@example.org")


def test_the_default_address_follows_the_user_name() -> None:
    assert plan(username="grades-bot").email == "grades-bot@lms.example.org"


def test_without_a_token_none_is_planned() -> None:
    made = plan(token=False)

    assert Action.ISSUE_TOKEN not in actions(made)
    assert (made.expires_at, made.scopes) == (None, ())


@pytest.mark.parametrize(
    ("wanted", "ends"),
    [
        ({"expires_in": timedelta(hours=12)}, NOW + timedelta(hours=12)),
        ({"expires_in": 730 * DAY}, NOW + 730 * DAY),
        ({"expires_at": NOW + DAY}, NOW + DAY),
        ({"expires_at": NOW + DAY + timedelta(microseconds=999_999)}, NOW + DAY),
    ],
)
def test_a_token_ends_when_it_is_wanted_in_whole_seconds(wanted: dict[str, Any], ends: Any) -> None:
    assert plan(**wanted).expires_at == ends


def test_the_site_decides_how_long_a_token_lives_if_nobody_says() -> None:
    assert plan(site=SiteFactory(lifetime=7 * DAY)).expires_at == NOW + 7 * DAY


def test_a_limit_below_the_default_lifetime_is_the_default_then() -> None:
    assert plan(site=SiteFactory(max_lifetime=90 * DAY)).expires_at == NOW + 90 * DAY


@pytest.mark.parametrize(
    ("wanted", "warning"),
    [({}, ""), ({"staff": True}, "staff client"), ({"superuser": True}, "superuser client")],
    ids=["plain", "staff", "superuser"],
)
def test_rights_come_with_a_warning(wanted: dict[str, bool], warning: str) -> None:
    warnings = plan(**wanted).warnings

    assert len(warnings) == bool(warning)
    assert warning in " ".join(warnings)


# What exists already


def test_where_all_is_as_wanted_there_is_nothing_to_do() -> None:
    made = plan(FoundFactory())

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
        {"contact": ""},
        {"purpose": ""},
    ],
    ids=str,
)
def test_what_is_said_and_already_so_changes_nothing(wanted: dict[str, Any]) -> None:
    assert plan(FoundFactory(), **wanted).status is Status.UNCHANGED


def test_a_token_of_ones_own_that_is_there_changes_nothing() -> None:
    found = FoundFactory(access_token_pk=9)

    assert plan(found, access_token=Secret(TOKEN)).status is Status.UNCHANGED


@pytest.mark.parametrize(
    ("left", "issued"),
    [(timedelta(seconds=1), False), (timedelta(0), True), (timedelta(seconds=-1), True), (timedelta(-400), True)],
    ids=str,
)
def test_a_token_whose_time_has_come_is_followed_by_another(left: timedelta, issued: bool) -> None:
    made = plan(FoundFactory(client__token__expires_at=NOW + left))

    assert actions(made) == ([Action.ISSUE_TOKEN] if issued else [])
    assert made.status is (Status.UPDATED if issued else Status.UNCHANGED)


def test_a_deleted_token_is_followed_by_another() -> None:
    made = plan(FoundFactory(client__token=None, client__token_lifetime=DAY), expires_in=DAY, scopes=("read",))

    assert actions(made) == [Action.ISSUE_TOKEN]
    assert (made.expires_at, made.scopes) == (NOW + DAY, ("read",))


def test_a_deleted_token_is_not_missed_where_none_is_wanted() -> None:
    assert plan(FoundFactory(client__token=None), token=False).status is Status.UNCHANGED


def test_a_deleted_application_is_made_anew() -> None:
    made = plan(FoundFactory(client__application=None, client__token=None))

    assert actions(made) == [Action.CREATE_APPLICATION, Action.ISSUE_TOKEN]
    assert made.status is Status.UPDATED


def test_a_deleted_user_is_made_anew_with_all_that_went_with_it() -> None:
    client = FoundClientFactory(user_pk=None, username=None, application=None, token=None)

    made = plan(CurrentState(client=client))

    assert actions(made) == [Action.CREATE_USER, Action.CREATE_APPLICATION, Action.ISSUE_TOKEN]
    assert made.status is Status.UPDATED


def test_an_account_made_elsewhere_is_used_if_that_is_said() -> None:
    user = FoundUserFactory(accepted=False)

    made = plan(CurrentState(user=user), use_existing_user=True)

    assert actions(made)[:2] == [Action.CREATE_CLIENT, Action.USE_USER]
    assert made.steps[1].planned == (
        "Would use the account report, which is neither staff nor superuser, as the service user."
    )
    assert made.email == user.email


def test_an_account_that_was_made_here_needs_no_further_word() -> None:
    assert plan(CurrentState(user=FoundUserFactory())).has(Action.USE_USER)


def test_other_scopes_are_changed_in_place() -> None:
    made = plan(FoundFactory(), scopes=("read", "email"))

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
        ({"contact": "ops@example.org"}, "Would change the contact from - to ops@example.org."),
        ({"purpose": "weekly report"}, "Would change the purpose from - to weekly report."),
    ],
)
def test_contact_and_purpose_are_brought_up_to_date(wanted: dict[str, str], says: str) -> None:
    made = plan(FoundFactory(), **wanted)

    assert [(step.action, step.planned) for step in made.steps] == [(Action.UPDATE_CLIENT, says)]
    assert made.status is Status.UPDATED


def test_a_contact_can_be_taken_away() -> None:
    (step,) = plan(FoundFactory(client__contact="ops@example.org"), contact="").steps

    assert step.planned == "Would change the contact from ops@example.org to -."


# What is refused

EXISTING = FoundFactory()
STAFF = FoundUserFactory(is_staff=True)
SUPERUSER = FoundUserFactory(is_staff=True, superuser=True)
BARE_SUPERUSER = FoundUserFactory(superuser=True)
RESTRICTED = FoundFactory(client__token=None, client__application__restricted=True)

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
        InvalidSpec, "scopes", "unknown scope admin, root; available: email, grades:read, read, write",
        {"scopes": ("root", "read", "admin")}, NOTHING, {},
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
        InvalidSpec, "contact", "requires the email", {"contact": ""}, FoundFactory(client__contact="ops@example.org"),
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
        {}, FoundFactory(client__name="Report"), {},
    ),
    "a user name in another spelling": (
        NearMatch, "username", "report conflicts with the existing repórt",
        {"use_existing_user": True}, CurrentState(user=FoundUserFactory(username="repórt")), {},
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
        Conflict, "username", "--use-existing-user", {}, CurrentState(user=FoundUserFactory(accepted=False)), {}
    ),
    "more rights than the account has": (
        Conflict, "username", "is neither staff nor superuser, but this request says staff; .*not changed",
        {"staff": True}, EXISTING, {},
    ),
    "all rights, which the account has not": (
        Conflict, "username", "is staff, but this request says a superuser;",
        {"superuser": True}, FoundFactory(user=STAFF), {},
    ),
    "fewer rights than the account has": (
        Conflict, "username", "is staff, but .* says neither staff nor superuser;", {}, FoundFactory(user=STAFF), {}
    ),
    "staff, where the account is a superuser": (
        Conflict, "username", "is a superuser, but .* says staff;", {"staff": True}, FoundFactory(user=SUPERUSER), {}
    ),
    "a superuser, where the account is one without being staff": (
        Conflict, "username", "is a superuser without the staff flag, but this request says a superuser;",
        {"superuser": True}, FoundFactory(user=BARE_SUPERUSER), {},
    ),
    "an inactive account": (
        Conflict, "username", "not active; activate it", {}, FoundFactory(user=FoundUserFactory(active=False)), {}
    ),
    "another address than the account has": (
        Conflict, "email", "has the email address report@lms.example.org", {"email": "other@example.org"}, EXISTING, {}
    ),
    "a retired client": (
        Conflict, "name", "retired; provision a new client", {}, FoundFactory(client__retired=True), {}
    ),
    "another user than the client has": (
        Conflict, "username", "belongs to the user report", {"username": "other"}, EXISTING, {}
    ),
    "an application given to another user": (
        Conflict, "name", "was changed; correct it", {}, FoundFactory(client__application__user_pk=1), {}
    ),
    "an application without a user": (
        Conflict, "name", "was changed; correct it", {}, FoundFactory(client__application__user_pk=None), {}
    ),
    "an application left without its user": (
        Conflict, "name", "was changed; correct it", {},
        CurrentState(client=FoundClientFactory(user_pk=None, username=None, application__user_pk=None)), {},
    ),
    "an application for another grant": (
        Conflict, "name", "correct it in the admin", {},
        FoundFactory(client__application__client_credentials=False), {},
    ),
    "another client_id than the client has": (
        Conflict, "client_id", "has the client id the-client-id, which cannot be changed",
        {"client_id": "other"}, EXISTING, {},
    ),
    "another secret than the client has": (
        Conflict, "client_secret", "has another secret",
        {"client_secret": Secret(SECRET)}, FoundFactory(client_secret_matches=False), {},
    ),
    "another token than the client has": (
        Conflict, "access_token", "has another access token",
        {"access_token": Secret(TOKEN)}, FoundFactory(access_token_pk=5), {},
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
        {"expires_in": 30 * DAY}, FoundFactory(client__token_lifetime=90 * DAY), {},
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
def test_it_is_refused_to_plan_for(
    error: type[Exception], field: str, words: str, wanted: dict[str, Any], found: CurrentState, site: dict[str, Any]
) -> None:
    with pytest.raises(error, match=words) as refusal:
        plan(found, SiteFactory(**site), **wanted)

    assert type(refusal.value) is error
    assert refusal.value.field == field
    assert "\n" not in str(refusal.value)


def test_a_restricted_application_may_go_without_a_token() -> None:
    assert plan(RESTRICTED, token=False).status is Status.UNCHANGED


def test_a_client_with_a_contact_needs_no_other() -> None:
    found = FoundFactory(client__contact="ops@example.org")

    assert plan(found, SiteFactory(contact_required=True)).status is Status.UNCHANGED


def test_planning_leaves_what_it_was_given_alone() -> None:
    found = FoundFactory(client__token=FoundTokenFactory(), client__application=FoundApplicationFactory())
    before = repr(found)

    plan(found, scopes=("email",), contact="ops@example.org")

    assert repr(found) == before


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
