"""Rights as they lie in the database: those of a user, and what the LMS lets an application ask for.

A right is a string, ``kind:value``: ``permission:course_modes.change_coursemode``, ``group:name``,
``course_role:staff@course-v1:edX+DemoX+2026``, ``course_role:staff@edX`` (every course of an organization),
``global_role:support``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
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
from edx_api_provisioning.core.state import Access
from edx_api_provisioning.core.text import suggest


def user_rights(user: Any) -> frozenset[str]:
    """Return the rights of the user itself, without those of its groups."""
    return rights_of_users([user])[user.pk]


def rights_of_users(users: Collection[Any]) -> dict[Any, frozenset[str]]:
    """Return the rights of each user itself by primary key; the number of queries does not grow with the users."""
    pks = [user.pk for user in users]
    given = _given(pks) if pks else {}
    return {pk: given.get(pk, frozenset()) for pk in pks}


def _given(users: Any) -> dict[Any, frozenset[str]]:
    """Return the rights given to users themselves, by primary key; a user without any is left out.

    Args:
        users: their primary keys, as a list or a queryset.
    """
    rights: dict[Any, set[str]] = defaultdict(set)
    permissions = Permission.objects.filter(user__in=users)
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
        if kind.endswith("_role") and not lms.has_course_roles():
            raise InvalidSpec(_("this site has no course access roles (student.CourseAccessRole)."), field=f"{kind}s")
        if kind.endswith("_role"):
            _require_role(value.partition("@")[0], field=f"{kind}s")


def _require_role(role: str, *, field: str) -> None:
    roles = lms.registered_roles()
    if role not in roles:
        raise InvalidSpec(suggest(_("this site has no role %s.") % role, role, roles), field=field)


_COURSE_ROLES = ("course_role:", "global_role:")


def change_user_rights(user: Any, *, add: frozenset[str], remove: frozenset[str]) -> None:
    """Give the user some rights and take others; receivers of the site run where a row is made or deleted."""
    for kind, manager, rows in (
        ("permission", user.user_permissions, _permissions),
        ("group", user.groups, _groups),
    ):
        manager.remove(*[row for value in _values(kind, remove) for row in rows(value)])
        manager.add(*[row for value in _values(kind, add) for row in rows(value)])
    lms.change_course_roles(
        user,
        add=frozenset(right for right in add if right.startswith(_COURSE_ROLES)),
        remove=frozenset(right for right in remove if right.startswith(_COURSE_ROLES)),
    )


def _values(kind: str, rights: frozenset[str]) -> list[str]:
    return [_name(right) for right in sorted(rights) if right.startswith(f"{kind}:")]


def _permissions(value: str) -> list[Permission]:
    app_label, _dot, codename = value.partition(".")
    found = Permission.objects.filter(content_type__app_label=app_label, codename=codename)
    # MySQL takes another spelling for the same.
    return [row for row in found.select_related("content_type") if _permission_name(row) == value]


def _permission_name(row: Permission) -> str:
    return f"{row.content_type.app_label}.{row.codename}"


def _groups(value: str) -> list[Group]:
    return [row for row in Group.objects.filter(name=value) if row.name == value]


_PERSON = "username:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """All that makes one account able to do more than another."""

    superuser: bool = False
    staff: bool = False
    others: frozenset[str] = frozenset()
    """Permissions, groups and roles as ``kind:value``, the scopes and filters of the application (``scope:…``,
    ``filter:…``), and what the LMS permits by username (``name:…``)."""

    def exceeds(self, limit: Rights) -> tuple[str, ...]:
        """Return the rights beyond ``limit``; nothing is beyond a superuser."""
        if limit.superuser:
            return ()
        return (
            *([_("superuser")] if self.superuser else []),
            *([_("staff")] if self.staff and not limit.staff else []),
            *sorted(self.others - limit.others),
        )


def rights_of(user: Any, application: Any = None, *, foreign: bool = False) -> Rights:
    """Return the rights of an account, with what its application may request.

    Whether the account is active does not count: an inactive one may be activated tomorrow.

    Args:
        foreign: whether it may be a person's, not made here: then being that person is a right, which only the person
            and superusers have.
    """
    loaded = load_rights([user.pk], [application.pk] if application is not None else [])
    found = loaded.of(user, application)
    return replace(found, others=found.others | {f"{_PERSON}{user.get_username()}"}) if foreign else found


@dataclass(frozen=True, slots=True)
class LoadedRights:
    """The rights of users and applications, as :func:`load_rights` read them."""

    given: Mapping[Any, frozenset[str]]
    """By the primary key of a user."""
    groups: Mapping[str, AbstractSet[str]]
    """The permissions that a group brings, by its name."""
    access: Mapping[Any, Access]
    """By the primary key of an application."""

    def of(self, user: Any, application: Any = None) -> Rights:
        """Return the rights of one of the users, with the access of one of the applications."""
        given = self.given.get(user.pk, frozenset())
        access = self.access.get(application.pk, Access()) if application is not None else Access()
        return Rights(
            superuser=user.is_superuser,
            staff=user.is_staff,
            others=given | self.of_groups(given) | access.rights | _by_name(user.get_username()),
        )

    def of_groups(self, rights: Iterable[str]) -> frozenset[str]:
        """Return the permissions that the groups among some rights bring."""
        return frozenset[str]().union(*(self.groups.get(_name(right), ()) for right in rights if _is_group(right)))


def load_rights(users: Any, applications: Any) -> LoadedRights:
    """Read the rights of any number of users and applications, with one statement for each kind of right.

    Args:
        users, applications: their primary keys, as a list or a queryset.
    """
    given = _given(users)
    names = {_name(right) for rights in given.values() for right in rights if _is_group(right)}
    # With a queryset, callers may ask for groups that no user has.
    which: dict[str, Any] = {"group__isnull": False} if isinstance(users, QuerySet) else {"group__name__in": names}
    rows = Permission.objects.filter(**which)
    groups: dict[str, set[str]] = defaultdict(set)
    for name, app_label, codename in rows.values_list("group__name", "content_type__app_label", "codename"):
        groups[name].add(f"permission:{app_label}.{codename}")
    return LoadedRights(given, groups, {pk: Access(*found) for pk, found in lms.accesses(applications).items()})


def _is_group(right: str) -> bool:
    return right.startswith("group:")


def _name(right: str) -> str:
    return right.partition(":")[2]


def rights_after(plan: Plan, user: Any, application: Any = None, *, foreign: bool = False) -> Rights:
    """Return the rights of the service user once a plan is carried out.

    Args:
        user: None where it is yet to be created; the application too.
        foreign: as for :func:`rights_of`.
    """
    given = ((user_rights(user) if user is not None else frozenset()) | plan.add_rights) - plan.remove_rights
    has = Access(*lms.access(application.pk)) if application is not None else Access()
    return Rights(
        superuser=plan.spec.is_superuser if user is None else user.is_superuser,
        staff=plan.spec.is_staff if user is None else user.is_staff,
        others=given
        | group_permissions(_name(right) for right in given if _is_group(right))
        | (has if plan.access is None else plan.access).rights
        | ({f"{_PERSON}{plan.username}"} if foreign else frozenset())
        | _by_name(plan.username),
    )


def application_rights(application: Any) -> tuple[str, ...]:
    """Return what an application may request beyond the default."""
    return tuple(sorted(Access(*lms.access(application.pk)).rights)) if application is not None else ()


def group_permissions(names: Iterable[str]) -> frozenset[str]:
    """Return the permissions of groups."""
    rows = Permission.objects.filter(group__name__in=list(names)).values_list("content_type__app_label", "codename")
    return frozenset(f"permission:{app_label}.{codename}" for app_label, codename in rows)


def declared(rights: Rights) -> frozenset[str]:
    """Return the rights to store as declared: all except those implied by the username."""
    return frozenset(right for right in rights.others if not right.startswith((_PERSON, "name:")))


def _by_name(username: str) -> AbstractSet[str]:
    """Return the rights that the LMS grants by username alone (openedx/core/djangoapps/user_api/rules.py)."""
    worker = getattr(settings, "RETIREMENT_SERVICE_WORKER_USERNAME", None)
    return {"name:retirement"} if worker and username.lower() == worker.lower() else set()


def rights_wanted(username: str, *, staff: bool, superuser: bool, others: frozenset[str]) -> Rights:
    """Return the rights that an account will have after the plan is executed."""
    return Rights(superuser=superuser, staff=staff, others=others | _by_name(username))


def grown(before: Rights, after: Rights) -> Rights:
    """Return the rights that are new."""
    return Rights(
        superuser=after.superuser and not before.superuser,
        staff=after.staff and not before.staff,
        others=after.others - before.others,
    )


def limit_of(authority: Authority) -> Rights:
    """Return the rights that somebody who is not the operator can pass on.

    Those of a restricted credential are its scopes and filters: by JWT the LMS gives it nothing of its user's.
    """
    if authority.restricted:
        return Rights(others=Access(authority.scopes, authority.filters).rights)
    return rights_of(authority.user, foreign=True)


def may_view_users(authority: Authority) -> bool:
    """Report whether messages may tell about accounts: their email addresses, flags, rights and activity."""
    meta = get_user_model()._meta
    permission = f"{meta.app_label}.view_{meta.model_name}"
    return authority.trusted or bool(not authority.restricted and authority.user.has_perm(permission))


def require_no_more(rights: Rights, *, authority: Authority, restricted: bool, asked: bool = False) -> None:
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
    excess = rights.exceeds(limit_of(authority))
    if not excess:
        return
    if not (asked or may_view_users(authority)):
        raise NotAllowed(
            _("the service user has rights that you do not have. Ask somebody who has them."), field="username"
        )
    shown = ", ".join(excess[:5]) + ("…" if len(excess) > 5 else "")
    raise NotAllowed(
        _("the service user has rights that you do not have: %s. Ask somebody who has them.") % shown,
        field="username",
    )


def _require_restricted(rights: Rights, authority: Authority, restricted: bool) -> None:
    """Require a restricted application within the filters of a restricted credential."""
    if not restricted:
        raise NotAllowed(_("a restricted credential creates restricted clients only."), field="restricted")
    filters = tuple(right.partition(":")[2] for right in rights.others if right.startswith("filter:"))
    if not authority.within_filters(filters):
        raise NotAllowed(
            _("give filters within those of your own credential: %s.") % (", ".join(authority.filters) or _("none")),
            field="filters",
        )


def lock_user(user: Any) -> Any:
    """Lock an account until commit, so that nobody is promoted between the check and the use; return it as it is."""
    return get_user_model()._default_manager.select_for_update().get(pk=user.pk)
