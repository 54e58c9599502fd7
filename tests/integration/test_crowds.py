"""Threads who wait as one reader: who may be among them, and that each is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.board import Board, Gate, threads_of, value_of
from warmer import CacheMiss, TooManyLoads, WaitTimeout, Warmer
from warmer.errors.notices import WarmerWarning
from warmer.runtime import crowds
from warmer.runtime.crowds import COME_WITHIN_S, Crowds
from warmer.runtime.flights import Flight
from warmer.store.operations import Store
from warmer.testing import wait_until, wait_until_async

Start = Callable[..., Future[Any]]


@dataclass
class Crowded:
    """A crowd's load, what holds up its next question, and those who are in it."""

    load: Gate
    question: Gate
    readings: list[Future[Any]]

    def let_go(self) -> None:
        self.question.open()
        self.load.open()

    def values(self) -> set[Any]:
        self.let_go()
        return {value_of(reading) for reading in self.readings}


@pytest.fixture
def other(make_board: Callable[..., Board]) -> Board:
    """The same query, as if in another process."""
    return make_board()


@pytest.fixture
def slow_crowds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crowds that others may come to however late: what else keeps them apart must do."""
    monkeypatch.setattr(crowds, "COME_WITHIN_S", 60.0)


def _load_elsewhere(other: Board, start: Start) -> tuple[Gate, Future[Any]]:
    gate = other.hold(1)
    loading = start(other.departures, "JFK")
    gate.wait_entered()
    return gate, loading


def _one_waits(board: Board, other: Board, start: Start) -> tuple[Gate, Future[Any]]:
    """A load elsewhere, and a reader here whose flight others may come to."""
    gate, _ = _load_elsewhere(other, start)
    first = start(board.departures, "JFK")
    board.wait_joined(1)
    return gate, first


def test_threads_wait_as_one_reader(board: Board, other: Board, start: Start) -> None:
    """However many come between two questions, the flight has a reader for itself and one for all of them."""
    gate, loading = _load_elsewhere(other, start)
    readings = [start(board.departures, "JFK")]
    board.wait_joined(1)
    readings += [start(board.departures.read, "JFK") for _ in range(30)]
    board.wait_joined(31)
    (flight,) = board.runtime._flights.values()
    assert len(flight.readers) < 10

    gate.open()

    assert value_of(readings[0]) == value_of(loading) == 1
    entries = [value_of(reading) for reading in readings[1:]]
    assert {entry.value for entry in entries} == {1}
    assert all(entry.waited > 0 for entry in entries)
    assert board.loads == 0


def test_reads_of_a_crowd_are_reads(make_board: Callable[..., Board], other: Board, start: Start) -> None:
    """They admit to being kept warm like any."""
    board = make_board(settings={"tally_interval": 60})
    gate, loading = _load_elsewhere(other, start)
    readings = [start(board.departures, "JFK") for _ in range(8)]
    board.wait_joined(8)
    gate.open()

    assert {value_of(reading) for reading in [*readings, loading]} == {1}
    assert list(board.runtime.tallies.counts.values()) == [8]


def test_each_of_a_crowd_has_a_value_of_its_own(redis_url: str, namespace: str, start: Start) -> None:
    """What one of them does to its list is not for the others."""
    flights, gate = Warmer(namespace, redis_url=redis_url), Gate()

    @flights.cached(ttl=60, name="airports", version="1")
    def airports() -> list[str]:
        gate.pass_through()
        return ["JFK", "LGA"]

    try:
        readings = [start(airports) for _ in range(8)]
        gate.wait_entered()
        gate.open()
        values = [value_of(reading) for reading in readings]
        assert values == [["JFK", "LGA"]] * 8
        assert len({id(value) for value in values}) == 8
    finally:
        gate.open()
        flights.close()


@pytest.mark.usefixtures("slow_crowds")
def test_who_comes_after_the_question_is_not_among_them(board: Board, other: Board, start: Start) -> None:
    """They are given a load's value by hand though it is refused; who came after its lease is not."""
    elsewhere, loading = _load_elsewhere(other, start)
    gate, next_gate = board.hold(1), board.hold(2)
    before = [start(board.departures, "JFK") for _ in range(5)]
    board.wait_joined(5)
    other.departures.invalidate("JFK")
    elsewhere.open()
    gate.wait_entered()

    other.departures.invalidate("JFK")
    after = [start(board.departures, "JFK") for _ in range(5)]
    next_gate.wait_entered()
    gate.open()
    next_gate.open()

    assert {value_of(reading) for reading in before} == {1}
    assert {value_of(reading) for reading in after} == {2}
    assert value_of(loading) == 1


