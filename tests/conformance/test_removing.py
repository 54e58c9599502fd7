"""Invalidations over several shards: complete, counted exactly, and whole whatever the connection does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.board import Board
from tests.filling import fill, stored
from tests.stamping import stamp
from warmer.core.header import Header
from warmer.core.keyspace import keyspace
from warmer.testing import RedisServer, ValkeyServer

Server = ValkeyServer | RedisServer
COUNT, SHARDS = 5_000, 8


@pytest.fixture
def wide(fast_server: Server, namespace: str) -> Iterator[Board]:
    """A query over several shards."""
    board = Board(namespace, fast_server.url, settings={"shards": SHARDS})
    yield board
    board.close()


def test_each_way_removes_what_it_names_and_counts_it(fast_server: Server, wide: Board) -> None:
    """By part, by one tag, by several that overlap, by query: exactly those, each counted once."""
    with redis.Redis.from_url(fast_server.url) as client:
        fill(client, wide, COUNT, seven="7", seventeen="17", three="3")

        assert wide.departures.invalidate_where(airport="X4242") == 1
        assert wide.flights.invalidate_tags("three") == COUNT // 10
        assert wide.flights.invalidate_tags("three") == 0
        assert wide.flights.invalidate_tags("seven", "seventeen") == COUNT // 10
        left = COUNT - 2 * (COUNT // 10) - 1
        assert len(stored(client, wide)) == left
        assert wide.departures.invalidate_all() == left
        assert not stored(client, wide)


def test_many_names_are_stamped_and_removed(fast_server: Server, wide: Board) -> None:
    """More names than one trip stamps, and lists that are longer than one trip removes, among short ones."""
    with redis.Redis.from_url(fast_server.url) as client:
        fill(client, wide, 1000, **{"seven": "7", "forty-two": "42"})
        tags = ["forty-two", *(f"nobody-{number}" for number in range(600)), "seven"]

        assert wide.flights.invalidate_tags(*tags) == 110
        fence = keyspace(wide.flights.namespace, SHARDS - 1).fence
        assert all(client.zscore(fence, f"g:{tag}") for tag in tags)
        assert len(stored(client, wide)) == 890


def test_what_is_committed_meanwhile_is_new_or_gone(fast_server: Server, wide: Board) -> None:
    """When an invalidation returns, no value is left whose load began before it; newer ones stay."""
    with redis.Redis.from_url(fast_server.url) as client:
        fill(client, wide, COUNT)
        stop, refreshed = threading.Event(), set[str]()

        def refresh(first: int) -> None:
            number = first
            while not stop.is_set():
                refreshed.add(airport := f"X{number % COUNT}")
                wide.departures.refresh(airport)
                number += 97

        threads = [threading.Thread(target=refresh, args=(first,)) for first in (0, 1)]
        for thread in threads:
            thread.start()
        before = min(stamp(wide.flights, "g:nobody"))
        removed = wide.flights.invalidate_tags("all")
        stop.set()
        for thread in threads:
            thread.join(20)
        stamps = [
            header.stamp for key in stored(client, wide) if (header := Header.read(client.get(key) or b""))
        ]

    assert all(stamp > before for stamp in stamps)
    assert COUNT - len(refreshed) <= removed <= COUNT + len(refreshed)
    assert refreshed


@pytest.mark.parametrize("harm", ["script flush", "cut"])
def test_what_happens_to_the_connection_loses_nothing(fast_server: Server, wide: Board, harm: str) -> None:
    """Scripts that the server has forgotten, and a connection that was cut: all shards, all the same."""
    with redis.Redis.from_url(fast_server.url) as client:
        fill(client, wide, 500)
        if harm == "cut":
            client.client_kill_filter(_type="normal", skipme=True)
        else:
            client.script_flush()

        assert wide.flights.invalidate_tags("all") == 500
        assert not stored(client, wide)


def test_all_shards_are_stamped_in_one_trip(fast_server: Server, wide: Board) -> None:
    """However many shards there are: the commands arrive together."""
    trips: list[int] = []
    run_all: Callable[..., list[object]] = wide.runtime.store.scripts.run_all
    wide.runtime.store.scripts.run_all = lambda calls: trips.append(len(calls)) or run_all(calls)  # type: ignore[method-assign,func-returns-value]  # counted

    assert wide.flights.invalidate_tags("a", "b") == 0

    [calls] = trips
    assert calls >= SHARDS
    with redis.Redis.from_url(fast_server.url) as client:
        for shard in range(SHARDS):
            fence = keyspace(wide.flights.namespace, shard).fence
            assert client.zscore(fence, "g:a") == client.zscore(fence, "g:b") > 0


def test_an_invalidation_that_died_half_way_has_raised_the_fence(fast_server: Server, wide: Board) -> None:
    """Its stamps were the first thing it did: no load that began before can be stored, and doing it again
    removes the rest.
    """
    with redis.Redis.from_url(fast_server.url) as client:
        fill(client, wide, 1000)
        gate = wide.hold(1)
        loading = threading.Thread(target=wide.departures.refresh, args=("new",))
        loading.start()
        gate.wait_entered()
        stamp(wide.flights, "g:all")
        gate.open()
        loading.join(20)

        assert wide.departures.bind("new").entry() is None
        assert wide.flights.invalidate_tags("all") == 1000
        assert not stored(client, wide)
