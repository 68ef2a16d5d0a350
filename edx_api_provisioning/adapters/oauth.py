"""All that touches django-oauth-toolkit (DOT) 1.7, 2.x and 3.x, and what differs between them, and nothing else.

What a DOT can do is read off it (a model field, a setting), never off its version.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import string
import threading
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import get_hasher, identify_hasher, make_password
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Exists, F, OuterRef, Q
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from oauth2_provider import models as oauth2_models
from oauth2_provider.generators import generate_client_id, generate_client_secret
from oauth2_provider.models import (
    AbstractAccessToken,
    get_access_token_model,
    get_application_model,
    get_grant_model,
    get_refresh_token_model,
)
from oauth2_provider.oauth2_backends import get_oauthlib_core
from oauth2_provider.scopes import get_scopes_backend
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request, generate_token

from edx_api_provisioning.adapters.database import bulk_insert
from edx_api_provisioning.core.exceptions import InvalidSpec, UnusableToken
from edx_api_provisioning.core.options import CLIENT_ID_MAX_LENGTH, SECRET_MAX_LENGTH
from edx_api_provisioning.core.secrets import Secret, basic_authorization

__all__ = [
    "all_scopes",
    "available_scopes",
    "client_credentials_applications",
    "client_user",
    "create_access_tokens",
    "create_application",
    "create_applications",
    "default_scopes",
    "end_tokens",
    "end_tokens_of_user",
    "find_access_token",
    "find_application",
    "find_applications",
    "generate_access_token",
    "get_access_token_model",
    "get_application_model",
    "grant",
    "has_applications",
    "has_live_tokens",
    "has_tokens",
    "is_access_token",
    "is_client_credentials",
    "long_lived_tokens",
    "longest_token",
    "new_client_id",
    "new_client_secret",
    "newest_token",
    "only_application",
    "revoke_granted",
    "secret_hasher",
    "secret_problem",
    "set_client_secret",
    "set_scopes",
    "stored_secrets",
]

# MySQL compares tokens without regard to case and accents, so lower case and digits are all that tells two apart:
# 40 of 36 symbols are 206 bits.
_TOKEN_ALPHABET = string.ascii_lowercase + string.digits

_TOKEN_LENGTH = 40

_TOKEN_BITS = 160

_CHECKSUM_LENGTH = 7  # 32 bits in base 36


def generate_access_token(prefix: str, **request: Any) -> Secret:
    """A new token: ``prefix``, 40 characters of [a-z0-9], and 7 of their CRC-32 in base 36 for secret scanners.

    A site that sets DOT's ``ACCESS_TOKEN_GENERATOR`` gets what that makes, untouched: it may be signed. Without a
    prefix there is no checksum either.

    Args:
        request: what the site's generator may look at: ``user``, ``client``, ``scopes``, ``expires_in`` (seconds).

    Raises:
        UnusableToken: if what the site's generator makes is not ASCII, does not fit the column, or can be guessed.
    """
    if (site_generator := oauth2_settings.ACCESS_TOKEN_GENERATOR) is not None:
        oauth_request = Request("/", http_method="POST")
        for name, value in request.items():
            setattr(oauth_request, name, value)
        token = str(site_generator(oauth_request))
        symbols = len(set(token.lower()))
        if not (
            token.isascii()
            and len(token) <= SECRET_MAX_LENGTH
            and " " not in token
            and len(token) * math.log2(max(symbols, 1)) >= _TOKEN_BITS
        ):
            raise UnusableToken(
                _(
                    "OAUTH2_PROVIDER['ACCESS_TOKEN_GENERATOR'] makes tokens that are too short, too long or not "
                    "ASCII for the database; have it make 40 to %d letters and digits."
                )
                % SECRET_MAX_LENGTH
            )
        return Secret(token)
    body = generate_token(length=_TOKEN_LENGTH, chars=_TOKEN_ALPHABET)
    return Secret(f"{prefix}{body}{_checksum(body)}" if prefix else body)


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    while number:
        number, digit = divmod(number, len(_TOKEN_ALPHABET))
        digits = (string.digits + string.ascii_lowercase)[digit] + digits
    return digits.rjust(_CHECKSUM_LENGTH, "0")


def new_client_id() -> str:
    """A client_id from DOT's generator, so that the site's setting for it holds."""
    return str(generate_client_id())[:CLIENT_ID_MAX_LENGTH]


def new_client_secret() -> Secret:
    """A client_secret from DOT's generator, so that the site's settings for it hold."""
    return Secret(str(generate_client_secret()))


def secret_problem(secret: Secret) -> str | None:
    """Why DOT would not take this value for the secret itself; None if it would.

    DOT 2 and later hash a secret on saving unless it looks like a hash already: then it would never authenticate.
    """
    try:
        identify_hasher(secret.reveal())
    except ValueError:
        return None
    return _("looks like a password hash, which django-oauth-toolkit would store as it is; use another value.")


def default_scopes() -> tuple[str, ...]:
    """The scopes that the site grants when none are asked for."""
    return tuple(get_scopes_backend().get_default_scopes(application=None))


def all_scopes() -> tuple[str, ...]:
    """The scopes that the site knows."""
    return tuple(get_scopes_backend().get_all_scopes())


def available_scopes(application: Any = None) -> tuple[str, ...]:
    """The scopes that the site's backend would grant this application."""
    return tuple(get_scopes_backend().get_available_scopes(application=application))


