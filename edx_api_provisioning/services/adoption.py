"""Adopt applications that were created by hand."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError
from django.db.models import Q
from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import lms, oauth
from edx_api_provisioning.adapters.database import in_transaction
from edx_api_provisioning.adapters.rights import lock_user, require_no_more, rights_of, user_rights
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import Conflict, NotAllowed
from edx_api_provisioning.core.policy import check_contact, same_spelling
from edx_api_provisioning.core.results import Credentials, RequestId, Status
from edx_api_provisioning.core.spec import ClientSpec
from edx_api_provisioning.models import ApiClient
from edx_api_provisioning.services import registry
from edx_api_provisioning.services.credentials import current_credentials
from edx_api_provisioning.services.registry import Kind, refuse_retired
from edx_api_provisioning.services.site import current_site


def adopt(
    name: str,
    *,
    client_id: str,
    authority: Authority,
    contact: str | None = None,
    purpose: str | None = None,
    reason: str = "",
    request_id: str | RequestId | None = None,
) -> Credentials:
    """Adopt an existing application as an API client, with its user and the token that expires last.

    Adopting again accepts the user's current rights. Site policy is not enforced, except for a missing contact: an
    adopted client can be seen, rotated and revoked. An application that has another grant type, has no user, or belongs
    to another client is refused as a Conflict.
    """
    ClientSpec(name=name, client_id=client_id, contact=contact, purpose=purpose)  # Validates the values

    def work() -> Credentials:
        registry.require_new(request_id)
        client = _find(name, contact)
        application = oauth.find_application(client_id)
        _check_adoptable(name, client, application, client_id)
        user = lock_user(application.user)
        _check_authority(name, application, user, authority)
        client = client or ApiClient(name=name, application=application)
        given = {"contact": contact, "purpose": purpose}
        wanted = {field: value for field, value in given.items() if value is not None}
        wanted |= _current_columns(client, application, user)
        if client.pk is not None and all(getattr(client, field) == value for field, value in wanted.items()):
            return current_credentials(client, Status.UNCHANGED)
        for field, value in wanted.items():
            setattr(client, field, value)
        client.save()
        details = {"client_id": application.client_id, "username": user.get_username()}
        if client.access_token is not None:
            details["scope"] = client.access_token.scope
        events = [(client, Kind.ADOPTED, details), *registry.sharing(client)]
        registry.record(events, authority=authority, reason=reason, request_ids={name: request_id})
        return current_credentials(client, Status.ADOPTED, changes=(_("Adopted %s.") % name,))

    return in_transaction(work)


def _check_authority(name: str, application: Any, user: Any, authority: Authority) -> None:
    """Refuse an application if ``authority`` may not give away its rights and those of its user."""
    if not authority.trusted:
        made = ApiClient.objects.filter(user=user, user_made=True).exists()
        rights = rights_of(user, application, foreign=not made)
        require_no_more(rights, authority=authority, restricted=lms.is_restricted(application.pk))
    shared = ApiClient.objects.filter(user=user).exclude(name=name).first()
    if shared is not None and not authority.is_superuser:
        raise NotAllowed(
            _("the user belongs to the API client %s; only an operator or superuser may share it.") % shared.name,
            field="client_id",
        )


def _find(name: str, contact: str | None) -> ApiClient | None:
    """Return the client of this name, locked; None if there is none."""
    client = registry.find(name, lock_it=True)
    if client is not None:
        same_spelling("name", name, client.name)
        refuse_retired(client)
    check_contact(contact, client.contact if client else None, current_site())
    return client


def _current_columns(client: ApiClient, application: Any, user: Any) -> dict[str, Any]:
    """Return the columns of a client that follow from its user, application and tokens."""
    token = client.access_token or oauth.longest_token(application)
    restriction = {"restricted"} if lms.is_restricted(application.pk) else set()
    return {
        "user": user,
        "user_made": client.user_made and client.user_id == user.pk,
        "is_staff": user.is_staff,
        "is_superuser": user.is_superuser,
        "declared_rights": sorted(user_rights(user) | lms.access(application).rights | restriction),
        "access_token": token,
        # Credentials that this package did not issue are at least as old as their rows.
        "secret_issued": client.secret_issued or application.created,
        "token_issued": client.token_issued or (token.created if token is not None else None),
    }


def _check_adoptable(name: str, client: ApiClient | None, application: Any, client_id: str) -> None:
    if application is None:
        raise Conflict(
            _("no application has this client id; list them with list_api_clients --unmanaged."), field="client_id"
        )
    same_spelling("client_id", client_id, application.client_id)
    if client is not None and client.application_id != application.pk:
        raise Conflict(_("this client has another application; use another name."), field="name")
    owner = ApiClient.objects.filter(Q(application=application) | Q(predecessor=application)).first()
    if owner is not None and (client is None or owner.pk != client.pk):
        if client is None and owner.name == name:
            # Another run adopted it under this name meanwhile: repeat the transaction.
            raise IntegrityError("the client was created meanwhile")
        raise Conflict(_("the application belongs to the API client %s.") % owner.name, field="client_id")
    if application.user is None:
        raise Conflict(
            _("the application has no user, so its tokens do not work; set its user first."), field="client_id"
        )
    if not oauth.is_client_credentials(application):
        raise Conflict(
            _("the application is not confidential with the client credentials grant; change that first."),
            field="client_id",
        )
