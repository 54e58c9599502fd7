"""Readers of one entry in a process whose connections are all in use: one looks for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board, value_of
from tests.patience import PATIENCE_S
from warmer.errors import NamespaceClosed
from warmer.runtime.contract import Joint, Reader
from warmer.runtime.gathering import Gathering
from warmer.store import connections as pool
from warmer.store.links import Link
from warmer.testing import wait_until

Start = Callable[..., Future[Any]]


@pytest.fixture
def crowded(board: Board, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Link]]:
    """Every connection of the board that may be opened at once is taken; what is taken."""
    monkeypatch.setattr(pool, "PATIENCE_S", PATIENCE_S)
    connections = board.runtime.store.connections
    taken = [connections.take() for _ in range(pool.AT_ONCE)]
    yield taken
    while taken:
        connections.give(taken.pop())


def _gathered(board: Board) -> int:
    return sum(len(gathering.readers) for gathering in list(board.runtime.gatherings._open.values()))


def _start_all(board: Board, start: Start, readers: int) -> list[Future[Any]]:
    reading = [start(board.departures, "JFK") for _ in range(readers - 1)]
    reading.append(start(board.departures.bind("JFK").get))
    wait_until(lambda: _gathered(board) == readers, description=f"{readers} to gather")
    return reading


def _give_back(board: Board, taken: list[Link]) -> None:
    board.runtime.store.connections.give(taken.pop())


def _gets(board: Board) -> int:
    """How many GETs the server has answered."""
    return int(
        board.runtime.store.command("INFO", "commandstats")
        .decode()
        .partition("cmdstat_get:calls=")[2]
        .split(",")[0]
    )


def test_one_looks_and_all_have_what_it_finds(board: Board, start: Start, crowded: list[Link]) -> None:
    """A value that is there is asked for once, and each reader has one of its own."""
    _give_back(board, crowded)
    assert board.departures("JFK") == 1
    before = _gets(board)
    crowded.append(board.runtime.store.connections.take())
    reading = _start_all(board, start, 8)

    _give_back(board, crowded)

    assert {value_of(one) for one in reading} == {1}
    assert board.loads == 1
    assert _gets(board) == before + 1


def test_where_nothing_is_found_all_wait_for_the_load(
    board: Board, start: Start, crowded: list[Link]
) -> None:
    """None of them is woken to look for itself, and one load is for all."""
    reading = _start_all(board, start, 8)

    _give_back(board, crowded)

    assert {value_of(one) for one in reading} == {1}
    assert board.loads == 1


def test_what_was_read_before_a_reader_came_is_not_for_it(
    board: Board, make_board: Callable[..., Board], start: Start, crowded: list[Link],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Who comes after the question was sent looks anew: an invalidation may have been between."""
    _give_back(board, crowded)
    assert board.departures("JFK") == 1
    crowded.append(board.runtime.store.connections.take())
    (first,) = [start(board.departures, "JFK")]
    wait_until(lambda: _gathered(board) == 1, description="one to look")
    answered, go_on = threading.Event(), threading.Event()
    call = Link.call

    def late(link: Link, packed: bytes) -> Any:
        reply = call(link, packed)
        if packed.startswith(b"*2\r\n$3\r\nGET") and not answered.is_set():
            answered.set()
            assert go_on.wait(PATIENCE_S)
        return reply

    monkeypatch.setattr(Link, "call", late)
    _give_back(board, crowded)
    assert answered.wait(PATIENCE_S)

    other = make_board()
    other.departures.invalidate("JFK")
    later = start(board.departures, "JFK")
    wait_until(lambda: _gathered(board) == 1 or later.done(), description="the later one to look")
    go_on.set()

    assert value_of(first) == 1
    assert value_of(later) == 2


def test_others_who_find_nothing_take_those_along_who_have_not_looked(
    board: Board, start: Start, crowded: list[Link]
) -> None:
    """Who waits for a connection to look for what is known to be missing waits for the load instead."""
    gate = board.hold(1)
    reading = _start_all(board, start, 4)
    bound = board.departures.bind("JFK")

    board.runtime.note_missing(Joint(bound._reading, bound.key.encode(), bound.args, loads=True))

    wait_until(lambda: _gathered(board) == 0, description="all to be taken along")
    assert board.count("reads_around") == 0, "nobody was told; who looks has given up"
    for _ in range(2):  # one for the question, and one for who would have looked
        _give_back(board, crowded)
    gate.wait_entered()
    gate.open()
    assert {value_of(one) for one in reading} == {1}
    assert board.loads == 1


