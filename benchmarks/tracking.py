"""What tracking adds to a commit: of one row through the ORM, and of ten thousand in one statement."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, create_engine, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from benchmarks.rounds import Record, compared, interleaved
from warmer import Warmer
from warmer.outbox import schema
from warmer.testing import PostgresServer

ROWS, MONTHS = 10_000, 12


class _Model(DeclarativeBase):
    pass


class _Delayed(_Model):
    __abstract__ = True

    id: Mapped[int] = mapped_column(primary_key=True)
    delay: Mapped[int]


class Line(_Delayed):
    """A row that a query depends on."""

    __tablename__ = "lines"

    month: Mapped[int]


class Note(_Delayed):
    """A row that no query depends on."""

    __tablename__ = "notes"


def measure(url: str) -> list[Record]:
    """On SQLite, in a file, and on PostgreSQL, which does not wait for its disk here."""
    with tempfile.TemporaryDirectory() as folder:
        records = _measured(url, "SQLite", f"sqlite:///{folder}/lines.db")
        server = PostgresServer.kept(Path(folder), os.getpid())
        with server.database() as database:
            records += _measured(url, "PostgreSQL", database)
    return records


def _measured(redis_url: str, name: str, database: str) -> list[Record]:
    plain, tracked = create_engine(database), create_engine(database)
    _prepare(plain)
    shop = Warmer("bench-t", redis_url=redis_url)

    @shop.cached(ttl=600, name=f"of-{name}", version="1", depends_on={Line: ("month",)})
    def of(month: int) -> int:
        return month

    shop.track(tracked)
    of(1)
    commits: dict[str, Callable[[], object]] = {
        "SQLAlchemy": lambda: _commit(plain, Line),
        "tracked, no query depends on the table": lambda: _commit(tracked, Note),
        "tracked": lambda: _commit(tracked, Line),
    }
    bulk: dict[str, Callable[[], object]] = {
        "SQLAlchemy": lambda: _update_all(plain),
        "tracked": lambda: _update_all(tracked),
    }
    records = compared(f"{name}: a commit of one row, ORM", interleaved(commits, 20))
    records += compared(f"{name}: an update of {ROWS:,} rows", interleaved(bulk, 1))
    shop.close()
    plain.dispose()
    tracked.dispose()
    return records


def _prepare(engine: Engine) -> None:
    with engine.begin() as connection:
        _Model.metadata.create_all(connection)
        schema.create(connection)
        lines = [{"id": n, "month": n % MONTHS + 1, "delay": 0} for n in range(1, ROWS + 1)]
        connection.execute(insert(Line), lines)
        connection.execute(insert(Note), [{"id": n, "delay": 0} for n in range(1, ROWS + 1)])


_numbers = itertools.cycle(range(1, ROWS + 1))


def _commit(engine: Engine, model: type[_Delayed]) -> None:
    with Session(engine) as session:
        session.get_one(model, next(_numbers)).delay += 1
        session.commit()


def _update_all(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(Line).values(delay=Line.delay + 1))
