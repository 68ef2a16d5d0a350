"""Saving many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    if _one_by_one(rows, saved_by):
        for row in rows:
            row.save(force_insert=True)
        return
    model = type(rows[0])
    using = router.db_for_write(model)
    with _heard(rows, using, created=True):
        model._default_manager.using(using).bulk_create(rows)
        if key is not None and not connections[using].features.can_return_rows_from_bulk_insert:
            values = [getattr(row, key) for row in rows]
            keys = dict(model._default_manager.using(using).filter(**{f"{key}__in": values}).values_list(key, "pk"))
            for row in rows:
                row.pk = keys[getattr(row, key)]


def update(rows: Sequence[Model], *, but: str) -> None:
    """Save rows of one model that are there and locked, as :func:`insert`.

    Args:
        but: the field that is written when a row is made, and never again.
    """
    if _one_by_one(rows, Model.save):
        for row in rows:
            row.save(force_update=True)
        return
    model = type(rows[0])
    using = router.db_for_write(model)
    # Each meets itself by its primary key, and is updated.
    targeted = connections[using].features.supports_update_conflicts_with_target
    fields = [field.name for field in model._meta.concrete_fields if not field.primary_key and field.name != but]
    made = [getattr(row, but) for row in rows]
    with _heard(rows, using, created=False):
        model._default_manager.using(using).bulk_create(
            rows, update_conflicts=True, update_fields=fields, unique_fields=["pk"] if targeted else None
        )
        for row, value in zip(rows, made, strict=True):
            setattr(row, but, value)  # Which it has been given as if it was new.


def _one_by_one(rows: Sequence[Model], saved_by: Callable[..., Any]) -> bool:
    return len(rows) < 2 or type(rows[0]).save is not saved_by


@contextmanager
def _heard(rows: Sequence[Model], using: str, *, created: bool) -> Iterator[None]:
    """As by Model.save_base."""
    about = {"sender": rows[0]._meta.concrete_model, "raw": False, "using": using, "update_fields": None}
    for row in rows:
        pre_save.send(instance=row, **about)
    yield
    for row in rows:
        post_save.send(instance=row, created=created, **about)
