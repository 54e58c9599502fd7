"""A load that is slow: whoever would wait for it is served the stale value, and the load goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.board import Board
from warmer.errors import InvalidOption
from warmer.testing import Clock, wait_until

MakeBoard = Callable[..., Board]
SOFT = {"ttl": 10, "grace": 1000, "keep_warm": False}


@pytest.fixture
def stale(make_board: MakeBoard, warmer_clock: Callable[..., Clock]) -> Callable[..., Board]:
    """Makes a board whose entry for JFK is stale, with value 1."""

    def make(**options: Any) -> Board:
        board = make_board(settings={"reader_refresh": "never"}, **(SOFT | options))
        assert board.departures("JFK") == 1
        warmer_clock(board.flights).advance(15)
        return board

    return make


def _read(board: Board, how: str) -> int:
    match how:
        case "sync":
            return board.departures("JFK")
        case "async":
            return asyncio.run(board.departures.aget("JFK"))
        case "many":
            return board.departures.get_many([("JFK",)])[0]
        case _:
            return asyncio.run(board.departures.aget_many([("JFK",)]))[0]


HOW = pytest.mark.parametrize("how", ["sync", "async", "many", "async-many"])


@HOW
def test_a_reader_of_a_stale_entry_waits_for_a_quick_load(stale: Callable[..., Board], how: str) -> None:
    """Within soft_timeout it gets the fresh value."""
    board = stale(soft_timeout=10)

    assert _read(board, how) == 2


@HOW
def test_a_reader_is_served_stale_when_the_load_is_slow(stale: Callable[..., Board], how: str) -> None:
    """After soft_timeout it gets the old value; the load goes on, is stored, and is counted as slow."""
    board = stale(soft_timeout=0.05)
    gate = board.hold(2)

    assert _read(board, how) == 1
    gate.open()

    wait_until(
        lambda: (entry := board.departures.bind("JFK").entry()) is not None and entry.value == 2,
        description="the slow load to be stored",
    )
    assert board.loads == 2
    assert board.count("soft_timeouts") == 1


@pytest.mark.usefixtures("long_back_off")
@HOW
def test_a_reader_is_served_stale_when_the_load_fails(stale: Callable[..., Board], how: str) -> None:
    """At once, and so are those who come during its back-off, without a load."""
    board = stale(soft_timeout=10)
    board.fail(2, ValueError("no"))

    assert [_read(board, how) for _ in range(3)] == [1, 1, 1]
    assert board.loads == 2


def test_without_it_a_reader_of_a_stale_entry_never_waits(stale: Callable[..., Board]) -> None:
    """The default: stale at once, and refreshed behind the reader."""
    board = stale()
    board.hold(2)

    entry = board.departures.read("JFK")

    assert (entry.value, entry.state, entry.waited) == (1, "stale", 0.0)


def test_what_was_invalidated_is_not_served_instead(stale: Callable[..., Board]) -> None:
    """However slow the load is: promise 1 holds before any comfort."""
    board = stale(soft_timeout=0.05)
    board.departures.invalidate("JFK")

    assert board.departures("JFK") == 2


def test_who_does_not_load_gets_what_there_is(stale: Callable[..., Board]) -> None:
    """`entry()` and miss="raise" neither load nor wait."""
    board = stale(soft_timeout=10)

    assert board.departures.bind("JFK").get(miss="raise") == 1
    entry = board.departures.bind("JFK").entry()
    assert entry is not None
    assert entry.value == 1
    assert board.loads == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"soft_timeout": 30}, "below timeout=30"),
        ({"soft_timeout": 5, "wait": 5}, "below wait=5"),
        ({"soft_timeout": 2, "wait": 60, "timeout": 1}, "below timeout=1"),
        ({"soft_timeout": 1, "grace": 0}, "0 with grace=0"),
        ({"soft_timeout": -1}, "of 0 or more"),
        ({"soft_timeout": "1"}, "a number of seconds"),
    ],
)
def test_one_that_can_not_be_meant_is_an_error_where_it_is_declared(
    make_board: MakeBoard, options: dict[str, Any], said: str
) -> None:
    """It must end before what it stands in for, and there must be something to serve."""
    with pytest.raises(InvalidOption, match=said):
        make_board(**options)


def test_a_timedelta_will_do(make_board: MakeBoard) -> None:
    """As everywhere, a duration may be one."""
    board = make_board(soft_timeout=timedelta(milliseconds=100))

    assert board.departures._reading.options.soft_s == 0.1
