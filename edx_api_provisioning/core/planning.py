"""Plan the steps from the current state to a spec. Pure, no database."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from edx_api_provisioning.core import conflicts
from edx_api_provisioning.core.conflicts import conflict, flags_in_words
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.options import CLIENT, STORED, USER_RIGHTS
from edx_api_provisioning.core.policy import check_contact, check_policy, same_spelling, token_end, wants_token
from edx_api_provisioning.core.results import Status
from edx_api_provisioning.core.spec import (
    ACCESS_ITEM_LENGTH,
    ACCESS_ITEMS,
    ClientSpec,
    check_email,
    values_of,
)
from edx_api_provisioning.core.state import APPLICATION_RIGHTS, Access, CurrentClient, CurrentState, Site


class Action(enum.Enum):
    """Kinds of steps, in the order of their execution."""

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
    """One step of a plan, with its text before and after it was executed."""

    action: Action
    planned: str
    """A sentence such as "Would create ..."."""
    done: str
    """A sentence such as "Created ..."."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps to execute, in order; no steps if the client already matches."""

    spec: ClientSpec
    status: Status
    steps: tuple[Step, ...]
    username: str
    email: str
    expires_at: datetime | None
    """Expiry date of the current or planned access token; None without one."""
    scopes: tuple[str, ...]
    add_rights: frozenset[str] = frozenset()
    remove_rights: frozenset[str] = frozenset()
    access: Access | None = None
    """Scopes and filters to set on the application; None to leave them unchanged."""
    declared: tuple[str, ...] = ()
    """The rights to store as declared, sorted."""
    client_id: str = ""
    """Client id of the existing application, if there is one."""
    restricted: bool = False
    """True if the application is, or will be, restricted."""
    warnings: tuple[str, ...] = ()

    @property
    def change(self) -> str:
        """Return ``create``, ``update``, ``rotate`` (new credentials replace old ones) or ``unchanged``."""
        if self.status is Status.UPDATED:
            return "rotate" if self.has(Action.ISSUE_TOKEN, Action.REISSUE) else "update"
        return "create" if self.status is Status.CREATED else str(self.status)

    @property
    def issues(self) -> bool:
        """Return True if the plan issues credentials."""
        return self.has(Action.CREATE_APPLICATION, Action.REISSUE, Action.ISSUE_TOKEN)

    def has(self, *actions: Action) -> bool:
        """Return True if the plan has a step of one of these kinds."""
        return any(step.action in actions for step in self.steps)


def username_wanted(spec: ClientSpec, client: CurrentClient | None, site: Site) -> str:
    """Return the username of the spec, else of the client, else the name of the client or its email address."""
    default = email_wanted(spec, spec.name, site.host) if site.usernames_are_emails else spec.name
    return spec.username or (client.username if client else None) or default


# Reserved by RFC 2606 section 2: mail to it goes nowhere.
_NO_MAIL_DOMAIN = "api-client.invalid"


def email_wanted(spec: ClientSpec, username: str, host: str | None) -> str:
    """Return the address for a new service user, in a domain that no mail reaches if the host is no mail domain."""
    if spec.email or _is_email(username):
        return spec.email or username
    return f"{username}@{host if host and _is_email(f'user@{host}') else _NO_MAIL_DOMAIN}"


def _is_email(text: str) -> bool:
    try:
        check_email("email", text)
    except InvalidSpec:  # such as in the domain of an IP address, or of a name without a dot
        return False
    return True