@pytest.mark.usefixtures("slow_crowds")
def test_who_comes_while_a_load_around_the_server_runs_is_not_among_them(
    make_board: Callable[..., Board], start: Start
) -> None:
    """Without a server no lease is asked for; who comes after such a load has begun waits for the next."""
    away = make_board(redis_url="redis://127.0.0.1:1/0", settings={"redis_away_loads": 1})
    gate, second = away.hold(1), away.hold(2)
    readings = [start(away.departures, "LGA")]
    gate.wait_entered()
    readings.append(start(away.departures, "JFK"))
    wait_until(lambda: bool(away.runtime.away_slots._waiters), description="it to wait for its turn")
    readings += [start(away.departures, "JFK") for _ in range(5)]
    wait_until(lambda: bool(away.runtime.crowds._open), description="the others to come")
    gate.open()
    second.wait_entered()
    assert not away.runtime.crowds._open

    late = start(away.departures, "JFK")
    second.open()

    assert [value_of(reading) for reading in readings] == [1, *[2] * 6]
    assert value_of(late) == 3


def test_each_waits_as_long_as_it_may(make_board: Callable[..., Board], start: Start) -> None:
    """They have one end between them: so who comes much later than the first of them comes alone."""
    away = make_board(redis_url="redis://127.0.0.1:1/0", settings={"redis_away_loads": 1}, wait=1.5)
    gate = away.hold(1)
    loading = start(away.departures, "LGA")
    gate.wait_entered()

    def waited_s() -> float:
        began = time.monotonic()
        with pytest.raises(TooManyLoads):
            away.departures("JFK")
        return time.monotonic() - began

    readings = [start(waited_s)]
    wait_until(lambda: bool(away.runtime.away_slots._waiters), description="it to wait for its turn")
    readings.append(start(waited_s))
    wait_until(lambda: bool(away.runtime.crowds._open), description="a crowd to be open")
    (crowd,) = away.runtime.crowds._open.values()
    wait_until(lambda: time.monotonic() > crowd.began + 5 * COME_WITHIN_S, description="it to be late for it")
    readings.append(start(waited_s))

    assert all(1.4 < value_of(reading) < 2.5 for reading in readings)
    gate.open()
    assert value_of(loading) == 1


