"""Who may have whose value, between two processes. What the other one loads counts in hundreds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board, value_of
from tests.remote_board import RemoteBoard
from tests.stamping import stamp
from warmer import LoadFailed, WaitTimeout
from warmer.store.operations import Lease

Start = Callable[..., Future[Any]]


@pytest.fixture
def remote(redis_url: str, namespace: str) -> Iterator[RemoteBoard]:
    """The same query in another process."""
    with RemoteBoard(redis_url, namespace) as remote:
        yield remote


def test_what_one_process_stores_the_other_reads(board: Board, remote: RemoteBoard) -> None:
    """An entry is loaded once for all processes."""
    assert remote.do("read", "JFK") == 100
    assert board.departures("JFK") == 1
    assert board.loads == 0


def test_one_load_for_readers_of_both_processes(board: Board, remote: RemoteBoard, start: Start) -> None:
    """Readers here wait for the load there, are woken by its commit, and load nothing."""
    remote.do("hold", 1)
    there = remote.ask("read", "JFK")
    remote.do("wait_entered", 1)
    here = [start(board.departures.read, "JFK") for _ in range(20)]
    board.wait_joined(20)

    remote.do("open", 1)

    assert {value_of(reading).value for reading in here} == {1}
    assert there.value() == 100
    assert board.loads == 0


def test_an_invalidation_here_ends_the_load_there(board: Board, remote: RemoteBoard) -> None:
    """A reader here that begins after the invalidation does not wait for the load there, nor get its
    value.
    """
    remote.do("hold", 1)
    there = remote.ask("read", "JFK")
    remote.do("wait_entered", 1)
    board.departures.invalidate("JFK")

    assert board.departures("JFK") == 1, "its own first load"

    remote.do("open", 1)
    assert there.value() == 100, "by hand: it began before the invalidation"
    assert remote.do("read", "JFK") == 100, "what was loaded here, in hundreds there"
    assert board.loads == 1


def test_a_refused_value_goes_from_process_to_process(
    board: Board, remote: RemoteBoard, start: Start
) -> None:
    """Who began before a load gets its value though it is refused, in another process, too; so nobody waits
    for more than the load that it finds and one more.
    """
    store, one = board.runtime.store, board.departures.bind("JFK")
    found = store.acquire(one.entry_key, (), "somebody", timeout_us=20_000_000, newer_than=0)
    waits = start(one.read, miss="wait")
    board.wait_joined(1)
    store.release(Lease(one.entry_key, "somebody", found.stamp))
    remote.do("hold", 1)
    there = remote.ask("read", "JFK")
    remote.do("wait_entered", 1)
    stamp(board.flights, "g:all")

    remote.do("open", 1)

    assert there.value() == 100
    assert value_of(waits).value == 1
    assert one.entry() is None, "it was refused"


def test_a_refused_value_is_handed_to_nobody_who_came_later(
    board: Board, remote: RemoteBoard, start: Start
) -> None:
    """Of two that wait together, only the one that began before the load may have what was refused."""
    store, one = board.runtime.store, board.departures.bind("JFK")
    found = store.acquire(one.entry_key, (), "somebody", timeout_us=20_000_000, newer_than=0)
    before = start(one.read, miss="wait")
    board.wait_joined(1)
    store.release(Lease(one.entry_key, "somebody", found.stamp))
    remote.do("hold", 1)
    remote.ask("read", "JFK")
    remote.do("wait_entered", 1)
    after = start(one.read, miss="wait")
    board.wait_joined(2)
    stamp(board.flights, "g:all")

    remote.do("open", 1)

    assert value_of(before).value == 1
    assert not after.done()
    assert remote.do("read", "JFK") == 200
    assert value_of(after).value == 2


def test_a_load_keeps_its_lease_for_as_long_as_it_takes(
    make_board: Callable[..., Board], redis_url: str, namespace: str, start: Start
) -> None:
    """The heartbeat extends the lease of a load that takes longer than one: nobody else begins."""
    settings = {"lease": 1.5, "command_timeout": 0.6}
    board = make_board(settings=settings)
    other = make_board(settings=settings, wait=0.2)
    gate = board.hold(1)
    loading = start(board.departures, "JFK")
    gate.wait_entered()
    began = time.monotonic()
    while time.monotonic() < began + 3.5:
        with pytest.raises(WaitTimeout):
            other.departures("JFK")

    gate.open()

    assert value_of(loading) == 1
    assert other.departures("JFK") == 1
    assert other.loads == 0


def test_a_failure_there_is_told_here(board: Board, remote: RemoteBoard, start: Start) -> None:
    """Readers here that waited for a load there hear why it failed, and do not repeat it."""
    remote.do("hold", 1)
    remote.do("fail", 1, "no such airport")
    there = remote.ask("read", "JFK")
    remote.do("wait_entered", 1)
    here = start(board.departures, "JFK")
    board.wait_joined(1)

    remote.do("open", 1)

    error = here.exception(20)
    assert isinstance(error, LoadFailed)
    assert (error.cause_class, error.cause_message) == ("ValueError", "no such airport")
    assert board.loads == 0
    with pytest.raises(AssertionError, match="LoadFailed"):
        there.value()


def test_a_dead_process_is_replaced_when_its_lease_runs_out(
    make_board: Callable[..., Board], redis_url: str, namespace: str, start: Start
) -> None:
    """kill -9 in mid-load: a reader here takes over when the lease has run out, and does not wait longer."""
    settings = {"lease": 2.0}
    board = make_board(settings=settings, wait=15)
    with RemoteBoard(redis_url, namespace, settings=settings) as remote:
        remote.do("hold", 1)
        remote.ask("read", "JFK")
        remote.do("wait_entered", 1)
        reading = start(board.departures.read, "JFK")
        board.wait_joined(1)

        remote.child.kill()

    got = value_of(reading)
    assert got.value == 1
    assert got.waited < 10


def test_a_paused_process_stores_nothing_when_it_goes_on(
    make_board: Callable[..., Board], redis_url: str, namespace: str, start: Start
) -> None:
    """SIGSTOP past the lease, SIGCONT: what was loaded meanwhile stays, and the late commit is refused."""
    settings = {"lease": 2.0}
    board = make_board(settings=settings, wait=15)
    with RemoteBoard(redis_url, namespace, settings=settings) as remote:
        remote.do("hold", 1)
        there = remote.ask("read", "JFK")
        remote.do("wait_entered", 1)
        remote.child.pause()
        assert value_of(start(board.departures, "JFK")) == 1
        board.departures.refresh("JFK")

        remote.child.resume()
        remote.do("open", 1)

        assert there.value() == 100
        assert board.departures("JFK") == 2
