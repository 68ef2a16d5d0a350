"""Saving many new rows."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connections, router
from django.db.models import Model
from django.db.models.signals import post_save, pre_save


def insert(rows: Sequence[Model]) -> None:
    """Save new rows of one model.

    In one statement, where the database tells their keys and nobody listens to each being saved; else one by one.
    """
    if not rows:
        return
    model = type(rows[0])
    features = connections[router.db_for_write(model)].features
    heard = any(signal.has_listeners(model) for signal in (pre_save, post_save)) or model.save is not Model.save
    if len(rows) > 1 and features.can_return_rows_from_bulk_insert and not heard:
        model._default_manager.bulk_create(rows)
        return
    for row in rows:
        row.save(force_insert=True)
