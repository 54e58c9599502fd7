"""The thread that asks a flight's first question: what becomes of its place, its answer and its readers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board, value_of
from tests.patience import PATIENCE_S
from warmer import Warmer
from warmer.runtime.flights import Flight
from warmer.runtime.loads import LoadThread
from warmer.runtime.opening import Opening
from warmer.testing import wait_until

Start = Callable[..., Future[Any]]
MakeBoard = Callable[..., Board]
ONE_PLACE = {"max_loads": 1, "redis_away_loads": 1}


def _free(board: Board) -> int:
    """How many places for loads are free; they are taken by this."""
    wait_until(lambda: not board.runtime._flights, description="all flights to end")
    wait_until(lambda: not board.runtime.tasks, description="all loads to end")
    places = 0
    while board.runtime.slots.take():
        places += 1
    return places


def test_a_question_that_is_refused_gives_its_place_back(make_board: MakeBoard, start: Start) -> None:
    """While its reader waits for another process's load, the place is somebody else's."""
    other, board = make_board(), make_board(settings=ONE_PLACE)
    gate = other.hold(1)
    theirs = start(other.departures, "JFK")
    gate.wait_entered()
    ours = start(board.departures, "JFK")
    board.wait_joined(1)

    assert board.departures("LGA") == 1
    assert not ours.done()

    gate.open()
    assert (value_of(theirs), value_of(ours)) == (1, 1)
    assert (board.loads, _free(board)) == (1, 1)


def test_a_fault_in_the_question_reaches_who_waits(
    make_board: MakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is; it holds no place, and the next reader asks again."""
    board = make_board(settings=ONE_PLACE)

    def broken(*_: object) -> None:
        raise LookupError("a fault of ours")

    with monkeypatch.context() as patched:
        patched.setattr(Flight, "acquire", broken)
        with pytest.raises(LookupError, match="a fault of ours"):
            board.departures("JFK")

    assert board.departures("JFK") == 1
    assert _free(board) == 1


