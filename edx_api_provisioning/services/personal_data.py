"""Replace the email address and username of a person in all rows, history included."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from django.db.models import CharField, JSONField, Model, Q, QuerySet, TextField
from django.db.models.functions import Cast, Lower

from edx_api_provisioning.adapters import lms
from edx_api_provisioning.adapters.database import in_transaction
from edx_api_provisioning.core.authority import Authority
from edx_api_provisioning.core.exceptions import InvalidSpec
from edx_api_provisioning.core.spec import check_email
from edx_api_provisioning.models import ApiClient, ApiClientEvent
from edx_api_provisioning.services import registry


def replace_address(old: str, new: str, *, authority: Authority) -> int:
    """Replace an email address wherever it stands, in any spelling of its case; return the number of changed rows.

    The history tells of it without the address, for each client whose contact it was.

    Raises:
        InvalidSpec: if one of them is not an email address: another word may be a name or a state, and every text holds
            an empty one.
    """
    check_email("old", old)
    check_email("new", new)

    def work() -> int:
        clients = list(ApiClient.objects.filter(contact__iexact=old).order_by("pk").select_for_update())
        changed = sum(_replace(model, old, new) for model in (ApiClient, ApiClientEvent))
        details = {"steps": ["replace_address"]}
        registry.record([(client, registry.Kind.UPDATED, details) for client in clients], authority=authority)
        return changed

    return in_transaction(work)


def retire_person(user: Any) -> None:
    """Replace the email address and username of an account whose retirement the LMS has recorded."""
    retirement = lms.retirement_of(user)
    if retirement is None:
        return
    username, email, retired_username, retired_email = retirement
    with suppress(InvalidSpec):  # What is no address is no contact either.
        replace_address(email, retired_email, authority=Authority.operator("retirement of an account"))
    # An entry point comes first in an actor, and may be spelled like a username.
    before = "(?:(?<=: )|(?<=used by ))"
    in_transaction(lambda: _replace(ApiClientEvent, username, retired_username, before=before, only="actor"))


def _replace(model: type[Model], old: str, new: str, *, before: str = r"(?<![\w.@+-])", only: str = "") -> int:
    """Replace a word in the text columns of a table; return the number of changed rows.

    Args:
        before: a regular expression for the place at which the word begins.
        only: the name of the only column; empty for all.
    """
    fields = [field for field in model._meta.concrete_fields if isinstance(field, (CharField, JSONField, TextField))]
    fields = [field for field in fields if only in ("", field.name)]
    # MariaDB distinguishes between upper and lower case in JSON.
    texts = {f"{field.name}_text": Lower(Cast(field.name, TextField())) for field in fields}
    found = Q()
    for text in texts:
        found |= Q(**{f"{text}__contains": json.dumps(old.lower())[1:-1]})
    rows = QuerySet(model).alias(**texts).filter(found).values_list("pk", *(field.name for field in fields))
    word = re.compile(rf"{before}{re.escape(old)}(?!\.?[\w@+-])", re.IGNORECASE)
    changed = 0
    for pk, *values in rows:
        replaced = {field: _replaced(value, word, new) for field, value in zip(fields, values, strict=True)}
        columns = {
            field.name: value[: field.max_length] if isinstance(value, str) else value
            for field, value in replaced.items()
        }
        if list(columns.values()) != values:
            changed += QuerySet(model).filter(pk=pk).update(**columns)  # The manager of the history refuses changes.
    return changed


def _replaced(value: Any, word: re.Pattern[str], new: str) -> Any:
    if isinstance(value, str):
        return word.sub(lambda _match: new, value)
    if isinstance(value, list):
        return [_replaced(item, word, new) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, word, new) for key, item in value.items()}
    return value
