"""Raise Conflict where what exists contradicts a spec."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import Conflict
from edx_api_provisioning.core.parsing import in_words, spell_lifetime
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import CurrentClient, CurrentState, CurrentToken, CurrentUser


def conflict(field: str, message: str, **values: object) -> Conflict:
    """Return the conflict of a field, with the values filled into its message."""
    return Conflict(message % values, field=field)


def check_client(spec: ClientSpec, client: CurrentClient, found: CurrentState) -> None:
    """Raise Conflict if the registered client or its application contradicts the spec."""
    name, application = client.name, client.application
    if client.retired:
        raise conflict("name", _("%(name)s is retired; provision a new client with another name."), name=name)
    if spec.username is not None and client.username is not None and client.username != spec.username:
        message = _("%(name)s belongs to the user %(user)s; omit the username, or choose another name for the client.")
        raise conflict("username", message, name=name, user=client.username)
    if application is None:
        return
    if application.user_pk is None or application.user_pk != client.user_pk or not application.client_credentials:
        message = _(
            "the user, client type or grant type of the application of %(name)s was changed; "
            "correct it in the admin, or choose another name."
        )
        raise conflict("name", message, name=name)
    if "restricted" in client.declared and not (application.restricted or spec.restricted):
        message = _(
            "the application of %(name)s is no longer restricted; "
            "restrict it again with --restricted, or adopt the client again to accept that."
        )
        raise conflict("restricted", message, name=name)
    if spec.client_id is not None and spec.client_id != application.client_id:
        message = _("%(name)s has the client id %(id)s, which cannot be changed; omit it.")
        raise conflict("client_id", message, name=name, id=application.client_id)
    if not found.client_secret_matches and not spec.reissue:
        message = _("%(name)s has another secret; omit it, or provision a client with another name.")
        raise conflict("client_secret", message, name=name)


def check_user(spec: ClientSpec, user: CurrentUser) -> None:
    """Raise Conflict if an existing account cannot be the service user of the spec."""
    name, problem = user.username, ""
    if user.owner and not user.linked:
        problem = _("the account %(user)s was created for the API client %(client)s; choose another username.")
    elif not (user.linked or spec.use_existing_user):
        problem = _(
            "the account %(user)s exists and was not created for this client; pass --use-existing-user to make it the "
            "service user, or choose another username."
        )
    elif (user.is_staff, user.is_superuser) != (spec.is_staff, spec.is_superuser):
        problem = _(
            "the account %(user)s is %(is)s, but this request says %(wanted)s; the flags of an existing account "
            "are not changed. Match them, or choose another username."
        )
    elif user.retired:
        problem = _("the account was retired by the LMS; choose another username.")
    elif not user.active:
        problem = _("the account %(user)s is not active; activate it in the admin, or choose another username.")
    if problem:
        flags = {"is": flags_in_words(user), "wanted": flags_in_words(spec)}
        raise conflict("username", problem, user=name, client=user.owner, **flags)
    if spec.email is not None and user.email.lower() != spec.email.lower():
        message = _(
            "the account %(user)s has the email address %(email)s; pass that address, or change it there first."
        )
        raise conflict("email", message, user=name, email=user.email)


def flags_in_words(account: ClientSpec | CurrentUser) -> str:
    """Return the staff and superuser flags of an account in words."""
    if account.is_superuser:
        return _("a superuser") if account.is_staff else _("a superuser without the staff flag")
    return _("staff") if account.is_staff else _("neither staff nor superuser")


def check_new_token(client: CurrentClient | None, found: CurrentState) -> None:
    """Raise Conflict if no access token can be issued."""
    if client is not None and client.application is not None and client.application.restricted:
        message = _(
            "the application is restricted (RestrictedApplication): the LMS makes its access tokens expire at once."
            " Pass --no-token, and request JWTs with the client id and secret."
        )
        raise conflict("token", message)
    if found.access_token_pk is not None:
        raise conflict("access_token", _("another access token has this value; choose another one."))


def check_token(spec: ClientSpec, token: CurrentToken, lifetime: timedelta, found: CurrentState) -> None:
    """Raise Conflict if the spec asks for no token, or for another value, lifetime or expiry than the token has."""
    name = spec.name
    if spec.token is False:
        raise conflict(
            "token", _("%(client)s has an access token; end it with revoke_api_client %(client)s."), client=name
        )
    if spec.expires_in is not None and spec.expires_in != lifetime:
        message = _(
            "access tokens of %(client)s are issued for %(lifetime)s; "
            "for another lifetime run rotate_api_client %(client)s --expires-in %(wanted)s."
        )
        values = {"lifetime": in_words(lifetime), "wanted": spell_lifetime(spec.expires_in)}
        raise conflict("expires_in", message, client=name, **values)
    if spec.access_token is not None and found.access_token_pk != token.pk:
        if not spec.reissue:
            raise conflict("access_token", _("the client has another access token; omit it."))
        check_new_token(None, found)
    if spec.expires_at is not None and spec.expires_at.replace(microsecond=0) != token.expires_at:
        message = _(
            "the access token of %(client)s expires at %(is)s; "
            "replace it with rotate_api_client %(client)s --expires-at %(wanted)s."
        )
        values = {"is": token.expires_at.isoformat(), "wanted": spec.expires_at.isoformat()}
        raise conflict("expires_at", message, client=name, **values)