def find_application(client_id: str) -> Any:
    """The application that a client_id finds; on MySQL also one in another spelling. None if there is none."""
    return get_application_model()._default_manager.filter(client_id=client_id).first()


def find_applications(client_ids: Iterable[str]) -> Any:
    """The applications that some client ids find, on MySQL also those in another spelling."""
    return get_application_model()._default_manager.filter(client_id__in=list(client_ids))


def is_access_token(value: Any) -> bool:
    """Whether this is a row of the site's access tokens, as authentication classes leave it with a request."""
    return isinstance(value, get_access_token_model())


def only_application(user: Any) -> Any:
    """The one application that acts for this user; None if there is none, or more than one."""
    found = list(get_application_model()._default_manager.filter(user=user)[:2])
    return found[0] if len(found) == 1 else None


def is_client_credentials(application: Any) -> bool:
    """Whether the application is still a confidential one for the client credentials grant (RFC 6749 section 4.4)."""
    return bool(
        application.client_type == application.CLIENT_CONFIDENTIAL
        and application.authorization_grant_type == application.GRANT_CLIENT_CREDENTIALS
    )


class NewApplication(NamedTuple):
    """What is wanted of an Application."""

    name: str
    user: Any
    client_id: str
    client_secret: Secret
    """The secret, or what this DOT keeps of it: see :func:`kept_of`."""


def create_application(*, name: str, user: Any, client_id: str, client_secret: Secret) -> Any:
    """As :func:`create_applications`, for one."""
    return create_applications([NewApplication(name, user, client_id, client_secret)])[0]


def create_applications(wanted: Sequence[NewApplication]) -> list[Any]:
    """Saved confidential Applications for the client credentials grant.

    Raises:
        InvalidSpec: if the site's Application model refuses one.
    """
    model = get_application_model()
    applications = [
        model(
            name=each.name,
            user=each.user,
            client_id=each.client_id,
            client_secret=each.client_secret.reveal(),
            client_type=model.CLIENT_CONFIDENTIAL,
            authorization_grant_type=model.GRANT_CLIENT_CREDENTIALS,
        )
        for each in wanted
    ]
    for application in applications:
        try:
            # save() checks nothing. The unique client_id is left to the database; the user was made or locked just now.
            application.clean_fields(exclude=["user"])
            application.clean()
        except ValidationError as error:
            raise InvalidSpec(" ".join(error.messages), field="application") from None
    bulk_insert(applications, key="client_id")
    for application in applications:
        # What DOT keeps of the secret is its own affair (clear in 1.7, a hash later); nobody is to read it from here.
        del application.client_secret
    return applications


def stored_secrets(secrets: Sequence[Secret]) -> list[Secret]:
    """What this DOT keeps of each client secret: the value itself, or its hash.

    Hashing takes its time on purpose, but lets go of the interpreter's lock: it is done on every core at once.
    DOT takes a value that is a hash already as it is.
    """
    if not secrets or secret_hasher() is None:
        return list(secrets)
    hasher = getattr(oauth2_settings, "CLIENT_SECRET_HASHER", "default")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda secret: Secret(make_password(secret.reveal(), hasher=hasher)), secrets))


def _has_checksum() -> bool:
    try:
        get_access_token_model()._meta.get_field("token_checksum")
    except FieldDoesNotExist:
        return False
    return True


class NewAccessToken(NamedTuple):
    """What is wanted of an AccessToken."""

    application: Any
    user: Any
    token: Secret
    scopes: tuple[str, ...]
    expires_at: datetime


