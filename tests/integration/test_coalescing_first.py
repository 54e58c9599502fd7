"""The first reader of a cold entry: its question is asked by the thread that loads, past all that is busy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board, value_of
from tests.patience import PATIENCE_S
from warmer.errors import NamespaceClosed
from warmer.runtime.flights import Flight
from warmer.testing import wait_until

Start = Callable[..., Future[Any]]


def test_a_load_begins_while_the_process_is_busy_with_its_other_readers(board: Board, start: Start) -> None:
    """Nothing between the first reader and its load waits for the loop that all readers share."""
    gate, idle = board.hold(1), threading.Event()
    board.runtime.loop.call_soon_threadsafe(idle.wait, PATIENCE_S)

    reading = start(board.departures, "JFK")
    gate.wait_entered()
    idle.set()
    gate.open()

    assert value_of(reading) == 1


def test_a_load_that_has_ended_before_the_loop_knew_of_it_is_told(board: Board, start: Start) -> None:
    """A quick load whose end comes before the process has heard of its beginning answers its reader once."""
    idle = threading.Event()
    board.runtime.loop.call_soon_threadsafe(idle.wait, PATIENCE_S)

    reading = start(board.departures, "JFK")
    wait_until(lambda: board.count("commits_stored") == 1, description="the load to be committed")
    idle.set()

    assert value_of(reading) == 1
    assert (board.loads, board.count("loads")) == (1, 1)


def test_of_a_crowd_that_misses_at_once_one_asks(
    board: Board, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that find nothing at the same moment make one flight between them, and one lease is taken."""
    made: list[str] = []
    original = Flight.__init__

    def counted(flight: Flight, *args: Any) -> None:
        made.append(threading.current_thread().name)
        original(flight, *args)

    monkeypatch.setattr(Flight, "__init__", counted)
    gate, ready = board.hold(1), threading.Barrier(20)

    def read() -> int:
        ready.wait(PATIENCE_S)
        return board.departures("JFK")

    readings = [start(read) for _ in range(20)]
    gate.wait_entered()
    gate.open()

    assert {value_of(reading) for reading in readings} == {1}
    assert len(made) <= 2, "the loop may have made one before it heard of the reader's"


def test_who_comes_while_the_lease_is_asked_for_is_not_given_a_refused_value(
    board: Board, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease may be older than a reader that the question did not count: it waits for the next load."""
    acquire, asked, go = Flight.acquire, threading.Event(), threading.Event()
    batches: list[int] = []

    def held(flight: Flight, batch: list[Any], *args: Any) -> Any:
        batches.append(len(batch))
        asked.set()
        assert go.wait(PATIENCE_S)
        return acquire(flight, batch, *args)

    monkeypatch.setattr(Flight, "acquire", held)
    gate = board.hold(1)
    before = start(board.departures, "JFK")
    assert asked.wait(PATIENCE_S)
    after = start(board.departures, "JFK")
    flights = board.runtime._flights
    wait_until(lambda: [len(one.readers) for one in flights.values()] == [2], description="both to be there")

    go.set()
    gate.wait_entered()
    board.departures.invalidate("JFK")
    gate.open()

    assert batches[0] == 1
    assert (value_of(before), value_of(after)) == (1, 2)


def test_more_cold_entries_than_places_load_in_turn(make_board: Callable[..., Board], start: Start) -> None:
    """First readers take the process's places for loads like everybody else, and give them back."""
    board = make_board(settings={"max_loads": 2, "redis_away_loads": 2})

    readings = [start(board.departures, f"A{number}") for number in range(12)]

    assert sorted(value_of(reading) for reading in readings) == list(range(1, 13))
    assert board.most_running <= 2


def test_a_first_reader_that_goes_away_leaves_its_load_to_the_others(board: Board) -> None:
    """A task that is cancelled while its question is asked stops no load, and leaves nobody behind."""

    async def read() -> int:
        gate = board.hold(1)
        first = asyncio.ensure_future(board.departures.aget("JFK"))
        await asyncio.to_thread(gate.wait_entered)
        second = asyncio.ensure_future(board.departures.aget("JFK"))
        first.cancel()
        gate.open()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await second

    assert asyncio.run(read()) == 1
    wait_until(lambda: not board.runtime._flights, description="its flight to end")
    assert board.loads == 1


def test_a_first_reader_that_is_interrupted_keeps_nobody_waiting(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the thread that was to ask is never started, the flight asks by itself, for who comes then."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("warmer.runtime.loads.LoadThread.start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            board.departures("JFK")

    assert board.departures("JFK") == 1
    assert board.departures("LGA") == 2, "the places for loads are there"


def test_a_closed_namespace_begins_no_load(board: Board) -> None:
    """A reader that finds nothing after `close` is told so; no thread asks for a lease any more."""
    runtime, bound = board.runtime, board.departures.bind("JFK")
    runtime.loop.call_soon_threadsafe(int)
    runtime.close()

    reading, entry = bound._reading, bound.entry_key
    from warmer.runtime.contract import Reader

    outcome = runtime.join(reading, entry, bound.params, Reader()).result(PATIENCE_S)

    assert isinstance(outcome.error, NamespaceClosed)
    assert not runtime._flights
