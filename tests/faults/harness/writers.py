"""Writers: each kind changes rows in its own way, and says what is promised once `commit()` has returned."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from tests.faults.harness.oracle import BOOKINGS, CARRIERS, FLIGHTS, GATES, SEATS, said, word
from tests.faults.harness.setting import Setting
from tests.faults.harness.tables import Booking, Flight, Gate, Queries, Seat, connect, declare
from warmer.errors import ReadError, ServerError
from warmer.outbox.applying import Applying

#: How often a commit of a writer is its last, or is held up, between COMMIT and invalidation.
_DEATHS, _STOPS = 0.01, 0.01

#: The name of the assertion.
OWN_COPY = "promise 1: a near copy of what this process has changed"

log = logging.getLogger(__name__)

#: What a kind of write has written: words by row.
Written = dict[int, int]


class Writer:
    """One writing process. Writes come from one thread, one after the other."""

    def __init__(self, setting: Setting, slot: int) -> None:
        self.setting, self.slot, self.oracle = setting, slot, setting.oracle
        self.dice = setting.dice("writer", slot)
        self.queries: Queries = declare(setting, connect(setting))
        self.plain, self.tracked = connect(setting), connect(setting)
        self.sent_at = self.answered_at = 0.0
        self.left: dict[int, str] = {}
        for engine in (self.plain, self.tracked):
            self._note_commits(engine)
        self.queries.namespace.track(self.tracked)
        self.sessions = sessionmaker(self.tracked)

    def _note_commits(self, engine: Engine) -> None:
        """Know when the database had answered COMMIT: what is tracked wraps this."""
        dialect: Any = engine.dialect
        commit = dialect.do_commit

        def do_commit(connection: Any) -> None:
            self.sent_at = time.monotonic()
            commit(connection)
            self.answered_at = time.monotonic()

        dialect.do_commit = do_commit

    @property
    def applied(self) -> int:
        """How many of this process's commits are confirmed."""
        return self.queries.namespace.runtime().counts.snapshot().get("commits_applied", 0)

    def begin(self, found: Iterable[Any], into: Written) -> None:
        """Note rows (number, version, carrier) that are written and locked, and not committed."""
        rows = list(found)
        flights = [number for number, *_ in rows if number in FLIGHTS]
        if flights:  # where they are still seen, as long as this is not committed
            known = select(Flight.id, Flight.carrier).where(Flight.id.in_(flights))
            with self.plain.connect() as connection:
                self.left |= dict(connection.execute(known).tuples().all())
        for number, version, *carrier in rows:
            self.oracle.begin(number, version)
            into[number] = word(version, *carrier)

    def write(self, kind: Callable[[Writer, Written], bool | None]) -> bool:
        """Write in one way, and publish it if it is confirmed; whether it was committed."""
        written: Written = {}
        before = self.applied
        try:
            confirmed = kind(self, written)
        except (SQLAlchemyError, ServerError) as exc:
            if not isinstance(exc, DBAPIError):
                log.warning("%s: %s: %s", kind.__name__, type(exc).__name__, exc)
            return False  # a deadlock, mostly; if it is committed, whoever looks at the outbox publishes it
        if confirmed if confirmed is not None else self.applied > before:
            now = time.monotonic()
            self.setting.took(now - self.sent_at, now - self.answered_at)
            for row, of in written.items():
                if row in FLIGHTS:
                    self.oracle.publish_flight(self.slot, row, of, [self.left[row]])
                else:
                    self.oracle.publish(self.slot, row, of)
            self._look_near(written)
        return True

    def _look_near(self, written: Written) -> None:
        """The process that wrote is served no copy of before, while others may be."""
        with contextlib.suppress(ReadError, ServerError):
            values = self.queries.nearby.get_many([(number,) for number in FLIGHTS])
            for number, value in zip(FLIGHTS, values, strict=True):
                if word(*value) < written.get(number, 0):
                    read, promised = said(word(*value)), said(written[number])
                    self.setting.wrong(OWN_COPY, what="nearby", row=number, read=read, promised=promised)


def by_orm(writer: Writer, written: Written) -> None:
    """One row, by the unit of work."""
    number = writer.dice.choice(FLIGHTS)
    with writer.sessions.begin() as session:
        _raise_version(writer, session, number, None, written)


