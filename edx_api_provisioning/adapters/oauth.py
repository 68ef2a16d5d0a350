"""Read and write applications and tokens in the tables of django-oauth-toolkit (DOT) 1.7, 2.x and 3.x.

Only this module and ``oauth_server`` know how DOT versions differ. They test for a model field or a setting, never
for a version number.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import check_password, get_hasher, identify_hasher, make_password
from django.core.exceptions import NON_FIELD_ERRORS, FieldDoesNotExist, ValidationError
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from oauth2_provider import models as oauth2_models
from oauth2_provider.generators import generate_client_id, generate_client_secret
from oauth2_provider.models import AbstractAccessToken, get_grant_model, get_refresh_token_model
from oauth2_provider.models import get_access_token_model as get_access_token_model
from oauth2_provider.models import get_application_model as get_application_model
from oauth2_provider.settings import oauth2_settings

from edx_api_provisioning.adapters.database import bulk_insert
from edx_api_provisioning.core.exceptions import InvalidSpec, UnusableToken
from edx_api_provisioning.core.options import CLIENT_ID_MAX_LENGTH
from edx_api_provisioning.core.results import Credentials
from edx_api_provisioning.core.secrets import Secret, is_guessable


def new_client_id() -> str:
    """Return a client_id from DOT's generator, which follows the site's setting."""
    return str(generate_client_id())[:CLIENT_ID_MAX_LENGTH]


def new_client_secret() -> Secret:
    """Return a client_secret from DOT's generator, which follows the site's settings."""
    return Secret(str(generate_client_secret()))


def secret_problem(secret: Secret) -> str | None:
    """Return why this value cannot be used as a secret; None if it can.

    DOT 2 and later hash a secret on saving unless it looks like a hash: such a secret would never authenticate.
    """
    value = secret.reveal()
    if is_guessable(value):
        return _("can be guessed; use a random value, such as that of openssl rand -hex 32.")
    try:
        identify_hasher(value)
    except ValueError:
        return None
    return _("looks like a password hash, which django-oauth-toolkit would not hash again; use another value.")


def find_application(client_id: str) -> Any:
    """Return the application with a client_id, on MySQL also in another spelling; None if there is none."""
    return get_application_model()._default_manager.defer("client_secret").filter(client_id=client_id).first()


def find_applications(client_ids: Iterable[str]) -> Any:
    """Return the applications with these client ids, on MySQL also in another spelling."""
    return get_application_model()._default_manager.filter(client_id__in=list(client_ids))


def is_access_token(value: Any) -> bool:
    """Return True for a row of the site's access tokens, such as an authentication class returns."""
    return isinstance(value, get_access_token_model())


def only_application(user: Any) -> Any:
    """Return the only application of a user; None if the user has none or several."""
    found = list(get_application_model()._default_manager.filter(user=user)[:2])
    return found[0] if len(found) == 1 else None


def is_client_credentials(application: Any) -> bool:
    """Return True for a confidential application with the client credentials grant (RFC 6749 section 4.4)."""
    return bool(
        application.client_type == application.CLIENT_CONFIDENTIAL
        and application.authorization_grant_type == application.GRANT_CLIENT_CREDENTIALS
    )


class NewApplication(NamedTuple):
    """Values of an Application to create."""

    name: str
    user: Any
    client_id: str
    client_secret: Secret
    """The secret, or its hash where DOT stores one: see :func:`stored_secrets`."""


def create_applications(wanted: Sequence[NewApplication]) -> list[Any]:
    """Create confidential Applications for the client credentials grant; raise InvalidSpec if the site rejects one."""
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
            # save() validates nothing. The database checks that client_id is unique; the user is new or locked.
            application.clean_fields(exclude=["user"])
            application.clean()
        except ValidationError as error:
            columns = getattr(error, "error_dict", {NON_FIELD_ERRORS: error})
            problems = (f"{column}: {' '.join(ValidationError(each).messages)}" for column, each in columns.items())
            says = " ".join(each.removeprefix(f"{NON_FIELD_ERRORS}: ") for each in problems)
            raise InvalidSpec(_("the site's application model rejects it: %s") % says) from None
    bulk_insert(applications, key="client_id")
    for application in applications:
        # The stored value is the secret itself in DOT 1.7, a hash in later versions. No caller may read it.
        del application.client_secret
    return applications


class NewSecret(NamedTuple):
    """A client secret, and what django-oauth-toolkit stores for it: the secret itself, or its hash."""

    secret: Secret
    stored: Secret


