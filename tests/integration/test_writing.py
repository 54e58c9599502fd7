"""Write-through: what a writer puts is read by all, unless somebody else wrote meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board
from warmer.errors import InvalidationUnconfirmed, NothingToPut, ResultNotStorable
from warmer.testing import ValkeyServer, wait_until

Start = Callable[..., Future[Any]]


def test_what_is_put_is_read_without_a_load(board: Board) -> None:
    """The next read is a hit on the put value, fresh, with its names: invalidations find it."""
    assert board.departures("JFK") == 1

    with board.departures.writing("JFK") as writing:
        writing.put(70)
        writing.put(77)

    read = board.departures.read("JFK")
    assert (writing.stored, read.value, read.state, board.loads) == (True, 77, "fresh", 1)
    assert board.flights.invalidate_tags("all") == 1
    assert board.departures("JFK") == 2


def test_a_put_makes_an_entry_that_was_never_read(board: Board) -> None:
    """Nothing need be there before."""
    with board.departures.bind("EWR").writing() as writing:
        writing.put(5)

    assert (board.departures("EWR"), board.loads) == (5, 0)


def test_a_write_without_a_value_invalidates(board: Board) -> None:
    """A block in which nothing is put does what `invalidate` does."""
    board.departures("JFK")

    with board.departures.writing("JFK") as writing:
        pass

    assert not writing.stored
    assert board.departures("JFK") == 2


def test_a_write_that_fails_stores_nothing_and_invalidates(board: Board) -> None:
    """What the write came to is not known: the value is dropped, and the entry with it."""
    board.departures("JFK")

    def write() -> None:
        with writing:
            writing.put(77)
            raise KeyError("duplicate")

    writing = board.departures.writing("JFK")
    with pytest.raises(KeyError):
        write()

    assert not writing.stored
    assert board.departures("JFK") == 2


def test_of_two_writers_at_once_neither_value_stays(board: Board) -> None:
    """The second to end may hold the older row; the first one's value went when the second ended."""
    with board.departures.writing("JFK") as first:
        with board.departures.writing("JFK") as second:
            second.put(1002)
        assert board.departures("JFK") == 1002
        first.put(1001)

    assert (first.stored, second.stored) == (False, True)
    assert board.departures("JFK") == 1


def test_writers_one_after_the_other_both_put(board: Board) -> None:
    """A write that began after the last one's end is not overtaken by it."""
    for value in (101, 102):
        with board.departures.writing("JFK") as writing:
            writing.put(value)
        assert (writing.stored, board.departures("JFK")) == (True, value)


@pytest.mark.parametrize("name", ["entry", "query", "tag"])
def test_an_invalidation_meanwhile_refuses_the_value(board: Board, name: str) -> None:
    """Somebody else has changed something that the entry stands under: the value may be old."""
    with board.departures.writing("JFK") as writing:
        if name == "entry":
            board.departures.invalidate("JFK")
        elif name == "query":
            board.departures.invalidate_all()
        else:
            board.flights.invalidate_tags("all")
        writing.put(77)

    assert not writing.stored
    assert board.departures("JFK") == 1


def test_an_invalidation_of_another_entry_does_not_matter(board: Board) -> None:
    """Only the names of the entry itself can refuse its value."""
    with board.departures.writing("JFK") as writing:
        board.departures.invalidate("EWR")
        writing.put(77)

    assert writing.stored


def test_a_load_that_began_before_the_write_does_not_come_through(board: Board, start: Start) -> None:
    """Its commit is refused; those who waited for it have its value, and later readers the put one."""
    gate = board.hold(1)
    waiting = start(board.departures, "JFK")
    gate.wait_entered()

    with board.departures.writing("JFK") as writing:
        writing.put(77)
    gate.open()

    assert writing.stored
    assert waiting.result(20) == 1
    assert board.departures("JFK") == 77


def test_who_reads_after_the_write_does_not_wait_for_an_older_load(board: Board, start: Start) -> None:
    """The put value is there while the doomed load still runs."""
    gate = board.hold(1)
    waiting = start(board.departures, "JFK")
    gate.wait_entered()

    with board.departures.writing("JFK") as writing:
        writing.put(77)
    assert board.departures("JFK") == 77

    gate.open()
    waiting.result(20)
    assert board.departures("JFK") == 77


def test_a_put_lets_no_third_load_start(board: Board, start: Start) -> None:
    """While two doomed loads run, a value is not stored, only invalidated."""
    first, second = board.hold(1), board.hold(2)
    waiting = [start(board.departures, "JFK")]
    first.wait_entered()
    board.departures.invalidate("JFK")
    waiting.append(start(board.departures, "JFK"))
    second.wait_entered()

    with board.departures.writing("JFK") as writing:
        writing.put(77)
    first.open()
    second.open()

    assert not writing.stored
    assert {one.result(20) for one in waiting} <= {1, 2}
    assert board.departures("JFK") == 3
    assert board.most_running == 2


def test_a_value_of_another_type_is_an_error_and_invalidates(board: Board) -> None:
    """It is refused where it is put, as a load's would be."""
    board.departures("JFK")

    with pytest.raises(ResultNotStorable), board.departures.writing("JFK") as writing:
        writing.put("77")  # type: ignore[arg-type]

    assert board.departures("JFK") == 2


def test_put_belongs_into_its_block(board: Board) -> None:
    """Before and after, there is no write that it could come from."""
    writing = board.departures.writing("JFK")
    with pytest.raises(NothingToPut, match="writing"):
        writing.put(77)
    with writing:
        pass
    with pytest.raises(NothingToPut):
        writing.put(77)


def test_from_asyncio(board: Board) -> None:
    """`async with` does the same."""

    async def write() -> bool:
        async with board.departures.writing("JFK") as writing:
            writing.put(77)
        assert await board.departures.aget("JFK") == 77
        return writing.stored

    assert asyncio.run(write())


def test_with_redis_away_the_write_goes_on_and_its_end_tells(make_board: Callable[..., Board]) -> None:
    """Nothing is put; who can't confirm the invalidation raises, and a failing write keeps its own error."""
    with ValkeyServer() as server:
        board = make_board(redis_url=server.url, settings={"command_timeout": 0.1, "invalidate_timeout": 0.1})
        board.departures("JFK")
        server.stop()

        with pytest.raises(InvalidationUnconfirmed), board.departures.writing("JFK") as writing:
            writing.put(77)
        with pytest.raises(KeyError) as caught, board.departures.writing("JFK"):
            raise KeyError("duplicate")

    assert not writing.stored
    assert "may be stale" in caught.value.__notes__[0]


def test_a_restart_in_between_refuses_the_value(make_board: Callable[..., Board]) -> None:
    """What was invalidated in the server's earlier life is not on record any more."""
    with ValkeyServer() as server:
        board = make_board(redis_url=server.url)
        board.departures("JFK")

        with board.departures.writing("JFK") as writing:
            server.stop()
            server.start()
            wait_until(lambda: board.departures("EWR") > 0, description="Redis to be used again")
            writing.put(77)

        assert not writing.stored
        assert board.departures("JFK") != 77


def test_a_put_does_not_count_as_a_free_load(board: Board) -> None:
    """The lead of a query's refreshes is measured from its loads alone."""
    board.departures("JFK")
    recent = board.runtime.store.command("LLEN", _recent(board))
    with board.departures.writing("JFK") as writing:
        writing.put(77)

    assert board.runtime.store.command("LLEN", _recent(board)) == recent


def _recent(board: Board) -> str:
    from warmer.core.keyspace import keyspace

    return keyspace(board.flights.namespace, 0).recent("departures")
