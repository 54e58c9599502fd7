"""What capture tells of, triggers leave to it; what it can't see, they tell, in the same transaction, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    Table,
    delete,
    event,
    insert,
    select,
    text,
    update,
)  # fmt: skip
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.tracked import Bag, Flight, Foreign, Tracked, crews
from warmer.outbox.schema import outbox
from warmer.triggers import install
from warmer.triggers.tables import wanted

JANUARY, FEBRUARY, OTHER = ("UA", 1), ("UA", 2), ("AA", 1)


@pytest.fixture
def said(made: Tracked) -> Iterator[Any]:
    """How many rows of the outbox a write leaves: (its own, the triggers')."""

    def count(write: Any) -> tuple[int, int]:
        with made.sessions() as session:
            before = {row for (row,) in session.execute(select(outbox.c.id))}
        with made.sessions.begin() as session:
            write(session)
        with made.sessions() as session:
            rows = session.execute(select(outbox.c.id, outbox.c.own)).all()
        own = [row.own for row in rows if row.id not in before]
        return own.count(True), own.count(False)

    yield count
    left = "SELECT count(*) FROM warmer_covered"
    if made.engine.dialect.name == "sqlite":
        with made.engine.connect() as connection:
            assert connection.exec_driver_sql(left).scalar_one() == 0


WRITES: tuple[Callable[[Session], object], ...] = (
    lambda s: s.add(Flight(carrier="UA", month=1)),
    lambda s: s.add_all([Flight(carrier="UA", month=1), Flight(carrier="AA", month=1)]),
    lambda s: s.execute(insert(Flight), [{"carrier": "UA", "month": 1, "delay": n} for n in range(99)]),
    lambda s: setattr(s.get_one(Flight, 1), "month", 2),
    lambda s: s.execute(update(Flight).values(delay=3)),
    lambda s: s.execute(delete(Flight).where(Flight.id == 3)),
    lambda s: s.execute(update(Flight), [{"id": 1, "delay": 3}, {"id": 2, "delay": 4}]),
    lambda s: s.execute(insert(crews), [{"flight_id": 1, "person_id": 1}]),
    lambda s: s.execute(text("UPDATE flights SET delay = 4 -- why")),
    # More often than a driver prepares a statement by itself.
    lambda s: [s.execute(update(Flight).where(Flight.id == n % 2).values(delay=n)) for n in range(9)],
)


def test_what_capture_tells_is_told_once(said: Any) -> None:
    """A tracked write leaves one row, its own, whatever kind of statement made it."""
    assert [said(write) for write in WRITES] == [(1, 0)] * len(WRITES)


def test_what_capture_does_not_see_is_told(said: Any, made: Tracked) -> None:
    """SQL past SQLAlchemy is told by its trigger, also after a statement that capture told."""

    def write(session: Session) -> None:
        session.execute(update(Flight).where(Flight.id == 1).values(delay=1))
        raw = session.connection().connection.cursor()
        raw.execute("UPDATE flights SET delay = 5 WHERE id = 3")
        raw.close()

    made.fill()
    assert said(write) == (1, 1)
    made.flights.relay()
    assert made.gone() == {JANUARY, OTHER}


def test_a_savepoint_that_is_rolled_back_hides_nothing(said: Any, made: Tracked) -> None:
    """Tracked writes that are undone, or that fail, leave no mark behind which another's could be lost."""

    def write(session: Session) -> None:
        with session.begin_nested() as undone:
            session.execute(update(Flight).where(Flight.id == 2).values(delay=1))
            undone.rollback()
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(insert(Flight).values(id=1, carrier="UA", month=2, delay=0))
        raw = session.connection().connection.cursor()
        raw.execute("UPDATE flights SET delay = 5 WHERE id = 3")
        raw.close()

    made.fill()
    assert said(write)[1] >= 1
    made.flights.relay()
    assert made.gone() - {FEBRUARY} == {OTHER}


def test_cascades_are_told(said: Any, made: Tracked, foreign: Foreign) -> None:
    """Rows that the database deletes with a tracked row are told by it, whatever SQLAlchemy knows of them."""
    foreign("INSERT INTO bags (flight_id) VALUES (2)")
    event.listen(made.engine, "connect", _foreign_keys)
    made.engine.dispose()
    made.flights.relay()

    own, told = said(lambda s: s.execute(delete(Flight).where(Flight.id == 2)))

    assert (own, told) == (1, 1)


def _foreign_keys(raw: Any, _: Any) -> None:
    if type(raw).__module__.startswith("sqlite3"):
        raw.execute("PRAGMA foreign_keys = ON")


def test_cascades_within_a_table_are_told(made: Tracked, foreign: Foreign) -> None:
    """Rows that go with others of their own table are told, though capture told of the statement."""
    foreign("CREATE TABLE parts (id integer PRIMARY KEY, whole integer REFERENCES parts ON DELETE CASCADE)")
    foreign("INSERT INTO parts VALUES (1, NULL)", "INSERT INTO parts VALUES (2, 1)")
    event.listen(made.engine, "connect", _foreign_keys)
    made.engine.dispose()
    parts = Table("parts", MetaData(), Column("id", Integer, primary_key=True))

    @made.flights.cached(ttl=600, name="parts", version="1", depends_on={parts: ("id",)})
    def part(id: int) -> int:
        return id

    with made.engine.begin() as connection:
        install(connection, made.flights, wanted(made.flights)[0])
    made.flights.track(made.engine)
    part(1), part(2), part(3)
    with made.engine.begin() as connection:
        connection.execute(delete(parts).where(parts.c.id == 1))
    made.flights.relay()

    assert [part.bind(n).entry() is None for n in (1, 2, 3)] == [True, True, False]


BEFORE = {
    "sqlite": [
        """CREATE TRIGGER theirs AFTER UPDATE ON flights WHEN NEW.id = 1 AND OLD.delay <> NEW.delay
        BEGIN UPDATE flights SET delay = 9 WHERE id = 3; END"""
    ],
    "postgresql": [
        """CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF pg_trigger_depth() < 2 THEN
        UPDATE flights SET delay = 9 WHERE id = 3; END IF; RETURN NULL; END $$""",
        "CREATE TRIGGER theirs AFTER UPDATE ON flights FOR EACH STATEMENT EXECUTE FUNCTION late()",
    ],
}


def test_what_anothers_trigger_writes_is_told(said: Any, made: Tracked, foreign: Foreign) -> None:
    """A trigger of the project's own moves another row of the very table: that row's entries go, too."""
    foreign(*BEFORE[made.engine.dialect.name])
    made.fill()

    said(lambda s: s.execute(update(Flight).where(Flight.id == 1).values(delay=1)))
    made.flights.relay()

    assert made.gone() == {JANUARY, OTHER}


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has no functions of its own
def test_what_a_function_writes_is_told(said: Any, made: Tracked, foreign: Foreign) -> None:
    """PostgreSQL: a function that a statement calls is not hidden by what capture told of the statement."""
    foreign(
        "CREATE FUNCTION other() RETURNS int LANGUAGE sql AS "
        "$$ UPDATE flights SET delay = 9 WHERE id = 3 RETURNING 1 $$"
    )
    made.fill()

    assert said(lambda s: s.execute(text("SELECT other()"))) == (0, 1)
    calls = update(Flight).where(Flight.id == 1).values(delay=text("other()"))
    assert said(lambda s: s.execute(calls)) == (1, 1)
    made.flights.relay()

    assert made.gone() == {JANUARY, OTHER}


def test_statements_that_commit_by_themselves_are_told_by_triggers(said: Any, made: Tracked) -> None:
    """A write without a transaction is one with what its trigger says; capture's row comes after it."""
    made.flights.track(made.engine)
    with made.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(update(Flight).where(Flight.id == 1).values(delay=1))
        rows = connection.execute(select(outbox.c.own)).scalars().all()

    assert sorted(rows) == [False, True]


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_an_open_transaction_hides_nothing_of_others(made: Tracked, foreign: Foreign) -> None:
    """What others write to a table that a tracked transaction has written to is told."""
    made.fill()
    with made.sessions() as session:
        session.execute(update(Flight).where(Flight.id == 1).values(delay=1))
        foreign("UPDATE flights SET delay = 2 WHERE id = 3")
        session.rollback()
    made.flights.relay()

    assert made.gone() == {OTHER}


def test_only_where_triggers_stand_is_a_statement_marked(made: Tracked, engine: Engine) -> None:
    """A statement on a table without triggers runs as it was written."""
    seen: list[str] = []
    event.listen(engine, "after_cursor_execute", lambda c, cursor, sql, *_: seen.append(sql))
    with made.sessions.begin() as session:
        session.add(Bag(flight_id=1))
        session.execute(text("UPDATE people SET id = id"))

    marked = {table: any(table in sql and "/*warmer:" in sql for sql in seen) for table in ("bags", "people")}
    assert marked == {"bags": engine.dialect.name == "postgresql", "people": False}
