"""The views: each reads a request, calls the service, and writes the answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import AlreadyDone, DatabaseFailure, NotAllowed, NotTold, ProvisioningError
from edx_api_provisioning.core.parsing import parse_lifetime
from edx_api_provisioning.data import ORDERINGS, ClientSpec, Credentials
from edx_api_provisioning.formats import rendering
from edx_api_provisioning.rest_api.v1 import documentation as docs
from edx_api_provisioning.rest_api.v1 import errors, requests
from edx_api_provisioning.rest_api.v1.base import ApiView
from edx_api_provisioning.rest_api.v1.documentation import documented
from edx_api_provisioning.rest_api.v1.permissions import IsActive

_FILTERS = ("state", "username", "contact", "profile", "manifest")
_ISSUES = (docs.NAME_PARAMETER, docs.IDEMPOTENCY_KEY, docs.IF_MATCH)
_CHANGES = (400, 409, 412, 415, 422)
_ORDERING = (
    "ordering",
    "query",
    {
        "type": "string",
        "description": "By what; with - the other way round. By name if nothing is said.",
        "enum": [*ORDERINGS, *(f"-{name}" for name in ORDERINGS)],
    },
)


class WhoAmIView(ApiView):
    switched = False
    permission_classes = (IsActive,)

    @documented({200: ("Who it is.", docs.IDENTITY)})
    def get(self, request: Request) -> Response:
        """Who the credential of this request is.

        The natural first call with a new token: whose it is, what it opens, and how long it lives. It takes no
        permission, and is there even where the rest of this API is not.
        """
        shown = rendering.row_as_dict(api.identify(request.user, self.credential))
        ends = self.credential.expires_at
        shown["expires_in"] = int((ends - datetime.now(UTC)).total_seconds()) if ends else None
        return Response(shown)


class SelfRotateView(ApiView):
    permission_classes = (IsActive,)

    @documented(
        {200: ("The client, with its new token; without, if the request was carried out before.", docs.CREDENTIALS)},
        problems=(400, 409, 415, 422),
        takes=docs.body(requests.SELF, example={"expires_in": "30d", "grace": "1h"}),
        parameters=(docs.IDEMPOTENCY_KEY,),
    )
    def post(self, request: Request) -> Response:
        """A client's next access token for the one that it has.

        Only with the client's current opaque access token, and only if the client was provisioned with the right to it
        (`self_rotation`). The new token has the same scopes, and the same life or a shorter one. The old one works
        until the grace is over. Two requests at once make one token.
        """
        given = requests.values(request, requests.SELF)
        request_id = self.request_id()

        def rotate() -> Credentials:
            return api.rotate_self(self.credential, request_id=request_id, **given)

        client = api.identify(request.user, self.credential).client
        return self.carry_out(rotate, name=client or "")


class PlanView(ApiView):
    rights: ClassVar = {"POST": ("provision",)}

    @documented(
        {200: ("For each client, what would be done, or why it would not.", docs.PLANNED)},
        problems=(400, 415),
        takes=docs.manifest(),
    )
    def post(self, request: Request) -> Response:
        """What apply/ would do with a manifest.

        Nothing is written.
        """
        specs, _reason = requests.many_clients(request)
        planned = api.plan_many(specs, authority=self.authority)
        return Response({"clients": [self._planned(spec, plan) for spec, plan in planned]})

    def _planned(self, spec: ClientSpec, plan: Any) -> dict[str, Any]:
        if isinstance(plan, (NotAllowed, NotTold)):
            self.count_refusal(spec.name, plan)
        return _planned(spec, plan)


def _planned(spec: ClientSpec, plan: Any) -> dict[str, Any]:
    if isinstance(plan, ProvisioningError):
        return {"name": spec.name, "status": None, "steps": [], "warnings": [], "error": errors.problem(plan)}
    says = {"steps": [step.says for step in plan.steps], "warnings": list(plan.warnings)}
    return {"name": spec.name, "status": str(plan.status), **says, "error": None}


class ApplyView(ApiView):
    rights: ClassVar = {"POST": ("provision",)}

    @documented(
        {200: ("For each client, what it is now, or why nothing was done.", docs.APPLIED)},
        problems=(400, 415),
        takes=docs.manifest(),
        parameters=(docs.IDEMPOTENCY_KEY,),
    )
    def post(self, request: Request) -> Response:
        """Make and change API clients until they are as a manifest describes them.

        Each is all or nothing, and one that is refused does not keep the others from being made: look at every `error`.
        The same manifest again changes nothing and shows no secret. At most 100 clients in one request.
        """
        specs, reason = requests.many_clients(request)

        def work() -> Response:
            return Response({"clients": [self._applied(spec, reason) for spec in specs]})

        return api.in_transaction(work)

    def _applied(self, spec: ClientSpec, reason: str) -> dict[str, Any]:
        asked = {**self.asked, "request_id": self.request_id(spec.name)}
        try:
            credentials = api.provision(spec, reason=reason, **asked)
        except AlreadyDone:
            credentials = api.describe(spec.name)
        except DatabaseFailure:
            raise  # It would be the same with all others.
        except ProvisioningError as error:
            if isinstance(error, (NotAllowed, NotTold)):
                self.count_refusal(spec.name, error)
            return {"name": spec.name, "credentials": None, "error": errors.problem(error)}
        return {"name": spec.name, "credentials": self.shown(credentials), "error": None}


class ClientListView(ApiView):
    rights: ClassVar = {"POST": ("provision",)}

    @documented(
        {200: ("A page of them.", docs.page_of(docs.CLIENT))},
        problems=(400,),
        parameters=(*docs.FILTERS, _ORDERING, *docs.PAGE),
    )
    def get(self, request: Request) -> Response:
        """The API clients."""
        asked = request.query_params
        within = asked.get("expiring_within")
        found = api.find_clients(
            **{name: asked[name] for name in _FILTERS if name in asked},
            expiring_within=parse_lifetime(within) if within is not None else None,
            ordering=asked.get("ordering", "name"),
        )
        return self.page(found)

    @documented(
        {
            200: ("It was made by the same request before; no secret is shown again.", docs.CREDENTIALS),
            201: ("It was made; this is the only time that its secrets are shown.", docs.CREDENTIALS),
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
        """Make an API client.

        A service user, a confidential application for the client credentials grant, and an access token, in one
        transaction, proved before they are shown. Unless the body says otherwise the user is neither staff nor
        superuser, and it never has a password. A client of that name that is there already is never touched.
        """
        spec, reason = requests.new_client(request)
        self.subject = spec.name

        def provision() -> Credentials:
            return api.provision(spec, new=True, reason=reason, **self.asked)

        answer = self.carry_out(provision, name=spec.name, status=201)
        answer["Location"] = request.build_absolute_uri(reverse("edx_api_provisioning:client", args=[spec.name]))
        return answer


class ClientView(ApiView):
    rights: ClassVar = {"PATCH": ("provision",)}

    @documented({200: ("It, with an ETag.", docs.CLIENT)}, problems=(409,), parameters=(docs.NAME_PARAMETER,))
    def get(self, request: Request, name: str) -> Response:
        """An API client."""
        client = api.get_client(name)
        return Response(rendering.row_as_dict(client), headers={"ETag": requests.etag(client)})

    @documented(
        {200: ("The client; with secrets only if something of it was gone and was made again.", docs.CREDENTIALS)},
        problems=_CHANGES,
        takes=docs.body(requests.CHANGE, example={"contact": "bob@example.org", "reason": "ann has left"}),
        parameters=_ISSUES,
    )
    def patch(self, request: Request, name: str) -> Response:
        """Change what is said of an API client, and leave the rest.

        No token is issued unless the body says `token`, `expires_in` or `expires_at`, and none is ended. What somebody
        deleted, such as its application, is made again.
        """

        def change() -> Credentials:
            spec, reason = requests.changed_client(request, self.hold(name))
            return api.provision(spec, reason=reason, **self.asked)

        return self.carry_out(change, name=name)


class _RotateView(ApiView):
    rights: ClassVar = {"POST": ("rotate",)}

    def rotate(self, name: str, wanted: dict[str, Any]) -> Response:
        def rotate() -> Credentials:
            self.hold(name)
            return api.rotate(name, **wanted, **self.asked)

        return self.carry_out(rotate, name=name)


class TokenView(_RotateView):
    @documented(
        {200: ("The client, with its new token.", docs.CREDENTIALS)},
        problems=_CHANGES,
        takes=docs.body(requests.TOKEN, example={"expires_in": "90d", "grace": "24h"}),
        parameters=_ISSUES,
    )
    def post(self, request: Request, name: str) -> Response:
        """A new access token.

        Every older one ends now, or at the end of the grace.
        """
        return self.rotate(name, requests.values(request, requests.TOKEN))


class SecretView(_RotateView):
    @documented(
        {200: ("The client, with its new secret.", docs.CREDENTIALS)},
        problems=_CHANGES,
        takes=docs.body(requests.SECRET, example={"reason": "found in a public log"}),
        parameters=_ISSUES,
    )
    def post(self, request: Request, name: str) -> Response:
        """A new client secret.

        An application has one secret: without grace the old one ends now; with it the client moves to a new application
        with a new `client_id`, and the token has to be rotated too.
        """
        return self.rotate(name, {"token": False, "secret": True, **requests.values(request, requests.SECRET)})


class RevokeView(ApiView):
    rights: ClassVar = {"POST": ("revoke",)}

    @documented(
        {200: ("The client, without any token.", docs.CREDENTIALS)},
        problems=_CHANGES,
        takes=docs.body(requests.REVOKE, example={"retire": True, "reason": "not needed any more"}),
        parameters=_ISSUES,
    )
    def post(self, request: Request, name: str) -> Response:
        """End all access tokens, or the client for good.

        JWTs that were issued before live until they end: the LMS cannot revoke them. With its id and secret the client
        can get new tokens, unless it is retired: then the secret ends too, and the user is deactivated if it was made
        for this client and nothing else uses it.
        """
        wanted = requests.values(request, requests.REVOKE)

        def revoke() -> Credentials:
            self.hold(name)
            return api.revoke(name, **wanted, **self.asked)

        return self.carry_out(revoke, name=name)


class EventListView(ApiView):
    @documented(
        {200: ("A page of it.", docs.page_of(docs.EVENT))},
        problems=(409,),
        parameters=(docs.NAME_PARAMETER, *docs.PAGE),
    )
    def get(self, request: Request, name: str) -> Response:
        """What was done to an API client, the last first."""
        return self.page(api.list_events(name))
