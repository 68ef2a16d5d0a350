"""Test batches: each client is provisioned as if alone, independent of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db.models.signals import pre_save

from common.djangoapps.student.helpers import AccountValidationError
from common.djangoapps.student.models import UserProfile
from edx_api_provisioning import api
from edx_api_provisioning.adapters import lms, oauth
from edx_api_provisioning.core.exceptions import Conflict, OutputFailure
from edx_api_provisioning.core.results import Applied, Check, Credentials
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.formats.destinations import Destination
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import batch, delivery
from tests.factories import OPERATOR, UserFactory, row_counts, statements
from tests.lifecycle_helpers import all_rows, answer, clock_at, granted, utc

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

NAMES = tuple(f"client-{number}" for number in range(7))


class Delivered(Destination):
    """The delivered credentials, by name."""

    def __init__(self) -> None:
        self.credentials: dict[str, Credentials] = {}

    def stage(self, issued: Sequence[Credentials]) -> None:
        self.credentials |= {each.name: each for each in issued}


def specs(*names: str, **wanted: Any) -> list[ClientSpec]:
    return [ClientSpec(name=name, **wanted) for name in names or NAMES]


def applied(wanted: list[ClientSpec], destination: Destination | None = None, **options: Any) -> dict[str, Applied]:
    options = {"authority": OPERATOR} | options
    done = api.apply(wanted, destination=destination or Delivered(), **options)
    return {each.name: each for each in done}


def statuses(done: dict[str, Applied]) -> dict[str, str]:
    return {
        name: type(each.error).__name__ if each.error else str(each.credentials and each.credentials.status)
        for name, each in done.items()
    }


@pytest.fixture
def delivered() -> Delivered:
    return Delivered()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH", 3)
    monkeypatch.setattr(batch, "LOOK", 5)


# Results


@pytest.mark.usefixtures("small_batches")
def test_every_client_gets_working_credentials_once(delivered: Delivered) -> None:
    assert statuses(applied(specs(), delivered)) == dict.fromkeys(NAMES, "created")

    assert [*delivered.credentials] == [*NAMES]
    for name, credentials in delivered.credentials.items():
        assert credentials.username == name
        assert answer(credentials.access_token) == "ok"
        assert granted(credentials.client_id, credentials.client_secret)

    before, again = all_rows(), Delivered()
    assert statuses(applied(specs(), again)) == dict.fromkeys(NAMES, "unchanged")
    assert again.credentials == {}
    assert all_rows() == before


def test_batch_rows_equal_single_rows() -> None:
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
                if column.startswith("_") or column.endswith(("id", "issue")) or column in SECRETS:
                    del row[column]
                elif isinstance(row[column], str):
                    row[column] = row[column].replace(name, "NAME")
        return values

    SECRETS = ("password", "client_secret", "token", "token_checksum", "details", "date_joined")
    assert rows("first") == rows("alone")
    assert rows("second") == rows("alone")
    assert ApiClient.objects.get(name="first").user.has_usable_password() is False


def test_planning_query_count_is_constant() -> None:
    applied(specs())

    def sent(wanted: list[ClientSpec]) -> int:
        with statements() as all_sent:
            list(api.plan_many(wanted, authority=OPERATOR))
        return len(all_sent)

    assert sent(specs()) == sent(specs(*NAMES[:2])) <= 4
    # Rights are queried once for all clients.
    held = specs(permissions=("course_modes.change_coursemode",))
    applied(held)
    assert sent(held) == sent(held[:2])


def test_statements_per_client_are_bounded() -> None:
    many = [f"many-{number}" for number in range(25)]
    applied(specs("warm", "up"))

    with statements() as for_users:
        for name in many:
            lms.create_users([lms.NewUser(f"u-{name}", f"u-{name}@example.org", False, False, name)])
    with statements() as for_clients:
        applied(specs(*many))

    assert len(for_clients) - len(for_users) <= 6 * len(many)
    # Fewer than for the user alone: rows of one model are saved in one statement.
    assert len(for_clients) < len(for_users)


# Refusals


@pytest.mark.usefixtures("small_batches")
def test_refused_client_does_not_stop_others() -> None:
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
def test_late_refusal_affects_one_client(refused_by_the_lms: str) -> None:
    done = applied(specs())

    assert statuses(done) == dict.fromkeys(NAMES, "created") | {refused_by_the_lms: "InvalidSpec"}
    assert str(done[refused_by_the_lms].error) == "username: not this one"
    assert not get_user_model().objects.filter(username=refused_by_the_lms).exists()


@pytest.mark.parametrize("refusal", ["seen", "met"])
@pytest.mark.usefixtures("small_batches")
def test_fail_fast_stops_at_first_refusal(refusal: str, request: pytest.FixtureRequest) -> None:
    if refusal == "seen":
        UserFactory(email="client-4@localhost")
    else:
        request.getfixturevalue("refused_by_the_lms")

    done = applied(specs(), fail_fast=True)

    assert [*done] == [*NAMES[:5]]
    assert {*ApiClient.objects.values_list("name", flat=True)} == {*NAMES[:4]}


def test_existing_clients_are_updated() -> None:
    applied(specs("old", "kept"))

    done = applied([*specs("old", purpose="another"), *specs("kept", "new")])

    assert statuses(done) == {"old": "updated", "kept": "unchanged", "new": "created"}
    assert ApiClient.objects.get(name="old").purpose == "another"


@pytest.mark.vendor("mysql")
def test_mysql_near_match_affects_one_client() -> None:
    UserFactory(username="Taken-Name")
    applied(specs("report"))

    done = applied([*specs("first", "Report", "second"), ClientSpec(name="third", username="taken-name")])

    assert statuses(done) == {"first": "created", "Report": "NearMatch", "second": "created", "third": "NearMatch"}


@pytest.mark.vendor("mysql")
def test_late_near_match_affects_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    transact = delivery.Run._transact

    def meanwhile(run: Any, names: Any, work: Any) -> Any:
        if len(names) > 1:
            UserFactory(username="First")
        return transact(run, names, work)

    monkeypatch.setattr(delivery.Run, "_transact", meanwhile)

    assert statuses(applied(specs("first", "second"))) == {"first": "NearMatch", "second": "created"}


def test_shared_user_is_created_once() -> None:
    done = applied([ClientSpec(name="first", username="shared"), ClientSpec(name="second", username="shared")])

    assert Counter(statuses(done).values()) == {"created": 1, "Conflict": 1}
    assert get_user_model().objects.filter(username="shared").count() == 1


# Delivery


@pytest.mark.usefixtures("small_batches")
def test_undelivered_batch_is_rolled_back(delivered: Delivered) -> None:
    applied(specs("before"))
    before = row_counts()

    class Full(Delivered):
        def stage(self, issued: Sequence[Credentials]) -> None:
            if delivered.credentials:
                raise OSError("No space left on device")
            delivered.stage(issued)

    with pytest.raises(OSError, match="No space"):
        applied(specs(), Full())

    kept = [*delivered.credentials]
    assert kept == [*NAMES[:3]]
    assert {*ApiClient.objects.values_list("name", flat=True)} == {"before", *kept}
    assert row_counts()["User"] == before["User"] + 3
    assert statuses(applied(specs(), delivered)) == {name: "unchanged" if name in kept else "created" for name in NAMES}


def test_undeliverable_client_fails_alone(delivered: Delivered) -> None:
    class Blocked(Delivered):
        def stage(self, issued: Sequence[Credentials]) -> None:
            if any(each.name == NAMES[2] for each in issued):
                raise OutputFailure("no such place", field="output")
            delivered.stage(issued)

    assert statuses(applied(specs(), Blocked())) == dict.fromkeys(NAMES, "created") | {NAMES[2]: "OutputFailure"}
    assert [*delivered.credentials] == [name for name in NAMES if name != NAMES[2]]
    assert not ApiClient.objects.filter(name=NAMES[2]).exists()


def test_spent_destination_ends_the_run() -> None:
    class Closed(Delivered):
        def stage(self, issued: Sequence[Credentials]) -> None:
            self.spent = True
            raise OutputFailure("nobody reads it", field="output")

    with pytest.raises(OutputFailure):
        applied(specs(), Closed())

    assert not ApiClient.objects.exists()


def test_credentials_are_verified_before_commit(monkeypatch: pytest.MonkeyPatch, delivered: Delivered) -> None:
    problem = Check("access token", False, "refused")
    monkeypatch.setattr(delivery.verification, "in_process", lambda _credentials: (problem,))

    done = applied(specs("one", "two"), delivered)

    assert statuses(done) == {"one": "VerificationFailed", "two": "VerificationFailed"}
    assert not ApiClient.objects.exists()
    assert statuses(applied(specs("one"), delivered, verify=False)) == {"one": "created"}
    assert delivered.credentials["one"].verified is None


def test_wrongly_stored_token_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    issue = oauth.create_access_tokens

    def truncated(wanted: Sequence[oauth.NewAccessToken]) -> list[Any]:
        keys = issue(wanted)
        oauth.get_access_token_model().objects.filter(pk=keys[-1]).update(scope="read")
        return keys

    monkeypatch.setattr(oauth, "create_access_tokens", truncated)

    assert statuses(applied(specs("one"))) == {"one": "VerificationFailed"}


# Pruning


def test_prune_retires_removed_clients() -> None:
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


def test_failed_retirement_does_not_stop_others(monkeypatch: pytest.MonkeyPatch) -> None:
    applied(specs("first", "second", manifest="team"))
    real = batch.revocation.revoke

    def revoke(name: str, **options: Any) -> Credentials:
        if name == "first":
            raise Conflict("not now")
        return real(name, **options)

    monkeypatch.setattr(batch.revocation, "revoke", revoke)

    done = {each.name: each for each in api.prune("team", set(), authority=OPERATOR)}

    assert statuses(done) == {"first": "Conflict", "second": "retired"}
