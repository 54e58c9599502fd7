"""A crowd before a missing entry: who comes while others wait for it joins them, and asks nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board, value_of
from warmer import CacheMiss
from warmer.store import connections as pool
from warmer.testing import wait_until

Start = Callable[..., Future[Any]]


@pytest.fixture
def looked(board: Board, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys that sync reads have looked for."""
    keys: list[bytes] = []
    store = board.runtime.store
    fetch = store.fetch

    def noting(key: bytes, *options: Any, **more: Any) -> Any:
        keys.append(key)
        return fetch(key, *options, **more)

    monkeypatch.setattr(store, "fetch", noting)
    return keys


def test_who_comes_while_others_wait_joins_without_looking(
    board: Board, start: Start, looked: list[bytes]
) -> None:
    """Threads and tasks, by a call and by a handle; afterwards everybody looks again."""
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()
    assert len(looked) == 1

    others = [start(board.departures, "JFK") for _ in range(5)]
    others += [start(lambda: asyncio.run(board.departures.aget("JFK"))) for _ in range(2)]
    others += [start(lambda: board.departures.bind("JFK").get())]
    board.wait_joined(8)
    gate.open()

    assert {value_of(one) for one in (first, *others)} == {1}
    assert board.loads == 1
    wait_until(lambda: not board.runtime.missing, description="the flight to end")
    before = len(looked)
    assert board.departures("JFK") == 1
    assert len(looked) == before + 1


def test_who_joins_after_an_invalidation_gets_nothing_older(
    board: Board, start: Start, looked: list[bytes]
) -> None:
    """Joining without a look is no way around the fence: the load began before, so it is not for them."""
    gate, second = board.hold(1, 2), board.gates[2]
    first = start(board.departures, "JFK")
    gate.wait_entered()

    board.departures.invalidate("JFK")
    later = start(board.departures, "JFK")
    second.wait_entered()
    gate.open()
    second.open()

    assert value_of(first) == 1
    assert value_of(later) == 2


def test_who_takes_a_miss_for_an_error_looks(board: Board, start: Start, looked: list[bytes]) -> None:
    """It would wait for a load that it has not asked for."""
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()

    with pytest.raises(CacheMiss):
        board.departures.bind("JFK").get(miss="raise")

    gate.open()
    assert value_of(first) == 1


def test_a_failing_load_leaves_no_mark(board: Board) -> None:
    """Nothing makes later readers wait for a flight that is over."""
    board.fail(1, RuntimeError("no database"))
    with pytest.raises(Exception, match="no database"):
        board.departures("JFK")
    wait_until(lambda: not board.runtime.missing, description="the flight to end")


def test_a_crowd_waits_a_little_before_it_opens_more_connections(
    make_board: Callable[..., Board], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes free soon is cheaper than one to be opened; the first few are opened at once."""
    monkeypatch.setattr(pool, "PATIENCE_S", 20.0)
    connections = make_board().runtime.store.connections
    taken = [connections.take() for _ in range(pool.AT_ONCE)]
    waiting = start(connections.take)
    wait_until(lambda: connections._waiting == 1, description="one to wait")

    connections.give(taken[0])

    assert value_of(waiting) is taken[0]
    monkeypatch.setattr(pool, "PATIENCE_S", 0.001)
    taken.append(connections.take())
    assert len({id(link) for link in taken}) == pool.AT_ONCE + 1
    for link in taken:
        connections.give(link)
