"""The rules: from what is wanted and what exists to a plan, or to what is wrong with it. Pure, no database.

``api`` gathers :class:`Site` and :class:`Found`, shows the plan or executes it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from edx_api_provisioning.core.exceptions import Conflict, InvalidSpec
from edx_api_provisioning.core.options import STORED
from edx_api_provisioning.core.parsing import in_words
from edx_api_provisioning.core.policy import check_policy, reject, same_spelling, token_end
from edx_api_provisioning.core.results import Status
from edx_api_provisioning.core.spec import ACCESS_ITEM_LENGTH, ACCESS_ITEMS, ClientSpec, check_email
from edx_api_provisioning.core.state import (
    APPLICATION_RIGHTS,
    Access,
    CurrentClient,
    CurrentState,
    CurrentToken,
    CurrentUser,
    Site,
)


class Action(enum.Enum):
    """The steps a plan is made of, in the order in which they are executed."""

    CREATE_CLIENT = enum.auto()
    CREATE_USER = enum.auto()
    USE_USER = enum.auto()
    CREATE_APPLICATION = enum.auto()
    REISSUE = enum.auto()
    CHANGE_RIGHTS = enum.auto()
    SET_ACCESS = enum.auto()
    UPDATE_SCOPES = enum.auto()
    ISSUE_TOKEN = enum.auto()
    UPDATE_CLIENT = enum.auto()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and the sentence that tells the operator so."""

    action: Action
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done, in order; nothing where the client is as it is wanted."""

    spec: ClientSpec
    status: Status
    steps: tuple[Step, ...]
    username: str
    email: str
    expires_at: datetime | None
    """When the client's access token ends, be it there already or to be issued; None without one."""
    scopes: tuple[str, ...]
    add_rights: frozenset[str] = frozenset()
    remove_rights: frozenset[str] = frozenset()
    access: Access | None = None
    """What the application is to be allowed to ask for; None to leave it."""
    declared: tuple[str, ...] = ()
    """The rights that the operator wants the client to have, sorted."""
    client_id: str = ""
    """Of the application, if there is one already."""
    restricted: bool = False
    """Whether the application is, or is to be, restricted."""
    warnings: tuple[str, ...] = ()

    @property
    def change(self) -> str:
        """In one word: ``create``, ``update``, ``rotate`` (there are new credentials for the old) or ``unchanged``."""
        if self.status is Status.UPDATED:
            return "rotate" if self.has(Action.ISSUE_TOKEN) or self.has(Action.REISSUE) else "update"
        return "create" if self.status is Status.CREATED else str(self.status)

    @property
    def issues(self) -> bool:
        """Whether there will be credentials to deliver."""
        return any(self.has(action) for action in (Action.CREATE_APPLICATION, Action.REISSUE, Action.ISSUE_TOKEN))

    def has(self, action: Action) -> bool:
        return any(step.action is action for step in self.steps)


def username_wanted(spec: ClientSpec, client: CurrentClient | None) -> str:
    """The service user's name: the wanted one, the one that the client has, or the client's own."""
    return spec.username or (client.username if client else None) or spec.name


# Reserved by RFC 2606 section 2: mail to it goes nowhere.
_NO_MAIL_DOMAIN = "api-client.invalid"


def email_wanted(spec: ClientSpec, username: str, host: str | None) -> str:
    """Return the address for a new service user, in a domain that no mail reaches if the host is no mail domain."""
    return spec.email or f"{username}@{host if host and _is_mail_domain(host) else _NO_MAIL_DOMAIN}"


def _is_mail_domain(host: str) -> bool:
    try:
        check_email("email", f"user@{host}")
    except InvalidSpec:  # an IP address, or a name without a dot
        return False
    return True


