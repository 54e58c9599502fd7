"""Two-phase commits on PostgreSQL: the outbox row is prepared, too, and applied at the second phase."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import sessionmaker

from tests.tracked import Flight, Tracked, prepare, tracked

JANUARY = ("UA", 1)
DELAYED = update(Flight).where(Flight.id == 1).values(delay=1)


@pytest.fixture
def engine(pg_url: str) -> Iterator[Engine]:
    """SQLite has no two-phase commits."""
    made = prepare(pg_url)
    yield made
    made.dispose()


@pytest.fixture
def made(engine: Engine, namespace: str, redis_url: str) -> Iterator[Tracked]:
    """The queries, with the engine tracked, too."""
    made = tracked(namespace, redis_url, engine)
    made.flights.track(engine)
    made.fill()
    yield made
    made.flights.close()


def test_a_session_of_two_phases(made: Tracked) -> None:
    """Nothing is applied when it is prepared, and all when it is committed, or nothing if it is not."""
    with sessionmaker(made.engine, twophase=True)() as session:
        session.execute(DELAYED)
        session.prepare()
        assert made.gone() == set()
        session.rollback()
        assert made.gone() == set()
        session.execute(DELAYED)
        session.prepare()
        assert made.gone() == set()
        session.commit()

    assert made.gone() == {JANUARY}
    assert made.flights.relay() <= 1


def test_a_second_phase_without_the_first(made: Tracked) -> None:
    """A connection may leave out `prepare`: it is a plain commit then, and tracked like one."""
    with made.engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(DELAYED)
        transaction.commit()

    assert made.gone() == {JANUARY}


def test_a_recovered_transaction_is_left_to_the_relay(made: Tracked) -> None:
    """What another connection, or process, commits by its id has its row all the same."""
    with made.engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(DELAYED)
        transaction.prepare()
        xid = transaction.xid
        connection.invalidate()  # gone while it is prepared, as with its process
    assert made.flights.relay() == 0
    with made.engine.connect() as connection:
        assert str(xid) in map(str, connection.recover_twophase())
        connection.commit_prepared(xid, recover=True)
    assert made.gone() == set()

    assert made.flights.relay() == 1
    assert made.gone() == {JANUARY}
