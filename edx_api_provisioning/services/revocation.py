"""Revoke, retire and delete API clients."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from edx_api_provisioning.adapters import lms, oauth
from edx_api_provisioning.adapters.database import in_transaction
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.results import Credentials, RequestId, Status
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import recipients, registry
from edx_api_provisioning.services.credentials import current_credentials
from edx_api_provisioning.services.last_use import keep_last_use
from edx_api_provisioning.services.registry import Kind


def revoke(
    name: str,
    *,
    authority: Authority,
    retire: bool = False,
    delete: bool = False,
    reason: str = "",
    request_id: str | RequestId | None = None,
) -> Credentials:
    """Revoke all tokens of a client.

    Args:
        retire: also replace the client secret with an unknown one, and deactivate the user if it was created for this
            client and owns nothing else.
        delete: then delete the application, such a user, and the client; its history is kept.

    Raises:
        ClientNotFound, NearMatch: no such client.
    """

    def work() -> Credentials:
        # Lock first, so that a concurrent change is complete and in the history before it is read.
        gone = registry.find(name, lock_it=True) is None
        registry.require_new(request_id)
        if delete and gone and registry.was_deleted(name):
            return Credentials(name=name, status=Status.UNCHANGED)
        client = registry.get(name, lock_it=True)
        kind = Kind.DELETED if delete else Kind.RETIRED if retire else Kind.REVOKED
        changes = _end(client, kind, authority, reason)
        if not changes:
            return current_credentials(client, Status.UNCHANGED)
        result = current_credentials(client, Status(kind.value), changes=changes)
        details = {"steps": list(changes), "username": result.username}
        _save(client, kind, details, authority=authority, reason=reason, request_ids={name: request_id})
        if delete:
            _delete(client)
        return result

    return in_transaction(work)


def _end(client: ApiClient, kind: Kind, authority: Authority, reason: str) -> tuple[str, ...]:
    """End the client as the kind of event says, and return what was done; its row is deleted by :func:`_delete`."""
    if kind is Kind.REVOKED:
        return _revoke_tokens(client, authority, retire=False)
    changes = _revoke_tokens(client, authority, retire=True)
    # A user that was created for this client is deactivated: no other client may go on using it.
    for other in registry.lock_others(client) if client.user_made else ():
        _retire_too(other, client, authority, reason)
        changes += (_("Retired %s, which has the same user.") % other.name,)
    changes += _retire(client)
    kept = _why_kept(client, delete=kind is Kind.DELETED)
    if kind is Kind.DELETED:
        deleted = (
            _("Deleted the client and its application.")
            if kept or client.user is None
            else _("Deleted the client, its application and its service user.")
        )
        changes += (deleted,)
    return (*changes, kept) if changes and kept else changes


def _retire_too(other: ApiClient, client: ApiClient, authority: Authority, reason: str) -> None:
    changes = (*_revoke_tokens(other, authority, retire=True), *_retire(other))
    details = {"steps": list(changes), "with": client.name}
    _save(other, Kind.RETIRED, details, authority=authority, reason=reason)


def _save(client: ApiClient, kind: Kind, details: dict[str, Any], **event: Any) -> None:
    """Write a client whose tokens have ended to its row, and the event to the history."""
    client.last_cut = datetime.now(UTC)
    recipients.forget_tokens(client)
    client.save()
    registry.record([(client, kind, details)], **event)


def _revoke_tokens(client: ApiClient, authority: Authority, *, retire: bool) -> tuple[str, ...]:
    changes = []
    keep_last_use(client)
    if retire and client.application is not None and client.state != ApiClient.State.RETIRED:
        # The secret first: a grant with the old one is then refused, or its token ends with the others.
        oauth.set_client_secret(client.application, oauth.new_client_secret())
    known = client.application_id is not None or client.access_token_id is not None
    ended = oauth.end_tokens(client.application_id, at=None, current=client.access_token_id) if known else 0
    if ended or client.access_token_id is not None:
        client.access_token, client.token_issue = None, ""
        changes.append(ngettext("Revoked %d access token.", "Revoked %d access tokens.", ended) % ended)
    if registry.end_predecessor(client, None, authority=authority):
        changes.append(_("Deleted the old application of the last rotation."))
    return tuple(changes)


def _retire(client: ApiClient) -> tuple[str, ...]:
    if client.state == ApiClient.State.RETIRED:
        return ()
    client.state = ApiClient.State.RETIRED
    changes = [_("Retired the client.")]
    if client.application is not None:
        client.secret_issue = ""
        changes.append(_("Revoked the client secret."))
    user: Any = client.user
    if user is None or _why_kept(client):
        return tuple(changes)
    if oauth.has_tokens(user):
        # Tokens created by hand. Deactivating the user does not revoke them: most LMS APIs accept inactive users.
        lms.end_tokens_of_user(user)
        changes.append(_("Revoked all other tokens of the user %s.") % user.get_username())
    if lms.remove_assignments(user):
        changes.append(_("Removed the role assignments of the user %s.") % user.get_username())
    if user.is_active:
        user.is_active = False
        user.save(update_fields=["is_active"])
        changes.append(_("Deactivated the user %s.") % user.get_username())
    return tuple(changes)


def _why_kept(client: ApiClient, *, delete: bool = False) -> str:
    """Return a sentence that says why the user is kept; empty if it is deactivated or deleted with the client.

    If the client is to be deleted, retired clients of the user count, too.
    """
    if client.user is None:
        return ""
    name = client.user.get_username()
    of_user = ApiClient.objects.filter(user=client.user_id)
    others = of_user.exclude(pk=client.pk)
    retired = (
        others.filter(state=ApiClient.State.RETIRED).exclude(application=None).values_list("application", flat=True)
    )
    if not of_user.filter(user_made=True).exists():
        return _("Kept the user %s: this package did not create it.") % name
    if (others if delete else others.exclude(state=ApiClient.State.RETIRED)).exists():
        return _("Kept the user %s: another API client has the same user.") % name
    if oauth.has_applications(client.user, but=[client.application_id, *retired]):
        return _("Kept the user %s: it has another application.") % name
    return ""


def _delete(client: ApiClient) -> None:
    others = ApiClient.objects.filter(user=client.user_id).exclude(pk=client.pk)
    user = None if _why_kept(client, delete=True) else client.user
    if client.user_made and client.user_id is not None and user is None:
        # Another client of the user keeps the record that the user was created by this package.
        heir = others.order_by("pk").first()
        ApiClient.objects.filter(pk=client.pk).update(owned_user=None)
        if heir is not None:
            others.filter(name=heir.name).update(user_made=True, owned_user=client.user)
    if client.application is not None:
        client.application.delete()
    client.delete()
    if user is not None:
        user.delete()
