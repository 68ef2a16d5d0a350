"""Run transactions with retries, translate database errors, keep secrets out of SQL logs, insert in bulk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.db import Error, IntegrityError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader
from django.db.models import F, Model
from django.db.models.signals import post_save, pre_save
from django.utils.translation import gettext as _

from edx_api_provisioning.adapters.database_errors import Problem, error_code, explain, named, problem_of
from edx_api_provisioning.core.exceptions import DatabaseFailure, NotMigrated, ProvisioningError
from edx_api_provisioning.core.secrets import scrub_tracebacks
from edx_api_provisioning.models import ApiClient

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_ATTEMPTS = 5

_within: ContextVar[bool] = ContextVar("within translate_errors", default=False)

# Deadlock, lock wait time-out (MySQL); deadlock, serialization failure, lock not available (PostgreSQL).
_TRANSIENT = {1213, 1205, "40P01", "40001", "55P03"}


def connection() -> BaseDatabaseWrapper:
    """Return the connection for writes to the registry."""
    return connections[router.db_for_write(ApiClient)]


class _WriteDatabase:
    """A database router: our reads decide on changes, so they never go to a replica, which lags behind."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return router.db_for_write(model, **hints) if _within.get() else None


_WRITE_DATABASE = _WriteDatabase()


def unsupported() -> Iterator[str]:
    """Return the settings of the site that this package does not work with, each with the remedy."""
    if not settings.USE_TZ:
        yield "USE_TZ is False, and API clients have times with a time zone. Set USE_TZ to True."
    if not connection().settings_dict["AUTOCOMMIT"]:
        yield f"DATABASES[{connection().alias!r}]['AUTOCOMMIT'] is False: nothing would be committed. Set it to True."
    related = [ApiClient._meta.get_field(name).related_model for name in ("user", "application", "access_token")]
    databases = {router.db_for_write(model) for model in (ApiClient, *related)}  # type: ignore[arg-type]
    if len(databases) > 1:
        yield (
            f"DATABASE_ROUTERS writes API clients, users, applications and access tokens to several databases "
            f"({', '.join(sorted(databases))}). Write them to one."
        )


def read_with_retry(work: Callable[[], Result]) -> Result:
    """Return the result of a read-only function; retry it, and raise errors, as :func:`in_transaction`."""
    with translate_errors(), no_sql_logging():
        return _retry(work)


def in_transaction(work: Callable[[], Result], *, durable: bool = False) -> Result:
    """Run a function in one transaction and return its result.

    After a conflict with another run (a unique value is taken, a deadlock) the transaction is rolled back and repeated,
    a limited number of times. A committed transaction is never repeated.

    Args:
        durable: refuse to be part of another transaction, which could be rolled back later.

    Raises:
        NotMigrated, DatabaseFailure: for any other database error. The driver's message may contain secrets and is
            not passed on.
    """
    with translate_errors():
        return _retry(partial(_once, work, durable))


def _retry(work: Callable[[], Result]) -> Result:
    for _attempt in range(_ATTEMPTS - 1):
        try:
            return work()
        except Error as error:
            if not _is_transient(error):
                raise
    return work()


def _once(work: Callable[[], Result], durable: bool) -> Result:
    wrapper = connection()
    if wrapper.connection and wrapper.errors_occurred and not wrapper.in_atomic_block and not wrapper.is_usable():
        wrapper.close()  # Django reconnects. By itself it does so between web requests only.
    finished = False
    committed: list[bool] = []
    try:
        with no_sql_logging(), transaction.atomic(using=wrapper.alias, durable=durable):
            transaction.on_commit(partial(committed.append, True), using=wrapper.alias)
            lock_writers()
            result = work()
            finished = True
        return result
    except Exception as error:
        if committed:
            logger.error("A hook that the site runs after the commit failed: %s", type(error).__name__)
            return result
        if not isinstance(error, Error) or not finished or _is_transient(error):
            raise
        # The response to COMMIT was lost, or it was interrupted. Then Django may have left a transaction open that it
        # knows nothing of: what came next on this connection would seem to be done, and never be committed.
        if not wrapper.in_atomic_block:
            wrapper.close()
        raise DatabaseFailure(
            _("the database did not confirm the commit (%s). Check the result, then run the command again.")
            % named(error)
        ) from None


def lock_writers() -> None:
    """Lock the database within a transaction where rows cannot be locked.

    SQLite has one lock for all writers, and refuses it to a transaction that has read before it writes.
    """
    wrapper = connection()
    if wrapper.in_atomic_block and not wrapper.features.has_select_for_update:
        ApiClient.objects.filter(pk=0).update(name=F("name"))


