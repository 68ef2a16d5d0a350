"""Test the adapter on every django-oauth-toolkit: issued credentials authenticate, and site settings apply."""

from __future__ import annotations

import itertools
import logging
import math
import random
import re
import sys
import threading
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2SHA1PasswordHasher, check_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection, transaction
from django.db.models import CharField
from django.db.models.signals import pre_save
from django.utils.module_loading import import_string
from oauth2_provider import models
from oauth2_provider.generators import BaseHashGenerator
from oauth2_provider.models import (
    get_access_token_model,
    get_application_model,
    get_grant_model,
    get_refresh_token_model,
)
from oauth2_provider.oauth2_backends import OAuthLibCore
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.scopes import SettingsScopes
from oauth2_provider.settings import oauth2_settings
from rest_framework.test import APIRequestFactory

from edx_api_provisioning import conf
from edx_api_provisioning.adapters import oauth, oauth_server
from edx_api_provisioning.core.exceptions import InvalidSpec, UnusableToken
from edx_api_provisioning.core.secrets import Secret, basic_authorization
from tests.factories import SECRET, TOKEN, AccessTokenFactory, ApplicationFactory, UserFactory, statements

pytestmark = [pytest.mark.django_db, pytest.mark.versions]

PREFIX = "edxapi_"
TOMORROW = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


def folded(text: str) -> str:
    """Fold text as MySQL's collations do: without case, accents and trailing blanks."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character)).rstrip(" ")


def with_settings(settings: Any, **changes: Any) -> None:
    settings.OAUTH2_PROVIDER = {**settings.OAUTH2_PROVIDER, **changes}


def bearer_user(token: str) -> Any:
    """Return the user that the site's Bearer authentication finds for the token."""
    request = APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {token}")
    user, _row = import_string(conf.get("BEARER_AUTHENTICATION"))().authenticate(request)
    return user


def issued(token: str = TOKEN, **changes: Any) -> Any:
    """Issue a token and return its row."""
    application = changes.pop("application", None) or ApplicationFactory()
    wanted = {"user": application.user, "scopes": ("read", "write"), "expires_at": TOMORROW, **changes}
    [pk] = oauth.create_access_tokens([oauth.NewAccessToken(application=application, token=Secret(token), **wanted)])
    return get_access_token_model().objects.get(pk=pk)


# Generated tokens


def test_token_is_prefix_body_checksum() -> None:
    token = oauth_server.generate_access_token(PREFIX).reveal()

    match = re.fullmatch(r"edxapi_([a-z0-9]{40})([0-9a-z]{7})", token)
    assert match is not None
    assert int(match[2], 36) == zlib.crc32(match[1].encode())
    assert re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token)  # RFC 6750 section 2.1


def test_checksum_is_zero_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    body = next(body for n in itertools.count() if zlib.crc32((body := f"{n:040}").encode()) < 36**3)
    monkeypatch.setattr(oauth_server, "generate_token", lambda length, chars: body)

    token = oauth_server.generate_access_token(PREFIX).reveal()

    assert re.fullmatch(r"edxapi_[0-9]{40}0000[0-9a-z]{3}", token)
    assert int(token[-7:], 36) == zlib.crc32(body.encode())


def test_empty_prefix_omits_checksum() -> None:
    assert oauth_server.generate_access_token("acme_").reveal().startswith("acme_")
    assert re.fullmatch(r"[a-z0-9]{40}", oauth_server.generate_access_token("").reveal())


def test_folded_token_has_160_bits() -> None:
    tokens = [oauth_server.generate_access_token("").reveal() for _ in range(500)]

    # Forty characters, drawn one by one; folding keeps different symbols different.
    for place in zip(*tokens, strict=True):
        assert len({folded(symbol) for symbol in place}) == len(set(place))
    symbols = {folded(symbol) for token in tokens for symbol in token}
    assert len(symbols) == 36
    assert 40 * math.log2(len(symbols)) >= 160
    # All positions vary: 500 draws of 36 symbols miss more than 6 of them less than once in 10^9.
    assert all(len(set(place)) >= 30 for place in zip(*tokens, strict=True))
    assert len({folded(token) for token in tokens}) == 500


def test_tokens_ignore_random_seed() -> None:
    random.seed(1)
    first = oauth_server.generate_access_token("")
    random.seed(1)

    assert oauth_server.generate_access_token("") != first


# The site's own generators


def strong_generator(request: Any) -> str:
    return f"{request.user.username}.{request.client.client_id}.{'+'.join(request.scopes)}.{request.expires_in}"


