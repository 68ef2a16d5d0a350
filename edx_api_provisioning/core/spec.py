"""Validate ``ClientSpec``: the wanted state of an API client."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.options import (
    CLIENT,
    EMAIL,
    MANIFEST,
    REASON,
    TEXT,
    USER_RIGHTS,
    ClientFields,
    Option,
    text_problem,
)
from edx_api_provisioning.core.secrets import Secret

COURSE_KEY = re.compile(r"course-v1:(?P<org>[\w.-]+)\+[\w.~-]+\+[\w.~-]+", re.ASCII)

# openedx/core/djangoapps/oauth_dispatch/models.py, ApplicationAccess: 25 items of 32 characters fit.
ACCESS_ITEMS, ACCESS_ITEM_LENGTH = 25, 32

OF_TOKEN = ("expires_in", "expires_at", "access_token")
"""The fields that only a client with an access token has: whoever gives one wants a token."""

MAX_GRACE = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSpec(ClientFields):
    """The wanted state of an API client.

    A value that is wrong on every site raises InvalidSpec. What depends on the site is checked by planning.
    """

    def __post_init__(self) -> None:
        for option in (*CLIENT.values(), MANIFEST):
            value = getattr(self, option.name)
            if isinstance(value, (str, tuple, Secret)):
                _check(option, value)
        if self.expires_in is not None and self.expires_at is not None:
            raise InvalidSpec(_("use either a lifetime or an expiry date, not both."), field="expires_at")
        if self.expires_in is not None and self.expires_in <= timedelta(0):
            raise InvalidSpec(_("use a time span above zero."), field="expires_in")
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise InvalidSpec(_("the time needs a time zone."), field="expires_at")
        for name in ("token", *OF_TOKEN):
            if getattr(self, name) not in (None, False) and (self.token is False or self.restricted):
                message = _("not allowed together with --no-token or --restricted, which issue no access token.")
                raise InvalidSpec(message, field=name)

    @property
    def is_staff(self) -> bool:
        """Return True for a superuser too: the LMS rejects one who is not staff on most endpoints."""
        return bool(self.staff or self.superuser)

    @property
    def is_superuser(self) -> bool:
        """Return True if the user must be a superuser."""
        return bool(self.superuser)

    @property
    def wants_token(self) -> bool | None:
        """Return whether an opaque access token is wanted; None if the client, or the site for a new one, decides.

        The LMS expires those of a restricted application.
        """
        if self.restricted:
            return False
        return True if any(getattr(self, name) is not None for name in OF_TOKEN) else self.token

    @property
    def rights(self) -> frozenset[str] | None:
        """Return the exact rights that the user must have, as in ``adapters.rights``; None to leave them alone."""
        wanted = {name: values for name in USER_RIGHTS if (values := getattr(self, name)) is not None}
        if not wanted:
            return None
        return frozenset(f"{CLIENT[name].singular}:{value}" for name, values in wanted.items() for value in values)

    @property
    def courses(self) -> frozenset[str]:
        """Return the keys of the courses in which the user must have a role."""
        places = (role.partition("@")[2] for role in self.course_roles or ())
        return frozenset(place for place in places if COURSE_KEY.fullmatch(place))


def change_client(name: str, declared: tuple[str, ...], given: Mapping[str, Any]) -> ClientSpec:
    """Return a spec that changes only the given fields of a client, which has these declared rights."""
    kept = {}
    if not set(given).isdisjoint(USER_RIGHTS):
        kept = {right: values_of(CLIENT[right].singular, declared) for right in USER_RIGHTS}
    return ClientSpec(name=name, **{**kept, **given})


def values_of(kind: str, rights: Iterable[str]) -> tuple[str, ...]:
    """Return the values of the rights of a kind, sorted: ``support`` of ``global_role:support``."""
    prefix = f"{kind}:"
    return tuple(right.removeprefix(prefix) for right in sorted(rights) if right.startswith(prefix))


def _check(option: Option, value: str | tuple[str, ...] | Secret) -> None:
    texts = value if isinstance(value, tuple) else [value.reveal() if isinstance(value, Secret) else value]
    for text in texts:
        if (problem := text_problem(option, text, _)) is not None:
            raise InvalidSpec(problem, field=option.name)
        if option.kind == EMAIL and text:
            check_email(option.name, text)


def check_line(field_name: str, text: str) -> None:
    """Raise InvalidSpec unless the text is one line that fits the registry."""
    _check(REASON._replace(name=field_name, kind=TEXT), text)


def check_email(field_name: str, address: str) -> None:
    """Raise InvalidSpec unless the address is valid and fits the users of the LMS."""
    try:
        validate_email(address)
        valid = len(address) <= (CLIENT["email"].max_length or 0)
    except ValidationError:
        valid = False
    if not valid:
        raise InvalidSpec(_(CLIENT["email"].error), field=field_name)
