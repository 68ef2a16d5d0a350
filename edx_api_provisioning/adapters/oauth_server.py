"""Generate tokens as the site does, and ask its OAuth2 server: scopes, client authentication, grants."""

from __future__ import annotations

import json
import logging
import math
import string
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db import connections, transaction
from django.http import HttpRequest, QueryDict
from django.utils.http import int_to_base36
from django.utils.translation import gettext as _
from oauth2_provider.oauth2_backends import get_oauthlib_core
from oauth2_provider.scopes import get_scopes_backend
from oauth2_provider.settings import oauth2_settings
from oauthlib.common import Request, generate_token

from edx_api_provisioning.adapters import oauth
from edx_api_provisioning.core.exceptions import UnusableToken
from edx_api_provisioning.core.secrets import Secret, basic_authorization

# MySQL ignores case and accents when it compares tokens, so only lower case letters and digits are used: 40 of 36
# symbols are 206 bits.
_TOKEN_ALPHABET = string.ascii_lowercase + string.digits
_TOKEN_LENGTH = 40
_TOKEN_BITS = 160
_CHECKSUM_LENGTH = 7  # 32 bits in base 36


def generate_access_token(prefix: str, **request: Any) -> Secret:
    """Return a new token: ``prefix``, 40 characters of [a-z0-9], and their CRC-32 in base 36 for secret scanners.

    If DOT's ``ACCESS_TOKEN_GENERATOR`` is set, its tokens are used unchanged: they may be signed. Without a prefix
    there is no checksum.

    Args:
        request: attributes for the site's generator: ``user``, ``client``, ``scopes``, ``expires_in`` (seconds).

    Raises:
        UnusableToken: if a token of the site's generator is not ASCII, does not fit the column, or can be guessed.
    """
    if (site_generator := oauth2_settings.ACCESS_TOKEN_GENERATOR) is not None:
        oauth_request = Request("/", http_method="POST")
        for name, value in request.items():
            setattr(oauth_request, name, value)
        token = str(site_generator(oauth_request))
        symbols, longest = len(set(token.lower())), oauth.longest_token_length()
        if not (
            token.isascii()
            and len(token) <= longest
            and " " not in token
            and len(token) * math.log2(max(symbols, 1)) >= _TOKEN_BITS
        ):
            raise UnusableToken(
                _(
                    "OAUTH2_PROVIDER['ACCESS_TOKEN_GENERATOR'] generates tokens that are too short, too long or not "
                    "ASCII. Change it to generate 40 to %d letters and digits."
                )
                % longest
            )
        return Secret(token)
    body = generate_token(length=_TOKEN_LENGTH, chars=_TOKEN_ALPHABET)
    checksum = int_to_base36(zlib.crc32(body.encode())).rjust(_CHECKSUM_LENGTH, "0")
    return Secret(f"{prefix}{body}{checksum}" if prefix else body)


def default_scopes() -> tuple[str, ...]:
    """Return the scopes that the site grants if a request names none."""
    try:
        return tuple(get_scopes_backend().get_default_scopes(application=None))
    except (AttributeError, TypeError):  # The backend reads the application.
        return tuple(oauth2_settings._DEFAULT_SCOPES)


def all_scopes() -> dict[str, str]:
    """Return the scopes that the site knows, with their descriptions."""
    return dict(get_scopes_backend().get_all_scopes())


def available_scopes(application: Any = None) -> tuple[str, ...]:
    """Return the scopes that the site's backend grants to an application; without one, those that it may grant."""
    try:
        found = tuple(get_scopes_backend().get_available_scopes(application=application))
    except (AttributeError, TypeError):  # The backend reads the application.
        if application is not None:
            raise
        found = ()
    return found if found or application is not None else tuple(all_scopes())


def client_user(client_id: str, client_secret: Secret) -> Any:
    """Return the user of the application that id and secret authenticate; None if the site's validator rejects them."""
    body = urlencode({"client_id": client_id, "client_secret": client_secret.reveal()})
    request = Request("/", http_method="POST", body=body)
    with _unlogged():
        authenticated = oauth2_settings.OAUTH2_VALIDATOR_CLASS().authenticate_client(request)
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


def refuse_replaced_secret(*, instance: Any, created: bool, using: str, **_signal: Any) -> None:
    """Refuse a new access token if the secret that its request authenticated with was replaced meanwhile.

    A receiver of post_save. DOT gives the token the row of the application that it compared the secret with. Such a
    request waits here for a transaction that replaces the secret: on MySQL the foreign key locked the application when
    the token was inserted, PostgreSQL does so only at commit.

    Raises:
        PermissionDenied: the token is not saved, and the request is answered with 403.
    """
    application = instance._meta.get_field("application").get_cached_value(instance, default=None)
    if not created or application is None or not oauth.is_client_credentials(application):
        return
    if "client_secret" not in vars(application):
        return  # A token of ours: we never read secrets.
    rows = oauth.get_application_model()._default_manager.using(using).filter(pk=application.pk)
    with transaction.atomic(using=using, savepoint=False):
        if connections[using].features.has_select_for_no_key_update:
            rows = rows.select_for_update(no_key=True)
        if application.client_secret not in rows.values_list("client_secret", flat=True):
            raise PermissionDenied


def newest_token(client_id: str) -> Any:
    """Return the primary key of an application's newest access token; None without one."""
    return _tokens_of(client_id).order_by("-pk").values_list("pk", flat=True).first()


def revoke_granted(token: Secret, client_id: str, *, after: Any) -> bool:
    """Revoke the access token row that the site stored for a grant.

    An opaque token finds its row. A JWT does not: its row is the only one that was added since the grant was requested.
    If callers of the same client were granted others meanwhile, all are left alone.

    Args:
        after: the result of :func:`newest_token` before the grant.

    Returns:
        True if the row was found in this database.
    """
    row = oauth.find_access_token(token)
    if row is not None:
        oauth.revoke_tokens(oauth.get_access_token_model()._default_manager.filter(pk=row.pk))
        return True
    rows = _tokens_of(client_id).filter(**({"pk__gt": after} if after is not None else {}))
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[:2])
    if len(keys) == 1:
        oauth.revoke_tokens(oauth.get_access_token_model()._default_manager.filter(pk__in=keys))
    return len(keys) == 1


def _tokens_of(client_id: str) -> Any:
    return oauth.get_access_token_model()._default_manager.filter(application__client_id=client_id)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Drop DOT's log records of this thread: DOT 1.7 logs a wrong client secret in plaintext, at DEBUG."""
    thread = threading.get_ident()

    def from_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("oauth2_provider")
    logger.addFilter(from_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(from_elsewhere)