def make_plan(spec: ClientSpec, found: CurrentState, site: Site) -> Plan:
    """The steps from what exists to what is wanted.

    Raises:
        InvalidSpec: if something wanted may not be made.
        NearMatch: if the database found another spelling.
        Conflict: if what exists differs in a way that is not to be changed unasked.
    """
    client = found.client
    spec = keep_flags(spec, client)
    check_policy(spec, site)
    if site.contact_required and not (spec.contact or (spec.contact is None and client and client.contact)):
        reject("contact", _("give one; the site wants somebody to answer for every client."))
    username = username_wanted(spec, client)
    same_spelling("name", spec.name, client.name if client else None)
    if client is not None:
        _check_client(spec, client, found)

    application = client.application if client else None
    steps: list[Step] = []
    if client is None:
        steps.append(Step(Action.CREATE_CLIENT, _("register the API client %s") % spec.name))
    user_step, email = _plan_user(spec, username, found, site)
    steps += user_step
    if application is None:
        _check_client_id(spec, found)
        says = _("create a confidential application %s for the client credentials grant") % spec.name
        steps.append(Step(Action.CREATE_APPLICATION, says))
    rights_steps, add_rights, remove_rights = _plan_rights(spec, found)
    steps += rights_steps
    access_steps, access = _plan_access(spec, found, site)
    steps += access_steps
    token_step, expires_at, scopes = _plan_token(spec, client, found, site)
    steps += token_step
    declared = _declared(spec, found, access)
    if client is not None:
        steps += _registry_steps(spec, client, declared)
    return Plan(
        spec=spec,
        status=Status.CREATED if client is None else Status.UPDATED if steps else Status.UNCHANGED,
        steps=tuple(steps),
        username=username,
        email=email,
        expires_at=expires_at,
        scopes=scopes,
        add_rights=add_rights,
        remove_rights=remove_rights,
        access=access,
        declared=declared,
        client_id=application.client_id if application else "",
        restricted=spec.restricted or bool(application and application.restricted),
        warnings=_warnings(spec, email if found.user is None else "", found.unknown_courses if add_rights else ()),
    )


def _plan_user(spec: ClientSpec, username: str, found: CurrentState, site: Site) -> tuple[list[Step], str]:
    user = found.user
    if user is not None:
        same_spelling("username", username, user.username)
        _check_user(spec, user)
        if found.client is not None and found.client.user_pk == user.pk:
            return [], user.email
        says = _("make the account %(user)s, which is %(rights)s, the service user")
        return [Step(Action.USE_USER, says % {"user": user.username, "rights": _rights(user)})], user.email
    email = email_wanted(spec, username, site.host)
    if found.username_problem is not None:
        raise InvalidSpec(found.username_problem, field="username")
    try:
        check_email("email", email)
    except InvalidSpec:  # The default for a user name that no address may have.
        raise InvalidSpec(_("%s, the default, is no email address; give one.") % email, field="email") from None
    if found.email_owner is not None:
        raise Conflict(
            _("%(email)s belongs to the user %(user)s; give another address.")
            % {"email": email, "user": found.email_owner},
            field="email",
        )
    says = _("create the user %(user)s <%(email)s>, %(rights)s, with an unusable password")
    return [Step(Action.CREATE_USER, says % {"user": username, "email": email, "rights": _rights(spec)})], email


def _plan_rights(spec: ClientSpec, found: CurrentState) -> tuple[list[Step], frozenset[str], frozenset[str]]:
    wanted, user = spec.rights, found.user
    if wanted is None:
        return [], frozenset(), frozenset()
    has = user.rights if user is not None else frozenset()
    add = wanted - has
    # What somebody else gave to an account of theirs is not ours to take.
    remove = has - wanted - user.declared_elsewhere if user is not None and user.made else frozenset()
    if add and user is not None and not (user.made or spec.use_existing_user):
        raise Conflict(
            _("the account %(user)s was made elsewhere and lacks %(rights)s; say so (--use-existing-user) to add it.")
            % {"user": user.username, "rights": ", ".join(sorted(add))},
            field="username",
        )
    says = [_("give the user %s") % ", ".join(sorted(add))] if add else []
    says += [_("take from the user %s") % ", ".join(sorted(remove))] if remove else []
    return [Step(Action.CHANGE_RIGHTS, text) for text in says], add, remove


def _plan_access(spec: ClientSpec, found: CurrentState, site: Site) -> tuple[list[Step], Access | None]:
    if not site.has_access:
        return [], None
    application = found.client.application if found.client else None
    has = application.access if application else Access()
    extra = tuple(scope for scope in spec.scopes or () if scope not in site.default_scopes)
    wanted = Access(has.scopes if spec.scopes is None else extra, has.filters if spec.filters is None else spec.filters)
    if application is not None and not (found.user and found.user.made):
        # As with rights: only ever added to what others made.
        wanted = Access(_union(has.scopes, wanted.scopes), _union(has.filters, wanted.filters))
    restrict = spec.restricted and not (application and application.restricted)
    if restrict and application and application.live_tokens:
        raise Conflict(
            _("the client has an access token, which a restriction does not end; revoke it first."), field="restricted"
        )
    if (set(wanted.scopes), set(wanted.filters)) == (set(has.scopes), set(has.filters)) and not restrict:
        return [], None
    parts = [*(f"scope:{scope}" for scope in wanted.scopes), *(f"filter:{entry}" for entry in wanted.filters)]
    if spec.restricted:
        parts.append(_("restricted to these"))
    for field_name, items in (("scopes", wanted.scopes), ("filters", wanted.filters)):
        if len(items) > ACCESS_ITEMS or any(len(item) > ACCESS_ITEM_LENGTH for item in items):
            message = _("the LMS keeps at most %(items)d of %(length)d characters for an application.")
            reject(field_name, message % {"items": ACCESS_ITEMS, "length": ACCESS_ITEM_LENGTH})
    says = _("let the application ask for: %s") % (", ".join(parts) or _("the default scopes only"))
    return [Step(Action.SET_ACCESS, says)], wanted


