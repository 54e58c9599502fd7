"""What is written through async sessions and engines is tracked like everything else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from tests.tracked import Flight, Tracked
from warmer import Warmer
from warmer.core.changes import Changes
from warmer.errors import NotTrackable
from warmer.outbox import rows, schema
from warmer.outbox.schema import outbox
from warmer.testing import wait_until

JANUARY, FEBRUARY, OTHER = ("UA", 1), ("UA", 2), ("AA", 1)
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


@pytest.fixture
def async_engine(engine: Engine) -> AsyncEngine:
    """An engine for event loops on the same database."""
    return create_async_engine(engine.url.set(drivername=DRIVERS[engine.dialect.name]))


@pytest.fixture
def sessions(made: Tracked, async_engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Sessions of it, tracked."""
    sessions = async_sessionmaker(async_engine)
    made.flights.track(sessions)
    return sessions


def in_loop(engine: AsyncEngine, work: Callable[[], Awaitable[Any]]) -> None:
    """Do it in a loop of its own, and take the engine's connections with that loop."""

    async def worked() -> None:
        try:
            await work()
        finally:
            await engine.dispose()

    asyncio.run(worked())


def _unmarked(engine: Engine) -> int:
    with engine.connect() as connection:
        waiting = select(func.count()).select_from(outbox).where(outbox.c.applied_at.is_(None))
        return int(connection.execute(waiting).scalar_one())


def test_an_async_commit_takes_what_depends_on_it(
    made: Tracked, async_engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    """When `await commit()` has returned, the entries are gone; the row is marked by a thread."""
    found: list[object] = []
    made.fill()

    async def write() -> None:
        async with sessions() as session:
            (await session.get_one(Flight, 1)).month = 2
            session.add(Flight(carrier="AA", month=1))
            await session.commit()
            found.append([await made.delays.bind(*call).aentry() for call in (JANUARY, FEBRUARY, OTHER)])

    in_loop(async_engine, write)

    assert found == [[None, None, None]]
    assert made.gone() == {JANUARY, FEBRUARY, OTHER}
    wait_until(lambda: _unmarked(made.engine) == 0, "the row to be marked", timeout_s=30)


def test_async_rollbacks_take_nothing(
    made: Tracked, async_engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    """Rolled back, whole or to a savepoint, nothing of it is invalidated; what is around it is."""
    made.fill()

    async def write() -> None:
        async with sessions() as session:
            await session.execute(update(Flight).where(Flight.id == 1).values(delay=1))
            await session.rollback()
            inner = await session.begin_nested()
            await session.execute(update(Flight).where(Flight.id == 2).values(delay=1))
            await inner.rollback()
            await session.execute(update(Flight).where(Flight.id == 3).values(delay=1))
            await session.commit()

    in_loop(async_engine, write)

    assert made.gone() == {OTHER}


def test_an_invalidation_awaits_its_async_transaction(
    made: Tracked, async_engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    """An invalidation in a task is made at the COMMIT of that task's transaction, and of no other task's."""
    made.fill()
    removed: list[int] = []

    async def beside() -> None:
        removed.append(await made.delays.ainvalidate(*OTHER))

    async def write() -> None:
        unrelated = asyncio.create_task(beside())
        async with sessions() as session:
            await session.execute(update(Flight).where(Flight.id == 99).values(delay=1))
            removed.append(await made.delays.ainvalidate(*JANUARY))
            await unrelated
            assert await made.delays.bind(*JANUARY).aentry() is not None
            await session.commit()

    in_loop(async_engine, write)

    assert sorted(removed) == [0, 1]
    assert made.gone() == {JANUARY, OTHER}


def test_writes_through_an_async_engine_are_tracked(made: Tracked, async_engine: AsyncEngine) -> None:
    """A connection without a session, in a transaction and autocommitting."""
    made.flights.track(async_engine)
    made.fill()

    async def write() -> None:
        async with async_engine.begin() as connection:
            await connection.execute(update(Flight).where(Flight.id == 1).values(delay=1))
        async with async_engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(update(Flight).where(Flight.id == 2).values(delay=1))

    in_loop(async_engine, write)

    assert made.gone() == {JANUARY, FEBRUARY}


def test_a_relay_reaches_an_async_database_as_its_engine_does(
    made: Tracked, async_engine: AsyncEngine, redis_url: str
) -> None:
    """What only an async engine leads to is relayed, from a thread and with the engine's own arguments."""
    made.fill()
    changes = Changes()
    changes.add_rows("flights", None)
    with made.engine.begin() as connection:
        rows.write(connection, made.flights.namespace, changes, own=False)
    if async_engine.dialect.name == "postgresql":
        url, arguments = made.engine.url, {"dbname": made.engine.url.database, **made.engine.url.query}
        arguments["user"] = url.username
        bare = create_async_engine("postgresql+psycopg://", connect_args=arguments)
    else:
        bare = async_engine
    other = Warmer(made.flights.namespace, redis_url=redis_url)
    other.track(bare)

    async def relay() -> None:
        assert await asyncio.to_thread(other.relay) == 1

    try:
        in_loop(bare, relay)
        assert made.gone() == {JANUARY, FEBRUARY, OTHER}
        (database,) = other.outbox.databases()
        assert (database.run(schema.exists), database.run(schema.lacks)) == (True, ())
        assert other.relay() == 0
    finally:
        other.close()


def test_sessions_keep_their_own_class(made: Tracked, async_engine: AsyncEngine) -> None:
    """The class of the sessions underneath stays what it was, and one that can't be told is refused."""

    class Careful(Session):
        careful = True

    class CarefulSession(AsyncSession):
        sync_session_class = Careful

    sessions = async_sessionmaker(async_engine, class_=CarefulSession)
    made.flights.track(sessions)
    made.fill()

    async def write() -> None:
        async with sessions.begin() as session:
            assert isinstance(session.sync_session, Careful)
            await session.execute(update(Flight).where(Flight.id == 1).values(delay=1))

    in_loop(async_engine, write)
    assert made.gone() == {JANUARY}
    with pytest.raises(NotTrackable, match="sync_session_class"):
        made.flights.track(async_sessionmaker(async_engine, sync_session_class=lambda **_: Session()))
    with pytest.raises(NotTrackable, match="async_sessionmaker"):
        made.flights.track(CarefulSession)
