"""The database the queries run on: SQLite in ``.warmer/flights.db``, or what WARMER_DATABASE_URL names.

Importing this module connects to nothing: an engine is made by the first session of a process, and a
forked child makes its own (a connection used on both sides of a fork corrupts both).
Readers get sessions that cannot write; what writes (``tasks.desk``) asks for that by name, and is tracked:
its commits drop what shows the rows that they change.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from tasks import flights

__all__ = [
    "FlightsNotLoaded",
    "WriteSession",
    "close",
    "database_url",
    "engine",
    "read_session",
    "sqlite_file",
    "write_session",
]

#: Where the flights are kept when WARMER_DATABASE_URL says nothing, seen from the current directory.
DEFAULT_FILE = Path(".warmer") / "flights.db"

#: How long a statement waits for another's write before "database is locked", in seconds. The writers here
#: hold the lock for milliseconds; too low shows as errors under load, too high hides a stuck writer.
BUSY_TIMEOUT_S = 10

#: The most a connection keeps of the database in memory, in KiB: all of flights fits.
SQLITE_CACHE_KIB = 64 * 1024

#: How much of the database a reading connection maps: each commit by another empties its cache, and mapped
#: pages are there again without a system call. A scan after a write: 105 ms in place of 120.
SQLITE_MMAP_BYTES = 256 * 1024 * 1024

#: Connections of one process; more threads than this wait for one of them.
POOL_SIZE = 8

#: Names a file to which each statement of a query adds one byte: for counting over many processes, as the
#: demo does.
STATEMENT_LOG_VARIABLE = "FLIGHTS_STATEMENT_LOG"

_engines: dict[bool, Engine] = {}
_making = threading.Lock()


class FlightsNotLoaded(RuntimeError):
    """The SQLite file is not there yet; nothing was created in its place."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.file = file

    def __str__(self) -> str:
        return (
            f"no flights at {self.file}, and nothing was created there. Load them with "
            "`python -m tasks.load`, or set WARMER_DATABASE_URL to a database that has them."
        )


def database_url() -> URL:
    """WARMER_DATABASE_URL, else SQLite in ``.warmer/flights.db`` of the current directory."""
    given = os.environ.get("WARMER_DATABASE_URL")
    return make_url(given) if given else URL.create("sqlite", database=str(DEFAULT_FILE.absolute()))


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite URL; None for another database."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database)


def engine(*, writing: bool = False) -> Engine:
    """This process's engine, made on first use. ``writing=False`` gives connections that refuse to write."""
    with _making:
        found = _engines.get(writing)
        if found is None:
            found = _engines[writing] = _make_engine(database_url(), writing)
        return found


def read_session() -> Session:
    """A session for a query: opened for one load, closed after it, unable to write.

    Raises FlightsNotLoaded when the SQLite file is missing.
    """
    return Session(engine())


class WriteSession(Session):
    """A session that may write. Whatever is written through one reaches the cache by itself."""

    def get_bind(self, *_: Any, **__: Any) -> Engine:
        """This process's engine for writing. Raises FlightsNotLoaded when the SQLite file is missing."""
        return engine(writing=True)


flights.track(WriteSession)


def write_session() -> WriteSession:
    """A session that may write."""
    return WriteSession()


def close() -> None:
    """Closes this process's connections. The next session connects to what is set by then."""
    with _making:
        for made in _engines.values():
            made.dispose()
        _engines.clear()


def _make_engine(url: URL, writing: bool) -> Engine:
    made = _connect_with(url, writing)
    log = os.environ.get(STATEMENT_LOG_VARIABLE)
    if log and not writing:
        _count_statements(made, Path(log))
    return made


def _connect_with(url: URL, writing: bool) -> Engine:
    file = sqlite_file(url)
    if file is None:
        made = create_engine(url, pool_size=POOL_SIZE, pool_pre_ping=True)
        return made if writing else made.execution_options(postgresql_readonly=True)
    if not file.is_file():
        raise FlightsNotLoaded(str(file))
    made = create_engine(
        url, pool_size=POOL_SIZE, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    )
    event.listen(made, "connect", _prepare_writing if writing else _prepare_reading)
    return made


def _count_statements(engine: Engine, log: Path) -> None:
    """One byte a statement, appended: the file's size is the count, whoever else writes to it."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    event.listen(engine, "before_cursor_execute", lambda *_: os.write(descriptor, b"."))


def _prepare_writing(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.execute(f"PRAGMA cache_size = -{SQLITE_CACHE_KIB}")
    connection.execute("PRAGMA foreign_keys = ON")


def _prepare_reading(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.execute(f"PRAGMA cache_size = -{SQLITE_CACHE_KIB}")
    connection.execute(f"PRAGMA mmap_size = {SQLITE_MMAP_BYTES}")
    connection.execute("PRAGMA query_only = ON")


def _leave_to_parent() -> None:
    """In a forked child: drop the parent's connections without closing them, they are still in its use."""
    global _making
    _making = threading.Lock()
    for inherited in _engines.values():
        inherited.dispose(close=False)
    _engines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