def _declared(spec: ClientSpec, found: CurrentState, access: Access | None) -> tuple[str, ...]:
    client, user = found.client, found.user
    declared = frozenset(client.declared if client else ())
    of_application = frozenset(right for right in declared if right.startswith(APPLICATION_RIGHTS))
    of_user = declared - of_application
    linked = client is not None and user is not None and client.user_pk == user.pk
    if user is not None and not user.made and not linked:
        of_user |= user.rights  # An account of somebody else comes with what it has.
    if spec.rights is not None:
        of_user = spec.rights if user is None or user.made else of_user | spec.rights
    if access is None and client and client.application and (spec.scopes is not None or spec.filters is not None):
        access = client.application.access
    if access is not None:
        of_application = access.rights | (of_application & {"restricted"})
    if spec.restricted:
        of_application |= {"restricted"}
    return tuple(sorted(of_user | of_application))


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _plan_token(
    spec: ClientSpec, client: CurrentClient | None, found: CurrentState, site: Site
) -> tuple[list[Step], datetime | None, tuple[str, ...]]:
    token = client.token if client else None
    if token is None or token.expires_at <= site.now:
        if not spec.wants_token:
            # What a restricted client may ask for with id and secret.
            return (
                [],
                None,
                tuple(dict.fromkeys((*site.default_scopes, *(spec.scopes or ())))) if spec.restricted else (),
            )
        _check_new_token(client, found)
        expires_at = token_end(spec, site, lifetime=client.token_lifetime if client else None)
        scopes = spec.scopes or site.default_scopes
        says = _("issue an access token until %(end)s with the scopes %(scopes)s")
        end = f"{expires_at:%Y-%m-%d %H:%M} UTC"
        return [Step(Action.ISSUE_TOKEN, says % {"end": end, "scopes": " ".join(scopes)})], expires_at, scopes
    _check_token(spec, token, found)
    if spec.scopes is None or set(spec.scopes) == set(token.scopes):
        return [], token.expires_at, token.scopes
    says = _("change the scopes of the access token from %(old)s to %(new)s") % {
        "old": " ".join(token.scopes),
        "new": " ".join(spec.scopes),
    }
    return [Step(Action.UPDATE_SCOPES, says)], token.expires_at, spec.scopes


def keep_flags(spec: ClientSpec, client: CurrentClient | None) -> ClientSpec:
    """Return the spec with the flags it does not mention as they were given to the client."""
    staff, superuser = (client.is_staff, client.superuser) if client is not None else (False, False)
    return replace(
        spec,
        staff=staff if spec.staff is None else spec.staff,
        superuser=superuser if spec.superuser is None else spec.superuser,
    )


def _check_client(spec: ClientSpec, client: CurrentClient, found: CurrentState) -> None:
    if client.retired:
        raise Conflict(_("%s is retired; choose another name.") % client.name, field="name")
    if spec.username is not None and client.username is not None and client.username != spec.username:
        raise Conflict(
            _("%(name)s belongs to the user %(user)s; leave it so, or choose another name for the client.")
            % {"name": client.name, "user": client.username},
            field="username",
        )
    application = client.application
    if application is None:
        return
    if application.user_pk is None or application.user_pk != client.user_pk or not application.client_credentials:
        raise Conflict(
            _(
                "the application of %s was changed by somebody: its user, client type or grant type is another now; "
                "put it right in the admin, or choose another name."
            )
            % client.name,
            field="name",
        )
    if spec.client_id is not None and spec.client_id != application.client_id:
        raise Conflict(
            _("%(name)s has the client_id %(id)s, which does not change; leave it out.")
            % {"name": client.name, "id": application.client_id},
            field="client_id",
        )
    if not found.client_secret_matches and not spec.reissue:
        raise Conflict(
            _("%s has another secret; leave it out, or provision a client of another name.") % client.name,
            field="client_secret",
        )


