"""What is written through a tracked session or engine takes what depends on it, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.orm import Session

from tests.tracked import Bag, Flight, Model, Person, Tracked, crews

JANUARY, FEBRUARY, OTHER = ("UA", 1), ("UA", 2), ("AA", 1)
TABLE = Model.metadata.tables[Flight.__tablename__]


def _change(session: Session) -> None:
    session.get_one(Flight, 1).delay = 5


def _add(session: Session) -> None:
    session.add(Flight(carrier="UA", month=2))


def _remove(session: Session) -> None:
    session.delete(session.get_one(Flight, 3))


def _move(session: Session) -> None:
    session.get_one(Flight, 1).month = 2


def _board(session: Session) -> None:
    flight = session.get_one(Flight, 2)
    flight.crew.append(session.get_one(Person, 1))


def _check_in(session: Session) -> None:
    flight = session.get_one(Flight, 2)
    flight.bags.append(Bag())


def _delay_all(session: Session) -> None:
    february = TABLE.c.month == 2
    session.connection().execute(update(TABLE).where(february).values(delay=TABLE.c.delay + 1))


def _hire_in_bulk(session: Session) -> None:
    session.execute(insert(Flight), [{"carrier": "UA", "month": month} for month in (1, 2)])


def _update_alike(session: Session) -> None:
    session.add(Flight(carrier="UA", month=1))
    session.flush()
    chosen = (Flight.carrier == "UA", Flight.month == 1)
    session.execute(update(Flight).where(*chosen).values(delay=1))


def _several(session: Session) -> None:
    for flight in session.scalars(select(Flight).where(Flight.carrier == "UA")):
        flight.delay += 1


WRITES: dict[str, tuple[Any, set[tuple[Any, ...]]]] = {
    "a change": (_change, {JANUARY}),
    "a new row": (_add, {FEBRUARY}),
    "a row that moves": (_move, {JANUARY, FEBRUARY}),
    "several rows in one flush": (_several, {JANUARY, FEBRUARY}),
    "a bulk update": (
        lambda s: s.execute(update(Flight).where(Flight.carrier == "AA").values(delay=1)), {OTHER},
    ),
    "a bulk update of rows that look alike": (_update_alike, {JANUARY}),
    "a bulk update that moves": (
        lambda s: s.execute(update(Flight).where(Flight.id == 3).values(carrier="UA")), {OTHER, JANUARY},
    ),
    "a bulk update by key": (
        lambda s: s.execute(update(Flight), [{"id": 1, "delay": 4}, {"id": 3, "delay": 4}]),
        {JANUARY, OTHER},
    ),
    "a bulk insert": (_hire_in_bulk, {JANUARY, FEBRUARY}),
    "Core's insert": (lambda s: s.execute(insert(TABLE).values(carrier="AA", month=1, delay=0)), {OTHER}),
    "Core's update": (_delay_all, {FEBRUARY}),
    "an update with RETURNING": (
        lambda s: s.execute(update(Flight).where(Flight.id == 2).values(delay=9).returning(Flight.id)).all(),
        {FEBRUARY},
    ),
    "an update of nothing": (
        lambda s: s.execute(update(Flight).where(Flight.id == 99).values(delay=9)), set(),
    ),
    "an association's row": (_board, {("crew", 2)}),
    "a cascade": (_check_in, {("bags", 2)}),
    "SQL as text": (
        lambda s: s.execute(text("UPDATE flights SET delay = 3 WHERE id = 1")), {JANUARY, FEBRUARY, OTHER},
    ),
    "a new person": (lambda s: s.add(Person()), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITES)
def test_a_write_takes_what_depends_on_its_rows(made: Tracked, name: str) -> None:
    """Whatever way a row is written, the entries of what it was and is are gone, and no others."""
    write, gone = WRITES[name]

    assert made.gone_after(write) == gone


def test_deletes_take_what_the_database_deletes_with_them(made: Tracked) -> None:
    """A deleted flight takes its entry, and all over the table whose rows the database deletes."""
    bags = {("bags", n) for n in (1, 2, 3)}

    assert made.gone_after(_remove) == {OTHER} | bags
    assert made.gone_after(lambda s: s.execute(delete(Flight).where(Flight.id == 2))) == {FEBRUARY} | bags
    assert made.gone_after(lambda s: s.execute(delete(crews))) == set()


def test_a_rolled_back_transaction_takes_nothing(made: Tracked) -> None:
    """Neither a rollback nor a session that is closed without a commit invalidates anything."""
    made.fill()
    with made.sessions() as session:
        _change(session)
        session.flush()
        session.rollback()
        _move(session)
        session.flush()

    assert made.gone() == set()


def test_a_rolled_back_savepoint_takes_nothing(made: Tracked) -> None:
    """What a savepoint wrote is dropped with it, and what is around it, and in released ones, is not."""

    def write(session: Session) -> None:
        outer = session.begin_nested()
        with session.begin_nested():
            session.get_one(Flight, 2).delay = 7
        outer.rollback()
        with session.begin_nested():
            session.get_one(Flight, 3).delay = 7

    assert made.gone_after(write) == {OTHER}
    with made.sessions() as session:
        assert session.get_one(Flight, 2).delay == 0


def test_a_savepoint_as_the_first_statement_is_rolled_back_with_its_transaction(made: Tracked) -> None:
    """Not even on SQLite does a savepoint commit what its transaction then rolls back."""
    made.fill()
    with made.sessions() as session:
        with session.begin_nested():
            session.execute(update(Flight).where(Flight.id == 1).values(delay=8))
        session.rollback()

    assert made.gone() == set()
    with made.sessions() as session:
        assert session.get_one(Flight, 1).delay == 0


def test_two_transactions_that_move_one_row_in_turn_leave_it_in_neither_list(made: Tracked) -> None:
    """Old values are the database's: a session that loaded a row before another moved it knows older ones."""
    first = made.sessions()
    with made.sessions() as second:
        moved = second.get_one(Flight, 1)
        second.commit()
        with first.begin():
            first.get_one(Flight, 1).month = 2
        made.fill()
        second.expire_on_commit = False
        # The ORM still believes what it has loaded: January. The row is in February, and goes to AA.
        second.execute(
            update(Flight).where(Flight.id == 1).values(month=3),
            execution_options={"synchronize_session": False},
        )
        second.commit()
        assert moved.id == 1
    first.close()

    assert made.gone() == {FEBRUARY}


