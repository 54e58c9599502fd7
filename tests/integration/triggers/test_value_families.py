"""A trigger's row leads to the same names as what SQLAlchemy's capture tells, whatever a column holds."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    insert,
    text,
    update,
)
from sqlalchemy import Enum as EnumColumn

from tests.tracked import Foreign
from warmer import Query, Warmer, nullable
from warmer.triggers import install
from warmer.triggers.tables import wanted

EAST = timezone(timedelta(hours=5, minutes=30))


class Part(enum.Enum):
    MORNING = 1
    EVENING = 2


#: By column: its type, the annotation of its param, and what two rows hold.
FAMILIES: dict[str, tuple[Any, Any, Any, Any]] = {
    "words": (String(200), str, "Øre 'x' \\ {} %s \N{SNOWMAN}", "b" * 150),
    "padded": (CHAR(5), str, "UA", "AA"),
    "number": (Integer, int, 3, -4),
    "large": (BigInteger, int, 2**62, 0),
    "price": (Numeric(10, 2), Decimal, Decimal("3.00"), Decimal("0.1")),
    "share": (Float, float, 0.1 + 0.2, 3.0),
    "yes": (Boolean, bool, True, False),
    "day": (Date, date, date(2026, 11, 22), date(1, 1, 1)),
    "local": (DateTime, datetime, datetime(2026, 11, 22, 10, 15), datetime(2026, 3, 29, 2, 30, 0, 5)),
    "instant": (
        DateTime(timezone=True),
        datetime,
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        datetime(1999, 1, 1, tzinfo=EAST),
    ),
    "code": (Uuid, UUID, UUID(int=7), UUID("12345678123456781234567812345678")),
    "plain_code": (Uuid(native_uuid=False), UUID, UUID(int=8), UUID(int=9)),
    "bytes": (LargeBinary, bytes, b"\0\xff'", b""),
    "part": (EnumColumn(Part), Part, Part.MORNING, Part.EVENING),
    "empty": (String(9), str | None, None, ""),
}
#: Of a table that is named and not given, what a column may hold shows in its values only.
BY_NAME = ("words", "number", "price", "yes", "day", "code", "bytes")
SESSION = (
    "SET TimeZone = 'Asia/Kolkata'", "SET DateStyle = 'German, DMY'", "SET bytea_output = 'escape'",
    "SET extra_float_digits = -5", "SET standard_conforming_strings = off", "SET search_path = pg_catalog",
)  # fmt: skip


class Typed:
    """A table with a column of each family, two rows, and a query for each column."""

    def __init__(self, engine: Engine, namespace: str, redis_url: str, without: tuple[str, ...]) -> None:
        self.engine, self.flights = engine, Warmer(namespace, redis_url=redis_url)
        self.families = {name: told for name, told in FAMILIES.items() if name not in without}
        columns = [Column(name, told[0]) for name, told in self.families.items()]
        self.table = Table(
            "typed", MetaData(), Column("id", Integer, primary_key=True), *columns, Column("n", Integer)
        )
        self.table.metadata.create_all(engine)
        with engine.begin() as connection:
            for side in (2, 3):
                row = {name: told[side] for name, told in self.families.items()}
                connection.execute(insert(self.table).values(**row, id=side - 1, n=0))
        self.queries = {name: self._query(name, self.table, name) for name in self.families}
        self.queries |= {f"{name} by name": self._query(f"{name}-named", "typed", name) for name in BY_NAME}
        with engine.begin() as connection:
            install(connection, self.flights, wanted(self.flights)[0])
        self.flights.track(engine)

    def _query(self, query: str, table: Any, column: str) -> Query[[Any], int]:
        def load(value: Any) -> int:
            return 1

        # Two queries in one place of a file would be taken for one, declared twice.
        load.__code__ = load.__code__.replace(co_filename=f"<{query}>")
        load.__annotations__["value"] = self.families[column][1]
        shape = {table: {column: nullable("value") if column == "empty" else "value"}}
        return self.flights.cached(ttl=600, name=query, version="1", depends_on=shape)(load)

    def gone_after(self, write: Any) -> dict[str, list[str]]:
        """The queries whose entries are gone, of the first row's values and of the second's."""
        self.flights.relay()
        for name, query in self.queries.items():
            for side in (2, 3):
                query(self.families[name.partition(" ")[0]][side])
        write()
        self.flights.relay()
        sides = {"first": 2, "second": 3}
        return {
            word: [
                n
                for n, q in self.queries.items()
                if q.bind(self.families[n.partition(" ")[0]][side]).entry() is None
            ]
            for word, side in sides.items()
        }


@pytest.fixture
def typed(engine: Engine, namespace: str, redis_url: str) -> Iterator[Typed]:
    """On SQLite without instants: they are stored there without their zone."""
    made = Typed(engine, namespace, redis_url, ("instant",) if engine.dialect.name == "sqlite" else ())
    yield made
    made.flights.close()


def _by_orm(made: Typed, row: int) -> None:
    with made.engine.begin() as connection:
        connection.execute(update(made.table).where(made.table.c.id == row).values(n=made.table.c.n + 1))


def test_every_family_leads_to_the_entries_of_its_rows(typed: Typed, foreign: Foreign) -> None:
    """By a foreign session's SQL as through SQLAlchemy, all entries of the row go, and none of the other."""
    session = SESSION if typed.engine.dialect.name == "postgresql" else ()
    table = "public.typed" if session else "typed"
    every = list(typed.queries)

    assert typed.gone_after(lambda: _by_orm(typed, 1)) == {"first": every, "second": []}
    for row, gone in ((1, {"first": every, "second": []}), (2, {"first": [], "second": every})):
        statement = f"UPDATE {table} SET n = n + 1 WHERE id = {row}"
        assert typed.gone_after(lambda told=(*session, statement): foreign(*told)) == gone


def test_what_can_not_be_told_is_the_whole_table(
    engine: Engine, namespace: str, redis_url: str, foreign: Foreign
) -> None:
    """A value that no param can be compared with takes every entry, rather than none."""
    made = Typed(engine, namespace, redis_url, ())
    if engine.dialect.name == "sqlite":
        odd = ["UPDATE typed SET n = 1 WHERE id = 1"]
    else:
        odd = [
            "UPDATE typed SET price = 'NaN' WHERE id = 1",
            "UPDATE typed SET instant = 'infinity', price = 1 WHERE id = 1",
            "UPDATE typed SET instant = now(), day = '0044-03-15 BC' WHERE id = 1",
            "UPDATE typed SET day = now(), words = repeat('x', 5000) WHERE id = 1",
        ]
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE typed ALTER COLUMN words TYPE text"))
    every = list(made.queries)
    for statement in odd:
        assert made.gone_after(lambda told=statement: foreign(told)) == {"first": every, "second": every}
    made.flights.close()
