"""How we speak with the database: in one transaction, once more if another run came first, without logging secrets.

Its errors become one line each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from django.db import Error, IntegrityError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.models import F, Model
from django.db.models.signals import post_save, pre_save
from django.utils.translation import gettext as _

from edx_api_provisioning.core.exceptions import DatabaseFailure, NotMigrated, ProvisioningError
from edx_api_provisioning.core.secrets import scrub_tracebacks
from edx_api_provisioning.models import ApiClient

Result = TypeVar("Result")

_ATTEMPTS = 5

_within: ContextVar[bool] = ContextVar("within a transaction of ours", default=False)

# Deadlock, lock wait time-out (MySQL); deadlock, serialization failure, lock not available (PostgreSQL).
_PASSING = {1213, 1205, "40P01", "40001", "55P03"}


def connection() -> BaseDatabaseWrapper:
    """The connection that the registry is written through."""
    return connections[router.db_for_write(ApiClient)]


def read_with_retry(work: Callable[[], Result]) -> Result:
    """What ``work`` finds, writing nothing; it looks again, as in a transaction, if another run came between.

    Raises:
        NotMigrated, DatabaseFailure: as in a transaction.
    """
    with translate_errors(), no_sql_logging():
        return _repeated(work)


def in_transaction(work: Callable[[], Result]) -> Result:
    """What ``work`` returns, all of it in one transaction or nothing of it.

    If the database says that another run came first (a unique value is taken, a deadlock), the transaction is rolled
    back and ``work`` looks at the world again, a bounded number of times.

    Raises:
        NotMigrated, DatabaseFailure: for whatever else the database says; its own words may hold values, so they
            are not passed on.
    """
    if _within.get():
        # What takes the whole transaction with it is for the outermost to explain or repeat.
        return _repeated(partial(_once, work))
    outermost = _within.set(True)
    try:
        with translate_errors():
            return _repeated(partial(_once, work))
    finally:
        _within.reset(outermost)


def _repeated(work: Callable[[], Result]) -> Result:
    for _attempt in range(_ATTEMPTS - 1):
        try:
            return work()
        except Error as error:
            if not _may_pass(error):
                raise
    return work()


def _once(work: Callable[[], Result]) -> Result:
    wrapper = connection()
    if wrapper.errors_occurred and not wrapper.in_atomic_block and not wrapper.is_usable():
        wrapper.close()  # Django opens it again; by itself it does so between web requests only.
    finished = False
    try:
        with no_sql_logging(), transaction.atomic(using=wrapper.alias):
            if not wrapper.features.has_select_for_update:
                # SQLite has one lock for all writers, and refuses it at once to who has read before asking for it.
                ApiClient.objects.filter(pk=0).update(name=F("name"))
            result = work()
            finished = True
        return result
    except Error as error:
        if not finished or _may_pass(error):
            raise
        # The answer to COMMIT was lost on the way.
        raise DatabaseFailure(
            _("the database did not confirm it (%s): perhaps it was done. Look, and run the command again.")
            % _named(error)
        ) from None


def _may_pass(error: Error) -> bool:
    if isinstance(error, IntegrityError):
        return True
    # A deadlock takes the whole transaction with it: nothing to repeat where it is not ours, as in a web request.
    return not connection().in_atomic_block and _code(error) in _PASSING


def _code(error: Error) -> int | str | None:
    """The database's number for an error: MySQL's first argument, PostgreSQL's SQLSTATE."""
    sqlstate = getattr(error.__cause__, "sqlstate", None) or getattr(error.__cause__, "pgcode", None)
    first = error.args[0] if error.args else None
    return sqlstate or (first if isinstance(first, int) else None)


def _named(error: Error) -> str:
    return " ".join(str(part) for part in (type(error).__name__, _code(error)) if part)


class translate_errors:
    """A context that turns the database's errors into one line each."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Error):
            explanation = _explanation(error)
            # This function is part of the explanation's traceback: the error, which may hold values, is not to be.
            del error, _trace
            raise explanation from None


def _explanation(error: Error) -> ProvisioningError:
    if _migrations_missing():
        return NotMigrated(
            _("the registry's tables are missing or old; run: ./manage.py lms migrate edx_api_provisioning")
        )
    name = _named(error)
    if isinstance(error, IntegrityError):
        return DatabaseFailure(
            _(
                "the database refused a value as taken (%s), perhaps the user name or the email address in another "
                "spelling; nothing was changed. Choose another."
            )
            % name
        )
    return DatabaseFailure(
        _("the database did not do it (%s); nothing was changed. See its log, and run the command again.") % name
    )


def _migrations_missing() -> bool:
    try:
        loader = MigrationLoader(connection())
    except Error:
        return False
    ours = {key for key in loader.disk_migrations if key[0] == ApiClient._meta.app_label}
    return not ours <= set(loader.applied_migrations)


@contextmanager
def no_sql_logging() -> Iterator[None]:
    """Keep the statements of this thread's connection out of Django's SQL log, ``connection.queries`` and tracebacks.

    With ``DEBUG`` on they would hold the secrets, which DOT 1.7 stores in clear.
    """
    wrapper = connection()
    if "make_debug_cursor" in vars(wrapper):
        yield  # An outer block does it already.
        return
    wrapper.make_debug_cursor = wrapper.make_cursor  # type: ignore[method-assign, assignment]
    try:
        with scrub_tracebacks():
            yield
    finally:
        del wrapper.make_debug_cursor


def bulk_insert(rows: Sequence[Model], *, key: str | None = None, saved_by: Callable[..., Any] = Model.save) -> None:
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


def bulk_update(rows: Sequence[Model], *, but: str) -> None:
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