def moved(writer: Writer, written: Written) -> None:
    """To another carrier, with a pause in which somebody else may move it, too."""
    number = writer.dice.choice(FLIGHTS)
    with writer.sessions.begin() as session:
        _raise_version(writer, session, number, writer.dice.choice(CARRIERS), written)


def _raise_version(
    writer: Writer, session: Session, number: int, carrier: str | None, written: Written
) -> None:
    flight = session.get_one(Flight, number)
    time.sleep(writer.dice.random() * 0.02)
    flight.version = Flight.version + 1  # what the database has, plus one
    if carrier is not None:
        flight.carrier = carrier
    session.flush()
    session.refresh(flight)
    writer.begin([(flight.id, flight.version, flight.carrier)], written)


def in_bulk(writer: Writer, written: Written) -> None:
    """All rows of a carrier, through the session; now and then they go to another."""
    values: dict[str, Any] = {"version": Flight.version + 1}
    if writer.dice.random() < 0.3:
        values["carrier"] = writer.dice.choice(CARRIERS)
    change = update(Flight).where(Flight.carrier == writer.dice.choice(CARRIERS)).values(**values)
    change = change.execution_options(synchronize_session=False)
    with writer.sessions.begin() as session:
        found = session.execute(change.returning(Flight.id, Flight.version, Flight.carrier))
        writer.begin(found, written)


def by_core(writer: Writer, written: Written) -> None:
    """One row, on a connection."""
    number = writer.dice.choice(FLIGHTS)
    with writer.tracked.begin() as connection:
        writer.begin(_raise_by_core(connection, number), written)


def _raise_by_core(connection: Connection, number: int) -> list[Any]:
    change = update(Flight).where(Flight.id == number).values(version=Flight.version + 1)
    return list(connection.execute(change.returning(Flight.id, Flight.version, Flight.carrier)))


def replaced(writer: Writer, written: Written) -> None:
    """Deleted and inserted anew, at another carrier maybe."""
    number, carrier = writer.dice.choice(FLIGHTS), writer.dice.choice(CARRIERS)
    with writer.tracked.begin() as connection:
        gone = delete(Flight).where(Flight.id == number).returning(Flight.version)
        version = connection.execute(gone).scalar_one() + 1
        connection.execute(insert(Flight).values(id=number, version=version, carrier=carrier))
        writer.begin([(number, version, carrier)], written)


def as_text(writer: Writer, written: Written) -> None:
    """SQL as text, through a tracked session."""
    change = text("UPDATE flights SET version = version + 1 WHERE id = :id RETURNING id, version, carrier")
    with writer.sessions.begin() as session:
        writer.begin(session.execute(change, {"id": writer.dice.choice(FLIGHTS)}), written)


def with_savepoint(writer: Writer, written: Written) -> None:
    """One savepoint is rolled back, another is not."""
    undone, kept = writer.dice.sample(FLIGHTS, 2)
    with writer.tracked.begin() as connection:
        inner = connection.begin_nested()
        writer.begin(_raise_by_core(connection, undone), {})
        inner.rollback()
        with connection.begin_nested():
            writer.begin(_raise_by_core(connection, kept), written)


def recorded(writer: Writer, written: Written) -> bool:
    """Past SQLAlchemy's tracking: the writer says itself what it changes, and applies it after COMMIT."""
    number, carrier = writer.dice.choice(FLIGHTS), writer.dice.choice(CARRIERS)
    with writer.plain.begin() as connection:
        found = select(Flight.carrier).where(Flight.id == number).with_for_update()
        old = {"id": number, "carrier": connection.execute(found).scalar_one()}
        change = update(Flight).where(Flight.id == number).values(version=Flight.version + 1, carrier=carrier)
        # SQLite has no lock for a row: what was read there counts if it is what the UPDATE finds.
        change = change.where(Flight.carrier == old["carrier"])
        writer.begin(connection.execute(change.returning(Flight.id, Flight.version, Flight.carrier)), written)
        driver = connection.connection.driver_connection
        made = writer.queries.namespace.record(driver, "flights", old=old, new=old | {"carrier": carrier})
    return made.apply()


