"""Answer REST requests: read the request, call a service function, return the result."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from edx_api_provisioning import api
from edx_api_provisioning.core.commands import COMMANDS
from edx_api_provisioning.core.exceptions import AlreadyDone, ProvisioningError, RequestReused
from edx_api_provisioning.core.options import DURATION
from edx_api_provisioning.data import Applied, ClientSpec, Credentials
from edx_api_provisioning.formats import rendering, schema
from edx_api_provisioning.rest_api.v1 import documentation as docs
from edx_api_provisioning.rest_api.v1 import errors, requests
from edx_api_provisioning.rest_api.v1.base import ApiView
from edx_api_provisioning.rest_api.v1.documentation import documented
from edx_api_provisioning.rest_api.v1.permissions import IsActive

_ISSUES = (docs.NAME_PARAMETER, docs.IDEMPOTENCY_KEY, docs.IF_MATCH)
_CHANGES = (400, 409, 412, 415, 422, 428)
# The filters that are time spans, as the command has them.
_SPANS = [option for option in COMMANDS["list_api_clients"].options if option.kind == DURATION]


class WhoAmIView(ApiView):
    """Identify the caller."""

    switched = False
    permission_classes = (IsActive,)

    @documented({200: ("The caller.", docs.IDENTITY)})
    def get(self, request: Request) -> Response:
        """Return the caller that the credential of this request identifies.

        Useful as the first call with a new token: it shows the owner, the rights and the expiry date. It needs no
        permission and works even if the site has not enabled the rest of this API.
        """
        shown = rendering.row_as_dict(api.identify(request.user, self.credential))
        ends = self.credential.expires_at
        shown["expires_in"] = int((ends - datetime.now(UTC)).total_seconds()) if ends else None
        return Response(shown)


class SelfRotateView(ApiView):
    """Let a client replace its own token."""

    bearer = True
    permission_classes = (IsActive,)

    @documented(
        {200: ("The client with its new token; without it if the request is a repetition.", docs.CREDENTIALS)},
        problems=(400, 409, 415, 422),
        takes=docs.body(requests.SELF, example={"expires_in": "30d", "grace": "1h"}),
        parameters=(docs.IDEMPOTENCY_KEY,),
    )
    def post(self, request: Request) -> Response:
        """Replace the access token that authenticates this request.

        The request must be authenticated with the current opaque access token of a client that was provisioned with
        `self_rotation`. The new token has the same scopes and at most the same lifetime. The old one keeps working
        during the grace period. Two simultaneous requests issue one token.
        """
        given = requests.values(request, requests.SELF)
        asked = {"request_id": self.request_id(), **given}
        client = api.identify(request.user, self.credential).client
        return self.carry_out(lambda: api.rotate_self(self.credential, **asked), name=client or "")


class PlanView(ApiView):
    """Plan the changes of a manifest."""

    right = "provision"

    @documented(
        {200: ("The planned changes, or an error, for each client, with an ETag for apply/.", docs.PLANNED)},
        problems=(400, 415),
        takes=docs.manifest(),
    )
    def post(self, request: Request) -> Response:
        """Return what apply/ would do with a manifest.

        Nothing is changed.
        """
        specs, _reason = requests.many_clients(request)
        etag = requests.etag(api.versions([spec.name for spec in specs]))
        planned = api.plan_many(specs, authority=self.authority)
        return Response({"clients": [self._planned(spec, plan) for spec, plan in planned]}, headers={"ETag": etag})

    def _planned(self, spec: ClientSpec, plan: Any) -> dict[str, Any]:
        if isinstance(plan, ProvisioningError):
            problem = self.problem_of(spec.name, plan)
            return {"name": spec.name, "status": None, "steps": [], "warnings": [], "error": problem}
        steps = [step.planned for step in plan.steps]
        status, warnings = str(plan.status), list(plan.warnings)
        return {"name": spec.name, "status": status, "steps": steps, "warnings": warnings, "error": None}


class ApplyView(ApiView):
    """Apply a manifest."""

    right = "provision"

    @documented(
        {200: ("The result, or an error, for each client.", docs.APPLIED)},
        problems=(400, 412, 415, 428),
        takes=docs.manifest(),
        parameters=(docs.IDEMPOTENCY_KEY, docs.IF_PLANNED),
    )
    def post(self, request: Request) -> Response:
        """Create and change API clients until they match a manifest.

        Each client is changed completely or not at all. A client that is rejected does not affect the others: check
        every `error`. Sending the same manifest again changes nothing and shows no secret. At most 100 clients.
        If one of them exists, `If-Match` is required: if any of them has changed since plan/, nothing is done.
        """
        specs, reason = requests.many_clients(request)
        self.request_id()  # so that a wrong key is rejected without clients too
        ids = {spec.name: self.request_id(spec.name) for spec in specs}
        versions = api.versions([*ids])
        try:
            requests.require_match(request, versions)
        except (errors.PreconditionFailed, errors.PreconditionRequired):
            repeated = [name for name in ids if self._is_repeated(name)]
            if not repeated:
                raise
            # The others were decided on a state that is no more: those that exist are refused.
            versions = {name: versions[name] for name in repeated if name in versions}
        done = api.apply(specs, authority=self.authority, reason=reason, request_ids=ids, versions=versions)
        return Response({"clients": [self._applied(each) for each in done]})

    def _is_repeated(self, name: str) -> bool:
        try:
            return self.was_carried_out(name)
        except RequestReused:  # This client will be refused for it.
            return False

    def _applied(self, done: Applied) -> dict[str, Any]:
        try:
            credentials = done.unwrap()
        except AlreadyDone:
            credentials = api.describe(done.name)
        except ProvisioningError as error:
            return {"name": done.name, "credentials": None, "error": self.problem_of(done.name, error)}
        return {"name": done.name, "credentials": self.shown(credentials), "error": None}


class ClientListView(ApiView):
    """List and create clients."""

    right = "provision"

    @documented(
        {200: ("A page of clients.", docs.page_of(docs.CLIENT))},
        problems=(400,),
        parameters=(*docs.FILTERS, *docs.PAGE),
    )
    def get(self, request: Request) -> Response:
        """List the API clients."""
        given = request.query_params
        asked: dict[str, Any] = {name: given[name] for name, _place, _shape in docs.FILTERS if name in given}
        asked |= {span.name: schema.parse(span, asked[span.name]) for span in _SPANS if span.name in asked}
        return self.page(api.list_clients(**{"ordering": "name", **asked}))

    @documented(
        {
            200: ("The same request created it before; secrets are not shown again.", docs.CREDENTIALS),
            201: ("The client was created. Its secrets are shown only once.", docs.CREDENTIALS),
        },
        problems=(400, 409, 415, 422),
        takes=docs.body(
            requests.CREATE,
            required=("name",),
            example={"name": "report", "contact": "ops@example.org", "expires_in": "90d", "reason": "monthly report"},
        ),
        parameters=(docs.IDEMPOTENCY_KEY,),
    )
    def post(self, request: Request) -> Response:
        """Create an API client.

        One transaction creates a service user, a confidential application for the client credentials grant and an
        access token, and verifies them. By default the user is neither staff nor superuser; it never has a password.
        An existing client of this name is not changed.
        """
        spec, reason = requests.new_client(request)
        self.subject = spec.name

        answer = self.carry_out(
            lambda: api.provision(spec, new=True, reason=reason, **self.asked), name=spec.name, status=201
        )
        answer["Location"] = request.build_absolute_uri(reverse("edx_api_provisioning:client", args=[spec.name]))
        return answer


class ClientView(ApiView):
    """Read and change a client."""

    right = "provision"

    @documented({200: ("The client, with an ETag.", docs.CLIENT)}, problems=(409,), parameters=(docs.NAME_PARAMETER,))
    def get(self, request: Request, name: str) -> Response:
        """Return an API client."""
        versions, client = api.versions([name]), api.get_client(name)
        return Response(rendering.row_as_dict(client), headers={"ETag": requests.etag(versions)})

    @documented(
        {200: ("The client, with secrets if something deleted was recreated.", docs.CREDENTIALS)},
        problems=_CHANGES,
        takes=docs.body(requests.CHANGE, example={"contact": "bob@example.org", "reason": "ann has left"}),
        parameters=_ISSUES,
    )
    def patch(self, request: Request, name: str) -> Response:
        """Change the given fields of an API client, and leave the others alone.

        A token is issued only if the body has `token`, `expires_in` or `expires_at`; none is revoked. Deleted parts of
        the client, such as its application, are recreated.
        """

        def change() -> Credentials:
            spec, reason = requests.changed_client(request, self.hold(name))
            return api.provision(spec, reason=reason, **self.asked)

        return self.carry_out(change, name=name)


class TokenView(ApiView):
    """Rotate the access token of a client."""

    right = "rotate"

    @documented(
        {200: ("The client with its new token.", docs.CREDENTIALS)},
        problems=_CHANGES,
        takes=docs.body(requests.TOKEN, example={"expires_in": "90d", "grace": "24h"}),
        parameters=_ISSUES,
    )
    def post(self, request: Request, name: str) -> Response:
        """Issue a new access token.

        All older tokens expire now, or at the end of the grace period.
        """
        return self.change(api.rotate, name, requests.values(request, requests.TOKEN))


class SecretView(ApiView):
    """Rotate the client secret of a client."""

    right = "rotate"

    @documented(
        {200: ("The client with its new secret.", docs.CREDENTIALS)},
        problems=_CHANGES,
        takes=docs.body(requests.SECRET, example={"reason": "found in a public log"}),
        parameters=_ISSUES,
    )
    def post(self, request: Request, name: str) -> Response:
        """Issue a new client secret.

        An application has one secret: without a grace period the old one stops working now. With a grace period the
        client moves to a new application with a new `client_id`, and the token must be rotated too.
        """
        given = requests.values(request, requests.SECRET)
        return self.change(api.rotate, name, {"token": False, "secret": True, **given})


class RevokeView(ApiView):
    """Revoke the tokens of a client, or retire it."""

    right = "revoke"

    @documented(
        {200: ("The client without tokens.", docs.CREDENTIALS)},
        problems=_CHANGES,
        takes=docs.body(requests.REVOKE, example={"retire": True, "reason": "no longer needed"}),
        parameters=_ISSUES,
    )
    def post(self, request: Request, name: str) -> Response:
        """Revoke all access tokens, or retire the client.

        JWTs stay valid until they expire: the LMS cannot revoke them. The client can request new tokens with its client
        ID and secret, unless it is retired: then the secret is revoked too, and the user is deactivated if it was
        created for this client and nothing else uses it.
        """
        return self.change(api.revoke, name, requests.values(request, requests.REVOKE))


class EventListView(ApiView):
    """List the history of a client."""

    @documented(
        {200: ("A page of events.", docs.page_of(docs.EVENT))},
        problems=(400, 409),
        parameters=(docs.NAME_PARAMETER, *docs.PAGE),
    )
    def get(self, request: Request, name: str) -> Response:
        """List the history of an API client, latest event first."""
        return self.page(api.list_events(name))
