"""Loads that read in somebody else's transaction, or what they themselves did not commit: never stored."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from tests.tracked import Flight, Person, Tracked
from warmer import Query

TOTAL = select(func.sum(Flight.delay)).where(Flight.carrier == "UA")


def _through(made: Tracked, session: Session) -> Query[[str], int]:
    """A query whose loader reaches a session that is not its own."""

    @made.flights.cached(ttl=60, name="total", depends_on={Flight: ("carrier",)})
    def total(carrier: str) -> int:
        return int(session.scalar(TOTAL) or 0)

    return total


def _unclean(made: Tracked) -> int:
    return made.flights.runtime().counts.snapshot().get("loads_unclean", 0)


def test_a_load_that_sees_what_its_caller_has_not_committed_is_not_stored(
    made: Tracked, caplog: pytest.LogCaptureFixture
) -> None:
    """Its caller gets the value, the log says what to do, and nobody else is served what never was."""
    with made.sessions() as session:
        total = _through(made, session)
        session.execute(update(Flight).values(delay=5))
        with caplog.at_level(logging.WARNING, "warmer"):
            assert total.refresh("UA") == 10
        assert total.bind("UA").entry() is None
        session.rollback()

    said = [record.getMessage() for record in caplog.records if "is not stored" in record.getMessage()]
    assert len(said) == 1
    assert 'resources={"session": SessionLocal}' in said[0]
    assert _unclean(made) == 1


def test_a_load_in_a_transaction_from_before_it_is_not_stored(made: Tracked) -> None:
    """A session that was left open may be at an old snapshot, however often it is asked."""
    with made.sessions() as session:
        session.get_one(Flight, 1)
        total = _through(made, session)
        assert total("UA") == 0
        assert total("UA") == 0
        assert (_unclean(made), total.bind("UA").entry()) == (2, None)
        session.commit()
        assert total("UA") == 0, "the load begins a transaction of its own"
        assert _unclean(made) == 2
        assert total.bind("UA").entry() is not None


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_load_in_a_snapshot_from_before_an_invalidation_is_not_stored(made: Tracked) -> None:
    """In REPEATABLE READ the database itself gives the old rows, in a load that began after the commit."""
    snapshot = made.engine.execution_options(isolation_level="REPEATABLE READ")
    made.flights.track(snapshot)
    with Session(snapshot) as session:
        total = _through(made, session)
        assert session.scalar(TOTAL) == 0
        with made.sessions.begin() as writer:
            writer.execute(update(Flight).values(delay=5))
        assert total("UA") == 0, "its own reader gets what there is"
        assert total.bind("UA").entry() is None


def test_a_session_of_its_own_is_clean(made: Tracked) -> None:
    """What resources open for a load is what is stored, whoever has a session open around it."""

    @made.flights.cached(
        ttl=60, name="own", resources={"session": made.sessions}, depends_on={Flight: ("carrier",)}
    )
    def own(session: Session, carrier: str) -> int:
        return int(session.scalar(TOTAL) or 0)

    with made.sessions() as session:
        session.get_one(Flight, 1)
        assert own("UA") == 0
        assert own.bind("UA").entry() is not None


@pytest.mark.parametrize(("ending", "stored"), [("commit", True), ("rollback", False)])
def test_a_load_that_writes_is_stored_if_it_commits(made: Tracked, ending: str, stored: bool) -> None:
    """What a load has written and rolled back it may have read: nobody else is served that."""

    @made.flights.cached(ttl=60, name="people")
    def people() -> int:
        with made.sessions() as session:
            session.execute(insert(Person))
            found = int(session.scalar(select(func.count()).select_from(Person)) or 0)
            getattr(session, ending)()
            return found

    assert people() == 3
    assert (people.bind().entry() is not None) == stored


def test_statements_that_are_transactions_of_their_own_are_clean(made: Tracked) -> None:
    """In autocommit a connection may stay open for ever: each statement sees what is committed."""
    auto = made.engine.execution_options(isolation_level="AUTOCOMMIT")
    made.flights.track(auto)
    with auto.connect() as connection:
        connection.execute(select(Flight.id))

        @made.flights.cached(ttl=60, name="auto", depends_on={Flight: ()})
        def count() -> int:
            return int(connection.scalar(select(func.count()).select_from(Flight)) or 0)

        assert count() == 3
        assert count.bind().entry() is not None


def test_a_batch_that_is_not_clean_stores_none_of_its_entries(made: Tracked) -> None:
    """The run is shared, and so is what it saw."""
    with made.sessions() as session:
        session.get_one(Flight, 1)

        def many(calls: list[tuple[str]]) -> list[int]:
            return [int(session.scalar(TOTAL) or 0) for _ in calls]

        @made.flights.cached(ttl=60, name="batched", batch=many)
        def batched(carrier: str) -> int:
            raise AssertionError(carrier)

        assert batched.get_many([("UA",), ("AA",)]) == [0, 0]
        assert [batched.bind(one).entry() for one in ("UA", "AA")] == [None, None]


def test_an_async_load_in_a_transaction_of_another_is_not_stored(made: Tracked, engine: Engine) -> None:
    """An async session that one load has left open is not the next one's."""
    driver = "sqlite+aiosqlite" if engine.dialect.name == "sqlite" else "postgresql+psycopg"
    aengine = create_async_engine(engine.url.set(drivername=driver))
    sessions = async_sessionmaker(aengine)
    made.flights.track(sessions)
    held: list[Any] = []

    @made.flights.cached(ttl=60, name="total")
    async def total(end: bool) -> int:
        session = held.pop() if held else sessions()
        found = int(await session.scalar(TOTAL) or 0)
        if end:
            await session.close()
            await aengine.dispose()
        else:
            held.append(session)
        return found

    async def run() -> None:
        assert await total(False) == 0
        assert await total.bind(False).aentry() is not None, "it was begun in its load"
        assert await total(True) == 0
        assert await total.bind(True).aentry() is None

    asyncio.run(run())