def make_plan(spec: ClientSpec, found: CurrentState, site: Site) -> Plan:
    """Return the steps from the current state to the spec.

    Raises:
        InvalidSpec: site policy or the LMS does not allow the spec.
        NearMatch: the database found another spelling.
        Conflict: what exists differs in a way that is not changed automatically.
    """
    client = found.client
    spec = keep_flags(spec, client)
    _check_spec(spec, found, site)
    username = username_wanted(spec, client, site)
    application = client.application if client else None
    user_steps, email = _plan_user(spec, username, found, site)
    creation = _plan_creation(spec, found)
    rights_steps, add_rights, remove_rights = _plan_rights(spec, found)
    access_steps, access = _plan_access(spec, found, site)
    token_steps, expires_at, scopes = _plan_token(spec, client, found, site)
    declared = _declared(spec, found, access)
    registry = _registry_steps(spec, client, declared) if client is not None else []
    restricted = spec.restricted or bool(application and application.restricted)
    # Executed in the order of their kinds.
    steps = (*creation, *user_steps, *rights_steps, *access_steps, *token_steps, *registry)
    return Plan(
        spec=spec,
        status=Status.CREATED if client is None else Status.UPDATED if steps else Status.UNCHANGED,
        steps=tuple(sorted(steps, key=lambda step: step.action.value)),
        username=username,
        email=email,
        expires_at=expires_at,
        scopes=scopes,
        add_rights=add_rights,
        remove_rights=remove_rights,
        access=access,
        declared=declared,
        client_id=application.client_id if application else "",
        restricted=restricted,
        warnings=tuple(_warnings(spec, found, email, restricted=restricted, granted=bool(add_rights))),
    )


def _check_spec(spec: ClientSpec, found: CurrentState, site: Site) -> None:
    client = found.client
    check_policy(spec, site)
    check_contact(spec.contact, client.contact if client else None, site)
    same_spelling("name", spec.name, client.name if client else None)
    if client is not None:
        conflicts.check_client(spec, client, found)


def make_step(action: Action, planned: str, done: str, **values: object) -> Step:
    """Return a step with the values filled into its two texts."""
    return Step(action, planned % values, done % values)


def token_step(expires_at: datetime, scopes: Iterable[str]) -> Step:
    """Return the step that issues an access token."""
    return make_step(
        Action.ISSUE_TOKEN,
        _("Would issue an access token that expires at %(end)s, with the scopes %(scopes)s."),
        _("Issued an access token that expires at %(end)s, with the scopes %(scopes)s."),
        end=f"{expires_at:%Y-%m-%d %H:%M} UTC",
        scopes=" ".join(scopes),
    )


def _plan_creation(spec: ClientSpec, found: CurrentState) -> list[Step]:
    """Return the step that registers the client and the step that creates its application, as far as needed."""
    steps = []
    if found.client is None:
        texts = _("Would register the API client %(name)s."), _("Registered the API client %(name)s.")
        steps.append(make_step(Action.CREATE_CLIENT, *texts, name=spec.name))
    if found.client is None or found.client.application is None:
        if found.client_id_owner is not None:
            same_spelling("client_id", spec.client_id or "", found.client_id_owner)
            raise conflict("client_id", _("another application has this client id; choose another one."))
        texts = (
            _("Would create the confidential application %(name)s for the client credentials grant."),
            _("Created the confidential application %(name)s for the client credentials grant."),
        )
        steps.append(make_step(Action.CREATE_APPLICATION, *texts, name=spec.name))
    return steps


def _plan_user(spec: ClientSpec, username: str, found: CurrentState, site: Site) -> tuple[list[Step], str]:
    user = found.user
    if user is not None:
        same_spelling("username", username, user.username)
        conflicts.check_user(spec, user)
        if user.linked:
            return [], user.email
        texts = (
            _("Would use the account %(user)s, which is %(rights)s, as the service user."),
            _("Used the account %(user)s, which is %(rights)s, as the service user."),
        )
        return [make_step(Action.USE_USER, *texts, user=user.username, rights=flags_in_words(user))], user.email
    email = email_wanted(spec, username, site.host)
    if found.username_problem is not None:
        raise InvalidSpec(found.username_problem, field="username")
    try:
        check_email("email", email)
    except InvalidSpec:  # The default for a username that is not allowed in an address
        message = _("the default %s is not a valid email address; pass one with --email.") % email
        raise InvalidSpec(message, field="email") from None
    if found.email_owner is not None:
        message = _("%(email)s belongs to the user %(user)s; choose another address.")
        raise conflict("email", message, email=email, user=found.email_owner)
    texts = (
        _("Would create the user %(user)s <%(email)s>, %(rights)s, with an unusable password."),
        _("Created the user %(user)s <%(email)s>, %(rights)s, with an unusable password."),
    )
    values = {"user": username, "email": email, "rights": flags_in_words(spec)}
    return [make_step(Action.CREATE_USER, *texts, **values)], email