@pytest.fixture
def generator(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], str]], None]:
    """Let the site generate access tokens; return a function to replace its generator."""
    with_settings(settings, ACCESS_TOKEN_GENERATOR="tests.adapters.test_oauth.strong_generator")
    return partial(monkeypatch.setattr, sys.modules[__name__], "strong_generator")


def test_site_generator_gets_request(generator: Any) -> None:
    application = ApplicationFactory(user__username="grades-report-service-user", client_id="the-client-id-0123456789")

    token = oauth_server.generate_access_token(
        PREFIX, user=application.user, client=application, scopes=["read", "write"], expires_in=3600
    )

    assert token.reveal() == "grades-report-service-user.the-client-id-0123456789.read+write.3600"


@pytest.mark.parametrize(
    "made",
    [
        "", "a" * 200, "abcdefgh", "0123456789abcdef" * 256, "é" + "0123456789abcdefghijklmnopqrstuvwxyz" * 2,
        "0123456789 abcdefghijklmnopqrstuvwxyz 0123456789", "aaaabbbb" * 10,
    ],
    ids=["empty", "one symbol", "short", "too long", "not ASCII", "blanks", "two symbols"],
)  # fmt: skip
def test_weak_site_generator_is_rejected(generator: Any, made: str) -> None:
    generator(lambda request: made)

    with pytest.raises(
        UnusableToken, match=rf"ACCESS_TOKEN_GENERATOR.*40 to {oauth.longest_token_length()}"
    ) as refusal:
        oauth_server.generate_access_token(PREFIX)

    assert made == "" or made not in str(refusal.value)


def test_generator_sees_token_request(generator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []
    generator(lambda request: requests.append(request) or TOKEN)
    monkeypatch.setattr(OAuth2Validator, "authenticate_client", lambda self, request: requests.append(request))

    oauth_server.generate_access_token(PREFIX)
    oauth_server.client_user("id", Secret(SECRET))

    assert [(request.http_method, request.uri) for request in requests] == [("POST", "/"), ("POST", "/")]


@pytest.mark.parametrize("longest", [False, True], ids=["shortest", "longest"])
def test_site_generator_limits_are_inclusive(generator: Any, longest: bool) -> None:
    length = oauth.longest_token_length() if longest else 40
    # The column of django-oauth-toolkit 3 has no limit of its own.
    assert length in (40, get_access_token_model()._meta.get_field("token").max_length or 4_000)
    made = ("0123456789abcdef" * 250)[:length]
    generator(lambda request: made)

    assert oauth_server.generate_access_token(PREFIX).reveal() == made


class Constant(BaseHashGenerator):
    def hash(self) -> str:
        return "made-by-the-site-0123456789-0123456789"


def test_site_generators_make_id_and_secret(settings: Any) -> None:
    path = f"{__name__}.Constant"
    with_settings(settings, CLIENT_ID_GENERATOR_CLASS=path, CLIENT_SECRET_GENERATOR_CLASS=path)

    assert oauth.new_client_id() == "made-by-the-site-0123456789-0123456789"
    assert oauth.new_client_secret().reveal() == "made-by-the-site-0123456789-0123456789"


def test_default_id_and_secret_match_dot(settings: Any) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{40}", oauth.new_client_id())
    assert len(oauth.new_client_secret().reveal()) == 128

    for length in (64, 255):
        with_settings(settings, CLIENT_SECRET_GENERATOR_LENGTH=length)
        assert len(oauth.new_client_secret().reveal()) == length


def test_generated_client_id_fits_column(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Constant, "hash", lambda self: "i" * 300)
    with_settings(settings, CLIENT_ID_GENERATOR_CLASS=f"{__name__}.Constant")

    assert oauth.new_client_id() == "i" * 100


# Applications


HASHES = [
    "pbkdf2_sha256$600000$0123456789abcdef$0123456789abcdef0123456789abcdef",
    "pbkdf2_sha1$260000$0123456789abcdef$0123456789abcdef",
    "md5$0123456789abcdef$0123456789abcdef0123456789abcdef",
]


@pytest.mark.parametrize("value", HASHES)
def test_hash_like_secret_is_rejected(settings: Any, value: str) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]

    assert oauth.secret_problem(Secret(value)) == (
        "looks like a password hash, which django-oauth-toolkit would not hash again; use another value."
    )


def test_guessable_secret_is_rejected() -> None:
    assert oauth.secret_problem(Secret("s" * 40)) == (
        "can be guessed; use a random value, such as that of openssl rand -hex 32."
    )


