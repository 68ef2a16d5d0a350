"""``manage.py lms explain_api_access``: what the API asks of its callers, and what a client may do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning import api
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.data import Answer, Endpoint, Profile
from edx_api_provisioning.management.base import ClientCommand, flag


class Command(ClientCommand):
    epilog = """
examples:
  what one request needs, course key escaped or not:
    manage.py lms explain_api_access GET /api/grades/v1/courses/course-v1:edX+DemoX+2026/
  what a client may do, of all that is known, or in this one case:
    manage.py lms explain_api_access --client report
    manage.py lms explain_api_access GET /api/grades/v1/courses/course-v1:edX+DemoX+2026/ --client report
  what can be given to provision_api_client --profile:
    manage.py lms explain_api_access --profiles
Exit code: 0 done, 1 not known, 2 wrong usage.
"""

    def run(
        self, *, method: str | None, path: str | None, client: str | None, profiles: bool, format: str, **options: Any
    ) -> None:
        if (method is None) != (path is None) or (method is None and client is None and not profiles):
            raise InvalidSpec(_("give METHOD and PATH, --client NAME, or --profiles."))
        if profiles and method is not None:
            raise InvalidSpec(_("give METHOD and PATH or --profiles, not both."))
        as_text: Callable[[dict[str, Any]], Iterator[str]]
        if profiles:
            found, as_text = [_profile(each) for each in api.profiles()], _profile_lines
        else:
            endpoints = [_endpoint(method, path)] if method is not None and path is not None else api.endpoints()
            rights = api.client_rights(client) if client is not None else None
            found = [_explained(endpoint, rights) for endpoint in endpoints]
            as_text = _answer_lines if method is None else _endpoint_lines
        if format == "json":
            self.show("".join(json.dumps(each) + "\n" for each in found))
        else:
            self.show("".join(f"{line}\n" for each in found for line in as_text(each)))
        if client is not None and method is None:
            self.say(
                _(
                    '"Not determined": depends on the path parameters (pass METHOD and PATH), on roles that are'
                    " not checked, or was not tested."
                )
            )


def _endpoint(method: str, path: str) -> Endpoint:
    endpoint = api.find_endpoint(method, path)
    if endpoint is None:
        raise InvalidSpec(_("unknown request; see the permission_classes of its view."))
    return endpoint


def _explained(endpoint: Endpoint, rights: frozenset[str] | None) -> dict[str, Any]:
    explained: dict[str, Any] = {
        "name": endpoint.name,
        "method": endpoint.method,
        "path": endpoint.path,
        "auth": [*endpoint.auth],
        "rights": _alternatives(endpoint.rights),
        "untried": _alternatives(endpoint.untried),
        "checked_in": endpoint.checked_in,
        "note": endpoint.note,
        "profiles": [each.name for each in api.profiles() if endpoint.name in {one.name for one in each.opens}],
    }
    return explained if rights is None else {**explained, "answer": api.allows(rights, endpoint)}


def _alternatives(alternatives: Iterable[frozenset[str]]) -> list[list[str]]:
    return [sorted(alternative) for alternative in alternatives]


def _endpoint_lines(explained: dict[str, Any]) -> Iterator[str]:
    yield f"{explained['method']} {explained['path']}: {explained['name']}"
    schemes = {"none": _("nothing"), "bearer": "Authorization: Bearer TOKEN", "jwt": "Authorization: JWT TOKEN"}
    yield _line(_("send"), _(" or ").join(schemes[each] for each in explained["auth"]) or _("no token opens it"))
    least, *more = [_words(each) for each in explained["rights"]] or [_("not known")]
    yield _line(_("minimum right"), least)
    for alternative in more:
        yield _line(_("or"), alternative)
    for alternative in explained["untried"]:
        yield _line(_("or, untried"), _words(alternative))
    yield _line(_("checked in"), explained["checked_in"])
    if explained["note"]:
        yield _line(_("note"), explained["note"])
    yield _line(_("profiles"), ", ".join(explained["profiles"]) or _("none"))
    if "answer" in explained:
        yield _line(_("the client"), explained["answer"])


def _answer_lines(explained: dict[str, Any]) -> Iterator[str]:
    width = max(map(len, Answer))
    yield f"{explained['answer']:{width}}  {explained['method']:5}  {explained['path']}  ({explained['name']})"


def _profile(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "why": profile.why,
        "grants": [
            {"field": each.field, "value": each.value or True, "why": each.why, "open": each.is_open}
            for each in profile.grants
        ],
        "needs": [grant.right for grant in profile.needs],
        "opens": [f"{each.method} {each.path}" for each in profile.opens],
    }


def _profile_lines(profile: dict[str, Any]) -> Iterator[str]:
    yield f"{profile['name']}: {profile['title']}"
    yield f"  {profile['why']}"
    for grant in profile["grants"]:
        value = "" if grant["value"] is True else f" {grant['value']}"
        label = _("to choose") if grant["open"] else _("grants")
        yield _line(label, f"{flag(grant['field'])}{value} ({grant['why']})")
    for opened in profile["opens"]:
        yield _line(_("opens"), opened)


def _line(label: str, text: str) -> str:
    return f"  {label:<12} {text}"


def _words(alternative: list[str]) -> str:
    words = _(" and ").join(alternative) or _("none: any client")
    # Its opaque tokens are born expired, and the grant gives no scope beyond the defaults unasked.
    return words + _(" (by JWT, with the scope asked for)") if "restricted" in alternative else words
