"""With the server away: reads go around it under a bound, say so beyond that, and come back by themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board, threads_of, value_of
from warmer import RedisUnreachable, TooManyLoads, WaitTimeout
from warmer.errors import InvalidationUnconfirmed, ShardCountDiffers, WarmerError
from warmer.testing import ValkeyServer, wait_until

Start = Callable[..., Future[Any]]
QUICK = {"command_timeout": 0.3, "connect_timeout": 0.3, "lease": 2.0, "invalidate_timeout": 0.3}


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server of the test's own."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def away(server: ValkeyServer, namespace: str) -> Iterator[Callable[..., Board]]:
    """Makes a board whose server has just gone."""
    made: list[Board] = []

    def make(**options: Any) -> Board:
        settings = QUICK | options.pop("settings", {})
        board = Board(namespace, server.url, settings=settings, **options)
        made.append(board)
        assert board.departures("JFK") == 1
        server.kill()
        return board

    yield make
    for board in made:
        board.close()


def test_reads_load_while_the_server_is_away(away: Callable[..., Board]) -> None:
    """Every read gets a value, from the source; nothing is kept."""
    board = away()

    assert [board.departures("JFK") for _ in range(3)] == [2, 3, 4]
    assert board.departures.read("JFK").stamp == 0
    assert board.count("loads_around") == 4


def test_readers_of_one_entry_share_loads_while_the_server_is_away(
    away: Callable[..., Board], start: Start
) -> None:
    """Coalescing needs no server: who waits for the same entry gets the load that begins after it came."""
    board = away()
    gate = board.hold(2)
    first = start(board.departures, "JFK")
    gate.wait_entered()
    others = [start(board.departures, "JFK") for _ in range(20)]
    (flight,) = board.runtime._flights.values()
    wait_until(lambda: sum(map(threads_of, list(flight.readers))) == 20, description="all of them to wait")

    gate.open()

    assert value_of(first) == 2
    assert {value_of(other) for other in others} == {3}


def test_loads_are_bounded_while_the_server_is_away(away: Callable[..., Board], start: Start) -> None:
    """Nothing keeps processes from loading the same, so each runs a few loads only."""
    board = away(settings={"redis_away_loads": 2}, wait=30)
    readings = [start(board.departures, f"A{number}") for number in range(20)]

    assert sorted(value_of(reading) for reading in readings) == list(range(2, 22))
    assert board.most_running <= 2


def test_beyond_the_bound_readers_are_told_after_their_wait(away: Callable[..., Board], start: Start) -> None:
    """A reader that gets no turn in time has an error that names the bound and why the server is not
    asked.
    """
    board = away(settings={"redis_away_loads": 1}, wait=0.5)
    gate = board.hold(2)
    first = start(board.departures, "JFK")
    gate.wait_entered()

    with pytest.raises(TooManyLoads, match="can't be reached") as caught:
        board.departures("EWR")

    assert caught.value.args[2] == 1
    gate.open()
    assert value_of(first) == 2


def test_everything_comes_back_by_itself(away: Callable[..., Board], server: ValkeyServer) -> None:
    """When the server is there again, the next reads are stored and hit, and nobody had to do anything."""
    board = away()
    board.departures("JFK")
    server.start()

    wait_until(lambda: board.departures("JFK") and board.departures.bind("JFK").entry(), description="a hit")

    loads = board.loads
    assert board.departures.read("JFK").state == "fresh"
    assert board.loads == loads


def test_a_process_may_start_while_the_server_is_away(namespace: str) -> None:
    """Reads work from the first one on, and are stored when the server comes."""
    with ValkeyServer() as gone:
        url, port = gone.url, gone.port
    board = Board(namespace, url, settings=QUICK)

    assert board.departures("JFK") == 1
    with ValkeyServer(port=port):
        wait_until(
            lambda: board.departures("JFK") and board.departures.bind("JFK").entry(), description="a hit"
        )
    board.close()


def test_a_miss_that_may_not_load_here_says_that_the_server_is_away(away: Callable[..., Board]) -> None:
    """miss="wait" has nobody to wait for."""
    board = away()

    with pytest.raises(RedisUnreachable):
        board.departures.bind("JFK").get(miss="wait")

    assert board.loads == 1


def test_an_invalidation_that_can_not_be_confirmed_raises(away: Callable[..., Board]) -> None:
    """Whoever invalidates must know that older values may still be served."""
    board = away()

    ways: tuple[Callable[[], int], ...] = (
        lambda: board.departures.invalidate("JFK"),
        lambda: board.departures.invalidate_all(),
        lambda: board.flights.invalidate_tags("all"),
    )
    for invalidate in ways:
        with pytest.raises(InvalidationUnconfirmed, match="could not be confirmed"):
            invalidate()


def test_a_load_that_can_not_be_stored_is_still_a_value(
    server: ValkeyServer, namespace: str, start: Start
) -> None:
    """The server goes while a load runs: its readers get what it gave."""
    board = Board(namespace, server.url, settings=QUICK)
    gate = board.hold(1)
    reading = start(board.departures, "JFK")
    gate.wait_entered()
    server.kill()

    gate.open()

    assert value_of(reading) == 1
    assert board.count("commits_failed") == 1
    board.close()


def test_readers_that_wait_when_the_server_goes_are_served(
    server: ValkeyServer, namespace: str, start: Start
) -> None:
    """Those who waited for another process's load do their own when they can't hear of it any more."""
    mine = Board(namespace, server.url, settings=QUICK)
    other = Board(namespace, server.url, settings=QUICK)
    gate = other.hold(1)
    loading = start(other.departures, "JFK")
    gate.wait_entered()
    waiting = start(mine.departures, "JFK")
    mine.wait_joined(1)

    server.kill()

    assert value_of(waiting) == 1
    assert mine.loads == 1
    gate.open()
    value_of(loading)
    mine.close()
    other.close()


def test_a_server_that_hangs_is_as_good_as_away(server: ValkeyServer, namespace: str) -> None:
    """Within command_timeout a read gives up on it, and loads; when it goes on, entries are hit again."""
    board = Board(namespace, server.url, settings=QUICK)
    board.departures("JFK")
    server.pause()

    assert board.departures("JFK") == 2
    server.resume()

    wait_until(lambda: board.departures("JFK") and board.departures.bind("JFK").entry(), description="a hit")
    board.close()


def test_a_lease_that_was_granted_in_a_lost_reply_blocks_nobody(server: ValkeyServer, namespace: str) -> None:
    """A question that timed out while the server hung may have been granted: its process asks with the
    same token.
    """
    board = Board(namespace, server.url, settings=QUICK, wait=8)
    one = board.departures.bind("JFK")
    assert one.entry() is None
    server.pause()
    board.departures("JFK")
    server.resume()
    wait_until(lambda: _answers(board), description="the server to answer again")

    entry = one.read()

    assert entry.waited < 5, "a lease that nobody holds runs out in 2 s"
    board.close()


def test_a_start_without_the_server_is_told_once(
    server: ValkeyServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says that it is away and what becomes of reads: not two, of the connection and the start."""
    server.kill()
    board = Board(namespace, server.url, settings=QUICK)

    assert board.departures("JFK") == 1
    told = [message for message in caplog.messages if "load from the database" in message]
    board.close()

    assert len(told) == 1, told