def new_secrets(brought: Sequence[Secret | None], *, verify: bool = False) -> list[NewSecret]:
    """Return new client secrets with what is stored for them, before a transaction begins.

    Hashing is slow on purpose, but releases the interpreter's lock, so all cores are used. DOT stores a hash unchanged.

    Args:
        brought: the operator's own values; a secret is generated for each None.
        verify: compare each secret with its hash.

    Raises:
        UnusableToken: if one does not match its hash.
    """
    secrets = [secret or new_client_secret() for secret in brought]
    if not secrets or secret_hasher() is None:
        return [NewSecret(secret, secret) for secret in secrets]
    hasher = getattr(oauth2_settings, "CLIENT_SECRET_HASHER", "default")

    def hashed(secret: Secret) -> NewSecret:
        stored = make_password(secret.reveal(), hasher=hasher)
        if verify and not check_password(secret.reveal(), stored):
            raise UnusableToken(_("OAUTH2_PROVIDER['CLIENT_SECRET_HASHER'] makes hashes that do not match."))
        return NewSecret(secret, Secret(stored))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(hashed, secrets))


def longest_token_length() -> int:
    """Return how many characters of a token fit its column; one without a limit is limited by HTTP headers."""
    return get_access_token_model()._meta.get_field("token").max_length or 4_000


def _token_column() -> str:
    """Return the column by which tokens are found: their checksum where DOT stores one, since it may store no token."""
    try:
        get_access_token_model()._meta.get_field("token_checksum")
    except FieldDoesNotExist:
        return "token"
    return "token_checksum"


def _in_column(token: Secret) -> str:
    value = token.reveal()
    return value if _token_column() == "token" else hashlib.sha256(value.encode()).hexdigest()


class NewAccessToken(NamedTuple):
    """Values of an AccessToken to create."""

    application: Any
    user: Any
    token: Secret
    scopes: tuple[str, ...]
    expires_at: datetime


def create_access_tokens(wanted: Sequence[NewAccessToken]) -> list[Any]:
    """Create AccessTokens and return their primary keys.

    Raises:
        UnusableToken: if a signal receiver of the site changed a token, as the LMS does for restricted applications.
    """
    # Load the site's validator class: the module of the LMS's class connects the receiver.
    oauth2_settings.OAUTH2_VALIDATOR_CLASS()
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
            # DOT 3.4 then stores only the checksum of this attribute (oauth2_validators.py, _set_token_value).
            row._raw_token, row.token = row.token, ""
    bulk_insert(rows, key=_token_column())
    for row, each in zip(rows, wanted, strict=True):
        if row.expires != each.expires_at or row.user_id != each.user.pk:
            raise UnusableToken(
                _(
                    "the site changed the token while it was saved (tokens of a RestrictedApplication expire at once), "
                    "so it would not work. Nothing was changed."
                )
            )
    return [row.pk for row in rows]


def secret_hasher() -> str | None:
    """Return the name of the algorithm that hashes client secrets; None if DOT stores them in plaintext."""
    field = get_application_model()._meta.get_field("client_secret")
    if type(field).__name__ != "ClientSecretField":
        return None
    return str(get_hasher(getattr(oauth2_settings, "CLIENT_SECRET_HASHER", "default")).algorithm)


def set_client_secret(application: Any, client_secret: Secret) -> None:
    """Replace the secret of an application at once. Tokens that were issued with the old one keep working."""
    application.client_secret = client_secret.reveal()
    application.save(update_fields=["client_secret", "updated"])
    del application.client_secret


def has_tokens(user: Any) -> bool:
    """Return True if a user has any access token, expired ones included."""
    return bool(get_access_token_model()._default_manager.filter(user=user).exists())


def has_live_tokens(application_pk: Any) -> bool:
    """Return True if an application has an access token that has not expired."""
    tokens = get_access_token_model()._default_manager.filter(application=application_pk)
    return bool(tokens.filter(expires__gt=timezone.now()).exists())


def end_tokens(application_pk: Any, *, at: datetime | None, current: Any = None) -> int:
    """Revoke every access token of an application with its refresh tokens and grants, or let them expire ``at`` a time.

    Args:
        application_pk: None if the application no longer exists.
        at: the time of expiry; None to revoke now.
        current: the primary key of one more token to revoke, whatever application it belongs to.

    Returns:
        The number of access tokens that were revoked or whose lifetime was shortened.
    """
    which = Q(pk=current)
    if application_pk is not None:  # Tokens without an application belong to others.
        which |= Q(application=application_pk)
    tokens = get_access_token_model()._default_manager.filter(which)
    if at is not None:
        return int(tokens.filter(expires__gt=at).update(expires=at))
    count = tokens.count()
    revoke_tokens(tokens)
    for refresh_token in get_refresh_token_model()._default_manager.filter(application=application_pk, revoked=None):
        refresh_token.revoke()
    get_grant_model()._default_manager.filter(application=application_pk).delete()
    return int(count)


def end_tokens_of_user(user: Any) -> None:
    """Revoke every access and refresh token of a user, in all applications."""
    revoke_tokens(get_access_token_model()._default_manager.filter(user=user))
    for refresh_token in get_refresh_token_model()._default_manager.filter(user=user, revoked=None):
        refresh_token.revoke()


