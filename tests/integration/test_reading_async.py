"""Reading from asyncio: the same values, and nothing left behind when a task is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board, value_of
from warmer import AsyncQuery, LoadFailed, LoadTimeout, Warmer
from warmer.testing import wait_until_async

Start = Callable[..., Future[Any]]


def test_every_way_to_read_has_an_awaited_form(board: Board) -> None:
    """aget, aread, aentry, arefresh, aget_many, ainvalidate and the rest do what their names without `a`
    do.
    """

    async def read_all() -> None:
        query, one = board.departures, board.departures.bind("JFK")
        assert await one.aentry() is None
        assert await query.aget("JFK") == 1
        assert (await query.aread("JFK")).state == "fresh"
        assert await one.aget() == (await one.aread()).value == 1
        assert await query.arefresh("JFK") == 2
        assert await one.arefresh() == 3
        entry = await one.aentry()
        assert entry is not None
        assert entry.value == 3
        assert await query.aget_many([("JFK",), ("EWR",)]) == [3, 4]
        assert await query.ainvalidate("JFK") == 1
        assert await one.ainvalidate() == 0
        assert await query.ainvalidate_where(airport="EWR") == 1
        assert await query.ainvalidate_all() == 0
        assert await query.aget("JFK") == 5
        assert await board.flights.ainvalidate_tags("all") == 1

    asyncio.run(read_all())


def test_a_query_that_is_async_is_awaited_when_it_is_called(flights: Warmer) -> None:
    """An `async def` query gives a coroutine, as its function does."""

    @flights.cached(ttl=60, name="delays")
    async def delays(carrier: str) -> str:
        await asyncio.sleep(0)
        return carrier * 2

    async def read() -> list[str]:
        return [await delays("UA"), await delays("UA"), await delays.fn("AA")]

    assert isinstance(delays, AsyncQuery)
    assert asyncio.run(read()) == ["UAUA", "UAUA", "AAAA"]
    assert delays.bind("UA").get() == "UAUA", "and may be read where nothing is async"


def test_a_hundred_tasks_cost_one_load(board: Board) -> None:
    """Tasks that miss together are coalesced like threads."""

    async def read() -> list[int]:
        return await asyncio.gather(*(board.departures.aget("JFK") for _ in range(100)))

    assert set(asyncio.run(read())) == {1}
    assert board.loads == 1


def test_the_event_loop_is_free_while_a_load_runs(board: Board) -> None:
    """A slow load in its thread does not keep other tasks from running."""
    gate = board.hold(1)

    async def read() -> int:
        reading = asyncio.create_task(board.departures.aget("JFK"))
        await asyncio.to_thread(gate.wait_entered)
        gate.open()
        return await reading

    assert asyncio.run(read()) == 1


def test_async_loads_of_one_process_run_on_one_loop(flights: Warmer) -> None:
    """So a module-level async engine works, however many loads there are and whoever reads."""

    @flights.cached(ttl=60, name="loops")
    async def loops(n: int) -> int:
        return id(asyncio.get_running_loop())

    async def read() -> set[int]:
        return set(await asyncio.gather(*(loops(n) for n in range(20)))) | {id(asyncio.get_running_loop())}

    assert len(asyncio.run(read())) == 2
    assert len({loops.bind(n).get() for n in range(30)}) == 1


def test_async_loads_run_side_by_side(flights: Warmer) -> None:
    """One that waits does not keep another from ending."""
    arrived: list[int] = []

    @flights.cached(ttl=60, name="meets")
    async def meets(n: int) -> int:
        arrived.append(n)
        await wait_until_async(lambda: len(arrived) == 5, description="all five to run at once")
        return n

    assert meets.get_many([(n,) for n in range(5)]) == [0, 1, 2, 3, 4]


def test_an_async_load_past_its_timeout_is_cancelled(flights: Warmer) -> None:
    """Its reader is told, and the coroutine gets to clean up."""
    cancelled = asyncio.Event()

    @flights.cached(ttl=60, name="hangs", timeout=0.2)
    async def hangs() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return 1

    async def read() -> None:
        with pytest.raises(LoadTimeout):
            await hangs()
        await wait_until_async(cancelled.is_set, description="the coroutine to be cancelled")

    asyncio.run(read())


def test_an_async_load_that_times_out_by_itself_failed(flights: Warmer) -> None:
    """A TimeoutError of the loader's own is no timeout of the query."""

    @flights.cached(ttl=60, name="gives_up")
    async def gives_up() -> int:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
        return 1

    with pytest.raises(LoadFailed, match="TimeoutError"):
        gives_up.bind().get()


def test_a_cancelled_reader_leaves_nothing_behind(board: Board) -> None:
    """Its load goes on and is stored; no task, flight or reader of it is left."""
    gate = board.hold(1)

    async def cancel_one() -> None:
        reading = asyncio.create_task(board.departures.aget("JFK"))
        await asyncio.to_thread(gate.wait_entered)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        gate.open()
        await wait_until_async(
            lambda: not board.runtime._flights and not board.runtime.tasks, description="nothing to be left"
        )

    asyncio.run(cancel_one())
    assert board.departures("JFK") == 1
    assert board.loads == 1


def test_a_cancelled_reader_does_not_harm_those_who_wait_with_it(board: Board, start: Start) -> None:
    """Others that wait for the same load get its value, also those it shares a place with."""
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()

    async def one_of_three() -> list[int]:
        readings = [asyncio.create_task(board.departures.aget("JFK")) for _ in range(3)]
        await wait_until_async(lambda: board.waiting() == 1, description="three to wait together")
        readings[1].cancel()
        await asyncio.wait([readings[1]])
        gate.open()
        return [await readings[0], await readings[2]]

    assert asyncio.run(one_of_three()) == [1, 1]
    assert value_of(first) == 1


def test_a_cancelled_wait_for_a_worker_ends(board: Board) -> None:
    """A task that waits with miss="wait" and is cancelled is forgotten at once."""

    async def cancel_it() -> None:
        reading = asyncio.create_task(board.departures.bind("JFK").aget(miss="wait"))
        await wait_until_async(lambda: board.waiting() == 1, description="it to wait")
        reading.cancel()
        await asyncio.wait([reading])
        await wait_until_async(lambda: not board.runtime._flights, description="its flight to end")

    asyncio.run(cancel_it())


def test_a_loop_that_has_gone_does_no_harm(board: Board, start: Start) -> None:
    """A reader whose event loop ended before the load did is nobody's problem."""
    gate = board.hold(1)

    async def give_up() -> None:
        reading = asyncio.create_task(board.departures.aget("JFK"))
        await asyncio.to_thread(gate.wait_entered)
        reading.cancel()
        await asyncio.wait([reading])

    asyncio.run(give_up())
    other = start(board.departures, "JFK")
    gate.open()

    assert value_of(other) == 1


def test_one_namespace_serves_loops_and_threads_together(board: Board, start: Start) -> None:
    """Two event loops and some threads read the same entry at once: one load."""

    async def read() -> list[int]:
        return await asyncio.gather(*(board.departures.aget("JFK") for _ in range(10)))

    loops = [start(asyncio.run, read()) for _ in range(2)]
    threads = [start(board.departures, "JFK") for _ in range(10)]

    assert {value for loop in loops for value in value_of(loop)} == {1}
    assert {value_of(thread) for thread in threads} == {1}
    assert board.loads == 1
