"""Raise Conflict where what exists contradicts a spec."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import Conflict
from edx_api_provisioning.core.parsing import in_words, spell_lifetime
from edx_api_provisioning.core.policy import same_spelling
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.core.state import CurrentClient, CurrentState, CurrentToken, CurrentUser


def check_client(spec: ClientSpec, client: CurrentClient, found: CurrentState) -> None:
    """Raise Conflict if the registered client or its application contradicts the spec."""
    if client.retired:
        raise Conflict(_("%s is retired; provision a new client with another name.") % client.name, field="name")
    if spec.username is not None and client.username is not None and client.username != spec.username:
        raise Conflict(
            _("%(name)s belongs to the user %(user)s; omit the username, or choose another name for the client.")
            % {"name": client.name, "user": client.username},
            field="username",
        )
    application = client.application
    if application is None:
        return
    if application.user_pk is None or application.user_pk != client.user_pk or not application.client_credentials:
        raise Conflict(
            _(
                "the user, client type or grant type of the application of %s was changed; "
                "correct it in the admin, or choose another name."
            )
            % client.name,
            field="name",
        )
    if spec.client_id is not None and spec.client_id != application.client_id:
        raise Conflict(
            _("%(name)s has the client id %(id)s, which cannot be changed; omit it.")
            % {"name": client.name, "id": application.client_id},
            field="client_id",
        )
    if not found.client_secret_matches and not spec.reissue:
        raise Conflict(
            _("%s has another secret; omit it, or provision a client with another name.") % client.name,
            field="client_secret",
        )


def check_user(spec: ClientSpec, user: CurrentUser) -> None:
    """Raise Conflict if an existing account cannot be the service user of the spec."""
    if user.owner and not user.accepted:
        raise Conflict(
            _("the account %(user)s was created for the API client %(client)s; choose another username.")
            % {"user": user.username, "client": user.owner},
            field="username",
        )
    if not (user.accepted or spec.use_existing_user):
        raise Conflict(
            _(
                "the account %s exists and was not created for this client; pass --use-existing-user to make it the "
                "service user, or choose another username."
            )
            % user.username,
            field="username",
        )
    _check_flags(spec, user)
    if user.retired:
        raise Conflict(_("the account was retired by the LMS; choose another username."), field="username")
    if not user.active:
        raise Conflict(
            _("the account %s is not active; activate it in the admin, or choose another username.") % user.username,
            field="username",
        )
    if spec.email is not None and user.email.lower() != spec.email.lower():
        raise Conflict(
            _("the account %(user)s has the email address %(email)s; pass that address, or change it there first.")
            % {"user": user.username, "email": user.email},
            field="email",
        )


def _check_flags(spec: ClientSpec, user: CurrentUser) -> None:
    if (user.is_staff, user.superuser) != (spec.is_staff, spec.superuser):
        raise Conflict(
            _(
                "the account %(user)s is %(is)s, but this request says %(wanted)s; the flags of an existing account "
                "are not changed. Match them, or choose another username."
            )
            % {"user": user.username, "is": flags_in_words(user), "wanted": flags_in_words(spec)},
            field="username",
        )


def flags_in_words(account: ClientSpec | CurrentUser) -> str:
    """Return the staff and superuser flags of an account in words."""
    if account.superuser:
        return _("a superuser") if account.is_staff else _("a superuser without the staff flag")
    return _("staff") if account.is_staff else _("neither staff nor superuser")


def check_client_id(spec: ClientSpec, found: CurrentState) -> None:
    """Raise Conflict if another application has the client id."""
    if found.client_id_owner is not None:
        same_spelling("client_id", spec.client_id or "", found.client_id_owner)
        raise Conflict(_("another application has this client id; choose another one."), field="client_id")


def check_new_token(client: CurrentClient | None, found: CurrentState) -> None:
    """Raise Conflict if no access token can be issued."""
    if client is not None and client.application is not None and client.application.restricted:
        raise Conflict(
            _(
                "the application is restricted (RestrictedApplication): the LMS makes its access tokens expire at once."
                " Pass --no-token, and request JWTs with the client id and secret."
            ),
            field="token",
        )
    if found.access_token_pk is not None:
        raise Conflict(_("another access token has this value; choose another one."), field="access_token")


def check_token(spec: ClientSpec, token: CurrentToken, lifetime: timedelta, found: CurrentState) -> None:
    """Raise Conflict if the spec asks for no token, or for another value, lifetime or expiry than the token has.

    Args:
        lifetime: the lifetime for which the client gets tokens.
    """
    if spec.token is False:
        raise Conflict(
            _("%(client)s has an access token; end it with revoke_api_client %(client)s.") % {"client": spec.name},
            field="token",
        )
    if spec.expires_in is not None and spec.expires_in != lifetime:
        raise Conflict(
            _(
                "the access token of %(client)s was issued for %(lifetime)s; "
                "replace it with rotate_api_client %(client)s --expires-in %(wanted)s."
            )
            % {"client": spec.name, "lifetime": in_words(lifetime), "wanted": spell_lifetime(spec.expires_in)},
            field="expires_in",
        )
    if spec.access_token is not None and found.access_token_pk != token.pk and not spec.reissue:
        raise Conflict(_("the client has another access token; omit it."), field="access_token")
    if spec.expires_at is not None and spec.expires_at.replace(microsecond=0) != token.expires_at:
        raise Conflict(
            _(
                "the access token of %(client)s expires at %(is)s; "
                "replace it with rotate_api_client %(client)s --expires-at %(wanted)s."
            )
            % {"client": spec.name, "is": token.expires_at.isoformat(), "wanted": spec.expires_at.isoformat()},
            field="expires_at",
        )