def by_a_stranger(writer: Writer, written: Written) -> bool:
    """SQL of a program that never heard of Warmer: what its trigger tells is promised once it is applied."""
    carrier, more = writer.dice.choice(CARRIERS), writer.dice.choice(CARRIERS)
    change = text(
        "UPDATE flights SET version = version + 1, carrier = :more "
        "WHERE carrier = :carrier AND id % 3 = :part RETURNING id, version, carrier"
    )
    with writer.plain.begin() as connection:
        told = {"carrier": carrier, "more": more, "part": writer.dice.randrange(3)}
        writer.begin(connection.execute(change, told), written)
    return False


def before_its_commit(writer: Writer, written: Written) -> None:
    """Invalidates by hand inside the transaction: too early, were it not put off until the COMMIT."""
    number = writer.dice.choice(GATES)
    with writer.sessions.begin() as session:
        change = update(Gate).where(Gate.id == number).values(version=Gate.version + 1)
        change = change.execution_options(synchronize_session=False)
        writer.begin(session.execute(change.returning(Gate.id, Gate.version)), written)
        if writer.dice.random() < 0.5:
            writer.queries.gate.invalidate(number)
        else:
            writer.queries.namespace.invalidate_tags(f"gates:{number}")
        time.sleep(writer.dice.random() * 0.02)


def of_a_user(writer: Writer, written: Written) -> None:
    """A private row."""
    with writer.sessions.begin() as session:
        mine = session.get_one(Booking, writer.dice.choice(BOOKINGS))
        mine.version = Booking.version + 1
        session.flush()
        session.refresh(mine)
        writer.begin([(mine.user_id, mine.version)], written)


def put(writer: Writer, written: Written) -> None:
    """A row, and its new value put into the cache."""
    number = writer.dice.choice(FLIGHTS)
    with writer.queries.flight.writing(number) as writing:
        with writer.tracked.begin() as connection:
            found = _raise_by_core(connection, number)
            writer.begin(found, written)
        if found:  # it was not deleted and inserted anew meanwhile
            writing.put((found[0].version, found[0].carrier))


def put_inside(writer: Writer, written: Written) -> None:
    """A row, and its new value put into the transaction, which is rolled back now and then in part."""
    number = writer.dice.choice(FLIGHTS)
    with writer.tracked.begin() as connection:
        found = _raise_by_core(connection, number)
        writer.begin(found, written)
        with contextlib.suppress(_Undone), connection.begin_nested():
            writer.queries.flight.put((-1, "XX"), number)
            raise _Undone
        if found:  # it was not deleted and inserted anew meanwhile
            writer.queries.flight.put((found[0].version, found[0].carrier), number)
        time.sleep(writer.dice.random() * 0.02)


class _Undone(Exception):
    """Rolls a savepoint back."""


def of_a_seat(writer: Writer, written: Written) -> None:
    """What strict readers compare with the database."""
    number = writer.dice.choice(SEATS)
    with writer.tracked.begin() as connection:
        change = update(Seat).where(Seat.id == number).values(version=Seat.version + 1)
        writer.begin(connection.execute(change.returning(Seat.id, Seat.version)), written)


#: How often each kind is drawn.
_DRAWN: tuple[tuple[Callable[[Writer, Written], bool | None], int], ...] = (
    (by_orm, 4), (moved, 6), (in_bulk, 2), (by_core, 3), (replaced, 2), (as_text, 1), (with_savepoint, 2),
    (recorded, 2), (by_a_stranger, 2), (before_its_commit, 4), (of_a_user, 3), (put, 4), (put_inside, 4),
    (of_a_seat, 3),
)  # fmt: skip


def write(setting: Setting, slot: int) -> None:
    """A writer process, until the run stops. It is killed or held up by itself now and then."""
    writer = Writer(setting, slot)
    if not setting.calm:
        _fall_over(writer.dice)
    kinds, weights = zip(*_DRAWN, strict=True)
    pause = threading.Event()
    while not writer.oracle.stopped:
        pause.wait(writer.dice.random() * 2 * setting.pace_s)
        writer.write(writer.dice.choices(kinds, weights)[0])
    writer.queries.namespace.close()


def _fall_over(dice: random.Random) -> None:
    """Between a COMMIT and its invalidation, die or stop: whoever disturbs the run wakes who has stopped."""
    run = Applying.run

    def running(self: Applying) -> int:
        drawn = dice.random()
        if drawn < _DEATHS + _STOPS:
            os.kill(os.getpid(), signal.SIGKILL if drawn < _DEATHS else signal.SIGSTOP)
        return run(self)

    Applying.run = running  # type: ignore[method-assign]
