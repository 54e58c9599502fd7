"""get_many: many entries at once, in the order given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
import redis

from tests.board import Board
from warmer import CacheMiss, LoadFailed, ParamError, Warmer
from warmer.errors import NotACall, UnknownParam, WrongArguments
from warmer.testing import wait_until

Start = Callable[..., Future[Any]]


def test_values_come_in_the_order_given(board: Board) -> None:
    """Hits, misses and repeats fall where they were asked for."""
    assert board.departures.get_many([("B",)]) == [1]

    got = board.departures.get_many([("A",), ("B",), ("C",), ("B",), ("A",)])

    assert got[1] == got[3] == 1
    assert sorted((got[0], got[2])) == [2, 3]
    assert got[4] == got[0]
    assert board.loads == 3


def test_calls_are_written_in_three_ways(board: Board) -> None:
    """Tuples of arguments, mappings of params, and handles."""
    query = board.departures

    assert query.get_many([("A",), {"airport": "A"}, query.bind("A"), ["A"]]) == [1, 1, 1, 1]


def test_nothing_is_asked_for_nothing(board: Board) -> None:
    """An empty list costs no round trip."""
    assert board.departures.get_many([]) == []
    assert asyncio.run(board.departures.aget_many([])) == []


def test_a_generator_will_do(board: Board) -> None:
    """Calls may be made on the way."""
    assert sorted(board.departures.get_many((airport,) for airport in "AB")) == [1, 2]


@pytest.mark.parametrize("calls", ["UA", b"UA", {"airport": "UA"}, ["UA"], [1], [None]])
def test_a_text_where_a_list_of_calls_belongs_is_an_error(board: Board, calls: Any) -> None:
    """get_many("UA") would mean an entry for each letter; the message shows the form that works."""
    with pytest.raises(NotACall, match=r"\[\("):
        board.departures.get_many(calls)

    assert board.loads == 0


def test_a_wrong_call_among_many_loads_none(board: Board) -> None:
    """Every call is checked before anything is read."""
    with pytest.raises(ParamError, match="airport"):
        board.departures.get_many([("A",), (3,)])
    with pytest.raises(UnknownParam, match="airprt"):
        board.departures.get_many([("A",), {"airprt": "B"}])
    with pytest.raises(WrongArguments):
        board.departures.get_many([("A",), ("B", "C")])

    assert board.loads == 0


def test_a_handle_of_another_query_is_an_error(board: Board, flights: Warmer) -> None:
    """Its entry has another type."""

    @flights.cached(ttl=60, name="other")
    def other(airport: str) -> str:
        return airport

    with pytest.raises(NotACall):
        board.departures.get_many([other.bind("A")])


def test_misses_are_loaded_side_by_side(board: Board, start: Start) -> None:
    """One slow load does not hold up the others."""
    board.hold(1, 2, 3)
    reading = start(board.departures.get_many, [("A",), ("B",), ("C",)])
    for load in (1, 2, 3):
        board.gates[load].wait_entered()

    for load in (1, 2, 3):
        board.gates[load].open()

    assert sorted(reading.result(20)) == [1, 2, 3]
    assert board.most_running == 3


def test_one_that_fails_is_raised_and_the_others_are_stored(board: Board) -> None:
    """The error of a load reaches the caller; what went well is kept."""
    board.departures("A")
    board.fail(2, ValueError("no"))

    with pytest.raises(LoadFailed):
        board.departures.get_many([("A",), ("B",), ("C",)])

    one_of_two = [board.departures.bind(airport) for airport in "BC"]
    wait_until(lambda: any(one.entry() for one in one_of_two), description="the other load to be stored")


def test_a_miss_that_is_an_error_is_one_here_too(make_board: Callable[..., Board]) -> None:
    """miss="raise" of the query holds for get_many."""
    board = make_board(miss="raise")

    with pytest.raises(CacheMiss):
        board.departures.get_many([("A",)])


def test_many_are_read_in_one_round_trip(board: Board, redis_url: str) -> None:
    """A hundred hits are one MGET."""
    calls = [(f"A{number}",) for number in range(100)]
    board.departures.get_many(calls)
    with redis.Redis.from_url(redis_url) as client:
        before = client.info("commandstats")["cmdstat_mget"]["calls"]
        board.departures.get_many(calls)
        after = client.info("commandstats")["cmdstat_mget"]["calls"]

    assert after - before == 1


def test_many_are_read_from_all_shards(make_board: Callable[..., Board]) -> None:
    """Where a namespace has several shards, the order is still that of the calls."""
    board = make_board(settings={"shards": 8})
    calls = [(f"A{number}",) for number in range(50)]
    first = board.departures.get_many(calls)

    assert board.departures.get_many(calls) == first
    assert board.departures.get_many(reversed(calls)) == list(reversed(first))
    assert board.loads == 50