def test_whose_time_is_up_unasked_is_told_and_nobody_comes_to_it_any_more(
    make_board: Callable[..., Board], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question may take longer than they wait; who comes next opens a crowd of its own."""
    board, other = make_board(wait=0.3), make_board()
    gate, loading = _load_elsewhere(other, start)
    held, acquire = Gate(), Flight.acquire

    def late(flight: Flight, *asked: Any) -> Any:
        if flight.runtime is board.runtime:
            held.pass_through()
        return acquire(flight, *asked)

    monkeypatch.setattr(Flight, "acquire", late)
    readings = [start(board.departures, "JFK")]
    held.wait_entered()
    readings.append(start(board.departures, "JFK"))
    wait_until(lambda: bool(board.runtime.crowds._open), description="a crowd to be open")
    (crowd,) = board.runtime.crowds._open.values()
    wait_until(lambda: 0 < crowd.deadline < time.monotonic(), description="its time to be up")
    held.open()

    for reading in readings:
        with pytest.raises(WaitTimeout):
            value_of(reading)
    assert not board.runtime.crowds._open
    gate.open()
    assert value_of(loading) == 1


def test_who_is_interrupted_leaves_nobody_asleep(
    board: Board, other: Board, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opened a crowd and was interrupted before it had joined: those who came to it are told."""
    gate, first = _one_waits(board, other, start)
    join, come = board.runtime.crowds._join, Gate()

    def interrupted(*_: Any) -> None:
        come.pass_through()
        raise KeyboardInterrupt

    monkeypatch.setattr(board.runtime.crowds, "_join", interrupted)
    opener = start(board.departures, "JFK")
    come.wait_entered()
    monkeypatch.setattr(board.runtime.crowds, "_join", join)
    others = [start(board.departures, "JFK") for _ in range(3)]
    (crowd,) = board.runtime.crowds._open.values()
    wait_until(lambda: crowd.future.came() == 3, description="the others to wait")  # type: ignore[attr-defined]
    come.open()
    gate.open()

    assert isinstance(opener.exception(timeout=10), KeyboardInterrupt)
    assert {value_of(reading) for reading in [first, *others]} == {1}


def test_who_was_interrupted_after_it_had_joined_is_there_once_more(
    board: Board, other: Board, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't know how far it had come; that it is there twice harms nobody."""
    gate, first = _one_waits(board, other, start)
    join = board.runtime.crowds._join

    def interrupted(*joining: Any) -> None:
        join(*joining)
        raise KeyboardInterrupt

    monkeypatch.setattr(board.runtime.crowds, "_join", interrupted)
    opener = start(board.departures, "JFK")
    assert isinstance(opener.exception(timeout=10), KeyboardInterrupt)
    monkeypatch.setattr(board.runtime.crowds, "_join", join)
    second = start(board.departures, "JFK")
    board.wait_joined(2)
    gate.open()

    assert {value_of(reading) for reading in (first, second)} == {1}
    wait_until(lambda: not board.runtime._flights, description="the flight to end")
    assert not board.runtime.crowds._open


@pytest.mark.usefixtures("slow_crowds")
def test_a_fault_of_ours_reaches_those_who_wait_and_not_who_comes_later(
    board: Board, other: Board, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flight that breaks closes its crowd: the next reader has a flight of its own."""
    gate, first = _one_waits(board, other, start)
    with monkeypatch.context() as patched:
        close = Crowds.close

        async def broken(_flight: Flight) -> None:
            patched.setattr(Crowds, "close", close)
            raise RuntimeError("broken")

        patched.setattr(Crowds, "close", lambda *_: None)  # it stays open, as before its question
        second = start(board.departures, "JFK")
        board.wait_joined(2)
        patched.setattr(Flight, "_not_too_often", broken)
        (flight,) = board.runtime._flights.values()
        board.runtime.loop.call_soon_threadsafe(flight.changed.set)
        for reading in (first, second):
            with pytest.raises(RuntimeError, match="broken"):
                value_of(reading)
    third = start(board.departures, "JFK")
    board.wait_joined(1)
    gate.open()
    assert value_of(third) == 1


@pytest.fixture
def crowd(
    board: Board, other: Board, start: Start, slow_crowds: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Crowded]:
    """Threads that wait for a load elsewhere, and whose next question is held up: others come to them."""
    acquire, held = Flight.acquire, Gate()

    def late(flight: Flight, *asked: Any) -> Any:
        if flight.runtime is board.runtime and board.runtime.crowds._open:
            held.pass_through()
        return acquire(flight, *asked)

    monkeypatch.setattr(Flight, "acquire", late)
    gate, first = _one_waits(board, other, start)
    readings = [first]
    readings += [start(board.departures, "JFK") for _ in range(2)]
    held.wait_entered()
    crowded = Crowded(gate, held, readings)
    yield crowded
    crowded.let_go()


def test_who_takes_no_wait_does_not_wait_with_them(board: Board, crowd: Crowded) -> None:
    """`miss="raise"` is an answer at once, whoever waits."""
    with pytest.raises(CacheMiss):
        board.departures.bind("JFK").get(miss="raise")

    assert crowd.values() == {1}


def test_a_read_that_waits_with_them_in_a_loop_is_warned_of(board: Board, crowd: Crowded) -> None:
    """As of any read that makes a running event loop stand still."""

    (waiting,) = board.runtime.crowds._open.values()

    def let_go() -> None:
        wait_until(lambda: threads_of(waiting) == 3, description="it to wait")
        crowd.let_go()

    async def main() -> int:
        asyncio.get_running_loop().run_in_executor(None, let_go)
        return board.departures("JFK")

    with pytest.warns(WarmerWarning, match=r"stands still meanwhile\. Write `await departures\.aget"):
        assert asyncio.run(main()) == 1
    assert crowd.values() == {1}


def _spoil_one(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next stored value that those who wait here are given can't be read."""
    acquire, left = Store.acquire, [1]

    def spoiling(store: Store, *asked: Any, **how: Any) -> Any:
        answer = acquire(store, *asked, **how)
        if store is board.runtime.store and answer.kind == "committed" and left:
            left.pop()
            return replace(answer, blob=answer.blob[:-1])
        return answer

    monkeypatch.setattr(Store, "acquire", spoiling)


def test_what_they_are_given_and_can_not_be_read_is_loaded_anew(
    board: Board, crowd: Crowded, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one load for all of them, and each says that it could not read it."""
    _spoil_one(board, monkeypatch)
    late = start(board.departures.read, "JFK")
    (waiting,) = board.runtime.crowds._open.values()
    wait_until(lambda: threads_of(waiting) == 3, description="it to come")
    values = crowd.values()

    assert {value_of(late).value, *values} == {1}
    assert board.count("corrupt_entries") == 4
    assert board.loads == 1


def test_what_tasks_are_given_and_can_not_be_read_is_loaded_anew(
    board: Board, other: Board, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of threads."""
    gate, _ = _load_elsewhere(other, start)
    _spoil_one(board, monkeypatch)

    async def main() -> list[int]:
        first = asyncio.create_task(board.departures.aget("JFK"))
        await wait_until_async(lambda: board.waiting() == 1, description="it to wait")
        others = [asyncio.create_task(board.departures.aget("JFK")) for _ in range(3)]
        await wait_until_async(lambda: board.waiting() == 2, description="the others to wait, as one reader")
        gate.open()
        return await asyncio.gather(first, *others)

    assert set(asyncio.run(main())) == {1}
    assert board.count("corrupt_entries") == 4
    assert board.loads == 1


def test_tasks_that_wait_for_a_worker_do_not_load(make_board: Callable[..., Board]) -> None:
    """Whoever finds others waiting asks for no more than it would by itself."""
    board = make_board(wait=0.5)

    async def main() -> list[Any]:
        one = board.departures.bind("JFK")
        first = asyncio.create_task(one.aget(miss="wait"))
        await wait_until_async(lambda: bool(board.runtime.missing), description="it to be found missing")
        others = [one.aget(miss="wait") for _ in range(3)]
        return await asyncio.gather(first, *others, return_exceptions=True)

    assert [type(one) for one in asyncio.run(main())] == [WaitTimeout] * 4
    assert board.loads == 0
