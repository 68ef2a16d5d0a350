"""Rights as they lie in the database: those of a user, and what the LMS lets an application ask for.

A right is a string, ``kind:value``: ``permission:course_modes.change_coursemode``, ``group:name``,
``course_role:staff@course-v1:edX+DemoX+2026``, ``course_role:staff@edX`` (every course of an organization),
``global_role:support``. All that makes one account able to do more than another is such a right too: ``superuser``,
``staff``, scopes and filters of its application (``scope:…``, ``filter:…``), what the LMS permits by username
(``name:…``), and being a certain person (``username:…``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import lms, roles
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import InvalidSpec, NotAllowed
from edx_api_provisioning.core.planning import Plan
from edx_api_provisioning.core.spec import values_of
from edx_api_provisioning.core.state import Access
from edx_api_provisioning.core.text import suggest


def user_rights(user: Any) -> frozenset[str]:
    """Return the rights of the user itself, without those of its groups."""
    return rights_of_users([user.pk]).get(user.pk, frozenset())


def rights_of_users(users: Any) -> dict[Any, frozenset[str]]:
    """Return the rights given to users themselves (primary keys, as a list or a queryset), if they have any."""
    rights: dict[Any, set[str]] = defaultdict(set)
    permissions = Permission.objects.filter(user__in=users).order_by()
    for pk, app_label, codename in permissions.values_list("user__pk", "content_type__app_label", "codename"):
        rights[pk].add(f"permission:{app_label}.{codename}")
    for pk, name in Group.objects.filter(user__in=users).values_list("user__pk", "name"):
        rights[pk].add(f"group:{name}")
    for roles_of in (lms.course_roles(users), roles.roles_of_users(users)):
        for pk, found in roles_of.items():
            rights[pk] |= found
    return {pk: frozenset(found) for pk, found in rights.items()}


def require_known(rights: Iterable[str]) -> None:
    """Raise InvalidSpec if the site has no such permission, group or role."""
    for right in sorted(rights):
        kind, _colon, value = right.partition(":")
        if kind == "permission" and not _permissions(value):
            raise InvalidSpec(_("this site has no permission %s.") % value, field="permissions")
        if kind == "group" and not _groups(value):
            groups = Group.objects.values_list("name", flat=True)
            message = suggest(_("this site has no group %s.") % value, value, groups, all_known=False)
            raise InvalidSpec(message, field="groups")
        if kind.endswith("_role"):
            role, known = value.partition("@")[0], lms.registered_roles()
            if known is None:
                message = _("this site has no course access roles (student.CourseAccessRole).")
                raise InvalidSpec(message, field=f"{kind}s")
            if role not in known:
                raise InvalidSpec(suggest(_("this site has no role %s.") % role, role, known), field=f"{kind}s")


_COURSE_ROLES = ("course_role:", "global_role:")


def change_user_rights(user: Any, *, add: frozenset[str], remove: frozenset[str]) -> None:
    """Give the user some rights and take others; receivers of the site run where a row is made or deleted."""
    for kind, manager, rows in (
        ("permission", user.user_permissions, _permissions),
        ("group", user.groups, _groups),
    ):
        manager.remove(*[row for value in values_of(kind, remove) for row in rows(value)])
        manager.add(*[row for value in values_of(kind, add) for row in rows(value)])
    lms.change_course_roles(
        user,
        add=frozenset(right for right in add if right.startswith(_COURSE_ROLES)),
        remove=frozenset(right for right in remove if right.startswith(_COURSE_ROLES)),
    )


def _permissions(value: str) -> list[Permission]:
    app_label, _dot, codename = value.partition(".")
    found = Permission.objects.filter(content_type__app_label=app_label, codename=codename).order_by()
    # MySQL takes another spelling for the same.
    rows = found.select_related("content_type")
    return [row for row in rows if (row.content_type.app_label, row.codename) == (app_label, codename)]


def _groups(value: str) -> list[Group]:
    return [row for row in Group.objects.filter(name=value) if row.name == value]


_FLAGS = ("superuser", "staff")


def beyond(rights: AbstractSet[str], limit: AbstractSet[str] = frozenset()) -> tuple[str, ...]:
    """Return the rights beyond ``limit``, flags first and in words; nothing is beyond a superuser."""
    if "superuser" in limit:
        return ()
    excess = rights - limit
    words = {"superuser": _("superuser"), "staff": _("staff")}
    return (*(words[flag] for flag in _FLAGS if flag in excess), *sorted(excess - set(_FLAGS)))


def implied_rights(username: str, account: Any) -> frozenset[str]:
    """Return the rights that follow from the username and the flags of an account: of a user, a client or a spec.

    Source: openedx/core/djangoapps/user_api/rules.py.
    """
    worker = getattr(settings, "RETIREMENT_SERVICE_WORKER_USERNAME", None)
    has = {
        "superuser": account.is_superuser,
        "staff": account.is_staff,
        "name:retirement": worker and username.lower() == worker.lower(),
    }
    return frozenset(right for right, given in has.items() if given)


def rights_of(user: Any, application: Any = None, *, foreign: bool = False) -> frozenset[str]:
    """Return the rights of an account, with what its application may request.

    Whether the account is active does not count: an inactive one may be activated tomorrow.

    Args:
        foreign: whether it may be a person's, not made here: then being that person is a right, which only the person
            and superusers have.
    """
    loaded = load_rights([user.pk], [application.pk] if application is not None else [])
    return loaded.of(user, application) | _person(user.get_username(), foreign)


def _person(username: str, foreign: bool) -> set[str]:
    return {f"username:{username}"} if foreign else set()


@dataclass(frozen=True, slots=True)
class LoadedRights:
    """The rights of users and applications, as :func:`load_rights` read them."""

    given: Mapping[Any, frozenset[str]]
    """By the primary key of a user."""
    groups: Mapping[str, AbstractSet[str]]
    """The permissions that a group brings, by its name."""
    access: Mapping[Any, Access]
    """By the primary key of an application."""

    def of(self, user: Any, application: Any = None) -> frozenset[str]:
        """Return the rights of one of the users, with the access of one of the applications."""
        given = self.given.get(user.pk, frozenset())
        access = self.access.get(application.pk, Access()) if application is not None else Access()
        return given | self.of_groups(given) | access.rights | implied_rights(user.get_username(), user)

    def of_groups(self, rights: Iterable[str]) -> frozenset[str]:
        """Return the permissions that the groups among some rights bring."""
        return frozenset[str]().union(*(self.groups.get(name, ()) for name in values_of("group", rights)))


def load_rights(users: Any, applications: Any) -> LoadedRights:
    """Read the rights of users and applications (keys, as lists or querysets), with one statement for each kind."""
    given = rights_of_users(users)
    # With a queryset, callers may ask for groups that no user has.
    names = None if isinstance(users, QuerySet) else values_of("group", frozenset[str]().union(*given.values()))
    return LoadedRights(given, _permissions_of_groups(names), lms.accesses(applications))


def _permissions_of_groups(names: Sequence[str] | None) -> dict[str, set[str]]:
    """Return the permissions that groups bring, by their names; None for all groups."""
    which: dict[str, Any] = {"group__isnull": False} if names is None else {"group__name__in": names}
    rows = Permission.objects.filter(**which).order_by()
    found: dict[str, set[str]] = defaultdict(set)
    for name, app_label, codename in rows.values_list("group__name", "content_type__app_label", "codename"):
        found[name].add(f"permission:{app_label}.{codename}")
    return found


def rights_after(plan: Plan, user: Any, application: Any = None, *, foreign: bool = False) -> frozenset[str]:
    """Return the rights of the service user once a plan is carried out.

    Args:
        user: None where it is yet to be created; the application too.
        foreign: as for :func:`rights_of`.
    """
    has = user_rights(user) if user is not None else frozenset()
    given = (has | plan.add_rights) - plan.remove_rights
    access = lms.access(application) if plan.access is None else plan.access
    return given.union(
        *_permissions_of_groups(values_of("group", given)).values(),
        access.rights,
        implied_rights(plan.username, plan.spec if user is None else user),
        _person(plan.username, foreign),
    )


def limit_of(authority: Authority) -> frozenset[str]:
    """Return the rights that somebody who is not the operator can pass on.

    Those of a restricted credential are its scopes and filters: by JWT the LMS gives it nothing of its user's.
    """
    if authority.restricted:
        return Access(authority.scopes, authority.filters).rights
    return rights_of(authority.user, foreign=True)


def may_view_users(authority: Authority) -> bool:
    """Report whether messages may tell about accounts: their email addresses, flags, rights and activity."""
    meta = get_user_model()._meta
    permission = f"{meta.app_label}.view_{meta.model_name}"
    return authority.trusted or bool(not authority.restricted and authority.user.has_perm(permission))


def require_no_more(rights: AbstractSet[str], *, authority: Authority, restricted: bool, asked: bool = False) -> None:
    """Require that credentials would carry no rights that ``authority`` does not have.

    Args:
        restricted: whether the application of the credentials is restricted.
        asked: whether the rights are only those that were asked for, so that they may be named.

    Raises:
        NotAllowed: if they would, naming the excess to those who may know it.
    """
    if authority.trusted:
        return
    if authority.restricted and not asked:
        _require_restricted(rights, authority, restricted)
    excess = beyond(rights, limit_of(authority))
    if not excess:
        return
    message = _("the service user has rights that you do not have. Ask somebody who has them.")
    if asked or may_view_users(authority):
        shown = ", ".join(excess[:5]) + ("…" if len(excess) > 5 else "")
        message = _("the service user has rights that you do not have: %s. Ask somebody who has them.") % shown
    raise NotAllowed(message, field="username")


def _require_restricted(rights: AbstractSet[str], authority: Authority, restricted: bool) -> None:
    """Require a restricted application within the filters of a restricted credential."""
    if not restricted:
        raise NotAllowed(_("a restricted credential creates restricted clients only."), field="restricted")
    if not authority.within_filters(values_of("filter", rights)):
        message = _("give filters within those of your own credential: %s.")
        raise NotAllowed(message % (", ".join(authority.filters) or _("none")), field="filters")


def lock_user(user: Any) -> Any:
    """Lock an account until commit, so that nobody is promoted between the check and the use; return it as it is."""
    return get_user_model()._default_manager.select_for_update().get(pk=user.pk)