def _is_transient(error: Error) -> bool:
    if isinstance(error, IntegrityError):
        return problem_of(error) is not Problem.NOT_NULL
    # A deadlock rolls back the whole transaction, so it cannot be repeated inside another one, as in a web request.
    return not connection().in_atomic_block and error_code(error) in _TRANSIENT


class translate_errors:  # noqa: N801 - called like a function
    """A context manager that reads from the database for writes and translates its errors to errors of one line.

    Within another one errors pass: the outermost may have to repeat the whole transaction.
    """

    def __enter__(self) -> None:
        self._outermost: Token[bool] | None = None
        if _within.get():
            return
        for problem in unsupported():
            raise DatabaseFailure(problem)
        if _WRITE_DATABASE not in router.routers:
            router.routers.insert(0, _WRITE_DATABASE)
        self._outermost = _within.set(True)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self._outermost is None:
            return
        _within.reset(self._outermost)
        if isinstance(error, Error):
            explanation = _explanation(error)
            # The traceback of the explanation includes this frame, which must not hold the error and its values.
            del error, _trace
            raise explanation from None


def _explanation(error: Error) -> ProvisioningError:
    with suppress(Error):
        loader = MigrationLoader(connection())
        ours = {key for key in loader.disk_migrations if key[0] == ApiClient._meta.app_label}
        if not ours <= set(loader.applied_migrations):
            says = _("the tables of this package are missing or outdated; run: migrate edx_api_provisioning")
            return NotMigrated(says)
    return explain(error)


@contextmanager
def no_sql_logging() -> Iterator[None]:
    """Keep this thread's queries out of Django's SQL log, ``connection.queries`` and tracebacks.

    With ``DEBUG`` they would contain secrets, which DOT 1.7 stores in plaintext.
    """
    wrapper = connection()
    if "make_debug_cursor" in vars(wrapper):
        yield  # An outer block is active.
        return
    wrapper.make_debug_cursor = wrapper.make_cursor  # type: ignore[method-assign, assignment]
    try:
        with scrub_tracebacks():
            yield
    finally:
        del wrapper.make_debug_cursor


def bulk_insert(rows: Sequence[Model], *, key: str | None = None, saved_by: Callable[..., Any] = Model.save) -> None:
    """Insert rows of one model in one query, with pre_save and post_save for each.

    Args:
        key: a unique field by which to read back the primary keys from a database that does not return them (MySQL);
            None if they are not needed.
        saved_by: the expected ``save`` method. A model with another one is saved row by row.
    """
    if _one_by_one(rows, saved_by):
        for row in rows:
            row.save(force_insert=True)
        return
    model = type(rows[0])
    using = router.db_for_write(model)
    with _signals(rows, using, created=True):
        model._default_manager.using(using).bulk_create(rows)
        if key is not None and not connections[using].features.can_return_rows_from_bulk_insert:
            values = [getattr(row, key) for row in rows]
            keys = dict(model._default_manager.using(using).filter(**{f"{key}__in": values}).values_list(key, "pk"))
            for row in rows:
                row.pk = keys[getattr(row, key)]


def bulk_update(rows: Sequence[Model], *, but: str) -> None:
    """Update existing, locked rows of one model in one query; see :func:`bulk_insert`.

    The field ``but`` is set on insert only.
    """
    if _one_by_one(rows, Model.save):
        for row in rows:
            row.save(force_update=True)
        return
    model = type(rows[0])
    using = router.db_for_write(model)
    # An insert that conflicts with its own row by primary key updates it.
    targeted = connections[using].features.supports_update_conflicts_with_target
    fields = [field.name for field in model._meta.concrete_fields if not field.primary_key and field.name != but]
    made = [getattr(row, but) for row in rows]
    with _signals(rows, using, created=False):
        model._default_manager.using(using).bulk_create(
            rows, update_conflicts=True, update_fields=fields, unique_fields=["pk"] if targeted else None
        )
        for row, value in zip(rows, made, strict=True):
            setattr(row, but, value)  # bulk_create() has set it as for a new row.


def _one_by_one(rows: Sequence[Model], saved_by: Callable[..., Any]) -> bool:
    return len(rows) < 2 or type(rows[0]).save is not saved_by


@contextmanager
def _signals(rows: Sequence[Model], using: str, *, created: bool) -> Iterator[None]:
    """Send the signals of Model.save_base()."""
    about = {"sender": rows[0]._meta.concrete_model, "raw": False, "using": using, "update_fields": None}
    for row in rows:
        pre_save.send(instance=row, **about)
    yield
    for row in rows:
        post_save.send(instance=row, created=created, **about)
