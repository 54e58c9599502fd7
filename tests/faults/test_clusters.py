"""A namespace in a cluster is followed where its slot goes: reads go on, and nothing earlier is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.board import Board
from tests.faults.clusters import Cluster, clustered
from tests.faults.readers import Readers
from tests.near_board import is_near, read_until_near
from warmer.errors import InvalidationUnconfirmed
from warmer.testing import wait_until

pytestmark = pytest.mark.faults


@pytest.fixture
def cluster(namespace: str) -> Iterator[Cluster]:
    """Three nodes."""
    with clustered(namespace) as cluster:
        yield cluster


@pytest.fixture
def make(cluster: Cluster, namespace: str) -> Iterator[Callable[..., Board]]:
    """Makes boards in the cluster, as if by several processes."""
    made: list[Board] = []

    def board(**options: object) -> Board:
        made.append(Board(namespace, cluster.url, settings={"broker_url": "memory://nowhere/"}, **options))
        return made[-1]

    yield board
    for one in made:
        one.close()


def _wait_stored(board: Board) -> None:
    wait_until(
        lambda: board.departures("JFK") and board.departures.bind("JFK").entry(),
        timeout_s=30,
        description="an entry again",
    )


def test_a_slot_is_followed_there_and_back(cluster: Cluster, make: Callable[..., Board]) -> None:
    """While it moves reads go on and invalidations say that they can't; where it arrives nothing is served
    that was stored before, nor where it comes back to, and invalidations are heard of by near copies.
    """
    board = make()
    assert board.departures("JFK") == 1
    near = make(near=60)
    read_until_near(near)
    with Readers(board):
        for source, target in ((cluster.home, cluster.other), (cluster.other, cluster.home)):
            before = board.departures("JFK")
            cluster.begin_move(source, target)
            assert board.departures("JFK") == before, (
                "scripts wait; what is stored is right as long as they do"
            )
            assert board.departures("BOS") > before
            with pytest.raises(InvalidationUnconfirmed, match="under way"):
                board.departures.invalidate("JFK")
            cluster.end_move(source, target)

            _wait_stored(board)
            assert board.departures("JFK") > before
            read_until_near(near)
            assert board.departures.invalidate("JFK") == 1
            wait_until(lambda: not is_near(near), timeout_s=20, description="the near listener to hear of it")


def test_a_process_that_slept_finds_the_slot(cluster: Cluster, make: Callable[..., Board]) -> None:
    """A read, or an invalidation, that is told MOVED goes on at the new node, and not around Redis."""
    reader, writer = make(), make()
    assert reader.departures("JFK") == writer.departures("JFK") == 1
    cluster.begin_move(cluster.home, cluster.other)
    cluster.end_move(cluster.home, cluster.other)

    writer.departures.invalidate("JFK")
    assert reader.departures("JFK") == 2
    assert reader.departures.bind("JFK").entry() is not None
    assert not reader.count("reads_around") + reader.count("loads_around")


def test_a_node_that_is_killed_comes_back_or_is_replaced(
    cluster: Cluster, make: Callable[..., Board]
) -> None:
    """Without the slot's node reads go around Redis. When it is back, or its replica has taken over, reads
    find their way there by themselves, and nothing is served that it had copied.
    """
    board = make()
    assert board.departures("JFK") == board.departures("JFK") == 1
    with Readers(board):
        cluster.home.kill()
        wait_until(lambda: board.count("redis_away") == 1, timeout_s=20, description="the breaker to open")
        cluster.home.start()
        wait_until(lambda: board.count("redis_back") == 1, timeout_s=30, description="the breaker to close")
        _wait_stored(board)
        wait_until(cluster.is_copied, timeout_s=30, description="a replica in step")
        stored = board.departures("JFK")
        assert stored > 1

        cluster.home.kill()
        wait_until(lambda: board.count("redis_away") == 2, timeout_s=20, description="the breaker to open")
        cluster.take_over()
        wait_until(lambda: board.count("redis_back") == 2, timeout_s=30, description="the breaker to close")
        _wait_stored(board)
        assert board.departures("JFK") > stored
        assert board.departures.invalidate("JFK") == 1
