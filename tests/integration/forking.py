"""Run by test_fork.py in a process of its own: reads, forks in the worst moments, and reads in the children.

`python -m tests.integration.forking URL NAMESPACE` prints a line for each thing that went well.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from tests.board import Board


def in_child(what: Callable[[], None]) -> None:
    """Fork, do it in the child, and wait for that one to end well."""
    pid = os.fork()
    if pid == 0:
        try:
            what()
        except BaseException as error:  # noqa: BLE001 - the child must not go on as if it were the parent
            sys.stdout.write(f"the child failed: {type(error).__name__}: {error}\n")
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, "a child failed"


def said(text: str) -> None:
    """Tell the test."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def children_use_connections_of_their_own(board: Board) -> None:
    """Reads, loads and invalidations in children; the parent goes on."""
    assert board.departures("JFK") == 1
    links = {id(link) for link in board.runtime.store.connections._idle}

    def hits_and_loads() -> None:
        assert board.departures.read("JFK").state == "fresh"
        assert board.departures("EWR") == 2
        assert board.departures.invalidate("EWR") == 1
        assert not links & {id(link) for link in board.runtime.store.connections._idle}

    for _ in range(5):
        in_child(hits_and_loads)
    said("children read, load and invalidate on connections of their own")
    assert board.departures.read("JFK").state == "fresh"
    assert board.departures("LGA") == 2
    said("the parent goes on on its own")


def a_child_leaves_the_parents_load_alone(board: Board) -> None:
    """A fork while a load of the parent runs."""
    gate = board.hold(3)
    loading = threading.Thread(target=board.departures, args=("BOS",))
    loading.start()
    gate.wait_entered()

    def while_the_parent_loads() -> None:
        assert board.departures.read("JFK").state == "fresh"
        assert board.departures("ATL") == 4
        assert board.runtime.heartbeat.held() == []

    in_child(while_the_parent_loads)
    gate.open()
    loading.join(20)
    assert board.departures.read("BOS").value == 3
    said("a child does not touch the loads of its parent")


def a_fork_leaves_no_lock_behind(board: Board) -> None:
    """Forks while other threads open and close the namespace."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            board.flights.close()
            board.departures("JFK")

    def read() -> None:
        assert board.departures("JFK") == 1

    churning = [threading.Thread(target=churn) for _ in range(2)]
    for thread in churning:
        thread.start()
    for _ in range(20):
        in_child(read)
    stop.set()
    for thread in churning:
        thread.join(20)
    said("a fork while another thread opens the namespace leaves no lock behind")


def main(url: str, namespace: str) -> None:
    """Everything in turn; an AssertionError ends it."""
    board = Board(namespace, url)
    children_use_connections_of_their_own(board)
    a_child_leaves_the_parents_load_alone(board)
    a_fork_leaves_no_lock_behind(board)
    board.close()
    said("done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
