"""Saving many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connections, router
from django.db.models import Model
from django.db.models.signals import post_save, pre_save


def insert(rows: Sequence[Model], *, key: str | None = None, saved_by: Callable[..., Any] = Model.save) -> None:
    """Save new rows of one model: more than one in one statement, with all that hears of each being saved.

    Args:
        key: a unique field, by which a database that does not tell the primary keys (MySQL) is asked for them; None if
            nobody needs to know them.
        saved_by: the ``save`` that is known to do nothing else to a new row. If the model has another, it is called.
    """
    if not rows:
        return
    model = type(rows[0])
    if len(rows) == 1 or model.save is not saved_by:
        for row in rows:
            row.save(force_insert=True)
        return
    using = router.db_for_write(model)
    # What Model.save_base sends.
    about = {"sender": model._meta.concrete_model, "raw": False, "using": using, "update_fields": None}
    for row in rows:
        pre_save.send(instance=row, **about)
    model._default_manager.using(using).bulk_create(rows)
    if key is not None and not connections[using].features.can_return_rows_from_bulk_insert:
        values = [getattr(row, key) for row in rows]
        keys = dict(model._default_manager.using(using).filter(**{f"{key}__in": values}).values_list(key, "pk"))
        for row in rows:
            row.pk = keys[getattr(row, key)]
    for row in rows:
        post_save.send(instance=row, created=True, **about)