def test_who_finds_no_connection_free_goes_around_redis(
    server: ValkeyServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets its value from the source, the log names the setting, and an invalidation raises."""
    settings = QUICK | {"max_connections": 2}
    board = Board(namespace, server.url, settings=settings)
    board.departures("JFK")
    connections = board.runtime.store.connections
    links = [connections.take(), connections.take()]

    assert board.departures("JFK") == 2
    with pytest.raises(InvalidationUnconfirmed, match="max_connections"):
        board.departures.invalidate("JFK")
    for link in links:
        connections.give(link)

    assert any("WARMER_MAX_CONNECTIONS" in line for line in caplog.messages)
    assert not connections.breaker.open
    board.close()


def _read(board: Board, how: str) -> int:
    return board.departures("JFK") if how == "sync" else asyncio.run(board.departures.aget("JFK"))


@pytest.mark.parametrize("how", ["sync", "async"])
def test_readers_pay_no_timeout_while_the_server_hangs(
    server: ValkeyServer, namespace: str, how: str
) -> None:
    """Once a command was not answered, reads skip the server; when it goes on, the breaker closes."""
    slow = {"command_timeout": 1.5, "invalidate_timeout": 1.5, "lease": 10.0}
    board = Board(namespace, server.url, settings=QUICK | slow)
    _read(board, how)
    connections = board.runtime.store.connections
    for link in [connections.take() for _ in range(8)]:
        connections.give(link)  # each of them would find out for itself
    server.pause()
    _read(board, how)
    began = time.monotonic()

    values = [_read(board, how) for _ in range(10)]
    took_s = time.monotonic() - began
    opened = connections.breaker.open
    server.resume()

    assert opened
    assert values == list(range(3, 13))
    assert took_s < 6, "ten reads, and not ten timeouts of 1.5 s"
    wait_until(lambda: not connections.breaker.open, description="the breaker to close")
    assert board.departures.read("JFK").stamp > 0
    assert (board.count("redis_away"), board.count("redis_back")) == (1, 1)
    board.close()


def _answers(board: Board) -> bool:
    try:
        board.runtime.store.command("PING")
    except RedisUnreachable:
        return False
    return True


def test_another_number_of_shards_is_refused(server: ValkeyServer, namespace: str) -> None:
    """Processes that would not see each other's entries must not run side by side."""
    Board(namespace, server.url, settings={"shards": 4}).runtime.close()

    with pytest.raises(ShardCountDiffers, match="4"):
        Board(namespace, server.url, settings={"shards": 8}).departures("JFK")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379",
        "redis://127.0.0.1:port/0",
        "redis://h:1/zero",
        "redis://h:1/0?databse=1",
        "unix://",
    ],
)
def test_a_url_that_can_not_be_meant_is_an_error(namespace: str, url: str) -> None:
    """It is said with the forms that work, before any connection."""
    with pytest.raises(WarmerError, match="redis_url"):
        Board(namespace, url).departures("JFK")


def test_waiting_for_a_worker_ends_in_time_too(server: ValkeyServer, namespace: str, start: Start) -> None:
    """A server that goes while somebody waits with miss="wait" ends that wait."""
    board = Board(namespace, server.url, settings=QUICK, wait=5)
    waiting = start(board.departures.bind("JFK").get, miss="wait")
    board.wait_joined(1)

    server.kill()

    assert isinstance(waiting.exception(20), RedisUnreachable | WaitTimeout)
    board.close()
