"""Reads inside of a transaction that has written: what it concerns goes past the cache, the rest does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, text, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from tests.tracked import CALLS, Flight, Tracked, tracked
from warmer import CacheMiss, RedisUnreachable, Warmer
from warmer.runtime.modes import past
from warmer.testing import ValkeyServer, wait_until

JANUARY, FEBRUARY, OTHER = CALLS


class Counting:
    """Cached values that tell a read past the cache from one through it: the database has moved on."""

    def __init__(self, made: Tracked) -> None:
        self.made = made
        made.fill()
        with made.engine.begin() as connection:
            # A writer that nobody tracks: cached delays are 0, those in the database 10.
            connection.execute(update(Flight).values(delay=10), execution_options={"warmer_ours": True})

    def past(self, read: Callable[[str, int], int] | None = None) -> set[tuple[str, int]]:
        """The calls that are read past the cache."""
        read = read or self.made.delays
        values = {call: read(*call) for call in CALLS}
        assert set(values.values()) <= {0, 10}
        return {call for call, value in values.items() if value == 10}


@pytest.fixture
def counting(made: Tracked) -> Counting:
    """Entries of three calls, each told from what the database has."""
    return Counting(made)


@contextmanager
def writing(made: Tracked, write: Any) -> Iterator[Session]:
    """Inside of a transaction that has written, and is rolled back in the end."""
    with made.sessions() as session:
        session.execute(write)
        yield session
        session.rollback()


@pytest.mark.parametrize(
    ("write", "concerned"),
    [
        (delete(Flight).where(Flight.id == 1), {JANUARY}),
        (update(Flight).where(Flight.carrier == "UA").values(delay=1), {JANUARY, FEBRUARY}),
        (update(Flight).where(Flight.id == 99).values(delay=1), set()),
        (insert(Flight).values(carrier="AA", month=2), set(CALLS)),
        (update(Flight).where(Flight.id == 1).values(month=2), set(CALLS)),
        (text("UPDATE flights SET delay = 1 WHERE id = 1"), set(CALLS)),
    ],
    ids=["delete", "update", "no row", "insert", "move", "text"],
)
def test_entries_that_a_change_concerns_are_read_past_the_cache(
    counting: Counting, write: Any, concerned: set[tuple[str, int]]
) -> None:
    """Rows by their columns; what is inserted or moved, and SQL as text, concerns the whole table."""
    with writing(counting.made, write):
        assert counting.past() == concerned
        assert counting.past(lambda *call: counting.made.delays.bind(*call).get()) == concerned
        assert counting.past(lambda *call: counting.made.delays.get_many([call])[0]) == concerned

    assert counting.past() == set(), "nothing of it was stored, and nothing is past the cache any more"
    assert past.get() is None


def test_a_read_past_the_cache_sees_what_is_committed(counting: Counting) -> None:
    """The load runs clean, so it sees nothing of the transaction around its reader."""
    with writing(counting.made, update(Flight).where(Flight.id == 1).values(delay=7)) as session:
        assert counting.made.delays(*JANUARY) == 10
        assert session.get_one(Flight, 1).delay == 7


def test_a_transaction_that_has_only_read_reads_through_the_cache(counting: Counting) -> None:
    """Sessions are in a transaction nearly always: to have one open costs no load."""
    with counting.made.sessions() as session:
        session.get_one(Flight, 1)
        assert past.get() is None
        assert counting.past() == set()


def test_what_is_rolled_back_with_its_savepoint_concerns_nothing(counting: Counting) -> None:
    """After a savepoint's rollback, the entries are as they were."""
    with counting.made.sessions() as session:
        session.execute(delete(Flight).where(Flight.id == 2))
        with session.begin_nested() as savepoint:
            session.execute(delete(Flight).where(Flight.id == 1))
            assert counting.past() == {JANUARY, FEBRUARY}
            savepoint.rollback()
        assert counting.past() == {FEBRUARY}


def test_invalidations_of_a_transaction_concern_what_they_name(counting: Counting) -> None:
    """What is invalidated inside of a transaction that has written is read past the cache until its end."""
    with writing(counting.made, update(Flight).where(Flight.id == 99).values(delay=1)):
        counting.made.delays.invalidate(*OTHER)
        assert counting.past() == {OTHER}
        counting.made.delays.invalidate_all()
        assert counting.past() == set(CALLS)


def test_after_the_commit_the_entry_is_loaded_and_stored(counting: Counting) -> None:
    """A commit ends it, for this context, too."""
    with counting.made.sessions.begin() as session:
        session.execute(update(Flight).where(Flight.id == 1).values(delay=7))
        assert counting.made.delays(*JANUARY) == 10

    assert counting.made.delays(*JANUARY) == 7
    stored = counting.made.delays.bind(*JANUARY).entry()
    assert stored is not None
    assert stored.value == 7