def test_old_values_are_not_taken_from_what_the_orm_remembers(made: Tracked) -> None:
    """A flush that writes over another's committed move takes the entry that the row has really left."""
    with made.sessions(expire_on_commit=False) as late:
        flight = late.get_one(Flight, 1)
        late.commit()
        with made.sessions.begin() as other:
            other.get_one(Flight, 1).carrier = "AA"
        made.fill()
        flight.delay = 3
        late.commit()

    assert made.gone() == {OTHER}


def test_writes_through_an_engine_are_tracked(made: Tracked) -> None:
    """A connection of a tracked engine, without any session, is followed like one."""
    made.flights.track(made.engine)
    made.fill()
    with made.engine.begin() as connection:
        connection.execute(update(TABLE).where(TABLE.c.id == 1), [{"delay": 1}])
    assert made.gone() == {JANUARY}
    made.fill()

    def undone(connection: Connection) -> None:
        connection.execute(delete(TABLE))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), made.engine.begin() as connection:
        undone(connection)
    assert made.gone() == set()


def test_an_autocommitting_connection_applies_each_statement(made: Tracked) -> None:
    """Where nothing is committed by hand, a statement has invalidated when it returns."""
    made.flights.track(made.engine)
    made.fill()
    with made.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(update(TABLE).where(TABLE.c.id == 1).values(delay=1))

        assert made.gone() == {JANUARY}


def test_a_key_that_changes_names_the_whole_table(made: Tracked) -> None:
    """Rows that can't be found again by their keys are told as the whole table."""
    gone = made.gone_after(lambda s: s.execute(update(TABLE).where(TABLE.c.id == 3).values(id=30)))

    assert gone >= {JANUARY, FEBRUARY, OTHER}


def test_the_first_statement_of_a_connection_is_seen(made: Tracked) -> None:
    """A transaction that begins by itself is followed from its first statement on."""
    made.flights.track(made.engine)
    made.fill()
    with made.engine.connect() as connection:
        connection.execute(update(TABLE).where(TABLE.c.id == 2).values(delay=1))
        connection.commit()

    assert made.gone() == {FEBRUARY}