@pytest.mark.parametrize("value", [SECRET, "$2b$12$" + SECRET, "sha256$" + SECRET, "$" * 8 + SECRET])
def test_ordinary_secret_is_accepted(value: str) -> None:
    assert oauth.secret_problem(Secret(value)) is None


NASTY = "'\"\\`$(rm -rf ~)%s{}&=+ #;<>|*?!/%41%00&client_id=x"


def create_application(**values: Any) -> Any:
    return oauth.create_applications([oauth.NewApplication(**values)])[0]


@pytest.mark.parametrize("secret", [SECRET, "s" * 255, NASTY], ids=["plain", "longest", "nasty"])
def test_given_secret_authenticates(secret: str) -> None:
    user = UserFactory()

    application = create_application(name="report", user=user, client_id="id", client_secret=Secret(secret))

    assert oauth_server.client_user("id", Secret(secret)) == user
    assert oauth_server.client_user("id", Secret(secret[:-1] + "~")) is None
    assert oauth_server.client_user("other", Secret(secret)) is None
    assert oauth.is_client_credentials(application) is True
    assert "client_secret" not in vars(application)
    assert (application.name, application.client_type) == ("report", "confidential")
    assert application.authorization_grant_type == "client-credentials"


def test_site_model_refusal_creates_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> None:
        raise ValidationError(["Applications need a ticket number.", "And an owner."])

    monkeypatch.setattr(get_application_model(), "clean", refuse)

    with pytest.raises(InvalidSpec) as refusal:
        create_application(name="report", user=UserFactory(), client_id="id", client_secret=Secret(SECRET))
    assert not get_application_model().objects.exists()
    assert refusal.value.message == (
        "the site's application model rejects it: Applications need a ticket number. And an owner."
    )


def test_site_model_names_columns_that_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> None:
        raise ValidationError({"name": ["Too plain."], "user": ["Too new.", "Too shy."]})

    monkeypatch.setattr(get_application_model(), "clean", refuse)

    with pytest.raises(InvalidSpec) as refusal:
        create_application(name="report", user=UserFactory(), client_id="id", client_secret=Secret(SECRET))
    assert refusal.value.message == (
        "the site's application model rejects it: name: Too plain. user: Too new. Too shy."
    )


def test_create_application_skips_user_query() -> None:
    user = UserFactory()

    with statements() as sent:
        create_application(name="report", user=user, client_id="id", client_secret=Secret(SECRET))

    assert [sql for sql in sent if user._meta.db_table in sql.partition("WHERE")[0]] == []


@pytest.mark.databases
def test_bulk_create_uses_one_statement_each() -> None:
    user = UserFactory()
    wanted = [oauth.NewApplication(f"name-{n}", user, f"id-{n}", Secret(f"{SECRET}{n}")) for n in range(3)]
    with statements() as sent:
        applications = oauth.create_applications(wanted)
        pks = oauth.create_access_tokens(
            [
                oauth.NewAccessToken(application, user, Secret(f"{TOKEN}{application.name}"), ("read",), TOMORROW)
                for application in applications
            ]
        )

    assert len([sql for sql in sent if sql.startswith("INSERT")]) == 2
    rows = get_access_token_model().objects.order_by("pk").values_list("pk", "application", "application__client_id")
    assert [*rows] == [(pk, each.pk, each.client_id) for pk, each in zip(pks, applications, strict=True)]


def test_bulk_created_rows_are_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(connection.features), "can_return_rows_from_bulk_insert", False)
    ApplicationFactory()  # so that the primary keys differ from those of the tokens
    wanted = [oauth.NewApplication(f"name-{n}", UserFactory(), f"id-{n}", Secret(f"{SECRET}{n}")) for n in range(2)]

    applications = oauth.create_applications(wanted)
    pks = oauth.create_access_tokens(
        [
            oauth.NewAccessToken(application, application.user, Secret(f"{TOKEN}{n}"), ("read",), TOMORROW)
            for n, application in enumerate(applications)
        ]
    )

    assert applications == [oauth.find_application(each.client_id) for each in wanted]
    assert pks == [oauth.find_access_token(Secret(f"{TOKEN}{n}")).pk for n in range(2)]


@pytest.mark.parametrize(
    "change",
    [{"client_type": "public"}, {"authorization_grant_type": "password"}, {"authorization_grant_type": "implicit"}],
    ids=str,
)
def test_other_grants_not_client_credentials(change: dict[str, str]) -> None:
    assert oauth.is_client_credentials(ApplicationFactory(**change)) is False


def test_applications_are_found_by_client_id() -> None:
    ApplicationFactory(client_id="other")
    wanted = [ApplicationFactory(client_id="one"), ApplicationFactory(client_id="two")]

    assert oauth.find_application("two") == wanted[1]
    assert oauth.find_application("tw") is None
    assert list(oauth.find_applications(iter(["one", "two", "three"])).order_by("pk")) == wanted


