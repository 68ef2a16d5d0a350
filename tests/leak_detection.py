"""Everything that could be overheard while a secret is at hand, and every spelling that it could be overheard in."""

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
# Characters that come out differently in each spelling.
OWN_SECRET = "own \"secret\" <with> 'quotes' & blanks/+=%\\ 0123456789"
OWN_TOKEN = "own-token/with+signs.and~more_0123456789=="
# Where django-oauth-toolkit keeps them itself.
KEPT = {("oauth2_provider_application", "client_secret"), ("oauth2_provider_accesstoken", "token")}


@cache
def spellings(secret: str) -> dict[str, str]:
    """How a secret looks in the places where it might turn up."""
    value = secret.encode()
    return {
        "in clear": secret,
        "as a literal": repr(secret)[1:-1],
        "in JSON": json.dumps(secret)[1:-1],
        "in a URL": quote(secret, safe=""),
        "in the path of a URL": quote(secret),
        "in a form": quote_plus(secret),
        "in HTML": html.escape(secret),
        # Behind other bytes, as in HTTP Basic, it comes out in one of three ways; its ends depend on what is beside.
        **{f"in base64 at {at}": base64.b64encode(b"x" * at + value).decode()[4 : -6 if at else -4] for at in range(3)},
        "in URL-safe base64": base64.urlsafe_b64encode(value).decode()[:-4],
        "in hexadecimal": value.hex(),
    }


def found(secret: str, text: str) -> list[str]:
    """In which spellings a text holds a secret."""
    return [name for name, spelling in spellings(secret).items() if spelling in text]


def rows() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, but without what django-oauth-toolkit itself keeps of secrets and tokens."""
    tables = {}
    # Django's log is for what is listened to.
    with mock.patch.object(connection, "make_debug_cursor", connection.make_cursor), connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        one = "SELECT '{}' FROM (SELECT 1) AS one WHERE EXISTS (SELECT 1 FROM {})"
        cursor.execute(" UNION ALL ".join(one.format(name, connection.ops.quote_name(name)) for name in names))
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            columns = [column[0] for column in cursor.description]
            tables[table] = [
                {name: value for name, value in zip(columns, row, strict=True) if (table, name) not in KEPT}
                for row in cursor.fetchall()
            ]
    return tables


class Ears:
    """What is overheard from the moment they are there, from :func:`listening`."""

    def __init__(self, caplog: pytest.LogCaptureFixture, folder: Path) -> None:
        self.folder = folder
        self.secrets: list[str] = []
        """Every value that was a Secret meanwhile: given, generated or presented."""
        self.raised: list[BaseException] = []
        self.pages: list[HttpResponse] = []
        """Pages that are to show no secret."""
        self.delivered: set[Path] = set()
        """Files that hold secrets because the operator wants it so."""
        self.events: list[str] = []
        """Processes started, variables put into their environment, addresses called."""
        self.written: set[Path] = set()
        self._caplog = caplog

    def clear(self) -> None:
        for kept in (self.secrets, self.raised, self.pages, self.events, mail.outbox):
            kept.clear()
        self._caplog.clear()
        connection.queries_log.clear()

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What the interpreter does, by its audit events."""
        if event == "open":
            path, _mode, flags = arguments
            if flags & (os.O_WRONLY | os.O_RDWR) and isinstance(path, str | os.PathLike):
                self.written.add(Path(path).absolute())
        elif event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.putenv", "socket.connect"):
            self.events.append(f"{event} {arguments!r}")

    def heard(self) -> dict[str, str]:
        """Each source, and all that is heard from it."""
        records = [f"{record.getMessage()} {record.args!r} {vars(record)!r}" for record in self._caplog.records]
        return {
            "log": "\n".join([self._caplog.text, *records]),
            "SQL log": repr(connection.queries),
            "errors": "\n".join(map(_told, self.raised)),
            "mails": "\n".join(str(message.message()) + repr(vars(message)) for message in mail.outbox),
            "processes": "\n".join(self.events) + Path("/proc/self/cmdline").read_text(),
            "sessions": repr([session.get_decoded() for session in Session.objects.all()]),
            **{f"page {number}": _all_of(page) for number, page in enumerate(self.pages)},
            **{f"table {table}": repr(content) for table, content in rows().items()},
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
        """Which secret was heard where, and in which spelling."""
        sources = {**self.heard(), **{f"printed {number}": text for number, text in enumerate(more)}}
        # Shorter ones are no secrets: what stands where none was found.
        known = {secret for secret in (*self.secrets, *secrets) if len(secret) >= 30}
        return [
            f"{secret} {spelling}: {source}"
            for source, text in sources.items()
            for secret in known
            for spelling in found(secret, text)
        ]


def _told(error: BaseException) -> str:
    """All that a report of an error could hold: its traceback, and the variables of every function but the tests'."""
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


def _all_of(page: HttpResponse) -> str:
    contexts = [*page.context] if isinstance(page.context, ContextList) else [page.context]
    return "\n".join([page.content.decode(), repr(page.headers), str(page.cookies), repr(contexts)])


_listening: Ears | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening is not None:
        _listening.hear(event, arguments)


@cache
def _begin_audit() -> None:
    sys.addaudithook(_audit)  # There is no way to remove it.


@contextmanager
def _heeding(ears: Ears) -> Iterator[None]:
    global _listening
    _begin_audit()
    _listening = ears
    try:
        yield
    finally:
        _listening = None


@contextmanager
def listening(
    caplog: pytest.LogCaptureFixture, settings: Any, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> Iterator[Ears]:
    """With DEBUG on, so that the page of an error shows more than any mail about it, and every logger at DEBUG.

    Args:
        folder: made, to be home, working and temporary directory alike.
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
    ears, real = Ears(caplog, folder), Secret.__init__

    def made(secret: Secret, value: str) -> None:
        ears.secrets.append(value)
        real(secret, value)

    monkeypatch.setenv("MY_SECRET", OWN_SECRET)
    with mock.patch.object(Secret, "__init__", made), _heeding(ears):
        yield ears
    logging.root.manager._clear_cache()
