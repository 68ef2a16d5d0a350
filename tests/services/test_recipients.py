"""Test whose credentials count when a client is given more rights: all that still work, whoever holds them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from edx_api_provisioning import api
from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import Conflict
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.core.secrets import Secret
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from tests.factories import OPERATOR, SECRET, TOKEN, UserFactory, person
from tests.lifecycle_helpers import NOON, answer, client, clock_at, granted, shown

pytestmark = pytest.mark.django_db

MODES = "course_modes.change_coursemode"
DAY = timedelta(days=1)


def provision(authority: Authority = OPERATOR, name: str = "report", **wanted: Any) -> Credentials:
    return api.provision(ClientSpec(name=name, **wanted), authority=authority)


def ann() -> Authority:
    """Return the authority of a person without rights."""
    return person(UserFactory())


def assert_growth_is_refused(words: str = "could not have granted", name: str = "report") -> None:
    with pytest.raises(Conflict, match=words):
        provision(name=name, permissions=(MODES,))


def test_own_token_of_lesser_recipient_is_refused() -> None:
    token = Secret(shown(provision(ann()).access_token))
    more: dict[str, Any] = {"permissions": (MODES,), "reissue": True}

    for secret in (None, Secret(SECRET)):
        with pytest.raises(Conflict, match=r"this token was issued with fewer rights; choose another one\.") as refusal:
            provision(**more, access_token=token, client_secret=secret)
        assert refusal.value.field == "access_token"

    assert shown(provision(**more, access_token=Secret(TOKEN)).access_token) == TOKEN
    assert (answer(token), answer(Secret(TOKEN))) == ("token_nonexistent", "ok")
    assert provision(**more, access_token=Secret(TOKEN)).status == "unchanged"


def test_reissue_takes_another_own_token() -> None:
    first = provision()

    second = provision(access_token=Secret(TOKEN), reissue=True)

    assert (shown(second.access_token), answer(Secret(TOKEN))) == (TOKEN, "ok")
    assert answer(first.access_token) != "ok"
    assert granted(first.client_id, first.client_secret) is None
    provision(name="other", access_token=Secret(f"other-{TOKEN}"))
    with pytest.raises(Conflict, match="another access token has this value"):
        provision(access_token=Secret(f"other-{TOKEN}"), reissue=True)


def test_reissue_issues_no_token_that_is_not_wanted() -> None:
    with clock_at(NOON) as clock:
        provision(ann(), expires_in=DAY)
        clock.forward(days=2)

        done = provision(permissions=(MODES,), reissue=True, token=False)

    assert (done.access_token, done.scopes, done.expires_at) == (None, (), None)
    assert done.client_secret is not None


def test_credential_at_the_rest_api_is_nobody() -> None:
    """Whoever holds the credentials of a client is not given what its user is given later."""
    provision(ann(), name="maker")
    made = provision(Authority("REST API", client("maker").user, client="maker"), name="made")
    provision(name="maker", permissions=(MODES,), reissue=True)
    assert client("maker").user.has_perm(MODES)

    assert_growth_is_refused(name="made")
    assert answer(made.access_token) == "ok"


def test_older_token_counts_though_a_new_one_was_issued() -> None:
    with clock_at(NOON) as clock:
        provision()
        of_ann = api.rotate("report", authority=ann(), token=True)
        api.rotate("report", authority=OPERATOR, grace=30 * DAY, expires_in=DAY)
        clock.forward(days=2)

        assert provision().access_token is not None

        assert answer(of_ann.access_token) == "ok"
        assert_growth_is_refused()
        api.rotate("report", authority=OPERATOR, token=True)
        assert answer(of_ann.access_token) != "ok"
        assert provision(permissions=(MODES,)).status == "updated"


def test_granted_token_counts_though_the_secret_was_replaced() -> None:
    of_ann = provision(ann(), token=False)
    token = granted(of_ann.client_id, of_ann.client_secret)
    api.rotate("report", authority=OPERATOR, token=False, secret=True)

    provision(token=True)

    assert answer(token) == "ok"
    assert_growth_is_refused()


def test_own_secret_in_its_grace_period_is_refused() -> None:
    of_ann = provision(ann(), token=False)
    api.rotate("report", authority=OPERATOR, token=False, secret=True, grace=DAY)

    with pytest.raises(Conflict, match="this secret was issued with fewer rights"):
        provision(token=False, permissions=(MODES,), reissue=True, client_secret=Secret(shown(of_ann.client_secret)))


def test_token_that_no_longer_works_does_not_count() -> None:
    with clock_at(NOON) as clock:
        provision()
        api.rotate("report", authority=ann(), expires_in=DAY)
        clock.forward(days=2)

        assert provision(permissions=(MODES,), token=False).status == "updated"

    provision(ann(), name="gone")
    client("gone").application.delete()
    provision(name="gone", token=False)
    assert provision(name="gone", permissions=(MODES,), token=False).status == "updated"


def test_filter_of_an_application_in_its_grace_period_stays() -> None:
    restricted: dict[str, Any] = {"restricted": True, "filters": ("content_org:edX",)}
    caller = Authority("REST API", UserFactory(), scopes=("read",), filters=restricted["filters"], client="maker",
                       restricted=True)  # fmt: skip
    provision(caller, **restricted)
    old = client().application
    api.rotate("report", authority=OPERATOR, token=False, secret=True, grace=DAY)
    client().application.delete()

    with pytest.raises(Conflict, match="no filter:content_org:edX"):
        provision(filters=())

    assert lms.access(old).filters == restricted["filters"]
    assert provision().status == "updated"


def test_removed_filter_is_growth() -> None:
    provision(restricted=True, filters=("user:me", "content_org:edX"))
    ApiClient.objects.update(recipients={})  # as of an adopted client: nobody knows who received its secret

    with pytest.raises(Conflict, match=r"could not have granted no filter:user:me\. Reissue them\."):
        provision(filters=("content_org:edX",))

    assert provision(filters=("content_org:edX",), reissue=True).client_secret is not None


def test_fewer_of_several_filters_are_no_growth() -> None:
    provision(restricted=True, filters=("content_org:edX", "content_org:CET"))
    provision(name="unrestricted", filters=("content_org:edX",))
    ApiClient.objects.update(recipients={})

    assert provision(filters=("content_org:edX",)).status == "updated"
    assert provision(name="unrestricted", filters=()).status == "updated"


def test_application_in_its_grace_period_counts_alone() -> None:
    of_ann = provision(ann())
    api.rotate("report", authority=OPERATOR, secret=True, grace=30 * DAY)
    client().application.delete()
    assert answer(of_ann.access_token) == "ok"

    assert_growth_is_refused("from before its last rotation still work.*First run: revoke_api_client report")
    provision()
    assert_growth_is_refused()
    api.revoke("report", authority=OPERATOR)
    assert answer(of_ann.access_token) != "ok"
    assert provision(permissions=(MODES,)).status == "updated"
