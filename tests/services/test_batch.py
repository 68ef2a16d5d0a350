"""Many clients at once are each what one alone would be, whatever becomes of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db.models.signals import pre_save

from common.djangoapps.student.helpers import AccountValidationError
from common.djangoapps.student.models import UserProfile
from edx_api_provisioning import api
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.exceptions import Conflict, ProvisioningError
from edx_api_provisioning.core.results import Applied, Credentials
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import HANDOVER_TIME, ApiClient
from edx_api_provisioning.services import batch, provisioning
from tests.factories import OPERATOR, SECRET, TOKEN, UserFactory, person, row_counts, statements
from tests.lifecycle_helpers import Clock, answer, clock_at, everything, granted, utc

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

NAMES = tuple(f"client-{number}" for number in range(7))
RUN = "0" * 32


class Taken:
    """What was handed over, by name."""

    def __init__(self) -> None:
        self.credentials: dict[str, Credentials] = {}

    def __call__(self, issued: list[Credentials]) -> None:
        self.credentials |= {each.name: each for each in issued}


def assert_works(credentials: Credentials) -> None:
    assert credentials.access_token is None or answer(credentials.access_token) == "ok"
    assert granted(credentials.client_id, credentials.client_secret)


def specs(*names: str, **wanted: Any) -> list[ClientSpec]:
    return [ClientSpec(name=name, **wanted) for name in names or NAMES]


def applied(
    wanted: list[ClientSpec], hand_over: Callable[[list[Credentials]], None] | None = None, **options: Any
) -> dict[str, Applied]:
    done = api.apply(wanted, authority=OPERATOR, hand_over=hand_over or Taken(), **options)
    return {each.name: each for each in done}


def statuses(done: dict[str, Applied]) -> dict[str, str]:
    return {
        name: type(each.error).__name__ if each.error else str(each.credentials and each.credentials.status)
        for name, each in done.items()
    }


@pytest.fixture
def taken() -> Taken:
    return Taken()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH", 3)
    monkeypatch.setattr(batch, "LOOK", 5)


# What comes of it


@pytest.mark.usefixtures("small_batches")
def test_every_client_gets_what_works(taken: Taken) -> None:
    assert statuses(applied(specs(), taken)) == dict.fromkeys(NAMES, "created")

    assert [*taken.credentials] == [*NAMES]
    for name, credentials in taken.credentials.items():
        assert credentials.username == name
        assert answer(credentials.access_token) == "ok"
        assert granted(credentials.client_id, credentials.client_secret)


@pytest.mark.usefixtures("small_batches")
def test_the_same_again_changes_nothing_and_issues_nothing(taken: Taken) -> None:
    applied(specs())
    before = everything()

    assert statuses(applied(specs(), taken)) == dict.fromkeys(NAMES, "unchanged")

    assert taken.credentials == {}
    assert everything() == before


def test_one_of_many_is_as_one_alone() -> None:
    now = utc(2026, 5, 1, 12)
    with clock_at(now):
        api.provision(ClientSpec(name="alone", contact="ops@example.org", staff=True), authority=OPERATOR)
        applied(specs("first", "second", contact="ops@example.org", staff=True))

    def rows(name: str) -> list[dict[str, Any]]:
        client = ApiClient.objects.get(name=name)
        found = [client.user, client.application, client.access_token, client, client.events.get()]
        found.append(UserProfile.objects.get(user=client.user))
        values = [{**vars(row)} for row in found if row is not None]
        for row in values:
            for column in [*row]:
                if column.startswith("_") or column.endswith("id") or column in SECRETS:
                    del row[column]
                elif isinstance(row[column], str):
                    row[column] = row[column].replace(name, "NAME")
        return values

    SECRETS = ("password", "client_secret", "token", "token_checksum", "details", "date_joined")
    assert rows("first") == rows("alone")
    assert rows("second") == rows("alone")
    assert ApiClient.objects.get(name="first").user.has_usable_password() is False


def test_receivers_run_for_every_user() -> None:
    one = [apps.get_model("user_tours", "UserTour"), UserProfile]
    before = [model._default_manager.count() for model in one]

    applied(specs())

    assert [model._default_manager.count() for model in one] == [count + len(NAMES) for count in before]


def test_many_are_found_with_as_many_statements_as_few() -> None:
    applied(specs())

    def sent(wanted: list[ClientSpec]) -> int:
        with statements() as all_sent:
            list(api.plan_many(wanted, authority=OPERATOR))
        return len(all_sent)

    assert sent(specs()) == sent(specs(*NAMES[:2])) <= 4
    # Rights are looked for once for all.
    held = specs(permissions=("course_modes.change_coursemode",))
    applied(held)
    assert sent(held) == sent(held[:2])


def test_a_client_of_many_takes_at_most_six_statements_beyond_its_user() -> None:
    many = [f"many-{number}" for number in range(50)]
    applied(specs("warm", "up"))

    with statements() as for_users:
        for name in many:
            lms.create_users([lms.NewUser(f"u-{name}", f"u-{name}@example.org", False, False, name)])
    with statements() as for_clients:
        applied(specs(*many))

    assert len(for_clients) - len(for_users) <= 6 * len(many)
    # In fact less than a user alone: what many have in common is saved in one statement.
    assert len(for_clients) < len(for_users)


# What is refused


@pytest.mark.usefixtures("small_batches")
def test_one_that_is_refused_does_not_keep_the_others_from_being_made() -> None:
    UserFactory(email="client-2@localhost")
    wanted = [*specs(), ClientSpec(name="other", scopes=("nonsense",))]

    done = applied(wanted)

    assert statuses(done) == dict.fromkeys(NAMES, "created") | {"client-2": "Conflict", "other": "InvalidSpec"}
    assert not ApiClient.objects.filter(name__in=["client-2", "other"]).exists()


def refuse(username: str) -> Callable[..., None]:
    def receiver(instance: Any, **_about: Any) -> None:
        if instance.username == username:
            raise AccountValidationError("not this one", field="username")

    return receiver


@pytest.fixture
def refused_by_the_lms() -> Iterator[str]:
    receiver = refuse("client-4")
    pre_save.connect(receiver, sender=get_user_model())
    yield "client-4"
    pre_save.disconnect(receiver, sender=get_user_model())


@pytest.mark.usefixtures("small_batches")
def test_what_is_found_wrong_while_it_is_made_is_that_clients_alone(refused_by_the_lms: str) -> None:
    done = applied(specs())

    assert statuses(done) == dict.fromkeys(NAMES, "created") | {refused_by_the_lms: "InvalidSpec"}
    assert str(done[refused_by_the_lms].error) == "username: not this one"
    assert not get_user_model().objects.filter(username=refused_by_the_lms).exists()


@pytest.mark.parametrize("refusal", ["seen", "met"])
@pytest.mark.usefixtures("small_batches")
def test_to_fail_fast_is_to_do_nothing_after_the_first_refusal(refusal: str, request: pytest.FixtureRequest) -> None:
    if refusal == "seen":
        UserFactory(email="client-4@localhost")
    else:
        request.getfixturevalue("refused_by_the_lms")

    done = applied(specs(), fail_fast=True)

    assert [*done] == [*NAMES[:5]]
    assert {*ApiClient.objects.values_list("name", flat=True)} == {*NAMES[:4]}


def test_nobody_gets_more_than_they_have() -> None:
    asker = UserFactory(is_staff=True)

    done = applied([*specs("plain"), *specs("mighty", superuser=True)], authority=person(asker))

    assert statuses(done) == {"plain": "created", "mighty": "NotAllowed"}


def test_what_exists_is_changed_one_by_one() -> None:
    applied(specs("old", "kept"))

    done = applied([*specs("old", purpose="another"), *specs("kept", "new")])

    assert statuses(done) == {"old": "updated", "kept": "unchanged", "new": "created"}
    assert ApiClient.objects.get(name="old").purpose == "another"


@pytest.mark.vendor("mysql")
def test_another_spelling_of_a_user_among_many_is_that_clients_alone() -> None:
    UserFactory(username="Taken-Name")

    done = applied([*specs("first", "second"), ClientSpec(name="third", username="taken-name")])

    assert statuses(done) == {"first": "created", "second": "created", "third": "NearMatch"}


@pytest.mark.vendor("mysql")
def test_another_spelling_that_came_after_the_look_is_that_clients_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    together = provisioning.provision_together

    def meanwhile(wanted: Any, **options: Any) -> Any:
        if len(wanted) > 1:
            UserFactory(username="First")
        return together(wanted, **options)

    monkeypatch.setattr(provisioning, "provision_together", meanwhile)

    assert statuses(applied(specs("first", "second"))) == {"first": "NearMatch", "second": "created"}


@pytest.mark.vendor("mysql")
def test_another_case_among_many_is_that_clients_alone() -> None:
    applied(specs("report"))

    assert statuses(applied(specs("first", "Report", "second"))) == {
        "first": "created",
        "Report": "NearMatch",
        "second": "created",
    }


def test_two_that_want_one_user_are_not_both_made() -> None:
    done = applied([ClientSpec(name="first", username="shared"), ClientSpec(name="second", username="shared")])

    assert Counter(statuses(done).values()) == {"created": 2}
    assert get_user_model().objects.filter(username="shared").count() == 1


# Handing over


class Lost(Exception):
    """The disk is full, the pipe is closed."""


def fail(_issued: list[Credentials]) -> None:
    raise Lost


@pytest.mark.usefixtures("small_batches")
def test_what_cannot_be_handed_over_is_taken_back_and_what_was_stays(taken: Taken) -> None:
    applied(specs("before"))
    before = row_counts()

    def second_batch_fails(issued: list[Credentials]) -> None:
        if taken.credentials:
            raise Lost
        taken(issued)

    with pytest.raises(Lost):
        applied(specs(), second_batch_fails)

    kept = [*taken.credentials]
    assert kept == [*NAMES[:3]]
    assert {*ApiClient.objects.values_list("name", flat=True)} == {"before", *kept}
    assert row_counts()["User"] == before["User"] + 3
    assert statuses(applied(specs(), taken)) == {name: "unchanged" if name in kept else "created" for name in NAMES}


def cut_off(wanted: list[ClientSpec], run_id: str = RUN) -> dict[str, Credentials]:
    """As a run that is killed between making and handing over; what nobody has."""
    lost = Taken()

    def die(issued: list[Credentials]) -> None:
        lost(issued)
        raise Lost

    with mock.patch.object(batch._Run, "_take_back"), pytest.raises(Lost):
        applied(wanted, die, run_id=run_id)
    return lost.credentials


@pytest.fixture
def clock() -> Iterator[Clock]:
    with clock_at(datetime.now(UTC)) as clock:
        yield clock


def test_while_another_run_may_be_handing_over_it_is_left_alone(clock: Clock) -> None:
    cut_off(specs())
    clock.to(clock.now + HANDOVER_TIME)

    assert statuses(applied(specs())) == dict.fromkeys(NAMES, "unchanged")


def test_what_a_run_that_was_cut_off_issued_is_issued_anew_after_a_while(clock: Clock, taken: Taken) -> None:
    lost = cut_off(specs())
    clock.to(clock.now + HANDOVER_TIME + timedelta(seconds=1))

    assert "not_handed_over" in next(api.list_clients(name=NAMES[0])).troubles
    assert {
        plan.change
        for _spec, plan in api.plan_many(specs(), authority=OPERATOR)
        if not isinstance(plan, ProvisioningError)
    } == {"rotate"}
    assert statuses(applied(specs(), taken)) == dict.fromkeys(NAMES, "updated")

    for name in NAMES:
        assert answer(lost[name].access_token) == "token_nonexistent"
        assert granted(lost[name].client_id, lost[name].client_secret) is None
        assert answer(taken.credentials[name].access_token) == "ok"
        assert granted(taken.credentials[name].client_id, taken.credentials[name].client_secret)
    assert statuses(applied(specs())) == dict.fromkeys(NAMES, "unchanged")
    assert next(api.list_clients(name=NAMES[0])).troubles == ()


def test_a_task_that_is_delivered_again_need_not_wait(taken: Taken) -> None:
    cut_off(specs())

    assert statuses(applied(specs(), taken, run_id=RUN)) == dict.fromkeys(NAMES, "updated")

    assert all(answer(each.access_token) == "ok" for each in taken.credentials.values())


def test_one_alone_mends_it_too(clock: Clock) -> None:
    lost = cut_off(specs())
    clock.forward(hours=1)

    credentials = api.provision(ClientSpec(name=NAMES[0]), authority=OPERATOR)

    assert answer(credentials.access_token) == "ok"
    assert answer(lost[NAMES[0]].access_token) == "token_nonexistent"
    assert api.provision(ClientSpec(name=NAMES[0]), authority=OPERATOR).issued is False


def test_rotating_it_mends_it_too(clock: Clock) -> None:
    cut_off(specs("report"))
    clock.forward(hours=1)

    api.rotate("report", authority=OPERATOR)
    clock.forward(hours=1)
    assert ApiClient.objects.get().not_handed_over(clock.now) == {"secret"}
    api.rotate("report", token=False, secret=True, authority=OPERATOR)

    assert ApiClient.objects.get().handover is None


def test_only_what_was_lost_is_issued_anew(clock: Clock, taken: Taken) -> None:
    applied(specs("report"), taken)
    secret = taken.credentials["report"].client_secret
    api.revoke("report", authority=OPERATOR)
    cut_off(specs("report"))
    clock.forward(hours=1)

    applied(specs("report"), taken)

    assert taken.credentials["report"].client_secret is None
    assert granted(taken.credentials["report"].client_id, secret)
    assert answer(taken.credentials["report"].access_token) == "ok"


def test_what_the_operator_brought_is_not_issued_anew(clock: Clock) -> None:
    wanted = [ClientSpec(name="report", client_secret=Secret(SECRET), access_token=Secret(TOKEN))]
    cut_off(wanted)
    clock.forward(hours=1)

    assert statuses(applied(wanted)) == {"report": "unchanged"}
    assert answer(Secret(TOKEN)) == "ok"


def test_what_replaces_the_lost_and_is_lost_as_well_is_issued_anew_at_once(clock: Clock, taken: Taken) -> None:
    cut_off(specs("report"))
    clock.forward(hours=1)
    with pytest.raises(Lost):
        applied(specs("report"), fail)

    assert statuses(applied(specs("report"), taken)) == {"report": "updated"}
    assert_works(taken.credentials["report"])


def overtaken(
    wanted: list[ClientSpec], taken: Taken, hand_over: Taken, *, by: int | None = None, end: BaseException | None = None
) -> None:
    """As a task that is delivered again before it has handed over: the second run comes to its end first."""
    to_hand_over = provisioning.hand_over

    def late(*arguments: Any, **options: Any) -> None:
        patched.stop()
        applied(wanted[:by], taken, run_id=f"{RUN}.second")
        if end is not None:
            raise end
        to_hand_over(*arguments, **options)

    patched = mock.patch.object(provisioning, "hand_over", late)
    patched.start()
    applied(wanted, hand_over, run_id=f"{RUN}.first")


@pytest.mark.parametrize("wanted", [{}, {"access_token": Secret(TOKEN)}, {"token": False}], ids=str)
def test_of_a_task_that_is_delivered_twice_one_hands_over_and_that_works(wanted: dict[str, Any], taken: Taken) -> None:
    stale = Taken()

    overtaken(specs("report", **wanted), taken, stale)

    assert ([*stale.credentials], [*taken.credentials]) == ([], ["report"])
    assert_works(taken.credentials["report"])
    assert ApiClient.objects.get().handover is None


def test_what_another_has_not_come_to_yet_is_handed_over(taken: Taken) -> None:
    rest = Taken()

    overtaken(specs(), taken, rest, by=3)

    assert ([*taken.credentials], [*rest.credentials]) == ([*NAMES[:3]], [*NAMES[3:]])
    for credentials in (taken.credentials | rest.credentials).values():
        assert_works(credentials)
    assert not ApiClient.objects.exclude(handover=None).exists()


def test_who_was_overtaken_and_is_interrupted_takes_nothing_back(taken: Taken) -> None:
    with pytest.raises(KeyboardInterrupt):
        overtaken(specs(), taken, Taken(), end=KeyboardInterrupt())

    assert [*taken.credentials] == [*NAMES]
    for credentials in taken.credentials.values():
        assert_works(credentials)


def test_what_the_operator_brought_is_given_to_a_task_too(taken: Taken) -> None:
    wanted = [ClientSpec(name="report", client_secret=Secret(SECRET), access_token=Secret(TOKEN))]

    applied(wanted, taken, run_id=RUN)
    assert [*taken.credentials] == ["report"]
    assert ApiClient.objects.get().handover is None


def test_what_the_operator_brought_and_could_not_be_handed_over_is_taken_back() -> None:
    with pytest.raises(Lost):
        applied([ClientSpec(name="report", client_secret=Secret(SECRET), access_token=Secret(TOKEN))], fail)

    assert not ApiClient.objects.exists()


@pytest.mark.vendor("mysql", "postgresql")
def test_clients_are_locked_while_a_task_hands_them_over_and_not_while_an_operator_reads() -> None:
    locks = {}
    for name, run_id in (("for-a-task", RUN), ("for-an-operator", None)):
        with statements() as sent:
            applied(specs(name), run_id=run_id)
        locks[name] = sum("handover" in sql and sql.endswith("FOR UPDATE") for sql in sent)

    assert locks == {"for-a-task": 1, "for-an-operator": 0}


# Pruning


def test_a_client_that_left_its_manifest_is_retired_and_no_other() -> None:
    applied(specs("stays", "leaves", manifest="team"))
    applied(specs("of-others", manifest="another"))
    applied(specs("of-nobody"))

    would = list(api.prune("team", {"stays"}, authority=OPERATOR, dry_run=True))
    assert [(each.name, each.credentials) for each in would] == [("leaves", None)]
    assert ApiClient.objects.get(name="leaves").state == "active"

    done = {each.name: each for each in api.prune("team", {"stays"}, authority=OPERATOR)}

    assert statuses(done) == {"leaves": "retired"}
    assert {*ApiClient.objects.filter(state="active").values_list("name", flat=True)} == {
        "stays",
        "of-others",
        "of-nobody",
    }
    assert list(api.prune("team", {"stays"}, authority=OPERATOR)) == []


def test_one_that_cannot_be_retired_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    applied(specs("first", "second", manifest="team"))
    real = batch.revocation.revoke

    def revoke(name: str, **options: Any) -> Credentials:
        if name == "first":
            raise Conflict("not now")
        return real(name, **options)

    monkeypatch.setattr(batch.revocation, "revoke", revoke)

    done = {each.name: each for each in api.prune("team", set(), authority=OPERATOR)}

    assert statuses(done) == {"first": "Conflict", "second": "retired"}