def test_without_a_thread_to_ask_the_flight_asks(
    make_board: MakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may have no more threads at this moment."""
    board = make_board(settings=ONE_PLACE)
    started, begin = list[LoadThread](), LoadThread.start

    def refused(thread: LoadThread) -> None:
        started.append(thread)
        if len(started) == 1:
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(LoadThread, "start", refused)
    monkeypatch.setattr("warmer.runtime.flights.OPENS_IN_S", 10 * PATIENCE_S)  # it is told at once

    assert board.departures("JFK") == 1
    assert (board.loads, _free(board)) == (1, 1)


def test_a_thread_that_begins_too_late_asks_nothing(
    make_board: MakeBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flight has asked by itself meanwhile: another question would be about a lease that nobody wants."""
    board = make_board(settings=ONE_PLACE)
    late, begin, acquire = list[LoadThread](), LoadThread.start, Flight.acquire
    asked: list[str] = []

    def held(thread: LoadThread) -> None:
        if late:
            begin(thread)
        else:
            late.append(thread)

    def counted(flight: Flight, batch: list[Any], token: str, look: bool) -> Any:
        asked.append(token)
        return acquire(flight, batch, token, look)

    monkeypatch.setattr("warmer.runtime.flights.OPENS_IN_S", 0.01)
    monkeypatch.setattr(LoadThread, "start", held)
    monkeypatch.setattr(Flight, "acquire", counted)
    assert board.departures("JFK") == 1

    begin(late[0])
    late[0]._thread.join(PATIENCE_S)

    assert (len(asked), board.loads, _free(board)) == (1, 1, 1)


def test_a_question_that_takes_long_is_waited_for(
    make_board: MakeBoard, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't be taken back once it is asked: its answer is the flight's, however late it comes."""
    board = make_board(settings=ONE_PLACE)
    acquire, take_back = Flight.acquire, Opening.take_back
    tried, asked = threading.Event(), list[str]()

    def held(flight: Flight, batch: list[Any], token: str, look: bool) -> Any:
        asked.append(token)
        assert tried.wait(PATIENCE_S)
        return acquire(flight, batch, token, look)

    def noted(opening: Opening) -> bool:
        taken = take_back(opening)
        tried.set()
        return taken

    monkeypatch.setattr("warmer.runtime.flights.OPENS_IN_S", 0.01)
    monkeypatch.setattr(Flight, "acquire", held)
    monkeypatch.setattr(Opening, "take_back", noted)

    assert value_of(start(board.departures, "JFK")) == 1
    assert (len(asked), board.loads, _free(board)) == (1, 1, 1)


def test_an_answer_that_comes_after_close_is_nobodys(
    board: Board, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its readers have been told; the thread that brings it ends quietly."""
    asked, go, ended = threading.Event(), threading.Event(), threading.Event()
    run = Opening._run

    def held(*_: object) -> None:
        asked.set()
        assert go.wait(PATIENCE_S)
        raise LookupError("of a store that is closed")

    def noted(opening: Opening) -> None:
        run(opening)
        ended.set()

    monkeypatch.setattr(Flight, "acquire", held)
    monkeypatch.setattr(Opening, "_run", noted)
    reading = start(board.departures, "JFK")
    assert asked.wait(PATIENCE_S)
    loop = board.runtime.loop

    board.runtime.close()
    assert reading.exception(PATIENCE_S) is not None
    wait_until(loop.is_closed, description="the loop to end")
    go.set()

    assert ended.wait(PATIENCE_S), "it has ended otherwise than by an error"


def test_who_comes_second_gives_back_the_place_it_took(
    make_board: MakeBoard, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that make an entry's flight at once one goes on; the other joins it, and takes no place."""
    board = make_board(settings={"max_loads": 2, "redis_away_loads": 2})
    gate, made, original = board.hold(1), list[object](), Flight.__init__
    others: list[Future[Any]] = []

    def raced(flight: Flight, *args: Any) -> None:
        original(flight, *args)
        made.append(flight)
        if len(made) == 1:
            others.append(start(board.departures, "JFK"))
            gate.wait_entered()

    monkeypatch.setattr(Flight, "__init__", raced)
    reading = start(board.departures, "JFK")
    gate.wait_entered()
    board.wait_joined(1)  # the one that lost: the other is served by its load already
    gate.open()

    assert (value_of(reading), value_of(others[0])) == (1, 1)
    assert len(made) >= 2  # a third where the first of them was over before the other came
    assert _free(board) == 2


def test_each_time_an_entry_is_cold_its_first_reader_goes_ahead(board: Board, start: Start) -> None:
    """Not only the first time: what is remembered of a first reader goes with it."""
    assert board.departures("JFK") == 1
    board.departures.invalidate("JFK")
    gate, idle = board.hold(2), threading.Event()
    wait_until(lambda: not board.runtime._flights, description="its flight to end")
    board.runtime.loop.call_soon_threadsafe(idle.wait, PATIENCE_S)

    reading = start(board.departures, "JFK")
    gate.wait_entered()
    idle.set()
    gate.open()

    assert value_of(reading) == 2


def test_who_goes_away_while_it_waits_for_a_place_takes_none(make_board: MakeBoard, start: Start) -> None:
    """Its turn is given up with it, and the place goes to who comes next."""
    board = make_board(settings=ONE_PLACE)
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()

    async def give_up() -> None:
        reading = asyncio.ensure_future(board.departures.aget("LGA"))
        await asyncio.to_thread(wait_until, lambda: len(board.runtime.slots._turns) == 1)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    asyncio.run(give_up())
    wait_until(lambda: not board.runtime._flights, description="its flight to end")
    gate.open()

    assert value_of(first) == 1
    assert (board.departures("ATL"), board.loads) == (2, 2)
    assert _free(board) == 1


def test_a_batch_that_comes_while_a_question_is_asked_is_no_part_of_it(
    flights: Warmer, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is granted to the first reader is loaded by itself; the batch has an answer of its own."""
    asked, go, run = threading.Event(), threading.Event(), Opening._run
    batches: list[list[tuple[str]]] = []

    def load(calls: list[tuple[str]]) -> list[str]:
        batches.append(calls)
        return [airport.lower() for (airport,) in calls]

    @flights.cached(ttl=60, name="departures", version="v", batch=load, wait=PATIENCE_S)
    def departures(airport: str) -> str:
        return airport.lower()

    def held(opening: Opening) -> None:
        asked.set()
        assert go.wait(PATIENCE_S)
        run(opening)

    monkeypatch.setattr("warmer.runtime.flights.OPENS_IN_S", PATIENCE_S)
    monkeypatch.setattr(Opening, "_run", held)
    first = start(departures, "JFK")
    assert asked.wait(PATIENCE_S)
    many = start(departures.get_many, [("JFK",), ("LGA",)])
    runtime = flights.runtime()
    wait_until(lambda: sorted(len(one.readers) for one in runtime._flights.values())[-1:] == [2])
    go.set()

    assert value_of(first) == "jfk"
    assert value_of(many) == ["jfk", "lga"]
    assert all(call in ([("LGA",)], [("JFK",), ("LGA",)]) for call in batches)