def test_a_query_that_may_not_load_here_is_not_loaded_in_a_transaction(made: Tracked) -> None:
    """miss="raise" holds for what is read past the cache, too."""
    made.fill()
    with writing(made, delete(Flight).where(Flight.id == 1)):
        with pytest.raises(CacheMiss):
            made.delays.bind(*JANUARY).get(miss="raise")
        assert made.delays.bind(*OTHER).get(miss="raise") == 0


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_query_that_only_workers_load_waits_for_a_load_that_began_since(
    made: Tracked, namespace: str, redis_url: str, start: Callable[..., Future[Any]], colour: str
) -> None:
    """miss="wait" in a transaction: what is stored is too old, and this process loads nothing itself."""
    made.fill()
    runtime, loads = made.flights.runtime(), _loads(made)
    worker = Warmer(namespace, redis_url=redis_url)
    delays = worker.cached(ttl=600, name="delays", version="1", depends_on={Flight: ("carrier", "month")})(
        _77
    )

    def work() -> int:
        wait_until(
            lambda: any(r.arrived is not None for f in [*runtime._flights.values()] for r in f.readers),
            description="a reader to wait",
        )
        return delays.refresh(*JANUARY)

    with writing(made, delete(Flight).where(Flight.id == 1)):
        working, one = start(work), made.delays.bind(*JANUARY)
        got = one.get(miss="wait") if colour == "sync" else asyncio.run(one.aget(miss="wait"))
        assert (got, working.result(20)) == (77, 77)
        assert made.delays.bind(*OTHER).get(miss="wait") == 0, "which the transaction does not concern"
    assert _loads(made) == loads
    worker.close()


def _loads(made: Tracked) -> dict[str, int]:
    counts = made.flights.runtime().counts.snapshot()
    return {event: n for event, n in counts.items() if event in ("loads", "loads_around")}


def _77(carrier: str, month: int) -> int:
    return 77


def test_without_redis_it_is_told_so_in_a_transaction_too(engine: Engine, namespace: str) -> None:
    """miss="wait" has nobody to wait for: an error, and no load, whichever way the read goes."""
    quick = {"command_timeout": 0.3, "connect_timeout": 0.3, "lease": 2.0, "invalidate_timeout": 0.3}
    with ValkeyServer() as server:
        made = tracked(namespace, server.url, engine, **quick)
        made.fill()
        loads = _loads(made)
        with writing(made, delete(Flight).where(Flight.id == 1)):
            server.kill()
            for call in (JANUARY, OTHER):
                with pytest.raises(RedisUnreachable):
                    made.delays.bind(*call).get(miss="wait")
                with pytest.raises(RedisUnreachable):
                    asyncio.run(made.delays.bind(*call).aget(miss="wait"))
        assert _loads(made) == loads
        made.flights.close()


def test_reads_of_async_transactions_go_past_the_cache(counting: Counting) -> None:
    """In the task that writes, and in those that it starts; until the transaction ends."""
    made = counting.made
    driver = "sqlite+aiosqlite" if made.engine.dialect.name == "sqlite" else "postgresql+psycopg"

    async def read() -> set[tuple[str, int]]:
        values = {call: await made.delays.aget(*call) for call in CALLS}
        return {call for call, value in values.items() if value == 10}

    async def run() -> None:
        engine = create_async_engine(made.engine.url.set(drivername=driver))
        sessions = async_sessionmaker(engine)
        made.flights.track(sessions)
        async with sessions() as session:
            assert await read() == set()
            await session.execute(delete(Flight).where(Flight.id == 1))
            assert await read() == {JANUARY}
            assert await asyncio.create_task(read()) == {JANUARY}
            assert await made.delays.aget_many(CALLS) == [10, 0, 0]
            await session.rollback()
            assert await read() == set()
        await engine.dispose()

    asyncio.run(run())


def test_a_near_copy_is_not_served_of_what_a_transaction_changes(made: Tracked) -> None:
    """What this process keeps of its own is passed by, too; afterwards it is served again."""
    loads: list[str] = []

    @made.flights.cached(ttl=60, near=30, name="near", depends_on={Flight: ("carrier",)})
    def near(carrier: str) -> int:
        loads.append(carrier)
        return len(loads)

    def copied() -> bool:
        return near("UA") == 1 and near.bind("UA").key.encode() in made.flights.runtime().near.live

    wait_until(copied, "a copy")
    with writing(made, delete(Flight).where(Flight.id == 1)):
        assert [near("UA"), asyncio.run(near.aget("UA")), *near.get_many([("UA",)])] == [2, 3, 4]
    assert near("UA") == 1


def test_another_namespace_reads_through_its_cache(
    counting: Counting, namespace: str, redis_url: str
) -> None:
    """Only the namespace that tracks a session knows what its changes concern."""
    other = Warmer(f"{namespace}-other", redis_url=redis_url)
    loads: list[str] = []

    @other.cached(ttl=60, name="delays", depends_on={Flight: ()})
    def delays(carrier: str) -> int:
        loads.append(carrier)
        return len(loads)

    assert delays("UA") == 1
    with writing(counting.made, delete(Flight)):
        assert delays("UA") == 1
    other.close()