def test_only_application_of_user_is_found() -> None:
    only = ApplicationFactory()
    one = ApplicationFactory()
    ApplicationFactory(user=one.user)

    assert oauth.only_application(only.user) == only
    assert oauth.only_application(one.user) is None
    assert oauth.only_application(UserFactory()) is None


@pytest.mark.vendor("mysql")
def test_mysql_finds_client_id_in_other_case() -> None:
    ApplicationFactory(client_id="the-id")

    assert oauth.find_application("THE-ID").client_id == "the-id"


def test_new_secret_replaces_old() -> None:
    application = ApplicationFactory(client_id="id")
    get_application_model().objects.update(name="renamed meanwhile")

    oauth.set_client_secret(application, Secret("n" * 40))

    assert oauth_server.client_user("id", Secret("n" * 40)) == application.user
    assert oauth_server.client_user("id", Secret(SECRET)) is None
    assert "client_secret" not in vars(application)
    assert get_application_model().objects.get().name == "renamed meanwhile"


class ClientSecretField(CharField):
    """Stand in for django-oauth-toolkit's hashing field, which is detected by this class name."""


@pytest.fixture
def keep_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], None]:
    """Make the application model store client secrets in this kind of field."""
    return partial(monkeypatch.setattr, get_application_model()._meta.get_field("client_secret"), "__class__")


def test_plain_secrets_are_stored_plain(keep_as: Callable[[type], None]) -> None:
    keep_as(CharField)

    assert oauth.secret_hasher() is None
    assert oauth.new_secrets([Secret(SECRET), Secret(TOKEN)], verify=True) == [
        (Secret(SECRET), Secret(SECRET)), (Secret(TOKEN), Secret(TOKEN)),
    ]  # fmt: skip


@pytest.mark.parametrize(("hasher", "algorithm"), [(None, "md5"), ("pbkdf2_sha1", "pbkdf2_sha1")])
def test_hashed_secrets_use_site_hasher(
    keep_as: Callable[[type], None], monkeypatch: pytest.MonkeyPatch, hasher: str | None, algorithm: str
) -> None:
    keep_as(ClientSecretField)
    monkeypatch.setattr(PBKDF2SHA1PasswordHasher, "iterations", 1)
    if hasher is not None:
        monkeypatch.setattr(oauth2_settings, "CLIENT_SECRET_HASHER", hasher, raising=False)

    made = oauth.new_secrets([Secret(SECRET), Secret(TOKEN)], verify=True)
    kept = [new.stored.reveal() for new in made]

    assert oauth.secret_hasher() == algorithm
    assert [value.partition("$")[0] for value in kept] == [algorithm, algorithm]
    assert check_password(SECRET, kept[0])
    assert check_password(TOKEN, kept[1])
    assert [new.secret for new in made] == [Secret(SECRET), Secret(TOKEN)]
    assert oauth.new_secrets([]) == []


def test_hash_that_does_not_match_is_reported(keep_as: Callable[[type], None], monkeypatch: pytest.MonkeyPatch) -> None:
    keep_as(ClientSecretField)
    monkeypatch.setattr(oauth, "check_password", lambda secret, stored: False)

    assert len(oauth.new_secrets([Secret(SECRET)])) == 1
    with pytest.raises(UnusableToken) as refusal:
        oauth.new_secrets([Secret(SECRET)], verify=True)
    assert str(refusal.value) == "OAUTH2_PROVIDER['CLIENT_SECRET_HASHER'] makes hashes that do not match."


def test_secret_hasher_matches_dot_version() -> None:
    ApplicationFactory(client_id="id")

    stored = get_application_model().objects.get(client_id="id").client_secret
    assert oauth.secret_hasher() == (None if stored == SECRET else stored.partition("$")[0])


def test_has_applications_excludes_given() -> None:
    application = ApplicationFactory()

    assert oauth.has_applications(application.user) is True
    assert oauth.has_applications(application.user, but=[application.pk]) is False
    assert oauth.has_applications(UserFactory()) is False


def test_list_only_client_credentials() -> None:
    application = ApplicationFactory()
    ApplicationFactory(authorization_grant_type="password")

    with statements() as sent:
        found = [(each, each.user.username) for each in oauth.client_credentials_applications()]

    assert found == [(application, application.user.username)]
    assert len(sent) == 1


# Access tokens


