"""Near copies on Valkey and on Redis 7.0: what each server says of its writes, and of its restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import redis

from tests.board import Board
from tests.near_board import copy_of, keep_near, read_until_near
from tests.remote_board import RemoteBoard
from warmer import Warmer
from warmer.near.copies import DEAR_BYTES
from warmer.testing import RedisServer, ValkeyServer, wait_until

Server = ValkeyServer | RedisServer


@pytest.fixture
def near(own_server: Server, namespace: str) -> Iterator[Board]:
    """A query whose entries are kept near for a minute."""
    made = Board(namespace, own_server.url, near=60)
    yield made
    made.close()


def test_every_way_to_change_an_entry_is_heard_of(near: Board, own_server: Server) -> None:
    """An invalidation, a commit, a DEL by hand, an eviction's or expiry's deletion, a FLUSHALL."""
    key = near.departures.bind("JFK").key
    with redis.Redis.from_url(own_server.url) as client:
        other = Board(near.flights.namespace, own_server.url)
        ways: list[Callable[[], object]] = [
            lambda: other.departures.invalidate("JFK"),
            lambda: other.departures.invalidate_all(),
            lambda: other.flights.invalidate_tags("all"),
            lambda: other.departures.refresh("JFK"),
            lambda: client.delete(key),
            lambda: client.pexpire(key, 1),
            client.flushall,
        ]
        for way in ways:
            old = read_until_near(near)
            way()
            wait_until(lambda: copy_of(near) is not old, description="the copy to go")  # noqa: B023 - called here
        other.close()


def test_a_marked_entry_is_kept_near_no_longer_than_it_may_be_served(
    own_server: Server, namespace: str
) -> None:
    """With stale_after_write, the copy of what was invalidated ends with it, and asks for the new one."""
    with closing(Board(namespace, own_server.url, near=60, stale_after_write=10)) as board:
        old = read_until_near(board)
        loading = board.hold(2)  # else it may be done, and the copy the new one, before it is looked at

        assert board.departures.invalidate("JFK") == 1
        wait_until(lambda: copy_of(board) is not old, description="the copy to be dropped")

        copy = read_until_near(board)
        assert copy.until <= time.monotonic() + 10
        assert board.departures.read("JFK").value == 1
        loading.open()
        wait_until(lambda: board.departures("JFK") == 2, description="the new value")


def test_a_copy_lives_through_an_unchanged_refresh(own_server: Server, namespace: str) -> None:
    """The message of a refresh that finds the same takes no value that is dear to read anew."""

    def text() -> str:
        return "x" * (2 * DEAR_BYTES)

    made = [Warmer(namespace, redis_url=own_server.url) for _ in range(2)]
    here, there = (flights.cached(ttl=60, near=60, name="text", version="v")(text) for flights in made)
    near = keep_near(made[0], here)
    value, key = here(), here.bind().key.encode()
    copies = made[0].runtime().counts.snapshot()["near_copies"]

    there.refresh()

    wait_until(lambda: key not in near.live, description="the message")
    assert here() is value
    assert near.live[key].value is value
    assert made[0].runtime().counts.snapshot()["near_copies"] == copies
    for flights in made:
        flights.close()


def test_nothing_near_outlives_a_restart(near: Board, own_server: Server) -> None:
    """What was stored before is not served after it, from near, either."""
    read_until_near(near)
    own_server.restart()

    wait_until(lambda: near.departures("JFK") >= 2, description="a load")

    read_until_near(near)
    assert near.departures("JFK") >= 2
    assert not near.runtime.near.aside


def test_a_process_hears_of_what_another_invalidates(near: Board, own_server: Server) -> None:
    """Two processes: one writes, the other's copy goes."""
    read_until_near(near)
    with RemoteBoard(own_server.url, near.flights.namespace) as other:
        assert other.do("invalidate", "JFK") == 1

        wait_until(lambda: copy_of(near) is None, description="the copy to go")
        assert near.departures("JFK") == 2
