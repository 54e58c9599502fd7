"""Barriers of strict queries: who raises them, where they stand, when they come down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from tests.strict import JANUARY, OTHER, Strict, barred
from tests.tracked import Flight, tracked
from warmer.core.strictness import strict_names
from warmer.testing import Clock, wait_until

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


def test_it_is_raised_and_lowered_with_a_stamp(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """No load that began before either is stored after it, whatever else the transaction stamps."""
    store, stamps = strict.made.flights.runtime().store, []
    name = strict_names(["c:flights:carrier=s~UA,month=n~1"], ())[0]

    def note() -> None:
        stamps.append(float(store.command("ZSCORE", store.roots[0] + b"fence", name) or 0))

    note()
    seam.append(note)
    strict.set_delay(5)
    note()
    assert sorted(set(stamps)) == stamps
    assert len(set(stamps)) == 3


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_two_transactions_on_one_name(strict: Strict) -> None:
    """The name is barred while either is open to view, and free when both are over."""
    flights = strict.made.flights
    with strict.made.sessions() as one, strict.made.sessions() as two:
        one.connection().begin_nested()
        one.execute(text("SELECT 1"))
        one.rollback()
        one.add(Flight(carrier="UA", month=1, delay=3))
        two.add(Flight(carrier="UA", month=1, delay=4))
        one.flush()
        two.flush()
        tracker = flights._tracker
        assert tracker is not None
        tracker._write(one.connection())
        tracker._write(two.connection())
        tokens = {len(held.split()) for held in barred(flights).values()}
        assert tokens == {2}
        one.commit()
        assert {len(held.split()) for held in barred(flights).values()} == {1}
        assert (strict.query(*JANUARY), strict.is_stored()) == (3, False)
        two.commit()
    assert barred(flights) == {}
    assert (strict.query(*JANUARY), strict.is_stored()) == (7, True)


def test_a_rollback_lowers_it(strict: Strict) -> None:
    """What was rolled back after its barrier was raised bars nothing for long."""
    flights = strict.made.flights
    with strict.made.sessions() as session:
        session.get_one(Flight, 1).delay = 5
        session.flush()
        assert flights._tracker is not None
        flights._tracker._write(session.connection())
        assert barred(flights)
        session.rollback()

    wait_until(lambda: barred(flights) == {}, "the barrier to be lowered")
    assert (strict.query(*JANUARY), strict.is_stored()) == (0, True)


def test_sql_as_text_bars_its_table(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """Which rows it changes is not known, so all entries that depend on the table are barred."""
    strict.query(*OTHER)
    seen: list[Any] = []
    seam.append(lambda: seen.extend([strict.query(*OTHER), strict.is_stored(OTHER)]))
    with strict.made.sessions.begin() as session:
        session.execute(text("UPDATE flights SET delay = 7"))

    assert seen == [7, False]
    assert strict.query(*JANUARY) == 7


def test_a_writer_that_has_no_strict_query_of_its_own_bars_them(strict: Strict) -> None:
    """It learns of them through Redis, before its first COMMIT."""
    settings = strict.made.flights.settings
    other = tracked(settings.namespace, settings.redis_url, create_engine(strict.made.engine.url))
    try:
        with other.sessions() as session:
            session.get_one(Flight, 1).delay = 5
            session.flush()
            assert other.flights._tracker is not None
            other.flights._tracker._write(session.connection())
            assert barred(strict.made.flights)
            assert not strict.is_stored()
            session.commit()
    finally:
        other.flights.close()
        other.engine.dispose()
    assert (strict.query(*JANUARY), strict.is_stored()) == (5, True)


def test_an_async_session_bars_and_lowers(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """What is written from asyncio, and what is rolled back there."""
    url = strict.made.engine.url
    engine = create_async_engine(url.set(drivername=DRIVERS[url.get_backend_name()]))
    sessions = async_sessionmaker(engine)
    strict.made.flights.track(sessions)
    seen: list[Any] = []
    seam.append(lambda: seen.extend([strict.query(*JANUARY), strict.is_stored()]))

    async def write() -> None:
        async with sessions.begin() as session:
            (await session.get_one(Flight, 1)).delay = 5
        async with sessions() as session:
            (await session.get_one(Flight, 1)).delay = 6
            await session.flush()
            connection = await session.connection()
            assert strict.made.flights._tracker is not None
            await connection.run_sync(strict.made.flights._tracker._write)
            assert barred(strict.made.flights)
            await session.rollback()
        await engine.dispose()

    asyncio.run(write())
    assert seen == [5, False]
    wait_until(lambda: barred(strict.made.flights) == {}, "the barrier to be lowered")
    assert (strict.query(*JANUARY), strict.is_stored()) == (5, True)


def test_a_barrier_is_up_in_every_shard(
    engine: Engine, namespace: str, redis_url: str, warmer_clock: Callable[..., Clock]
) -> None:
    """Entries of one row may lie in any shard; each is dropped, barred and freed."""
    made = tracked(f"{namespace}-shards", redis_url, engine, shards=16)
    strict = Strict(made, warmer_clock(made.flights))
    store = made.flights.runtime().store
    try:
        calls = [("UA", month) for month in range(1, 60)]
        strict.query.get_many(calls)
        with made.sessions() as session:
            session.execute(text("UPDATE flights SET delay = 3"))
            assert made.flights._tracker is not None
            made.flights._tracker._write(session.connection())
            assert not any(strict.is_stored(call) for call in calls)
            assert all(store.command("HLEN", root + b"barred") for root in store.roots)
            session.commit()
        assert not any(store.command("HLEN", root + b"barred") for root in store.roots)
        assert strict.query(*JANUARY) == 3
    finally:
        made.flights.close()