# How the rights begin that we give to users; only the LMS gives its other roles.
_GIVEN = tuple(f"{CLIENT[name].singular}:" for name in USER_RIGHTS)


def _plan_rights(spec: ClientSpec, found: CurrentState) -> tuple[list[Step], frozenset[str], frozenset[str]]:
    wanted, user = spec.rights, found.user
    if wanted is None:
        return [], frozenset(), frozenset()
    has = user.rights if user is not None else frozenset()
    add = wanted - has
    remove: frozenset[str] = frozenset()
    if user is not None and user.made:  # Rights of an account that was not created here are never removed.
        remove = frozenset(right for right in has - wanted - user.declared_elsewhere if right.startswith(_GIVEN))
    if add and user is not None and not (user.made or spec.use_existing_user):
        message = _("the existing account %(user)s lacks %(rights)s; pass --use-existing-user to grant that.")
        raise conflict("username", message, user=user.username, rights=", ".join(sorted(add)))
    steps = []
    if add:
        texts = _("Would grant the user %(rights)s."), _("Granted the user %(rights)s.")
        steps.append(make_step(Action.CHANGE_RIGHTS, *texts, rights=", ".join(sorted(add))))
    if remove:
        texts = _("Would remove %(rights)s from the user."), _("Removed %(rights)s from the user.")
        steps.append(make_step(Action.CHANGE_RIGHTS, *texts, rights=", ".join(sorted(remove))))
    return steps, add, remove


def _plan_access(spec: ClientSpec, found: CurrentState, site: Site) -> tuple[list[Step], Access | None]:
    if not site.has_access:
        return [], None
    application = found.client.application if found.client else None
    has = application.access if application else Access()
    extra = tuple(scope for scope in spec.scopes or () if scope not in site.default_scopes)
    had = has
    if found.client is not None and application is None:  # It is made again, and gets what it was declared to have.
        had = Access(values_of("scope", found.client.declared), values_of("filter", found.client.declared))
    wanted = Access(had.scopes if spec.scopes is None else extra, had.filters if spec.filters is None else spec.filters)
    if application is not None and not (found.user and found.user.made):
        # As with rights: nothing is removed from an application that was not created here.
        wanted = Access(_union(has.scopes, wanted.scopes), _union(has.filters, wanted.filters))
    restrict = spec.restricted and not (application and application.restricted)
    if restrict and application and application.live_tokens:
        message = _("the client has an access token, which a restriction would not revoke; revoke it first.")
        raise conflict("restricted", message)
    if (set(wanted.scopes), set(wanted.filters)) == (set(has.scopes), set(has.filters)) and not restrict:
        return [], None
    _check_access_size(wanted)
    parts = [*(f"scope:{scope}" for scope in wanted.scopes), *(f"filter:{entry}" for entry in wanted.filters)]
    if spec.restricted:
        parts.append(_("restricted to these"))
    texts = (
        _("Would let the application request: %(access)s."),
        _("Let the application request: %(access)s."),
    )
    values = {"access": ", ".join(parts) or _("the default scopes only")}
    return [make_step(Action.SET_ACCESS, *texts, **values)], wanted


def _check_access_size(wanted: Access) -> None:
    for field_name, items in (("scopes", wanted.scopes), ("filters", wanted.filters)):
        if len(items) > ACCESS_ITEMS or any(len(item) > ACCESS_ITEM_LENGTH for item in items):
            message = _("at most %(items)d entries of at most %(length)d characters (LMS limit).")
            raise InvalidSpec(message % {"items": ACCESS_ITEMS, "length": ACCESS_ITEM_LENGTH}, field=field_name)


