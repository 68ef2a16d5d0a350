"""Who may call what. All of it is decided before anything is looked up, so that no answer depends on what there is.

The permissions are those of the admin: view, provision, rotate and revoke API clients. That nobody makes or takes
credentials beyond their own rights is the service's to say.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from edx_api_provisioning import conf


class CallerThrottle(SimpleRateThrottle):
    """Counts in the site's cache, as all of DRF's throttles do."""

    scope = "api_provisioning"

    def get_rate(self) -> Any:
        return conf.get("REST_API_RATE")

    def get_cache_key(self, request: Request, view: Any) -> str:
        application = view.credential.application
        ident = f"user-{request.user.pk}" + (f"-client-{application.pk}" if application is not None else "")
        return self.cache_format % {"scope": self.scope, "ident": ident}


READ_SCOPE = "api_provisioning:read"
WRITE_SCOPE = "api_provisioning:write"


class IsActive(BasePermission):
    """Somebody who is known and active: a JWT outlives the deactivation of its user."""

    message = _("The account is not active.")

    def has_permission(self, request: Request, view: Any) -> bool:
        return bool(request.user and request.user.is_authenticated and request.user.is_active)


class HasScope(BasePermission):
    """What a restricted application needs beside the rights of its user: a JWT with a scope of ours.

    The LMS's rule for its own views (edx_rest_framework_extensions/permissions.py). An opaque token of such an
    application should not work at all; one that was made past the LMS's receiver does, and opens nothing here.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        credential = view.credential
        scope = READ_SCOPE if request.method in SAFE_METHODS else WRITE_SCOPE
        self.message = _("A restricted application needs a JWT with the scope %s.") % scope
        return not credential.restricted or (credential.scheme == "jwt" and scope in (credential.scopes or ()))


class HasRight(BasePermission):
    """The permissions that the view names for the method, and always that to view API clients."""

    def has_permission(self, request: Request, view: Any) -> bool:
        wanted = [f"edx_api_provisioning.{right}_apiclient" for right in ("view", *view.rights.get(request.method, ()))]
        self.message = _("It takes the permissions %s.") % ", ".join(wanted)
        return all(request.user.has_perm(permission) for permission in wanted)