@pytest.mark.databases
@pytest.mark.parametrize("token", [TOKEN, "t" * 255], ids=["plain", "longest"])
def test_token_authenticates_its_user(token: str) -> None:
    row = issued(token)

    assert bearer_user(token) == row.user
    assert (row.scope, row.expires, row.user) == ("read write", TOMORROW, row.application.user)
    assert oauth.find_access_token(Secret(token)) == row
    assert oauth.find_access_token(Secret(token + "x")) is None
    with statements() as sent:
        found = oauth.find_access_token(Secret(token))
        assert (found.user, found.application) == (row.user, row.application)
    assert len(sent) == 1


@pytest.mark.databases
def test_checksum_only_token_storage_works(settings: Any) -> None:
    with_settings(settings, COMPLIANT_BCP_RFC9700_TOKEN_STORAGE=True)
    known = hasattr(oauth2_settings, "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE")

    row = issued()

    assert row.token == ("" if known else TOKEN)
    assert bearer_user(TOKEN) == row.user
    assert oauth.find_access_token(Secret(TOKEN)) == row


@pytest.mark.vendor("mysql")
def test_mysql_finds_token_like_site_does() -> None:
    row = issued()
    by_checksum = "token_checksum" in {field.name for field in get_access_token_model()._meta.get_fields()}

    assert oauth.find_access_token(Secret(TOKEN.upper())) == (None if by_checksum else row)


@pytest.fixture
def receiver() -> Iterator[Any]:
    """Connect a site's receiver to the saving of tokens."""
    model, connected = get_access_token_model(), []

    def connect(function: Any) -> None:
        connected.append(function)
        pre_save.connect(function, sender=model)

    yield connect
    for function in connected:
        pre_save.disconnect(function, sender=model)


@pytest.mark.parametrize(
    "change",
    [
        lambda instance: setattr(instance, "expires", datetime(1970, 1, 1, tzinfo=UTC)),
        lambda instance: setattr(instance, "user", None),
        lambda instance: setattr(instance, "user", UserFactory()),
    ],
    ids=["expired", "without a user", "of another user"],
)
def test_token_changed_by_receiver_is_rejected(receiver: Any, change: Any) -> None:
    def change_it(instance: Any, **_signal: Any) -> None:
        change(instance)

    receiver(change_it)

    with pytest.raises(UnusableToken, match=r"RestrictedApplication.*Nothing was changed"):
        issued()