def create_access_tokens(wanted: Sequence[NewAccessToken]) -> list[Any]:
    """The primary keys of saved AccessTokens that work until their ends.

    Raises:
        UnusableToken: if a receiver of the site changed one on the way, as the LMS does for restricted applications.
    """
    # The LMS's receiver comes with the site's validator class, which nothing may have loaded yet.
    _validator()
    rows = [
        get_access_token_model()(
            application=each.application,
            user=each.user,
            scope=" ".join(each.scopes),
            expires=each.expires_at,
            token=each.token.reveal(),
        )
        for each in wanted
    ]
    if getattr(oauth2_settings, "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE", False):
        for row in rows:
            # DOT 3.4 then keeps the checksum alone, made from this attribute (oauth2_validators.py, _set_token_value).
            row._raw_token, row.token = row.token, ""
    bulk_insert(rows, key="token_checksum" if _has_checksum() else "token")
    for row, each in zip(rows, wanted, strict=True):
        if row.expires != each.expires_at or row.user_id != each.user.pk:
            raise UnusableToken(
                _(
                    "the site changed the token while it was saved (a RestrictedApplication's tokens expire at once); "
                    "it would not work, so nothing was kept."
                )
            )
    return [row.pk for row in rows]


def secret_hasher() -> str | None:
    """The name of the algorithm by which this DOT hashes client secrets; None if it keeps them in clear."""
    field = get_application_model()._meta.get_field("client_secret")
    if type(field).__name__ != "ClientSecretField":
        return None
    return str(get_hasher(getattr(oauth2_settings, "CLIENT_SECRET_HASHER", "default")).algorithm)


def set_client_secret(application: Any, client_secret: Secret) -> None:
    """Replace the application's one secret: the old one ends now, tokens issued with it live on."""
    application.client_secret = client_secret.reveal()
    application.save(update_fields=["client_secret", "updated"])
    del application.client_secret


def has_tokens(user: Any) -> bool:
    """Whether a user has any access token, of whatever application, live or not."""
    return bool(get_access_token_model()._default_manager.filter(user=user).exists())


def has_live_tokens(application_pk: Any) -> bool:
    """Whether any access token of an application has not ended."""
    tokens = get_access_token_model()._default_manager.filter(application=application_pk)
    return bool(tokens.filter(expires__gt=timezone.now()).exists())


def end_tokens(application_pk: Any, *, at: datetime | None, current: Any = None) -> int:
    """End every access token of an application: now, with its refresh tokens and grants, or ``at`` a time to come.

    Args:
        application_pk: None if there is no application any more.
        current: the primary key of a token that is ended too, whatever application somebody gave it to.

    Returns:
        How many access tokens were ended or shortened.
    """
    which = Q(pk=current)
    if application_pk is not None:  # Tokens of no application are those of others.
        which |= Q(application=application_pk)
    tokens = get_access_token_model()._default_manager.filter(which)
    if at is not None:
        return int(tokens.filter(expires__gt=at).update(expires=at))
    count = tokens.count()
    _revoke(tokens)
    for refresh_token in get_refresh_token_model()._default_manager.filter(application=application_pk, revoked=None):
        refresh_token.revoke()
    get_grant_model()._default_manager.filter(application=application_pk).delete()
    return int(count)


def end_tokens_of_user(user: Any) -> None:
    """End every access and refresh token of a user, whatever application it is of."""
    _revoke(get_access_token_model()._default_manager.filter(user=user))
    for refresh_token in get_refresh_token_model()._default_manager.filter(user=user, revoked=None):
        refresh_token.revoke()


def _revoke(tokens: Any) -> None:
    """End access tokens as the site's revocation endpoint would (RFC 7009), in few statements if there are many.

    By django-oauth-toolkit's own helper, which DOT 3.4 has, where that does more than delete the row.
    """
    renewable = Exists(get_refresh_token_model()._default_manager.filter(access_token=OuterRef("pk")))
    just_deletes = get_access_token_model().revoke is AbstractAccessToken.revoke
    for token in tokens.filter(renewable) if just_deletes else tokens:
        getattr(oauth2_models, "revoke_access_token", _revoke_access_token)(token)
    tokens.delete()


def _revoke_access_token(token: Any) -> None:
    """What DOT 3.4's helper of this name does: deleting the access token alone would leave what renews it."""
    refresh_token = get_refresh_token_model()._default_manager.filter(access_token=token).first()
    (refresh_token or token).revoke()


def newest_token(client_id: str) -> Any:
    """Return the primary key of an application's newest access token; None without one."""
    return _tokens_of(client_id).order_by("-pk").values_list("pk", flat=True).first()


