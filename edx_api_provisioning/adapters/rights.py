"""Rights as they lie in the database: those of a user, and what the LMS lets an application ask for.

A right is a string, ``kind:value``: ``permission:course_modes.change_coursemode``, ``group:name``,
``course_role:staff@course-v1:edX+DemoX+2026``, ``course_role:staff@edX`` (every course of an organization),
``global_role:support``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.utils.translation import gettext as _

from edx_api_provisioning.adapters import lms
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import InvalidSpec, NotAllowed
from edx_api_provisioning.core.planning import Plan
from edx_api_provisioning.core.state import Access


def user_rights(user: Any) -> frozenset[str]:
    """The rights that were given to the user itself; not what its groups bring."""
    return rights_of_users([user])[user.pk]


def rights_of_users(users: Collection[Any]) -> dict[Any, frozenset[str]]:
    """The rights that were given to each user itself, by primary key; in as many statements for many as for one."""
    rights: dict[Any, set[str]] = {user.pk: set() for user in users}
    if not rights:
        return {}
    permissions = Permission.objects.filter(user__in=rights)
    for pk, app_label, codename in permissions.values_list("user__pk", "content_type__app_label", "codename"):
        rights[pk].add(f"permission:{app_label}.{codename}")
    for pk, name in Group.objects.filter(user__in=rights).values_list("user__pk", "name"):
        rights[pk].add(f"group:{name}")
    roles = lms.course_roles(rights)
    return {pk: frozenset(given) | roles.get(pk, frozenset()) for pk, given in rights.items()}


def require_known(rights: Iterable[str]) -> None:
    """Whether the site has what the rights name.

    Raises:
        InvalidSpec: if it has no such permission, group or course roles at all.
    """
    for right in sorted(rights):
        kind, _colon, value = right.partition(":")
        if kind == "permission" and not _permissions(value):
            raise InvalidSpec(_("this site has no permission %s.") % value, field="permissions")
        if kind == "group" and not _groups(value):
            raise InvalidSpec(_("this site has no group %s.") % value, field="groups")
        if kind.endswith("_role") and not lms.has_course_roles():
            raise InvalidSpec(_("this site has no course access roles (student.CourseAccessRole)."), field=f"{kind}s")


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
        add=frozenset(right for right in add if "_role:" in right),
        remove=frozenset(right for right in remove if "_role:" in right),
    )


def _values(kind: str, rights: frozenset[str]) -> list[str]:
    return [right.partition(":")[2] for right in sorted(rights) if right.startswith(f"{kind}:")]


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
        """What of these rights is beyond ``limit``; a superuser lacks nothing."""
        if limit.superuser:
            return ()
        return (
            *([_("superuser")] if self.superuser else []),
            *([_("staff")] if self.staff and not limit.staff else []),
            *sorted(self.others - limit.others),
        )


def rights_of(user: Any, application: Any = None, *, foreign: bool = False) -> Rights:
    """The rights of an account, with what an application of it may ask for.

    Whether the account is active does not count: an inactive one may be activated tomorrow.

    Args:
        foreign: whether it may be a person's, not made here: then being that person is a right, which only the person
            and superusers have.
    """
    return Rights(
        superuser=user.is_superuser,
        staff=user.is_staff,
        others=user_rights(user)
        | group_permissions(user.groups.values_list("name", flat=True))
        | (Access(*lms.access(application.pk)).rights if application is not None else frozenset())
        | ({f"{_PERSON}{user.get_username()}"} if foreign else frozenset())
        | _by_name(user.get_username()),
    )


def rights_after(plan: Plan, user: Any, application: Any = None) -> Rights:
    """The rights of the service user once a plan is carried out.

    Args:
        user: None where it is yet to be made; the application too.
    """
    given = ((user_rights(user) if user is not None else frozenset()) | plan.add_rights) - plan.remove_rights
    has = Access(*lms.access(application.pk)) if application is not None else Access()
    return Rights(
        superuser=plan.spec.is_superuser if user is None else user.is_superuser,
        staff=plan.spec.is_staff if user is None else user.is_staff,
        others=given
        | group_permissions(right.removeprefix("group:") for right in given if right.startswith("group:"))
        | (has if plan.access is None else plan.access).rights
        | _by_name(plan.username),
    )


def application_rights(application: Any) -> tuple[str, ...]:
    """What an application may ask for beyond what any may."""
    return tuple(sorted(Access(*lms.access(application.pk)).rights)) if application is not None else ()


def group_permissions(names: Iterable[str]) -> frozenset[str]:
    """The permissions that groups bring."""
    rows = Permission.objects.filter(group__name__in=list(names)).values_list("content_type__app_label", "codename")
    return frozenset(f"permission:{app_label}.{codename}" for app_label, codename in rows)


def declared(rights: Rights) -> frozenset[str]:
    """What of these rights a registry row declares: all but what a name brings of itself."""
    return frozenset(right for right in rights.others if not right.startswith((_PERSON, "name:")))


def _by_name(username: str) -> AbstractSet[str]:
    """What the LMS lets an account do for its name alone (openedx/core/djangoapps/user_api/rules.py)."""
    worker = getattr(settings, "RETIREMENT_SERVICE_WORKER_USERNAME", None)
    return {"name:retirement"} if worker and username.lower() == worker.lower() else set()


def rights_wanted(username: str, *, staff: bool, superuser: bool, others: frozenset[str]) -> Rights:
    """The rights that an account will have once it is made or changed."""
    return Rights(superuser=superuser, staff=staff, others=others | _by_name(username))


def require_no_more(rights: Rights, *, authority: Authority) -> None:
    """Whether who is asking has all the rights that the credentials would carry.

    Raises:
        NotAllowed: if not, naming what is missing.
    """
    if authority.trusted:
        return
    excess = rights.exceeds(rights_of(authority.user, foreign=True))
    if excess:
        shown = ", ".join(excess[:5]) + ("…" if len(excess) > 5 else "")
        raise NotAllowed(
            _("the service user has rights that you do not have: %s. Ask somebody who has them.") % shown,
            field="username",
        )