def revoke_tokens(tokens: Any) -> None:
    """Revoke access tokens as the site's revocation endpoint does (RFC 7009), many of them in few queries.

    DOT 3.4 has a helper, called for tokens with a refresh token and if the site's model overrides revoke().
    """
    renewable = Exists(get_refresh_token_model()._default_manager.filter(access_token=OuterRef("pk")))
    just_deletes = get_access_token_model().revoke is AbstractAccessToken.revoke
    for token in tokens.filter(renewable) if just_deletes else tokens:
        getattr(oauth2_models, "revoke_access_token", _revoke_access_token)(token)
    tokens.delete()


def _revoke_access_token(token: Any) -> None:
    """Revoke a token as DOT 3.4's helper does: with its refresh token, which could renew it."""
    refresh_token = get_refresh_token_model()._default_manager.filter(access_token=token).first()
    (refresh_token or token).revoke()


def limit_scopes(application_pks: Collection[Any], allowed: Collection[str]) -> None:
    """Remove all other scopes from the access tokens of applications, including those from the token endpoint."""
    tokens = get_access_token_model()._default_manager.filter(application__in=application_pks)
    for pk, scope in tokens.values_list("pk", "scope"):
        kept = [each for each in scope.split() if each in allowed]
        if len(kept) < len(scope.split()):
            set_scopes(pk, tuple(kept))


def set_scopes(access_token_pk: Any, scopes: tuple[str, ...]) -> None:
    """Change the scopes of a token without signals: no receiver may change a token that is in use."""
    get_access_token_model()._default_manager.filter(pk=access_token_pk).update(scope=" ".join(scopes))


def has_applications(user: Any, *, but: Iterable[Any] = ()) -> bool:
    """Return True if a user has an application other than those with the primary keys ``but``."""
    return bool(get_application_model()._default_manager.filter(user=user).exclude(pk__in=but).exists())


def client_credentials_applications() -> Any:
    """Return the applications with the client credentials grant, with their users."""
    model = get_application_model()
    return model._default_manager.filter(authorization_grant_type=model.GRANT_CLIENT_CREDENTIALS).select_related("user")


# The LMS stores an expiry some milliseconds after the creation time plus the lifetime of a granted token.
_GRANT_DELAY = timedelta(minutes=1)


def granted_tokens() -> Any:
    """Return the tokens whose lifetime is that of a token from the token endpoint."""
    return get_access_token_model()._default_manager.filter(expires__lte=F("created") + _longest_grant())


def _longest_grant() -> timedelta:
    return timedelta(seconds=oauth2_settings.ACCESS_TOKEN_EXPIRE_SECONDS) + _GRANT_DELAY


def long_lived_tokens(applications: Collection[Any] | None) -> Any:
    """Return the live tokens of applications, or with None of no application, that live longer than granted ones.

    The tokens themselves are not read.
    """
    which: dict[str, Any] = {"application": None} if applications is None else {"application__in": applications}
    tokens = get_access_token_model()._default_manager.filter(expires__gt=timezone.now(), **which)
    tokens = tokens.annotate(username=F(f"user__{get_user_model().USERNAME_FIELD}"))
    fields = ("pk", "application", "application__name", "application__client_id", "username", "expires")
    return tokens.filter(expires__gt=F("created") + _longest_grant()).values_list(*fields, named=True)


def longest_token(application: Any) -> Any:
    """Return the access token of an application and its user that expires last; None without one."""
    tokens = get_access_token_model()._default_manager.filter(application=application, user=application.user)
    return tokens.order_by("-expires").first()


def find_access_token(token: Secret) -> Any:
    """Return the row of a token, with its user and application; None if there is none.

    MySQL ignores case, here as in the LMS.
    """
    rows = get_access_token_model()._default_manager.select_related("user", "application")
    return rows.filter(**{_token_column(): _in_column(token)}).first()


def find_unstored(issued: Sequence[Credentials]) -> list[str]:
    """Return the names of those whose secret or token is not in the database as it was issued."""
    applications = get_application_model()._default_manager.filter(client_id__in=[each.client_id for each in issued])
    stored = dict(applications.values_list("client_id", "client_secret"))
    column = _token_column()
    wanted = {each.name: _in_column(each.access_token) for each in issued if each.access_token is not None}
    rows = get_access_token_model()._default_manager.filter(**{f"{column}__in": [*wanted.values()]})
    username = f"user__{get_user_model().USERNAME_FIELD}"
    tokens = {
        token: row for token, *row in rows.values_list(column, "application__client_id", username, "expires", "scope")
    }
    return [
        each.name
        for each in issued
        if (each.stored_secret is not None and stored.get(each.client_id) != each.stored_secret.reveal())
        or (
            each.name in wanted
            and tokens.get(wanted[each.name]) != [each.client_id, each.username, each.expires_at, " ".join(each.scopes)]
        )
    ]