def test_validator_receivers_load_in_time(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: Any
) -> None:
    (tmp_path / "late_validator.py").write_text(
        "from oauth2_provider.oauth2_validators import OAuth2Validator as Validator\nLOADED = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with_settings(settings, OAUTH2_VALIDATOR_CLASS="late_validator.Validator")
    seen = []

    def look(**_signal: Any) -> None:
        seen.append("late_validator" in sys.modules)

    receiver(look)
    assert "late_validator" not in sys.modules

    issued()

    assert seen == [True]
    del sys.modules["late_validator"]


def test_set_scopes_changes_only_scopes(receiver: Any) -> None:
    row = issued()

    def fail(**_signal: Any) -> None:
        raise AssertionError("a receiver was asked")

    receiver(fail)
    oauth.set_scopes(row.pk, ("email", "profile"))

    after = get_access_token_model().objects.get(pk=row.pk)
    assert after.scope == "email profile"
    assert (after.token, after.expires, after.user) == (row.token, row.expires, row.user)
    assert bearer_user(TOKEN) == row.user


def test_scopes_are_limited_to_the_allowed() -> None:
    limited, kept, elsewhere = issued(), issued("k" + TOKEN, scopes=("write",)), issued("e" + TOKEN)

    oauth.limit_scopes([limited.application_id, kept.application_id], {"write", "email"})

    scopes = dict(get_access_token_model().objects.values_list("pk", "scope"))
    assert scopes == {limited.pk: "write", kept.pk: "write", elsewhere.pk: "read write"}


def test_tokens_of_the_token_endpoint_are_found_by_lifetime() -> None:
    usual = timedelta(seconds=oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS)
    spans = [usual, usual + timedelta(seconds=50), usual + timedelta(seconds=70)]
    tokens = [AccessTokenFactory() for _span in spans]
    for token, span in zip(tokens, spans, strict=True):
        get_access_token_model().objects.filter(pk=token.pk).update(expires=token.created + span)

    assert [*oauth.granted_tokens().order_by("pk")] == tokens[:2]


def test_longest_token_matches_user() -> None:
    application = ApplicationFactory()
    now = datetime.now(UTC)
    for days in (2, 3, 1):
        AccessTokenFactory(application=application, expires=now + timedelta(days=days))
    AccessTokenFactory(application=application, user=UserFactory(), expires=now + timedelta(days=9))
    AccessTokenFactory(application=None, user=application.user, expires=now + timedelta(days=9))

    assert oauth.longest_token(application).expires == now + timedelta(days=3)
    assert oauth.longest_token(ApplicationFactory()) is None


@pytest.mark.databases
def test_long_lived_tokens_without_application() -> None:
    user, now = UserFactory(), datetime.now(UTC)
    usual = timedelta(seconds=oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS)
    long = AccessTokenFactory(application=None, user=user, expires=now + usual + timedelta(hours=1))
    AccessTokenFactory(application=None, user=user, expires=now + usual - timedelta(hours=1))
    AccessTokenFactory(expires=now + 2 * usual)

    ended = AccessTokenFactory(application=None, user=user, expires=now - timedelta(hours=1))
    get_access_token_model().objects.filter(pk=ended.pk).update(created=now - usual - timedelta(days=1))

    [found] = oauth.long_lived_tokens(None)
    assert (found.pk, found.username, found.expires) == (long.pk, long.user.username, long.expires)


@pytest.mark.databases
def test_long_lived_tokens_of_applications() -> None:
    end = datetime.now(UTC) + timedelta(seconds=2 * oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS)
    long = AccessTokenFactory(expires=end)
    AccessTokenFactory(expires=end)
    AccessTokenFactory(application=None, user=long.user, expires=end)

    [found] = oauth.long_lived_tokens([long.application_id])
    assert (found.pk, found.application, found.application__client_id) == (
        long.pk, long.application_id, long.application.client_id,
    )  # fmt: skip


def refresh_token_of(token: Any, *, orphan: bool = False) -> Any:
    """Create a refresh token; an orphan is one whose access token is gone."""
    create = partial(get_refresh_token_model().objects.create, user=token.user, application=token.application)
    return create(token="o" * 40) if orphan else create(token=f"of {token.pk}", access_token=token)


def end_application(token: Any) -> None:
    assert oauth.end_tokens(token.application_id, at=None) == 1


def end_user(token: Any) -> None:
    AccessTokenFactory(application=None, user=token.user)
    oauth.end_tokens_of_user(token.user)


def of_a_site_without_dots_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(models, "revoke_access_token", raising=False)


def of_a_site_with_dots_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide the revocation helper of django-oauth-toolkit 3.4 where the installed version lacks it."""
    if not hasattr(models, "revoke_access_token"):
        monkeypatch.setattr(models, "revoke_access_token", oauth._revoke_access_token, raising=False)


@pytest.mark.databases
@pytest.mark.parametrize("site", [of_a_site_without_dots_helper, of_a_site_with_dots_helper])
@pytest.mark.parametrize("end", [end_application, end_user])
def test_refresh_tokens_are_revoked(
    monkeypatch: pytest.MonkeyPatch, site: Callable[[pytest.MonkeyPatch], None], end: Callable[[Any], None]
) -> None:
    site(monkeypatch)
    token, other = AccessTokenFactory(), AccessTokenFactory()
    bound, of_other, orphan = refresh_token_of(token), refresh_token_of(other), refresh_token_of(token, orphan=True)
    get_grant_model().objects.create(
        user=token.user, application=token.application, code="c" * 40, expires=TOMORROW, redirect_uri="", scope="read"
    )

    end(token)

    assert list(get_access_token_model().objects.all()) == [other]
    # The remaining rows let a site detect reuse of a revoked token.
    revoked = get_refresh_token_model().objects.exclude(revoked=None)
    assert set(revoked.values_list("pk", "access_token")) == {(bound.pk, None), (orphan.pk, None)}
    of_other.refresh_from_db()
    assert (of_other.revoked, of_other.access_token) == (None, other)
    assert get_grant_model().objects.exists() is (end is end_user)


@pytest.mark.parametrize("site", [of_a_site_without_dots_helper, of_a_site_with_dots_helper])
def test_current_refresh_token_is_revoked(
    monkeypatch: pytest.MonkeyPatch, site: Callable[[pytest.MonkeyPatch], None]
) -> None:
    site(monkeypatch)
    current, other = AccessTokenFactory(), AccessTokenFactory()
    bound, of_other, orphan = refresh_token_of(current), refresh_token_of(other), refresh_token_of(other, orphan=True)

    assert oauth.end_tokens(None, at=None, current=current.pk) == 1

    assert list(get_access_token_model().objects.all()) == [other]
    assert list(get_refresh_token_model().objects.exclude(revoked=None)) == [bound]
    assert set(get_refresh_token_model().objects.filter(revoked=None)) == {of_other, orphan}


def test_dot_revocation_helper_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    token = AccessTokenFactory()
    refresh_token_of(token)
    AccessTokenFactory(application=token.application)  # Nothing renews it: deleting it is sufficient.
    helped = []
    monkeypatch.setattr(models, "revoke_access_token", helped.append, raising=False)

    assert oauth.end_tokens(token.application_id, at=None) == 2

    assert helped == [token]
    assert not get_access_token_model().objects.exists()


def test_custom_revoke_method_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    revoked = []

    def revoke(token: Any) -> None:
        revoked.append(token.pk)
        token.delete()

    monkeypatch.setattr(get_access_token_model(), "revoke", revoke)
    token = AccessTokenFactory()

    oauth.end_tokens(token.application_id, at=None)

    assert revoked == [token.pk]


@pytest.mark.databases
def test_end_tokens_uses_few_statements() -> None:
    token = AccessTokenFactory()
    AccessTokenFactory.create_batch(30, application=token.application)

    with statements() as sent:
        assert oauth.end_tokens(token.application_id, at=None) == 31

    assert len(sent) < 10


def test_end_tokens_keeps_other_orphans() -> None:
    current, other = AccessTokenFactory(), AccessTokenFactory(application=None, user=UserFactory())

    assert oauth.end_tokens(None, at=None, current=current.pk) == 1
    assert oauth.end_tokens(None, at=TOMORROW - timedelta(days=9), current=None) == 0

    assert list(get_access_token_model().objects.values_list("pk", "expires")) == [(other.pk, other.expires)]


@pytest.mark.databases
def test_end_tokens_only_shortens() -> None:
    long = AccessTokenFactory(expires=TOMORROW + timedelta(days=9))
    short = AccessTokenFactory(application=long.application, expires=TOMORROW - timedelta(hours=1))

    assert oauth.end_tokens(long.application_id, at=TOMORROW) == 1

    ends = dict(get_access_token_model().objects.values_list("pk", "expires"))
    assert ends == {long.pk: TOMORROW, short.pk: TOMORROW - timedelta(hours=1)}


def test_end_tokens_follows_moved_token() -> None:
    moved = AccessTokenFactory()

    assert oauth.end_tokens(ApplicationFactory().pk, at=None, current=moved.pk) == 1
    assert not get_access_token_model().objects.exists()


@pytest.mark.parametrize(("left", "live"), [(timedelta(minutes=1), True), (timedelta(minutes=-1), False)], ids=str)
def test_token_is_live_until_expiry(left: timedelta, live: bool) -> None:
    token = AccessTokenFactory(expires=datetime.now(UTC) + left)

    assert oauth.has_live_tokens(token.application_id) is live
    assert oauth.has_live_tokens(ApplicationFactory().pk) is False


def test_has_tokens_counts_expired() -> None:
    token = AccessTokenFactory(expires=datetime.now(UTC) - timedelta(days=1))

    assert oauth.has_tokens(token.user) is True
    assert oauth.has_tokens(UserFactory()) is False


# Scopes


def test_scopes_come_from_site_backend(settings: Any) -> None:
    assert set(oauth_server.default_scopes()) == {"read", "write", "email", "profile"}
    assert set(oauth_server.available_scopes()) == {"read", "write", "email", "profile"}
    assert set(oauth_server.all_scopes()) == {*settings.OAUTH2_PROVIDER["SCOPES"]}

    with_settings(settings, DEFAULT_SCOPES=["read"])
    assert oauth_server.default_scopes() == ("read",)


class ScopesOfApplications(SettingsScopes):
    """Grant each application the scope of its name, and ``email`` by default."""

    def get_default_scopes(self, application: Any = None, *args: Any, **kwargs: Any) -> list[str]:
        return [application.name] if application else ["email"]

    def get_available_scopes(self, application: Any = None, *args: Any, **kwargs: Any) -> list[str]:
        return [application.name] if application else []


class ScopesThatNeedAnApplication(ScopesOfApplications):
    def get_default_scopes(self, application: Any = None, *args: Any, **kwargs: Any) -> list[str]:
        return [application.name]

    get_available_scopes = get_default_scopes


def test_scopes_backend_sees_the_application(settings: Any) -> None:
    with_settings(settings, SCOPES_BACKEND_CLASS=f"{__name__}.ScopesOfApplications")
    application = ApplicationFactory(name="grades")

    assert oauth_server.default_scopes() == ("email",)
    assert oauth_server.available_scopes(application) == ("grades",)
    assert oauth_server.available_scopes(ApplicationFactory(name="")) == ("",)
    assert oauth_server.available_scopes() == tuple(oauth_server.all_scopes())


def test_scopes_backend_may_need_an_application(settings: Any) -> None:
    with_settings(settings, SCOPES_BACKEND_CLASS=f"{__name__}.ScopesThatNeedAnApplication", DEFAULT_SCOPES=["read"])

    assert oauth_server.default_scopes() == ("read",)
    assert oauth_server.available_scopes() == tuple(oauth_server.all_scopes())
    with pytest.raises(AttributeError):
        oauth_server.available_scopes(object())


# The grant


def test_token_of_a_replaced_secret_is_refused() -> None:
    model = get_application_model()
    application = ApplicationFactory(client_id="id")
    read = {"plain": model.objects.get(pk=application.pk), "ours": oauth.find_application("id")}
    token = AccessTokenFactory(application=application)

    def save(application: Any, *, created: bool = True) -> None:
        token.application = application
        oauth_server.refuse_replaced_secret(instance=token, created=created, using="default")

    save(read["plain"])
    oauth.set_client_secret(application, Secret("n" * 40))

    with pytest.raises(PermissionDenied), transaction.atomic():
        save(read["plain"])
    save(read["plain"], created=False)
    save(None)
    save(model.objects.get(pk=application.pk))
    with statements() as sent:
        save(read["ours"])
        read["plain"].client_type = "public"
        save(read["plain"])
        instance = get_access_token_model().objects.get(pk=token.pk)
        oauth_server.refuse_replaced_secret(instance=instance, created=True, using="default")
    assert len(sent) == 1


def test_only_the_granted_token_is_revoked() -> None:
    def tokens() -> list[Any]:
        return [*get_access_token_model().objects.order_by("pk")]

    application = ApplicationFactory()
    client_id = application.client_id
    assert oauth_server.newest_token(client_id) is None
    first = AccessTokenFactory(application=application)
    assert oauth_server.revoke_granted(Secret("a.jwt.of.it"), client_id, after=None)
    assert tokens() == []

    AccessTokenFactory(application=application)
    old = AccessTokenFactory(application=application)
    elsewhere = AccessTokenFactory()
    newest = oauth_server.newest_token(client_id)
    assert newest == old.pk > first.pk
    granted, other = AccessTokenFactory(application=application), AccessTokenFactory(application=application)
    kept = [token for token in tokens() if token != granted]

    # Of a JWT nobody knows which of the two it is.
    assert not oauth_server.revoke_granted(Secret("a.jwt.of.it"), client_id, after=newest)
    assert oauth_server.revoke_granted(Secret(granted.token), client_id, after=newest)
    assert tokens() == kept
    assert oauth_server.revoke_granted(Secret("a.jwt.of.it"), client_id, after=newest)
    assert tokens() == [token for token in kept if token != other]
    assert elsewhere in tokens()


def test_grant_returns_site_answer() -> None:
    application = ApplicationFactory(client_id="id")

    status, body = oauth_server.grant("id", Secret(SECRET))

    assert status == 200
    assert bearer_user(body["access_token"]) == application.user
    assert oauth_server.grant("id", Secret("w" * 40)) == (401, {"error": "invalid_client"})


def test_grant_sends_ordinary_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(self: Any, request: Any) -> Any:
        asked.append(request)
        return "", {}, "{}", 200

    monkeypatch.setattr(OAuthLibCore, "create_token_response", answer)

    assert oauth_server.grant("id", Secret(SECRET)) == (200, {})
    [request] = asked
    assert (request.method, request.path) == ("POST", "/")
    assert request.META["CONTENT_TYPE"] == "application/x-www-form-urlencoded"
    assert request.POST.dict() == {"grant_type": "client_credentials"}
    assert request.META["HTTP_AUTHORIZATION"] == basic_authorization("id", Secret(SECRET))


# Logs


def test_wrong_secret_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    ApplicationFactory(client_id="id")
    caplog.set_level(logging.DEBUG)

    assert oauth_server.client_user("id", Secret("wrong-secret-0123456789-0123456789")) is None
    assert oauth_server.grant("id", Secret("wrong-secret-0123456789-0123456789"))[0] == 401

    assert "wrong-secret" not in caplog.text


def test_other_threads_keep_logging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger = logging.getLogger("oauth2_provider")

    with oauth_server._unlogged():
        thread = threading.Thread(target=logger.warning, args=("from elsewhere",))
        thread.start()
        thread.join()
        logger.warning("from here")
    logger.warning("afterwards")

    assert [record.getMessage() for record in caplog.records] == ["from elsewhere", "afterwards"]
