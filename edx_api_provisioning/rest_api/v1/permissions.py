"""Decide who may call which endpoint, before anything is looked up: no answer depends on what exists.

The permissions are those of the admin: view, provision, rotate and revoke API clients. The services check that nobody
creates or takes credentials beyond their own rights.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from edx_api_provisioning import api, conf
from edx_api_provisioning.core.authority import RESTRICTED_READ_SCOPE, RESTRICTED_WRITE_SCOPE
from edx_api_provisioning.core.exceptions import NotAllowed


class CallerThrottle(SimpleRateThrottle):
    """Limit each client and each user, in the site's cache as all throttles of DRF."""

    scope = "api_provisioning"

    def get_rate(self) -> Any:
        """Return the rate limit from the settings."""
        return conf.get("REST_API_RATE")

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        """Return a key for each client or user; None for an anonymous request, which is refused."""
        if not request.user.is_authenticated:
            return None
        application = view.credential.application
        ident = f"user-{request.user.pk}" + (f"-client-{application.pk}" if application is not None else "")
        return self.cache_format % {"scope": self.scope, "ident": ident}


class IsActive(BasePermission):
    """Require an active account: a JWT outlives the deactivation of its user."""

    message = _("The account is not active.")

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return True if the user is authenticated and active."""
        return bool(request.user and request.user.is_authenticated and request.user.is_active)


class HasScope(BasePermission):
    """Require of a restricted application a JWT with a scope of ours, beside the permissions of its user.

    The LMS's rule for its own views (edx_rest_framework_extensions/permissions.py). An opaque token of such an
    application should not work at all; one that was created past the LMS's receiver does, and opens nothing here.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return True if the credential is not restricted, or has the scope that the method needs."""
        credential = view.credential
        scope = RESTRICTED_READ_SCOPE if request.method in SAFE_METHODS else RESTRICTED_WRITE_SCOPE
        self.message = _("A restricted application needs a JWT with the scope %s.") % scope
        return not credential.restricted or (credential.scheme == "jwt" and scope in (credential.scopes or ()))


class MayChange(BasePermission):
    """Require for changes a session, or a current credential of an active API client with the scope to write."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return True if the method is safe, or the credential may make changes."""
        if request.method in SAFE_METHODS:
            return True
        try:
            api.require_may_change(request.user, view.credential)
        except NotAllowed as refusal:
            self.message = str(refusal)
            return False
        return True


class HasRight(BasePermission):
    """Require the permission to view API clients, and for changes the one that the view names."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return True if the user has the permissions that the method needs."""
        rights = ["view"] if request.method in SAFE_METHODS else ["view", view.right]
        wanted = [f"edx_api_provisioning.{right}_apiclient" for right in rights]
        self.message = _("It takes the permissions %s.") % ", ".join(wanted)
        return all(request.user.has_perm(permission) for permission in wanted)
