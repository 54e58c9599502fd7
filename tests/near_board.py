"""What tests of near copies do again and again."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import redis

from tests.board import Board
from tests.integration.forking import in_child, said
from warmer import Warmer
from warmer.near.copies import Copy
from warmer.near.near import Near
from warmer.testing import wait_until


def copy_of(board: Board, airport: str = "JFK") -> Copy | None:
    """The copy that this process would serve."""
    return board.runtime.near.live.get(board.departures.bind(airport).key.encode())


def keep_near(flights: Warmer, *reads: Callable[[], object]) -> Near:
    """Have these reads answered from copies, and by copies that no message takes which is on its way yet."""
    near = flights.runtime().near
    for read in reads:
        read()  # the first reads load, and only begin to listen
    wait_until(lambda: near._life is not None, description="the server to be listened to")
    hear(flights)
    for read in reads:
        wait_until(functools.partial(_is_hit, near, read), description="a near copy")
    return near


def hear(flights: Warmer) -> None:
    """Wait until all messages are here that the server has sent until now."""
    near = flights.runtime().near
    near.doubt()
    wait_until(lambda: near.live is near._copies.by_key, description="its messages to be here")


def _is_hit(near: Near, read: Callable[[], object]) -> bool:
    before = near.hits
    read()
    return near.hits > before


def read_until_near(board: Board, airport: str = "JFK") -> Copy:
    """Read until there is a copy."""
    keep_near(board.flights, lambda: board.departures(airport))
    copy = copy_of(board, airport)
    assert copy is not None
    return copy


def is_near(board: Board, airport: str = "JFK") -> bool:
    """Read once; whether a copy was served."""
    return _is_hit(board.runtime.near, lambda: board.departures(airport))


def kill_tracking(client: redis.Redis) -> int:
    """Cut the connections on which changes are heard of, on this test's database."""
    db = str(client.connection_pool.connection_kwargs["db"])
    mine: list[dict[str, Any]] = [one for one in client.client_list() if one["db"] == db]
    return sum(client.client_kill_filter(_id=one["id"]) for one in mine if one["name"] == "warmer-near")


def main(url: str, namespace: str) -> None:
    """Run by test_near_away.py in a process of its own: forks with copies there, and reads in the child."""
    board = Board(namespace, url, near=60)
    read_until_near(board)
    parents = board.runtime.near

    def in_the_child() -> None:
        assert not parents.live
        assert parents is not board.runtime.near
        assert not is_near(board)
        read_until_near(board)
        assert board.departures.invalidate("JFK") == 1
        assert board.departures("JFK") == 2
        board.close()

    in_child(in_the_child)
    wait_until(lambda: board.departures("JFK") == 2, description="the parent to hear of it")
    read_until_near(board)
    board.close()
    said("done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
