"""One connection an event loop: what is read in a turn goes together, and nobody gets another's reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

import anyio
import pytest
import redis
import uvloop

from tests.board import Board, value_of
from warmer import Entry, Warmer
from warmer.errors import NamespaceClosed
from warmer.store.lines import AT_ONCE
from warmer.store.scripts import packed_get
from warmer.testing import ValkeyServer, wait_until, wait_until_async

Start = Callable[..., Future[Any]]
Run = Callable[[Coroutine[Any, Any, Any]], Any]
# A paused server must not count as away, however slow the machine is; nor may tallies be counted among reads.
PATIENT = {"command_timeout": 10.0, "invalidate_timeout": 10.0, "lease": 40.0, "tally_interval": 60}
AIRPORTS = [f"A{number}" for number in range(50)]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """`asyncio.run` on each kind of event loop in turn."""
    return asyncio.run if request.param == "asyncio" else uvloop.run


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the test's own."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def own() -> Iterator[ValkeyServer]:
    """A server that the test may pause, and whose counters nobody else moves."""
    with ValkeyServer() as server:
        yield server


def _gets(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"])


def _reads(client: redis.Redis) -> int:
    return int(client.info("stats")["total_reads_processed"])


def _ours(client: redis.Redis) -> list[dict[str, str]]:
    db = str(client.connection_pool.connection_kwargs.get("db", 0))
    return [c for c in client.client_list() if (c["name"], c["db"], c["sub"]) == ("warmer", db, "0")]


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _until(board: Board, is_so: Callable[[Entry[int]], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so(await board.departures.aread("JFK")):
            await _turns(100)


def test_reads_of_one_turn_share_a_write_and_a_read(own: ValkeyServer, run: Run) -> None:
    """Fifty tasks that read fifty entries are a few packets, and fifty GETs."""
    board = Board("lines", own.url, settings=PATIENT)
    values = board.departures.get_many([(airport,) for airport in AIRPORTS])
    with redis.Redis.from_url(own.url) as client:

        async def read() -> None:
            await board.departures.aget("A0")
            gets, reads = _gets(client), _reads(client)
            got = await asyncio.gather(*(board.departures.aget(airport) for airport in AIRPORTS))
            assert got == values
            assert _gets(client) - gets == 50
            assert _reads(client) - reads <= 10

        run(read())
    board.close()


def test_many_that_read_in_a_turn_do_not_wait_for_its_end(own: ValkeyServer, run: Run) -> None:
    """The server has twenty of them to answer while the loop is busy with the others; fewer wait."""
    board = Board("lines", own.url, settings=PATIENT)
    values = board.departures.get_many([(airport,) for airport in AIRPORTS])
    wanted = [packed_get(board.departures.bind(airport).key.encode()) for airport in AIRPORTS]
    with redis.Redis.from_url(own.url) as client:

        async def read() -> None:
            await board.departures.aget("A0")
            gets = _gets(client)
            asked = [board.runtime.lines.call(packed) for packed in wanted[: AT_ONCE - 1]]
            assert _gets(client) == gets
            asked.append(board.runtime.lines.call(wanted[AT_ONCE - 1]))
            wait_until(lambda: _gets(client) == gets + AT_ONCE, description="the first to be sent")
            asked += [board.runtime.lines.call(packed) for packed in wanted[AT_ONCE:]]
            assert all(reply for reply, _ in await asyncio.gather(*asked))
            assert await asyncio.gather(*(board.departures.aget(airport) for airport in AIRPORTS)) == values

        run(read())
    board.close()


def test_readers_of_one_entry_in_one_turn_share_a_get(flights: Warmer, client: redis.Redis, run: Run) -> None:
    """A hundred tasks that read one entry are one GET, and each has a value of its own."""

    @flights.cached(ttl=60, name="lists", version="1")
    def lists(n: int) -> list[int]:
        return [n]

    async def read() -> list[list[int]]:
        await lists.aget(7)
        gets = _gets(client)
        got = await asyncio.gather(*(lists.aget(7) for _ in range(100)))
        assert 1 <= _gets(client) - gets <= 3, "and what runs beside"
        return got

    got = run(read())
    got[0].append(8)

    assert got[0] == [7, 8]
    assert all(one == [7] for one in got[1:])


def test_who_begins_after_a_get_was_sent_does_not_share_it(own: ValkeyServer, run: Run) -> None:
    """A reply that is on its way is older than a reader that begins now."""
    board = Board("lines", own.url, settings=PATIENT)
    board.departures("JFK")

    async def read() -> None:
        await board.departures.aget("JFK")
        own.pause()
        first = asyncio.create_task(board.departures.aget("JFK"))
        await _turns(5)
        second = asyncio.create_task(board.departures.aget("JFK"))
        await _turns(5)
        own.resume()
        assert [await first, await second] == [1, 1]

    with redis.Redis.from_url(own.url) as client:
        before = _gets(client)
        run(read())
        assert _gets(client) - before == 3
    board.close()


def test_a_cancelled_reader_leaves_the_connection_in_step(own: ValkeyServer, run: Run) -> None:
    """Readers beside it and after it get their own values, on the same connection."""
    board = Board("lines", own.url, settings=PATIENT)
    values = dict(zip(AIRPORTS, board.departures.get_many([(a,) for a in AIRPORTS]), strict=True))

    async def read() -> None:
        with redis.Redis.from_url(own.url) as client:
            await board.departures.aget("A0")
            before = {one["id"] for one in _ours(client)}
            own.pause()
            readings = {a: asyncio.create_task(board.departures.aget(a)) for a in AIRPORTS}
            await _turns(5)
            unsent = asyncio.create_task(board.departures.aget("A1"))
            for airport in AIRPORTS[::2]:
                readings[airport].cancel()
            await asyncio.sleep(0)
            unsent.cancel()
            own.resume()
            for airport in AIRPORTS[1::2]:
                assert await readings[airport] == values[airport]
            for airport in AIRPORTS:
                assert await board.departures.aget(airport) == values[airport]
            assert {one["id"] for one in _ours(client)} == before

    run(read())
    assert board.loads == 50
    board.close()


def test_a_reader_under_anyio_that_is_out_of_time_leaves_nothing_behind(board: Board, run: Run) -> None:
    """A cancel scope ends its wait; its load goes on, and no flight or waiter of it is left."""
    gate = board.hold(1)

    async def read() -> None:
        with anyio.move_on_after(0.2) as scope:
            await board.departures.aget("JFK")
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:
            group.start_soon(board.departures.aget, "JFK")
            group.start_soon(board.departures.aget_many, [("JFK",), ("EWR",)])
            await wait_until_async(lambda: board.loads >= 1, description="a load")
            group.cancel_scope.cancel()
        gate.open()
        await wait_until_async(
            lambda: not board.runtime._flights and not board.runtime.tasks, description="nothing to be left"
        )
        assert await board.departures.aget("JFK") == await board.departures.aget("JFK")

    run(read())
    assert not board.runtime.heartbeat.held()


def test_a_connection_that_is_cut_is_not_noticed(board: Board, client: redis.Redis, run: Run) -> None:
    """CLIENT KILL between reads and under them: the next connection answers, and nothing is loaded."""
    values = board.departures.get_many([(airport,) for airport in AIRPORTS])

    async def read() -> None:
        await board.departures.aget("A0")
        for turn in range(4):
            readings = [asyncio.create_task(board.departures.aget(a)) for a in AIRPORTS]
            await _turns(turn)
            for one in _ours(client):
                client.client_kill_filter(_id=one["id"])
            assert await asyncio.gather(*readings) == values
            for one in _ours(client):
                client.client_kill_filter(_id=one["id"])
            assert (await board.departures.aread("A0")).state == "fresh"

    run(read())
    assert (board.loads, board.count("reads_around")) == (50, 0)


def test_a_reply_that_is_late_costs_the_connection_and_no_reader(own: ValkeyServer, run: Run) -> None:
    """Past `command_timeout` reads go around the server; once it is back they are hits again."""
    board = Board("lines", own.url, settings={"command_timeout": 0.3, "connect_timeout": 0.3, "lease": 3.0})
    board.departures("JFK")

    async def read() -> None:
        await board.departures.aget("JFK")
        own.pause()
        late = await asyncio.gather(*(board.departures.aread("JFK") for _ in range(10)))
        assert {entry.state for entry in late} == {"loaded"}
        own.resume()
        await _until(board, lambda entry: entry.state == "fresh")
        assert await board.departures.aget("JFK") == 1

    run(read())
    assert board.count("reads_around") >= 10
    board.close()


def test_a_loop_that_ends_gives_its_connection_back(board: Board, client: redis.Redis, run: Run) -> None:
    """One loop after another: no line is left, and the pool does not grow."""

    async def read() -> int:
        return await board.departures.aget("JFK")

    for _ in range(10):
        assert run(read()) == 1
        assert not board.runtime.lines._lines

    assert board.runtime.store.connections._opened <= 10
    assert len(_ours(client)) <= board.runtime.store.connections._opened


def test_a_loop_that_is_just_closed_gives_its_connection_back_to_the_next(board: Board) -> None:
    """Whoever forgets `shutdown_asyncgens` costs one connection, until another loop begins."""
    for _ in range(3):
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(board.departures.aget("JFK")) == 1
        loop.close()

        assert len(board.runtime.lines._lines) == 1


def test_more_loops_than_connections_read_through_threads(
    make_board: Callable[..., Board], client: redis.Redis, start: Start
) -> None:
    """Half of the connections may belong to loops; more loops than that still read, within the bound."""
    board = make_board(settings={"max_connections": 4})
    board.departures("JFK")
    opened: list[int] = []

    async def read() -> list[int]:
        got = [await board.departures.aget("JFK") for _ in range(50)]
        opened.append(len(board.runtime.lines._lines))
        return got

    for reading in [start(asyncio.run, read()) for _ in range(6)]:
        assert set(value_of(reading)) == {1}

    assert max(opened) <= 2
    assert len(_ours(client)) <= 4


def test_a_life_that_has_changed_is_learnt_before_the_next_read(own: ValkeyServer, run: Run) -> None:
    """What a server served before its restart is not served afterwards, from asyncio either."""
    board = Board("lines", own.url)

    async def read() -> None:
        assert await board.departures.aget("JFK") == 1
        await asyncio.to_thread(own.restart)
        await _until(board, lambda entry: entry.value != 1)
        stored = await board.departures.aread("JFK")
        board.runtime.store.connections.look_again()
        assert (await board.departures.aread("JFK")).stamp == stored.stamp

    run(read())
    board.close()


def test_closing_a_namespace_under_its_readers_tells_them(own: ValkeyServer, run: Run) -> None:
    """Those who wait for a reply hear that the namespace is closed; its next use begins anew."""
    board = Board("lines", own.url, settings=PATIENT)
    board.departures("JFK")

    async def read() -> None:
        await board.departures.aget("JFK")
        own.pause()
        reading = asyncio.create_task(board.departures.aget("JFK"))
        await _turns(3)
        closing = asyncio.create_task(asyncio.to_thread(board.flights.close))
        await asyncio.sleep(0.05)
        own.resume()
        await closing
        got = (await asyncio.gather(reading, return_exceptions=True))[0]
        assert got == 1 or isinstance(got, NamespaceClosed)
        assert await board.departures.aget("JFK") == 1

    run(read())
    board.close()
