"""Detect secrets in every place where they could leak, in every encoding."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest import mock
from urllib.parse import quote, quote_plus

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection
from django.http import HttpResponse
from django.test.utils import ContextList

from edx_api_provisioning.core.secrets import Secret

TESTS = str(Path(__file__).parent)
# Characters that differ in each encoding.
OWN_SECRET = "own \"secret\" <with> 'quotes' & blanks/+=%\\ 0123456789"
OWN_TOKEN = "own-token/with+signs.and~more_0123456789=="
# Columns in which django-oauth-toolkit stores secrets itself.
STORED_BY_DOT = {("oauth2_provider_application", "client_secret"), ("oauth2_provider_accesstoken", "token")}


@cache
def encodings(secret: str) -> dict[str, str]:
    """Return the encodings in which a secret might appear."""
    value = secret.encode()
    return {
        "in clear": secret,
        "as a literal": repr(secret)[1:-1],
        "in JSON": json.dumps(secret)[1:-1],
        "in a URL": quote(secret, safe=""),
        "in the path of a URL": quote(secret),
        "in a form": quote_plus(secret),
        "in HTML": html.escape(secret),
        # After other bytes, as in HTTP Basic, there are three encodings; the ends depend on the neighbors.
        **{f"in base64 at {at}": base64.b64encode(b"x" * at + value).decode()[4 : -6 if at else -4] for at in range(3)},
        "in URL-safe base64": base64.urlsafe_b64encode(value).decode()[:-4],
        "in hexadecimal": value.hex(),
    }


def find_encodings(secret: str, text: str) -> list[str]:
    """Return the encodings in which the text contains the secret."""
    return [name for name, encoding in encodings(secret).items() if encoding in text]


def table_rows() -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table, except the secrets and tokens that django-oauth-toolkit stores itself."""
    tables = {}
    # Keep these statements out of Django's SQL log.
    with mock.patch.object(connection, "make_debug_cursor", connection.make_cursor), connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        one = "SELECT '{}' FROM (SELECT 1) AS one WHERE EXISTS (SELECT 1 FROM {})"
        cursor.execute(" UNION ALL ".join(one.format(name, connection.ops.quote_name(name)) for name in names))
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            columns = [column[0] for column in cursor.description]
            tables[table] = [
                {name: value for name, value in zip(columns, row, strict=True) if (table, name) not in STORED_BY_DOT}
                for row in cursor.fetchall()
            ]
    return tables


class LeakDetector:
    """Records everything that could leak a secret; created by :func:`detecting_leaks`."""

    def __init__(self, caplog: pytest.LogCaptureFixture, folder: Path) -> None:
        self.folder = folder
        self.secrets: list[str] = []
        """Every value of a Secret created meanwhile: given, generated or presented."""
        self.raised: list[BaseException] = []
        self.pages: list[HttpResponse] = []
        """Pages that must not show a secret."""
        self.delivered: set[Path] = set()
        """Files that contain secrets on purpose."""
        self.events: list[str] = []
        """Processes started, environment variables set, addresses connected to."""
        self.written: set[Path] = set()
        self._caplog = caplog

    def clear(self) -> None:
        for kept in (self.secrets, self.raised, self.pages, self.events, mail.outbox):
            kept.clear()
        self._caplog.clear()
        connection.queries_log.clear()

    def record_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record an audit event of the interpreter."""
        if event == "open":
            path, _mode, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR) and isinstance(path, str | os.PathLike):
                self.written.add(Path(path).absolute())
        elif event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.putenv", "socket.connect"):
            self.events.append(f"{event} {arguments!r}")

    def sources(self) -> dict[str, str]:
        """Return the recorded text of each source."""
        records = [f"{record.getMessage()} {record.args!r} {vars(record)!r}" for record in self._caplog.records]
        return {
            "log": "\n".join([self._caplog.text, *records]),
            "SQL log": repr(connection.queries),
            "errors": "\n".join(map(_error_report, self.raised)),
            "mails": "\n".join(str(message.message()) + repr(vars(message)) for message in mail.outbox),
            "processes": "\n".join(self.events) + Path("/proc/self/cmdline").read_text(),
            "sessions": repr([session.get_decoded() for session in Session.objects.all()]),
            **{f"page {number}": _page_text(page) for number, page in enumerate(self.pages)},
            **{f"table {table}": repr(content) for table, content in table_rows().items()},
            **{f"file {path}": path.read_bytes().decode("latin-1") for path in self._files()},
        }

    def _files(self) -> Iterator[Path]:
        below = {path.absolute() for path in self.folder.rglob("*")}
        for path in (below | self.written) - self.delivered:
            # Staged credentials are published by the next run; until then they are as private as the file itself.
            private = path.is_file() and path.stat().st_mode & 0o777 == 0o600
            if path.is_file() and not (private and path.name.startswith(".api-client-")):
                yield path

    def leaks(self, *more: str, secrets: tuple[str, ...] = ()) -> list[str]:
        """Return each leaked secret with its encoding and source."""
        sources = {**self.sources(), **{f"printed {number}": text for number, text in enumerate(more)}}
        # Shorter values are not secrets: they stand for missing ones.
        known = {secret for secret in (*self.secrets, *secrets) if len(secret) >= 30}
        return [
            f"{secret} {encoding}: {source}"
            for source, text in sources.items()
            for secret in known
            for encoding in find_encodings(secret, text)
        ]


def _error_report(error: BaseException) -> str:
    """Return the text of an error report: the traceback and local variables, except those of the tests."""
    told = ["".join(traceback.format_exception(error)), repr(error.args)]
    link: BaseException | None = error
    while link is not None:
        told += [repr(dict(frame.tb_frame.f_locals)) for frame in _frames(link.__traceback__)]
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\n".join(told)


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(TESTS):
            yield trace
        trace = trace.tb_next


def _page_text(page: HttpResponse) -> str:
    contexts = [*page.context] if isinstance(page.context, ContextList) else [page.context]
    return "\n".join([page.content.decode(), repr(page.headers), str(page.cookies), repr(contexts)])


_active: LeakDetector | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _active is not None:
        _active.record_event(event, arguments)


@cache
def _begin_audit() -> None:
    sys.addaudithook(_audit)  # Audit hooks cannot be removed.


@contextmanager
def _auditing(leak_detector: LeakDetector) -> Iterator[None]:
    global _active
    _begin_audit()
    _active = leak_detector
    try:
        yield
    finally:
        _active = None


@contextmanager
def detecting_leaks(
    caplog: pytest.LogCaptureFixture, settings: Any, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Iterator[LeakDetector]:
    """Switch on DEBUG and all loggers, and record everything that could leak a secret.

    Args:
        folder: created as home, working and temporary directory.
    """
    settings.DEBUG = True
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    connection.queries_log.clear()
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    for logger in [logging.root, *loggers]:
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        logger.manager._clear_cache()
    caplog.set_level(logging.DEBUG)
    leak_detector, real = LeakDetector(caplog, folder), Secret.__init__

    def made(secret: Secret, value: str) -> None:
        leak_detector.secrets.append(value)
        real(secret, value)

    monkeypatch.setenv("MY_SECRET", OWN_SECRET)
    with mock.patch.object(Secret, "__init__", made), _auditing(leak_detector):
        yield leak_detector
    logging.root.manager._clear_cache()