def test_who_is_interrupted_while_it_looks_leaves_the_others_their_load(
    board: Board, start: Start, crowded: list[Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for it as if nothing had been found."""
    connections = board.runtime.store.connections
    waits, go_on = threading.Event(), threading.Event()

    def interrupted(*_: Any) -> Any:
        monkeypatch.undo()
        waits.set()
        assert go_on.wait(PATIENCE_S)
        raise KeyboardInterrupt

    monkeypatch.setattr(connections, "_open", interrupted)
    first = start(board.departures, "JFK")
    assert waits.wait(PATIENCE_S)
    others = [start(board.departures, "JFK") for _ in range(3)]
    wait_until(lambda: _gathered(board) == 4, description="them to gather")
    _give_back(board, crowded)

    go_on.set()

    assert isinstance(first.exception(PATIENCE_S), KeyboardInterrupt)
    assert {value_of(one) for one in others} == {1}


def test_nothing_is_loaded_for_who_was_interrupted_alone(
    board: Board, crowded: list[Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it."""

    def interrupted() -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(board.runtime.store.connections, "_open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        board.departures("JFK")

    assert not board.runtime._flights
    assert not board.runtime.gatherings._open


def test_who_is_interrupted_before_it_looks_leaves_nobody_asleep(
    board: Board, start: Start, crowded: list[Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have come to it already: they wait for the load."""
    gatherings = board.runtime.gatherings
    came, go_on = threading.Event(), threading.Event()

    def interrupted(*_: Any) -> Any:
        came.set()
        assert go_on.wait(PATIENCE_S)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(gatherings, "_look", interrupted)
        first = start(board.departures, "JFK")
        assert came.wait(PATIENCE_S)
    others = [start(board.departures, "JFK") for _ in range(2)]
    wait_until(lambda: _gathered(board) == 2, description="them to gather")
    _give_back(board, crowded)

    go_on.set()

    assert isinstance(first.exception(PATIENCE_S), KeyboardInterrupt)
    assert {value_of(one) for one in others} == {1}


def test_who_has_just_come_is_told_when_the_namespace_closes(board: Board, start: Start) -> None:
    """Also who came so soon after others that the flight had not been woken for it."""
    gate = board.hold(1)
    readers = [start(board.departures, "JFK")]
    gate.wait_entered()
    followers = board.runtime._followers
    followers._pause_s = 3600
    while not followers._told:  # until somebody has come to others, and there is a pause
        readers.append(start(board.departures, "JFK"))
        board.wait_joined(len(readers) - 1)
    readers.append(start(board.departures, "JFK"))
    wait_until(lambda: bool(followers._items), description="it to come")

    board.flights.close()

    for one in readers:
        assert isinstance(one.exception(PATIENCE_S), NamespaceClosed)
    gate.open()


def test_a_server_that_is_away_is_told_to_each(make_board: Callable[..., Board], start: Start) -> None:
    """They go around it together, and each counts as a read that did."""
    board = make_board(settings={"max_connections": pool.AT_ONCE})
    connections = board.runtime.store.connections
    taken = [connections.take() for _ in range(pool.AT_ONCE)]
    reading = _start_all(board, start, 3)

    connections.breaker.trip(connections.lost(OSError("gone")))

    assert {value_of(one) for one in reading} <= {1, 2, 3}
    assert board.count("reads_around") == 3
    for link in taken:
        connections.give(link)


def test_nobody_is_let_in_once_the_question_is_sent(board: Board) -> None:
    """Who comes too late is told so, and who was taken in time is not taken twice."""
    bound = board.departures.bind("JFK")
    gathering = Gathering(bound._reading, bound.entry_key, bound.params)
    early, late = Reader(), Reader()
    assert gathering.add(early)
    assert gathering.take() == [early]
    assert not gathering.add(late)
    assert gathering.take() == []
