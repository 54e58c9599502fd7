"""What tests of near copies do again and again."""

from __future__ import annotations

from typing import Any

import redis

from tests.board import Board
from warmer.near.copies import Copy
from warmer.testing import wait_until


def copy_of(board: Board, airport: str = "JFK") -> Copy | None:
    """The copy that this process would serve."""
    return board.runtime.near.live.get(board.departures.bind(airport).key.encode())


def read_until_near(board: Board, airport: str = "JFK") -> Copy:
    """Read until there is a copy: the first reads only begin to listen."""
    wait_until(lambda: board.departures(airport) and copy_of(board, airport), description="a near copy")
    copy = copy_of(board, airport)
    assert copy is not None
    return copy


def is_near(board: Board, airport: str = "JFK") -> bool:
    """Read once; whether a copy was served."""
    before = board.runtime.near.hits
    board.departures(airport)
    return board.runtime.near.hits > before


def kill_tracking(client: redis.Redis) -> int:
    """Cut the connections on which changes are heard of, on this test's database."""
    db = str(client.connection_pool.connection_kwargs["db"])
    mine: list[dict[str, Any]] = [one for one in client.client_list() if one["db"] == db]
    return sum(client.client_kill_filter(_id=one["id"]) for one in mine if one["name"] == "warmer-near")
