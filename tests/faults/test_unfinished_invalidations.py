"""Whoever invalidates dies in the middle: what is left is removed by others, all of it and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.board import Board
from tests.filling import fill, stored
from warmer.completion import Completion, complete_unfinished
from warmer.core.header import INVALIDATED, Header
from warmer.core.keyspace import keyspace
from warmer.errors import InvalidationUnconfirmed
from warmer.scheduler.reap import Reaper
from warmer.store.scripts import Call, Scripts
from warmer.testing import ChildProcess, Clock, ValkeyServer, python, wait_until

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
COUNT = 800
#: In the test's namespace an invoker may be silent for so long.
LONG_S = 60.0
INVOKER = """
import sys
import threading

from tests.board import Board
from tests.filling import fill, stored
from warmer.store.scripts import Scripts

namespace, url, shards, options, how, trips = sys.argv[1:]
board = Board(namespace, url, settings={"shards": int(shards)}, **eval(options))
run_all, left = Scripts.run_all, [int(trips)]


def dying(self, calls):
    if any(call.name in ("apply", "remove") for call in calls):
        left[0] -= 1
        if left[0] < 0:
            print("reached", flush=True)
            threading.Event().wait()
        if left[0] == 0 and how.endswith(", of some shards"):
            calls = calls[: len(calls) // 2]
            run_all(self, calls)
            print("reached", flush=True)
            threading.Event().wait()
    return run_all(self, calls)


board.runtime
Scripts.run_all = dying
{
    "tag": lambda: board.flights.invalidate_tags("all"),
    "query": lambda: board.departures.invalidate_all(),
    "part": lambda: board.departures.invalidate_where(airport="X77"),
}[how.partition(",")[0]]()
"""


def _board(server: ValkeyServer, namespace: str, shards: int, **options: Any) -> Board:
    return Board(namespace, server.url, settings={"shards": shards}, **options)


def _records(client: redis.Redis, board: Board) -> int:
    """Records of invalidations that are not finished."""
    shards = range(board.runtime.settings.shards)
    return sum(int(client.hlen(keyspace(board.flights.namespace, s).unfinished)) for s in shards)


def _kill_invoker(board: Board, url: str, how: str, trips: int, options: str = "{}") -> None:
    """A process that is killed (kill -9) when its invalidation has made so many trips."""
    shards = str(board.runtime.settings.shards)
    arguments = (board.flights.namespace, url, shards, options, how, str(trips))
    invoker: ChildProcess = python("-c", INVOKER, *arguments, cwd=ROOT)
    with invoker:
        invoker.wait_for_line("^reached$", timeout_s=60)
        invoker.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server whose keys can be counted."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def client(server: ValkeyServer) -> Iterator[redis.Redis]:
    """A look at what is stored."""
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.mark.parametrize(
    ("how", "shards", "trips"),
    [("tag", 1, 5), ("tag, of some shards", 8, 1), ("query", 8, 2), ("part", 8, 1)],
)
def test_a_killed_invalidation_is_completed_by_a_scheduler(
    server: ValkeyServer, client: redis.Redis, namespace: str, how: str, shards: int, trips: int
) -> None:
    """Not while its invoker may still be at it; then all of it goes, and its records."""
    board = _board(server, namespace, shards)
    fill(client, board, COUNT)
    _kill_invoker(board, server.url, how, trips)
    left = stored(client, board)
    assert left
    assert _records(client, board) > 0

    reaper = Reaper(board.flights)
    reaper.step()
    assert stored(client, board) == left

    Clock(board.flights).advance(LONG_S)
    reaper.step()

    gone = {board.departures.bind("X77").key.encode()} if how == "part" else left
    wait_until(lambda: _records(client, board) == 0, "its records to be dropped")
    assert stored(client, board) == left - gone
    assert board.count("invalidations_completed") >= 1
    board.close()


def test_what_is_completed_honours_stale_after_write(
    server: ValkeyServer, client: redis.Redis, namespace: str
) -> None:
    """By whoever does it: also by one that does not know the query."""
    board = _board(server, namespace, 1, stale_after_write=30)
    fill(client, board, 200)
    _kill_invoker(board, server.url, "tag", 2, "{'stale_after_write': 30}")
    board.close()
    board = _board(server, namespace, 1, name="another")

    Clock(board.flights).advance(LONG_S)
    wait_until(lambda: _records(client, board) == 0, "it to be completed")

    there = stored(client, board)
    assert len(there) == 200
    blobs = [board.runtime.store.get(key)[0] or b"" for key in there]
    assert all((header := Header.read(blob)) and header.flags & INVALIDATED for blob in blobs)
    board.close()


def test_without_a_scheduler_any_process_completes_it(
    server: ValkeyServer, client: redis.Redis, namespace: str
) -> None:
    """A process looks into one shard at a time, by itself."""
    board = _board(server, namespace, 4)
    fill(client, board, 500)
    _kill_invoker(board, server.url, "tag, of some shards", 1)
    Clock(board.flights).advance(LONG_S)

    wait_until(lambda: not stored(client, board), "the rest to be removed", timeout_s=60)
    wait_until(lambda: _records(client, board) == 0, "the records to be dropped", timeout_s=20)
    board.close()


def test_one_that_could_not_be_confirmed_is_completed(namespace: str) -> None:
    """Its caller was told so: it is done all the same, when Redis is back."""
    with ValkeyServer() as server, redis.Redis.from_url(server.url) as client:
        settings = {"command_timeout": 0.2, "invalidate_timeout": 0.2}
        board = Board(namespace, server.url, settings=settings)
        fill(client, board, 500)
        scripts = board.runtime.store.scripts
        trips = itertools.count()
        _before_trip(scripts, lambda: server.pause() if next(trips) == 2 else None)
        with pytest.raises(InvalidationUnconfirmed):
            board.flights.invalidate_tags("all")
        server.resume()
        assert stored(client, board)

        wait_until(lambda: board.count("redis_back"), "Redis to be used again")
        Clock(board.flights).advance(LONG_S)
        Completion(board.runtime).step()
        wait_until(lambda: not stored(client, board), "the rest to be removed", timeout_s=60)
        board.close()


def test_a_slow_invoker_is_left_at_it(server: ValkeyServer, client: redis.Redis, namespace: str) -> None:
    """While it says that it is at it, nobody does it once more; when it is done, no record is left."""
    board = _board(server, namespace, 1)
    fill(client, board, 300)
    other, clock = _board(server, namespace, 1), Clock(board.flights)
    completed: list[int] = []

    def meanwhile() -> None:
        clock.advance(3.0)
        completed.append(complete_unfinished(other.runtime, 0))

    _before_trip(board.runtime.store.scripts, meanwhile)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warmer.store.unfinished.CARRY_EVERY_S", 0.0)
        assert board.flights.invalidate_tags("all") == 300

    assert len(completed) > 5
    assert not any(completed)
    assert _records(client, board) == 0
    other.close()
    board.close()


def test_a_small_invalidation_writes_no_record(
    server: ValkeyServer, client: redis.Redis, namespace: str
) -> None:
    """It is one trip: with one shard no record is needed, with more of them it goes in the same trip."""
    for shards in (1, 8):
        board = _board(server, f"{namespace}-{shards}", shards)
        fill(client, board, 10)
        trips: list[list[str]] = []
        scripts = board.runtime.store.scripts
        _before_trip(scripts, lambda: None, trips)
        assert board.flights.invalidate_tags("all") == 10
        assert [trip[:shards] for trip in trips] == [["apply"] * shards]
        assert _records(client, board) == 0
        board.close()


def test_a_record_of_a_later_release_is_left_to_that(
    server: ValkeyServer, client: redis.Redis, namespace: str
) -> None:
    """Who can't read one says so, and completes those that it can."""
    board = _board(server, namespace, 1)
    fill(client, board, 300)
    _kill_invoker(board, server.url, "tag", 2)
    unfinished = keyspace(namespace, 0).unfinished
    client.hset(unfinished, "later", "0 0 " + '{"changes": "{\\"v\\": 99}", "stale_us": {}}')
    client.hset(unfinished, "other", "0 0 {}")

    Clock(board.flights).advance(LONG_S)
    wait_until(lambda: not stored(client, board), "what it can read to be completed")
    wait_until(lambda: board.count("unfinished_unreadable") >= 2, "the others to be told of")

    assert {b"later", b"other"} <= set(client.hkeys(unfinished))
    board.close()


def _before_trip(scripts: Scripts, call: Callable[[], Any], trips: list[list[str]] | None = None) -> None:
    """Have this called before each trip of an invalidation; trips: the names of the scripts in each."""
    run_all = scripts.run_all

    def running(calls: list[Call]) -> list[Any]:
        names = [one.name for one in calls]
        if {"apply", "remove"} & set(names):
            call()
            if trips is not None:
                trips.append(names)
        return run_all(calls)

    scripts.run_all = running  # type: ignore[method-assign,assignment]  # what is sent, watched