def _check_user(spec: ClientSpec, user: CurrentUser) -> None:
    if user.owner and not user.accepted:
        raise Conflict(
            _("the account %(user)s was created for the API client %(client)s; choose another username.")
            % {"user": user.username, "client": user.owner},
            field="username",
        )
    if not (user.accepted or spec.use_existing_user):
        raise Conflict(
            _(
                "the account %s exists and was made elsewhere; say so (--use-existing-user) to make it the "
                "service user, or choose another user name."
            )
            % user.username,
            field="username",
        )
    if (user.is_staff, user.superuser) != (spec.is_staff, spec.superuser):
        raise Conflict(
            _(
                "the account %(user)s is %(is)s, but %(wanted)s is wanted; ask for the rights it has, "
                "or choose another user name. Rights of an existing account are not changed."
            )
            % {"user": user.username, "is": _rights(user), "wanted": _rights(spec)},
            field="username",
        )
    if user.retired:
        raise Conflict(_("the account was retired by the LMS; choose another user name."), field="username")
    if not user.active:
        raise Conflict(
            _("the account %s is not active; activate it in the admin, or choose another user name.") % user.username,
            field="username",
        )
    if spec.email is not None and user.email.lower() != spec.email.lower():
        raise Conflict(
            _("the account %(user)s has the address %(email)s; give that, or change it there first.")
            % {"user": user.username, "email": user.email},
            field="email",
        )


def _rights(who: ClientSpec | CurrentUser) -> str:
    if who.superuser:
        return _("a superuser") if who.is_staff else _("a superuser without staff rights")
    return _("staff") if who.is_staff else _("neither staff nor superuser")


def _check_client_id(spec: ClientSpec, found: CurrentState) -> None:
    if found.client_id_owner is not None:
        same_spelling("client_id", spec.client_id or "", found.client_id_owner)
        raise Conflict(_("another application has it; choose another."), field="client_id")


def _check_new_token(client: CurrentClient | None, found: CurrentState) -> None:
    if client is not None and client.application is not None and client.application.restricted:
        raise Conflict(
            _(
                "the application is restricted (RestrictedApplication): the LMS lets its access tokens expire at once. "
                "Do without (--no-token), and get JWTs with the client id and secret."
            ),
            field="token",
        )
    if found.access_token_pk is not None:
        raise Conflict(_("another access token has this value; choose another."), field="access_token")


def _check_token(spec: ClientSpec, token: CurrentToken, found: CurrentState) -> None:
    if spec.access_token is not None and found.access_token_pk != token.pk and not spec.reissue:
        raise Conflict(_("the client has another access token; leave it out."), field="access_token")
    if spec.expires_at is not None and spec.expires_at.replace(microsecond=0) != token.expires_at:
        raise Conflict(
            _("the client's access token ends at %s, which does not change; leave it out.")
            % token.expires_at.isoformat(),
            field="expires_at",
        )


def _registry_steps(spec: ClientSpec, client: CurrentClient, declared: tuple[str, ...]) -> list[Step]:
    steps = []
    fields = [(option.label, getattr(spec, name), getattr(client, name)) for name, option in STORED.items()]
    # Labels are translated only for a change: most of many clients already match.
    for label, wanted, existing in (
        *fields,
        (gettext_noop("token lifetime, from the next rotation on,"), spec.expires_in, client.token_lifetime),
        (gettext_noop("declared rights"), " ".join(declared), " ".join(client.declared)),
    ):
        if wanted is not None and wanted != existing:
            says = _("change the %(what)s from %(old)s to %(new)s")
            values = {"what": _(label), "old": _in_words(existing), "new": _in_words(wanted)}
            steps.append(Step(Action.UPDATE_CLIENT, says % values))
    return steps


def _in_words(value: str | bool | timedelta | None) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, timedelta):
        return in_words(value)
    return value or "-"


def _warnings(spec: ClientSpec, new_email: str, unknown_courses: Iterable[str]) -> tuple[str, ...]:
    warnings = []
    if spec.superuser:
        text = _("a superuser client can read, change and delete everything on the site, its users included.")
        warnings.append(text)
    elif spec.is_staff:
        text = _("a staff client can read and change nearly every course and learner record through the API.")
        warnings.append(text)
    if new_email.endswith(f"@{_NO_MAIL_DOMAIN}"):
        text = _("the site's address is no mail domain, so the new user gets %s, which receives no mail. Pass --email.")
        warnings.append(text % new_email)
    text = _("the LMS has no course %s; check the course key. The role opens nothing until the course exists.")
    return (*warnings, *(text % key for key in sorted(unknown_courses)))
