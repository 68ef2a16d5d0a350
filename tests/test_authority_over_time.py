"""Several people change clients in any order, and nobody ever holds more than they were given."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edx_api_provisioning import api
from edx_api_provisioning.adapters.rights import Rights, rights_of
from edx_api_provisioning.core.exceptions import ProvisioningError
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from tests.factories import OPERATOR, ApplicationFactory, UserFactory, person
from tests.lifecycle_helpers import answer, granted
from tests.sampling import some

# What somebody may have, and a client may be given: none of it makes another.
GIFTS = ("auth.view_user", "auth.view_group", "course_modes.change_coursemode")
NAMES = ("one", "two", "three")
PEOPLE = ("ann", "bob", "operator")

names, people = st.sampled_from(NAMES), st.sampled_from(PEOPLE)
users = st.sampled_from((*NAMES, "shared", None))
gifts = st.sets(st.sampled_from(GIFTS), max_size=2)
MAYBE = st.booleans()


class Held:
    """Credentials in somebody's hands."""

    def __init__(self, who: str, issued: Any) -> None:
        self.who, self.name, self.client_id = who, issued.name, issued.client_id
        self.secret, self.token = issued.client_secret, issued.access_token

    def works(self) -> bool:
        token = self.token is not None and answer(self.token) == "ok"
        return token or (self.secret is not None and granted(self.client_id, self.secret) is not None)


class People(RuleBasedStateMachine):
    """Ann and Bob have some permissions, an operator has all; each keeps every credential they ever received."""

    def __init__(self) -> None:
        super().__init__()
        self._atomic = transaction.atomic()
        self._atomic.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self._atomic.__exit__(None, None, None)

    @initialize(ann=gifts, bob=gifts)
    def begin(self, ann: set[str], bob: set[str]) -> None:
        self.held: list[Held] = []
        # What each was given: what they have, and what an operator gave to a user of theirs outside of this package.
        self.given: dict[str, set[str]] = {"ann": set(), "bob": set()}
        for name, rights in (("ann", ann), ("bob", bob)):
            self._promote(UserFactory(username=name), rights)
            self.given[name] = set(rights)
        UserFactory(username="shared")
        for number in range(2):
            ApplicationFactory(client_id=f"by-hand-{number}", user=UserFactory(username=f"by-hand-{number}"))

    def _promote(self, user: Any, rights: set[str]) -> None:
        codenames = [right.partition(".")[2] for right in rights]
        user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))

    def _authority(self, who: str) -> Any:
        return OPERATOR if who == "operator" else person(get_user_model().objects.get(username=who), who)

    def _do(self, who: str, work: Any) -> None:
        try:
            issued = work(self._authority(who))
        except ProvisioningError:
            return
        if issued.issued:
            self.held.append(Held(who, issued))

    @rule(
        who=people, name=names, user=st.sampled_from((*NAMES, "shared", None)), rights=gifts, consent=MAYBE, new=MAYBE
    )
    def provision(self, who: str, name: str, user: str | None, rights: set[str], consent: bool, new: bool) -> None:
        wanted = {"permissions": tuple(sorted(rights)), "use_existing_user": consent, "reissue": new}
        spec = ClientSpec(name=name, username=user, **wanted)
        self._do(who, lambda authority: api.provision(spec, authority=authority))

    @rule(who=people, name=names, secret=MAYBE, token=MAYBE)
    def rotate(self, who: str, name: str, secret: bool, token: bool) -> None:
        how = {"secret": secret, "token": token}
        self._do(who, lambda authority: api.rotate(name, authority=authority, **how))

    @rule(who=people, name=names, retire=MAYBE)
    def revoke(self, who: str, name: str, retire: bool) -> None:
        self._do(who, lambda authority: api.revoke(name, retire=retire, authority=authority))

    @rule(who=people, name=names, number=st.integers(0, 1))
    def adopt(self, who: str, name: str, number: int) -> None:
        self._do(who, lambda authority: api.adopt(name, client_id=f"by-hand-{number}", authority=authority))

    @rule(who=st.sampled_from(("ann", "bob")), right=st.sampled_from(GIFTS))
    def raise_person(self, who: str, right: str) -> None:
        self._promote(get_user_model().objects.get(username=who), {right})
        self.given[who].add(right)

    @rule(who=st.sampled_from(("ann", "bob")))
    def lower_person(self, who: str) -> None:
        # What somebody was given once, they may have passed on.
        get_user_model().objects.get(username=who).user_permissions.clear()

    @rule(name=names)
    def delete(self, name: str) -> None:
        self._do("operator", lambda authority: api.revoke(name, delete=True, authority=authority))

    @invariant()
    def nobody_holds_more_than_given(self) -> None:
        for held in getattr(self, "held", ()):
            client = ApiClient.objects.filter(application__client_id=held.client_id).first()
            if held.who == "operator" or client is None or client.user is None or not held.works():
                continue
            has = rights_of(client.user, client.application)
            limit = Rights(others=frozenset(f"permission:{right}" for right in self.given[held.who]))
            assert has.exceeds(limit) == (), (held.who, held.name, has)

    @invariant()
    def an_owned_user_has_one_owner(self) -> None:
        owners = ApiClient.objects.filter(user_made=True).exclude(user=None)
        assert all(client.owned_user_id == client.user_id for client in owners)
        assert owners.values("user").distinct().count() == owners.count()


@pytest.mark.django_db
def test_no_person_gains_rights_over_time() -> None:
    run_state_machine_as_test(
        People,
        settings=settings(
            max_examples=some(15, 300),
            stateful_step_count=some(12, 30),
            deadline=None,
            suppress_health_check=[*HealthCheck],
        ),
    )