def revoke_granted(token: Secret, client_id: str, *, after: Any) -> None:
    """Revoke the access token row that the site stored for a grant.

    An opaque token finds its row. A JWT does not: its row is the only one that was added since the grant was requested.
    If callers of the same client were granted others meanwhile, all are left alone.

    Args:
        after: the result of :func:`newest_token` before the grant.
    """
    row = find_access_token(token) if len(token.reveal()) <= SECRET_MAX_LENGTH else None
    if row is not None:
        _revoke(get_access_token_model()._default_manager.filter(pk=row.pk))
        return
    rows = _tokens_of(client_id).filter(**({"pk__gt": after} if after is not None else {}))
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[:2])
    if len(keys) == 1:
        _revoke(get_access_token_model()._default_manager.filter(pk__in=keys))


def _tokens_of(client_id: str) -> Any:
    return get_access_token_model()._default_manager.filter(application__client_id=client_id)


def set_scopes(access_token_pk: Any, scopes: tuple[str, ...]) -> None:
    """Change what a token may do, and nothing else of it: no receiver is to touch a token in somebody's hands."""
    get_access_token_model()._default_manager.filter(pk=access_token_pk).update(scope=" ".join(scopes))


def has_applications(user: Any, *, but: Iterable[Any] = ()) -> bool:
    """Whether any application acts for this user, ``but`` those of these primary keys."""
    return bool(get_application_model()._default_manager.filter(user=user).exclude(pk__in=but).exists())


def client_credentials_applications() -> Any:
    """The applications for the client credentials grant, with their users."""
    model = get_application_model()
    return model._default_manager.filter(authorization_grant_type=model.GRANT_CLIENT_CREDENTIALS).select_related("user")


# The LMS stores an expiry some milliseconds after the creation time plus the lifetime of a granted token.
_GRANT_DELAY = timedelta(minutes=1)


def long_lived_tokens(applications: Collection[Any] | None) -> Any:
    """Return the live tokens whose lifetime exceeds that of a granted token, without the tokens themselves.

    Args:
        applications: the primary keys of the applications to search; None for tokens of no application.
    """
    longest = timedelta(seconds=oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS) + _GRANT_DELAY
    which: dict[str, Any] = {"application": None} if applications is None else {"application__in": applications}
    tokens = get_access_token_model()._default_manager.filter(expires__gt=timezone.now(), **which)
    tokens = tokens.annotate(username=F(f"user__{get_user_model().USERNAME_FIELD}"))
    fields = ("pk", "application", "application__name", "application__client_id", "username", "expires")
    return tokens.filter(expires__gt=F("created") + longest).values_list(*fields, named=True)


def longest_token(application: Any) -> Any:
    """The access token of an application and its user that ends last; None without any."""
    tokens = get_access_token_model()._default_manager.filter(application=application, user=application.user)
    return tokens.order_by("-expires").first()


def find_access_token(token: Secret) -> Any:
    """The row that a presented token finds, with its user; None if the site knows no such token.

    On MySQL a token in another case finds its row too, as it does for the LMS.
    """
    value = token.reveal()
    rows = get_access_token_model()._default_manager.select_related("user", "application")
    if _has_checksum():
        return rows.filter(token_checksum=hashlib.sha256(value.encode()).hexdigest()).first()
    return rows.filter(token=value).first()


def _validator() -> Any:
    return oauth2_settings.OAUTH2_VALIDATOR_CLASS()


def client_user(client_id: str, client_secret: Secret) -> Any:
    """The user of the application that id and secret authenticate at the site's validator; None if they do not."""
    body = urlencode({"client_id": client_id, "client_secret": client_secret.reveal()})
    request = Request("/", http_method="POST", body=body)
    with _unlogged():
        authenticated = _validator().authenticate_client(request)
    return request.client.user if authenticated else None


def grant(client_id: str, client_secret: Secret) -> tuple[int, dict[str, Any]]:
    """Return status and body of the site's answer to a client credentials grant, which saves the token in it."""
    form = QueryDict(mutable=True)
    form["grant_type"] = "client_credentials"
    request = HttpRequest()
    request.method, request.path, request.POST = "POST", "/", form
    request.META["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
    request.META["HTTP_AUTHORIZATION"] = basic_authorization(client_id, client_secret)
    with _unlogged():
        _url, _headers, body, status = get_oauthlib_core().create_token_response(request)
    return status, json.loads(body)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep DOT's log of this thread quiet: DOT 1.7 logs a wrong client secret in clear, at DEBUG."""
    thread = threading.get_ident()

    def from_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("oauth2_provider")
    logger.addFilter(from_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(from_elsewhere)
