"""``manage.py lms explain_api_access``: what the API asks of its callers, what a client may do, what an error means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.utils.translation import gettext as _

from edx_api_provisioning import api, conf
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.options import CLIENT
from edx_api_provisioning.core.text import suggest
from edx_api_provisioning.data import Answer, Endpoint, Profile
from edx_api_provisioning.formats.rendering import render_list
from edx_api_provisioning.formats.snippets import api_request
from edx_api_provisioning.management.base import ClientCommand, flag, wrong_usage


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
  what an answer of the API means:
    manage.py lms explain_api_access --error '{"error_code": "token_nonexistent"}'
Exit code: 0 done, 1 not known, 2 wrong usage.
"""

    def run(self, *, client: str | None, profiles: bool, error: str | None, format: str, **options: Any) -> None:
        method, path = options["method"], options["path"]
        if (method is None) != (path is None) or (method is None and client is None and not profiles and error is None):
            raise wrong_usage("METHOD", _("give METHOD and PATH, --client NAME, --profiles, or --error TEXT."))
        if method is not None and (profiles or error is not None):
            given = "--profiles" if profiles else "--error"
            raise wrong_usage(given, _("not allowed together with METHOD and PATH."))
        if error is not None:
            if (meaning := api.find_error(error)) is None:
                message = _("unknown error; see the log of the site, and try verify_api_client.")
                raise InvalidSpec(message, field="error")
            self.show(json.dumps({"meaning": meaning}) + "\n" if format == "json" else f"{meaning}\n")
            return
        rights = api.client_rights(client) if client is not None else None
        if method is not None and path is not None:
            explained = _explained(_endpoint(method, path), rights)
            self.show(json.dumps(explained) + "\n" if format == "json" else _joined(_endpoint_lines(explained)))
            return
        as_text: Callable[[dict[str, Any]], Iterator[str]] = _profile_lines if profiles else _answer_lines
        found = map(_profile, api.profiles()) if profiles else (_explained(each, rights) for each in api.endpoints())
        for text in render_list(found, format=format) if format == "json" else map(_joined, map(as_text, found)):
            self.show(text)
        if client is not None:
            self.say(
                _(
                    '"Not determined": depends on the path parameters (pass METHOD and PATH), on roles that are'
                    " not checked, or was not tested."
                )
            )


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _endpoint(method: str, path: str) -> Endpoint:
    endpoint = api.find_endpoint(method, path)
    if endpoint is None:
        known = (f"{each.method} {each.path}" for each in api.endpoints())
        message = _("unknown request; see the permission_classes of its view.")
        raise InvalidSpec(suggest(message, f"{method.upper()} {path}", known, all_known=False))
    return endpoint


def _explained(endpoint: Endpoint, rights: frozenset[str] | None) -> dict[str, Any]:
    root, scheme = conf.root_url(), "bearer" if "bearer" in endpoint.auth else "jwt"
    explained: dict[str, Any] = {
        "name": endpoint.name,
        "method": endpoint.method,
        "path": endpoint.path,
        "auth": endpoint.auth,
        "rights": [sorted(alternative) for alternative in endpoint.rights],
        "untried": [sorted(alternative) for alternative in endpoint.untried],
        "checked_in": endpoint.checked_in,
        "release": endpoint.release,
        "note": endpoint.note,
        "profiles": [each.name for each in api.profiles() if endpoint.name in {one.name for one in each.opens}],
        "request": api_request(endpoint.method, root + endpoint.path, scheme=scheme) if root else None,
    }
    return explained if rights is None else {**explained, "answer": api.allows(rights, endpoint)}


def _endpoint_lines(explained: dict[str, Any]) -> Iterator[str]:
    yield f"{explained['method']} {explained['path']}: {explained['name']}"
    schemes = {"none": _("nothing"), "bearer": "Authorization: Bearer TOKEN", "jwt": "Authorization: JWT TOKEN"}
    yield _line(_("send"), _(" or ").join(schemes[each] for each in explained["auth"]) or _("no token opens it"))
    least, *more = map(_options, explained["rights"]) if explained["rights"] else [_("not known")]
    yield _line(_("needs"), least)
    for alternative in more:
        yield _line(_("or"), alternative)
    for alternative in explained["untried"]:
        yield _line(_("or, untried"), _options(alternative))
    yield _line(_("profiles"), ", ".join(explained["profiles"]) or _("none"))
    yield _line(_("checked in"), f"{explained['checked_in']} ({explained['release'] or '-'})")
    if explained["note"]:
        yield _line(_("note"), explained["note"])
    if explained["request"] and explained["auth"]:
        yield _line(_("request"), explained["request"])
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


_FLAGS = {option.singular: option.flag for option in CLIENT.values()}


def _options(rights: list[str]) -> str:
    """Return the options of provision_api_client that grant the rights; a right that none grants as it is."""
    spelled = []
    for kind, _colon, value in (right.partition(":") for right in rights):
        spelled.append(f"{_FLAGS[kind]} {value}".rstrip() if kind in _FLAGS else f"{kind}:{value}")
    text = " ".join(sorted(spelled, key=lambda option: option != "--restricted")) or _("nothing: any client may")
    # Its opaque tokens expire at once, and the grant gives scopes beyond the defaults on request only.
    return text + _(" (by JWT, with the scope asked for)") if "restricted" in rights else text
