"""Base classes of the views: order of the checks, and responses with secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, ClassVar

from django.db import transaction
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import AuthenticationFailed, NotFound, PermissionDenied
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request, WrappedAttributeError
from rest_framework.response import Response
from rest_framework.views import APIView

from edx_api_provisioning import api, conf
from edx_api_provisioning.core.error_reports import hide_credentials
from edx_api_provisioning.core.exceptions import AlreadyDone, InvalidSpec, NotAllowed, NotTold, ProvisioningError
from edx_api_provisioning.data import Authority, ClientSummary, Credential, Credentials, RequestId
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.rest_api.v1 import errors, requests
from edx_api_provisioning.rest_api.v1.documentation import AutoSchema
from edx_api_provisioning.rest_api.v1.permissions import CallerThrottle, HasRight, HasScope, IsActive, MayChange

REPLAYED = "Idempotency-Replayed"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache", "Referrer-Policy": "no-referrer"}


class Pages(PageNumberPagination):
    """Pagination if the LMS's pagination class is missing."""

    page_size = 10
    page_size_query_param = "page_size"
    max_page_size = 100


class ApiView(APIView):
    """One request: is there such an API, who asks, may they, how often; then what is asked for."""

    switched: ClassVar[bool] = True
    """Tell whether the site has to turn it on."""
    right = ""
    """The permission that a change takes beside that to view API clients, by its first word."""
    bearer: ClassVar[bool] = False
    """True if opaque tokens are accepted even if the site has not turned that on."""
    subject = ""
    """The name of the client in the body of the request, as soon as it is known."""

    renderer_classes = (JSONRenderer,)  # No pages to click on: a browser's history is no place for secrets.
    parser_classes = (requests.BoundedJSONParser,)
    # Found for each request. The LMS's middleware closes every class that names its JWT authentication to restricted
    # applications, whatever scopes it asks of them (edx_rest_framework_extensions/auth/jwt/middleware.py).
    authentication_classes = ()
    permission_classes: Any = (IsActive, HasScope, MayChange, HasRight)
    throttle_classes = (CallerThrottle,)
    http_method_names = ("get", "head", "post", "patch")

    @property
    def swagger_schema(self) -> Any:
        """Return the drf-yasg schema class; None if the site has not enabled the API."""
        return AutoSchema if self._is_on() else None

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view without the transaction of ATOMIC_REQUESTS."""
        # Each brings a transaction of its own, which is begun again if the database ends it for a deadlock. That of a
        # whole request (ATOMIC_REQUESTS) could not be.
        return transaction.non_atomic_requests(super().as_view(**initkwargs))

    def _is_on(self) -> bool:
        return bool(conf.get("REST_API")) or not self.switched

    # The report of an error then shows no local variable of anything that is called from here, and the log of
    # statements, where DEBUG keeps one, not the tokens that the site's own authentication looks for.
    @method_decorator(sensitive_variables())
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer the request without logging SQL or credentials."""
        with api.no_sql_logging():
            hide_credentials(request)
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raise NotFound if the API is off; otherwise run the checks of DRF."""
        # Before anybody is asked who they are: what is off is not there.
        if not self._is_on():
            raise NotFound
        if request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)
        super().initial(request, *args, **kwargs)

    def check_permissions(self, request: Request) -> None:
        """Check the rate limit, then the permissions."""
        # Refusals count, too.
        super().check_throttles(request)
        super().check_permissions(request)

    def check_throttles(self, request: Request) -> None:
        """Skip the check: it was made before the permissions were checked."""

    def handle_exception(self, exc: Exception) -> Any:
        """Record a refused change in the history, and return the error response."""
        refused = isinstance(exc, (PermissionDenied, NotAllowed, NotTold)) and self.request.method not in SAFE_METHODS
        # Nobody is counted before they are known: a session without its CSRF token is nobody.
        if refused and self.request.user.is_authenticated:
            api.record_refusal(self.kwargs.get("name", self.subject), str(exc), authority=self.authority)
        return super().handle_exception(exc)

    def problem_of(self, name: str, error: ProvisioningError) -> dict[str, Any]:
        """Return why one of many clients failed; record a refusal, and count it like a request of its own."""
        if isinstance(error, (NotAllowed, NotTold)):
            api.record_refusal(name, str(error), authority=self.authority)
            for throttle in self.get_throttles():
                throttle.allow_request(self.request, self)
        return errors.problem(error)

    def get_authenticators(self) -> list[Any]:
        """Return the authenticators of the site."""
        return [each() for each in api.authentication_classes(bearer=self._takes_bearer())]

    def _takes_bearer(self) -> bool:
        return self.bearer or bool(conf.get("REST_API_BEARER"))

    def perform_authentication(self, request: Request) -> None:
        """Authenticate the request; treat a malformed header as failed authentication."""
        try:
            super().perform_authentication(request)
        except (UnicodeDecodeError, WrappedAttributeError):
            # The LMS's own class stumbles over tokens that are no ASCII, and over tokens without a user.
            raise AuthenticationFailed from None
        if request.headers.get("Authorization", "").lower().startswith("bearer ") and not self._takes_bearer():
            raise AuthenticationFailed(
                _("This endpoint accepts no opaque tokens. Send a JWT, or turn on the setting REST_API_BEARER.")
            )

    def get_exception_handler(self) -> Any:
        """Return the handler that renders problem details."""
        return errors.respond

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the headers that forbid caching."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        for header, value in _NO_STORE.items():
            answer.headers.setdefault(header, value)
        return answer

    @cached_property
    def credential(self) -> Credential:
        """Return the credential that authenticated the request."""
        return api.credential_of(self.request.user, self.request.auth, self.request.successful_authenticator)

    @property
    def authority(self) -> Authority:
        """Return the authority of the session or token of this request."""
        return api.authority_of(self.request, self.credential)

    def request_id(self, part: str = "") -> RequestId | None:
        """Return the id of this request, or of a part of it. A key belongs to the caller's client, or to the user."""
        application = self.credential.application
        owner = self.authority.client or (application.pk if application is not None else "")
        return requests.request_id(self.request, f"{self.request.user.pk}:{owner}:{part}")

    @property
    def asked(self) -> dict[str, Any]:
        """Return the authority, reason and request id for the service functions."""
        return {"authority": self.authority, "request_id": self.request_id()}

    def page(self, rows: Any) -> Response:
        """Return one page of rows as JSON."""
        size = self.request.query_params.get("page_size", "1")
        if not re.fullmatch("0*[1-9][0-9]{0,8}", size):  # The paginator would take its own number.
            raise InvalidSpec(_("give a whole number from 1."), field="page_size")
        paginator = (api.pagination_class() or Pages)()
        found: Any = paginator.paginate_queryset(rows, self.request, view=self)
        answer: Response = paginator.get_paginated_response([rendering.row_as_dict(row) for row in found])
        return answer

    def carry_out(self, work: Callable[[], Credentials], *, name: str, status: int = 200) -> Response:
        """Run the change, verify the credentials and build the response in one transaction.

        A request that was carried out before is answered with what there is now.

        Args:
            name: of the client.
            status: of the answer where it is done now.
        """

        def once() -> Response:
            done = work()
            api.remember(done.name, self.request_id(), authority=self.authority)
            return self._answer(done, status=status)

        try:
            return api.in_transaction(once)
        except AlreadyDone:
            pass
        except (ProvisioningError, errors.PreconditionFailed):
            # It may be this very request that was faster, and made what is in the way now.
            if not self.was_carried_out():
                raise
        answer = self._answer(api.describe(name))
        answer[REPLAYED] = "true"
        return answer

    def change(self, service: Callable[..., Credentials], name: str, wanted: Mapping[str, Any]) -> Response:
        """Call a service function for a client that matches the precondition of the request."""

        def work() -> Credentials:
            self.hold(name)
            return service(name, **wanted, **self.asked)

        return self.carry_out(work, name=name)

    def was_carried_out(self, part: str = "") -> bool:
        """Report whether this request, or a part of it, was carried out before."""
        try:
            api.require_new(self.request_id(part))
        except AlreadyDone:
            return True
        return False

    def shown(self, credentials: Credentials) -> dict[str, Any]:
        """Return everything about credentials, secrets included, but no address to those who may not view users."""
        says = {"changes": list(credentials.changes), "warnings": list(credentials.warnings)}
        return {**rendering.as_dict(api.without_address(credentials, self.authority)), **says}

    def _answer(self, credentials: Credentials, *, status: int = 200) -> Response:
        answer = Response(self.shown(credentials), status=status)
        answer["ETag"] = requests.etag(api.versions([credentials.name]))
        return answer

    def hold(self, name: str) -> ClientSummary:
        """Return the client, locked, if it matches the precondition of the request."""
        versions, client = api.versions([name], lock=True), api.get_client(name)
        requests.require_match(self.request, versions)
        return client
