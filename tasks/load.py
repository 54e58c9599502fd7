"""Loads the flights: ``python -m tasks.load``, a few seconds, once. Running it again changes nothing.

SQLite is built in a file beside its place and appears there complete or not at all; PostgreSQL is filled
in one transaction. So a load that is killed leaves nothing half done, and of two at once one wins.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, Index, Table, create_engine, inspect, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from tasks import dataset
from tasks.db import database_url, sqlite_file
from tasks.models import Airline, Airport, Base, Flight, Plane, Weather
from warmer.outbox import schema

__all__ = ["Loaded", "load", "main"]

#: Rows between two calls of a progress callback: often enough to look alive, too seldom to cost anything.
_TICK_ROWS = 2_000

_SOURCES: tuple[tuple[type[Base], Callable[[Path], Iterator[dataset.Row]]], ...] = (
    (Airline, dataset.airlines),
    (Airport, dataset.airports),
    (Plane, dataset.planes),
    (Weather, dataset.weather),
    (Flight, dataset.flights),
)

#: Any number names the lock that keeps two loads of one PostgreSQL database apart.
_LOAD_LOCK = 20_130_101

Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load did: rows written (0 when the flights were there already) and seconds taken."""

    rows: int
    seconds: float
    already_there: bool


def load(url: URL | None = None, progress: Progress = lambda table, rows: None) -> Loaded:
    """Puts the flights into the database of ``url`` (by default that of ``tasks.db``), unless they are there.

    Creates the outbox beside them, where that is not there yet.

    ``progress(table, rows)`` is called every few thousand rows with the number of new ones.
    Raises dataset.DatasetMissing when the data is not installed.
    """
    began = time.perf_counter()
    target = url if url is not None else database_url()
    file = sqlite_file(target)
    rows = _load_sqlite(file, progress) if file is not None else _load_postgres(target, progress)
    _create_outbox(target)
    return Loaded(rows, time.perf_counter() - began, already_there=rows == 0)


def _create_outbox(url: URL) -> None:
    """The table that what ``tasks.db`` writes puts its changes into, as `warmer db create` makes it."""
    made = create_engine(url)
    try:
        with made.begin() as connection:
            schema.create(connection)
    finally:
        made.dispose()


def _load_sqlite(file: Path, progress: Progress) -> int:
    if file.exists():
        return 0
    file.parent.mkdir(parents=True, exist_ok=True)
    _sweep_dead_parts(file)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        rows = _build_sqlite(part, progress)
        os.link(part, file)  # unlike a rename, never replaces a file that another load has put there
    except FileExistsError:
        return 0
    finally:
        part.unlink(missing_ok=True)
    return rows


def _sweep_dead_parts(file: Path) -> None:
    """Removes what a killed load left behind; those of living processes stay."""
    for part in file.parent.glob(f"{file.name}.*.part"):
        pid = part.name.split(".")[-2]
        try:
            os.kill(int(pid), 0)
        except (ProcessLookupError, ValueError):
            part.unlink(missing_ok=True)
        except PermissionError:
            continue


def _build_sqlite(part: Path, progress: Progress) -> int:
    """Fills a new file. No journal and no fsync while it is built: nobody can see it before it is whole."""
    part.unlink(missing_ok=True)
    folder = dataset.data_folder()
    rows = 0
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        for table in Base.metadata.sorted_tables:
            connection.execute(str(CreateTable(table).compile(dialect=sqlite.dialect())))
        for model, source in _SOURCES:
            table = _table(model)
            insert = f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.columns))})"
            rows += connection.executemany(insert, _counted(source(folder), table.name, progress)).rowcount
        for index in _indexes():
            connection.execute(str(CreateIndex(index).compile(dialect=sqlite.dialect())))
        connection.execute("COMMIT")
        connection.execute("ANALYZE")
    _make_durable(part)
    return rows


def _make_durable(part: Path) -> None:
    """Write-ahead logging from here on (readers and the writer do not block each other), and on the disk."""
    with closing(sqlite3.connect(part)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load_postgres(url: URL, progress: Progress) -> int:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOAD_LOCK})
            if inspect(connection).has_table("flights"):
                return 0
            rows = _fill_postgres(connection, progress)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        return rows
    finally:
        engine.dispose()


def _fill_postgres(connection: Connection, progress: Progress) -> int:
    folder = dataset.data_folder()
    rows = 0
    for table in Base.metadata.sorted_tables:
        connection.execute(CreateTable(table))
    driver = connection.connection.driver_connection
    assert driver is not None, "a connection in use has a driver's connection"
    for model, source in _SOURCES:
        with driver.cursor() as cursor, cursor.copy(f"COPY {_table(model).name} FROM STDIN") as copy:
            for row in _counted(source(folder), _table(model).name, progress):
                copy.write_row(row)
                rows += 1
    for index in _indexes():
        connection.execute(CreateIndex(index))
    return rows


def _indexes() -> list[Index]:
    """Made after the rows are in: sorting once is faster than keeping order at each insert."""
    return [index for table in Base.metadata.sorted_tables for index in table.indexes]


def _table(model: type[Base]) -> Table:
    assert isinstance(model.__table__, Table)
    return model.__table__


def _counted(rows: Iterator[dataset.Row], table: str, progress: Progress) -> Iterator[dataset.Row]:
    """The same rows; tells ``progress`` of each few thousand that went by."""
    passed = 0
    for row in rows:
        yield row
        passed += 1
        if passed == _TICK_ROWS:
            progress(table, passed)
            passed = 0
    progress(table, passed)


def main() -> int:
    """The command line: loads with a progress bar, says what was done. 0, or 1 when the data is missing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Bar(*columns, console=console, transient=True) as bar:
            flights = bar.add_task("flights", total=dataset.FLIGHTS)
            done = load(progress=lambda table, rows: bar.advance(flights, rows if table == "flights" else 0))
    except dataset.DatasetMissing as missing:
        console.print(str(missing), style="red", highlight=False, soft_wrap=True)
        return 1
    where = database_url().render_as_string(hide_password=True)
    if done.already_there:
        console.print(f"The flights are in {where} already; nothing was changed.", soft_wrap=True)
    else:
        console.print(f"Loaded {done.rows:,} rows into {where} in {done.seconds:.1f} s.", soft_wrap=True)
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
