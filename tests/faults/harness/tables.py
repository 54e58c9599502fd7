"""The tables, and the queries over them. Loads read first and pause then, so that writes overtake them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Engine, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import QueuePool

from tests.faults.harness.oracle import BOOKINGS, CARRIERS, FLIGHTS, GATES, SEATS, word
from tests.faults.harness.setting import Setting
from warmer import Query, Warmer, triggers
from warmer.near import copies
from warmer.outbox import schema
from warmer.triggers.tables import wanted

#: For so long an old value may be served: of a near copy, and by stale_after_write.
NEAR_S, LAG_S = 0.5, 0.7

__all__ = [
    "LAG_S", "NEAR_S",
    "Booking", "Flight", "Gate", "Model", "Queries", "Seat", "connect", "declare", "prepare", "truth",
    "watch_strangers",
]  # fmt: skip


class Model(DeclarativeBase):
    pass


class Flight(Model):
    __tablename__ = "flights"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    carrier: Mapped[str] = mapped_column(String(2))
    version: Mapped[int] = mapped_column(default=1)


class Gate(Model):
    """No query depends on this table: its writers invalidate by hand, before their COMMIT."""

    __tablename__ = "gates"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(default=1)


class Booking(Model):
    """What is private to a user."""

    __tablename__ = "bookings"

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(default=1)


class Seat(Model):
    """What the strict query reads."""

    __tablename__ = "seats"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(default=1)


@dataclass(frozen=True)
class Queries:
    """The queries of one process. Values: a flight's version and carrier, [number, version] of the others."""

    namespace: Warmer
    flight: Query[[int], tuple[int, str]]
    board: Query[[str], list[tuple[int, int]]]
    gate: Query[[int], int]
    booking: Query[[int], tuple[int, int]]
    seat: Query[[int], int]
    nearby: Query[[int], tuple[int, str]]
    lagging: Query[[int], tuple[int, str]]
    shelf: Query[[int, int], tuple[int, str]]


def connect(setting: Setting) -> Engine:
    """An engine on the database of the run, which nobody tracks."""
    if setting.database_url.startswith("sqlite"):
        return create_engine(
            setting.database_url,
            poolclass=QueuePool,
            connect_args={"timeout": 30, "check_same_thread": False},
        )
    return create_engine(setting.database_url, pool_size=8, max_overflow=8)


def prepare(setting: Setting) -> None:
    """Tables, outbox, and every row at version 1."""
    engine = connect(setting)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        Model.metadata.create_all(connection)
        schema.create(connection)
    with Session(engine) as session, session.begin():
        session.add_all(Flight(id=n, carrier=CARRIERS[n % len(CARRIERS)]) for n in FLIGHTS)
        session.add_all(Gate(id=n) for n in GATES)
        session.add_all(Booking(user_id=n) for n in BOOKINGS)
        session.add_all(Seat(id=n) for n in SEATS)
    engine.dispose()


def truth(session: Session) -> dict[int, int]:
    """Each row's word, as this transaction sees it."""
    words = {row.id: word(row.version, row.carrier) for row in session.execute(select(Flight.__table__))}
    for numbers in (select(Gate.id, Gate.version), select(Booking.user_id, Booking.version)):
        words |= {number: word(version) for number, version in session.execute(numbers)}
    return words | {
        number: word(version) for number, version in session.execute(select(Seat.id, Seat.version))
    }


def watch_strangers(queries: Queries, engine: Engine) -> None:
    """Triggers on the tables, for writers that never heard of Warmer."""
    with engine.begin() as connection:
        triggers.install(connection, queries.namespace, wanted(queries.namespace)[0])


def _loading(setting: Setting, engine: Engine) -> Callable[[Any], list[Any]]:
    """What gives a load the rows of a statement, with a pause on either side."""
    dice = setting.dice("loads")
    reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    def rows(statement: Any) -> list[Any]:
        time.sleep(dice.random() ** 4 * setting.load_s)
        with reading.connect() as connection:
            found = [tuple(row) for row in connection.execute(statement)]
        time.sleep(dice.random() ** 3 * setting.load_s)
        return found

    return rows


def declare(setting: Setting, engine: Engine, **settings: Any) -> Queries:
    """The queries, whose loads use this engine. settings: more of the namespace's."""
    races = Warmer(
        setting.namespace, redis_url=setting.redis_url, broker_url=setting.broker_url,
        database_url=setting.database_url, shards=setting.shards, lease=2, claim=2, relay_interval=0.2,
        command_timeout=0.5, invalidate_through="outbox" if setting.trust else "direct", **settings,
    )  # fmt: skip
    rows = _loading(setting, engine)
    consistency: Literal["eventual", "strict"] = "eventual" if setting.without == "strict" else "strict"
    # Long enough to be there still when the server is set back.
    lasts_s = 10 if setting.trust else 2
    options: dict[str, Any] = {"ttl": lasts_s, "grace": lasts_s, "version": "1", "wait": 20}

    def by_number(number: int) -> tuple[int, str]:
        version, carrier = rows(select(Flight.version, Flight.carrier).where(Flight.id == number))[0]
        return version, carrier

    by_id: dict[str, Any] = {"depends_on": {Flight: {"id": "number"}}, **options}
    copies.DEAR_BYTES = 0  # small ones are confirmed after a message, too
    flight = races.cached(name="flight", **by_id)(by_number)
    nearby = races.cached(name="nearby", near=NEAR_S, **by_id)(by_number)
    lagging = races.cached(name="lagging", stale_after_write=LAG_S, **by_id)(by_number)

    @races.cached(name="board", depends_on={Flight: ("carrier",)}, **options)
    def board(carrier: str) -> list[tuple[int, int]]:
        return rows(select(Flight.id, Flight.version).where(Flight.carrier == carrier).order_by(Flight.id))

    @races.cached(name="gate", tags=("gates:{number}",), **options)
    def gate(number: int) -> int:
        return int(rows(select(Gate.version).where(Gate.id == number))[0][0])

    @races.cached(name="booking", scope="user_id", depends_on={Booking: ("user_id",)}, **options)
    def booking(user_id: int) -> tuple[int, int]:
        owner, version = rows(select(Booking.user_id, Booking.version).where(Booking.user_id == user_id))[0]
        return owner, version

    @races.cached(name="seat", depends_on={Seat: {"id": "number"}}, consistency=consistency, **options)
    def seat(number: int) -> int:
        return int(rows(select(Seat.version).where(Seat.id == number))[0][0])

    return Queries(races, flight, board, gate, booking, seat, nearby, lagging, _shelf(races, by_number))


def _shelf(races: Warmer, load: Callable[[int], tuple[int, str]]) -> Query[[int, int], tuple[int, str]]:
    """Many entries of each flight, which nobody keeps warm."""

    @races.cached(
        ttl=60, name="shelf", version="1", wait=20, keep_warm=False, depends_on={Flight: {"id": "number"}}
    )
    def shelf(number: int, copy: int) -> tuple[int, str]:
        return load(number)

    return shelf