def _declared(spec: ClientSpec, found: CurrentState, access: Access | None) -> tuple[str, ...]:
    client, user = found.client, found.user
    declared = frozenset(client.declared if client else ())
    of_application = frozenset(right for right in declared if right.startswith(APPLICATION_RIGHTS))
    of_user = declared - of_application
    if user is not None and not user.made and not user.linked:
        of_user |= user.rights  # The rights of an existing account are accepted.
    if spec.rights is not None:
        of_user = spec.rights if user is None or user.made else of_user | spec.rights
    if access is None and client and not (client.application and spec.scopes is None and spec.filters is None):
        access = client.application.access if client.application else Access()
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
    if client is None or token is None or token.expires_at <= site.now:
        if not wants_token(spec, client, site):
            # A restricted client requests scopes with its client id and secret.
            return [], None, _union(site.default_scopes, spec.scopes or ()) if spec.restricted else ()
        conflicts.check_new_token(client, found)
        expires_at = token_end(spec, site, lifetime=client.token_lifetime if client else None)
        scopes = spec.scopes or site.default_scopes
        return [token_step(expires_at, scopes)], expires_at, scopes
    conflicts.check_token(spec, token, client.token_lifetime or site.lifetime, found)
    wanted = token.scopes if spec.scopes is None else spec.scopes or site.default_scopes
    if set(wanted) == set(token.scopes):
        return [], token.expires_at, token.scopes
    texts = (
        _("Would change the scopes of the access token from %(old)s to %(new)s."),
        _("Changed the scopes of the access token from %(old)s to %(new)s."),
    )
    step = make_step(Action.UPDATE_SCOPES, *texts, old=" ".join(token.scopes), new=" ".join(wanted))
    return [step], token.expires_at, wanted


def keep_flags(spec: ClientSpec, client: CurrentClient | None) -> ClientSpec:
    """Return the spec with omitted flags, and omitted rights of what is made again, as the client was provisioned."""
    flags = {"staff": client.is_staff, "superuser": client.is_superuser} if client is not None else {}
    kept: Any = {name: True for name, has in flags.items() if has and getattr(spec, name) is None}
    if client is not None and client.application is None and "restricted" in client.declared:
        kept["restricted"] = True
    if client is not None and client.user_pk is None and spec.rights is None:
        kept |= {name: had for name in USER_RIGHTS if (had := values_of(CLIENT[name].singular, client.declared))}
    # A copy is checked field by field, in a manifest of thousands too.
    return replace(spec, **kept) if kept else spec


def _registry_steps(spec: ClientSpec, client: CurrentClient, declared: tuple[str, ...]) -> list[Step]:
    steps = []
    fields = [(option.label, getattr(spec, name), getattr(client, name)) for name, option in STORED.items()]
    # Labels are translated only for a change: in a batch most clients already match.
    for label, wanted, existing in (
        *fields,
        (gettext_noop("declared rights"), " ".join(declared), " ".join(client.declared)),
    ):
        if wanted is not None and wanted != existing:
            texts = (
                _("Would change the %(what)s from %(old)s to %(new)s."),
                _("Changed the %(what)s from %(old)s to %(new)s."),
            )
            values = {"what": _(label), "old": _in_words(existing), "new": _in_words(wanted)}
            steps.append(make_step(Action.UPDATE_CLIENT, *texts, **values))
    return steps


def _in_words(value: str | bool | None) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return value or "-"


def _warnings(spec: ClientSpec, found: CurrentState, email: str, *, restricted: bool, granted: bool) -> Iterator[str]:
    if spec.is_superuser:
        yield _("a superuser client can read, change and delete everything on the site, including users.")
    elif spec.is_staff:
        yield _("a staff client can read and change nearly every course and learner record through the API.")
    if spec.filters and not restricted:
        yield _("filters have no effect on a client that is not restricted. Pass --restricted too.")
    if found.user is None and email.endswith(f"@{_NO_MAIL_DOMAIN}"):
        text = _(
            "the host of the site is not a mail domain, so the new user gets %s, which receives no mail. Pass --email."
        )
        yield text % email
    for key in sorted(found.unknown_courses if granted else ()):
        yield _("the LMS has no course %s; check the course key. The role has no effect until the course exists.") % key
