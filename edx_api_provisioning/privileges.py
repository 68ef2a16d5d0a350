"""Nobody makes or takes credentials of somebody with more rights than their own.

The doors that people log in to pass who is asking; the service functions ask here, with the service user locked.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Permission
from django.utils.translation import gettext as _

from edx_api_provisioning import grants, lms
from edx_api_provisioning.exceptions import NotAllowed
from edx_api_provisioning.planning import Access, Plan

_PERSON = "username:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """All that makes one account able to do more than another."""

    superuser: bool = False
    staff: bool = False
    others: frozenset[str] = frozenset()
    """Permissions, groups and roles as :mod:`~edx_api_provisioning.grants` writes them; what an application may ask
    for (``scope:…``, ``filter:…``); and what the LMS gives by user name (``name:…``)."""

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
        others=grants.user_rights(user)
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
    given = ((grants.user_rights(user) if user is not None else frozenset()) | plan.add_rights) - plan.remove_rights
    has = Access(*lms.access(application.pk)) if application is not None else Access()
    return Rights(
        superuser=plan.spec.superuser if user is None else user.is_superuser,
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


def require_no_more(rights: Rights, *, asked_by: Any) -> None:
    """Whether who is asking has all the rights that the credentials would carry.

    Raises:
        NotAllowed: if not, naming what is missing.
    """
    excess = rights.exceeds(rights_of(asked_by, foreign=True))
    if excess:
        shown = ", ".join(excess[:5]) + ("…" if len(excess) > 5 else "")
        raise NotAllowed(
            _("the service user has rights that you do not have: %s. Ask somebody who has them.") % shown,
            field="username",
        )
