"""What was invalidated stays gone: over a failover, an old snapshot, a paused process."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import redis

from tests.board import Board
from tests.faults.switch import Switch
from tests.near_board import read_until_near
from tests.restarting import wait_back
from tests.stamping import stamp
from warmer import Warmer
from warmer.core.changes import Changes
from warmer.core.keyspace import keyspace
from warmer.errors import InvalidationNotReplicated, RedisRefused
from warmer.outbox.applying import Applying
from warmer.testing import ValkeyServer, wait_until

pytestmark = pytest.mark.faults

# Readers ask for the server's life every 3 s; what a loaded machine adds.
RECHECKED_S = 20.0


@pytest.fixture
def primary() -> Iterator[ValkeyServer]:
    """The server that everybody uses at first."""
    with ValkeyServer(args={"repl-diskless-sync-delay": 0}) as server:
        yield server


@pytest.fixture
def replica(primary: ValkeyServer) -> Iterator[ValkeyServer]:
    """Its replica, in step with it."""
    with ValkeyServer(args={"replicaof": f"127.0.0.1 {primary.port}"}) as server:
        _wait_linked(server)
        yield server


@pytest.fixture
def make(namespace: str) -> Iterator[Callable[..., Board]]:
    """Makes boards, as if by several processes."""
    made: list[Board] = []

    def board(url: str, **options: object) -> Board:
        made.append(Board(namespace, url, **options))  # type: ignore[arg-type]  # of the query
        return made[-1]

    yield board
    for one in made:
        one.close()


def _client(server: ValkeyServer) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def _wait_linked(server: ValkeyServer) -> None:
    with _client(server) as client:
        wait_until(
            lambda: client.info("replication").get("master_link_status") == "up",
            description="a replica in step",
        )


def _wait_copied(primary: ValkeyServer, replica: ValkeyServer) -> None:
    with _client(primary) as client, _client(replica) as copy:
        wait_until(
            lambda: (
                client.info("replication")["master_repl_offset"]
                == copy.info("replication")["slave_repl_offset"]
            ),
            description="the replica to have it all",
        )


def _follow(server: ValkeyServer, other: ValkeyServer | None) -> None:
    with _client(server) as client:
        if other is None:
            client.execute_command("REPLICAOF", "NO", "ONE")
        else:
            client.execute_command("REPLICAOF", "127.0.0.1", other.port)
    if other is not None:
        _wait_linked(server)


def _still_stored(server: ValkeyServer, namespace: str) -> bool:
    with _client(server) as client:
        return bool(client.exists(keyspace(namespace, 0).entry("departures@v:JFK")))


def test_readers_leave_an_old_primary_that_still_answers(
    primary: ValkeyServer, replica: ValkeyServer, make: Callable[..., Board], namespace: str
) -> None:
    """Their open connections lead to where nobody invalidates any more: they look again within seconds, and
    from then on nothing is served that was invalidated on the new primary.
    """
    with Switch(primary.port or 0) as switch:
        reader = make(switch.url)
        assert reader.departures("JFK") == 1
        _wait_copied(primary, replica)
        _follow(replica, None)
        switch.to(replica.port or 0)
        writer = make(switch.url)
        writer.departures.invalidate("JFK")
        assert _still_stored(primary, namespace), "the old primary has it, and answers"

        wait_until(
            lambda: reader.departures("JFK") != 1,
            timeout_s=RECHECKED_S,
            description="a new look",
        )

        assert reader.departures("JFK") == reader.departures("JFK") == 2
        writer.departures.invalidate("JFK")
        assert reader.departures("JFK") == 3
        reader.close()
        writer.close()


def test_near_copies_do_not_outlive_a_failover(
    primary: ValkeyServer, replica: ValkeyServer, make: Callable[..., Board]
) -> None:
    """The tracking connection to the old primary stands and says nothing: its copies go all the same."""
    with Switch(primary.port or 0) as switch:
        reader = make(switch.url, near=600)
        read_until_near(reader)
        _wait_copied(primary, replica)
        _follow(replica, None)
        switch.to(replica.port or 0)
        before = reader.loads
        make(switch.url).departures.invalidate("JFK")

        wait_until(
            lambda: reader.departures("JFK") > before,
            timeout_s=RECHECKED_S,
            description="a new look",
        )
        reader.close()


def test_what_a_promoted_replica_missed_is_not_served(
    primary: ValkeyServer, replica: ValkeyServer, make: Callable[..., Board], namespace: str
) -> None:
    """An invalidation that never reached the replica: its fence and its entries are as before, and void."""
    with Switch(primary.port or 0) as switch:
        board = make(switch.url)
        assert board.departures("JFK") == 1
        gate = board.hold(2)
        loading = threading.Thread(target=board.departures, args=("BOS",))
        loading.start()
        gate.wait_entered()
        _wait_copied(primary, replica)
        _follow(replica, None)
        assert board.flights.invalidate_tags("all") == 1
        primary.kill()
        assert _still_stored(replica, namespace)
        with _client(replica) as client:
            assert client.zscore(keyspace(namespace, 0).fence, "g:all") is None
        switch.to(replica.port or 0)

        assert board.departures("JFK") == 3
        gate.open()
        loading.join(20)
        assert board.departures("BOS") == 4, "what was loaded before the invalidation was not stored"
        board.close()


def test_a_primary_that_is_demoted_and_promoted_again(
    primary: ValkeyServer, replica: ValkeyServer, make: Callable[..., Board], namespace: str
) -> None:
    """While it is a replica readers go around it and invalidations say so; promoted, it serves nothing of
    its earlier life, though the same process of the server has it all.
    """
    board = make(primary.url)
    assert board.departures("JFK") == 1
    _wait_copied(primary, replica)
    _follow(replica, None)
    _follow(primary, replica)
    wait_until(lambda: board.departures("JFK") != 1, timeout_s=RECHECKED_S, description="a new look")
    with pytest.raises(RedisRefused, match="replica"):
        board.departures.invalidate("JFK")
    _follow(primary, None)
    assert _still_stored(primary, namespace)
    loads = board.loads

    wait_until(
        lambda: board.departures("JFK") and board.departures.bind("JFK").entry(),
        timeout_s=RECHECKED_S,
        description="an entry again",
    )

    assert board.departures("JFK") > loads


def _applied(board: Board) -> Applying:
    """What a commit's changes under the tag come to."""
    applying = board.flights.outbox.apply(Changes(names={"g:all"}))
    assert applying is not None
    return applying


def _put(board: Board) -> None:
    """A write of JFK with its new value at hand."""
    with board.departures.writing("JFK") as writing:
        writing.put(77)


def test_an_invalidation_waits_for_replicas(
    primary: ValkeyServer, replica: ValkeyServer, make: Callable[..., Board]
) -> None:
    """Where `invalidate_replicas` asks for it: each way returns when they have it, and else says that they
    don't, with the values gone all the same.
    """
    board = make(primary.url, settings={"invalidate_replicas": 1, "invalidate_timeout": 10})
    query = board.departures
    ways: tuple[Callable[[], int], ...] = (
        lambda: query.invalidate("JFK"),
        query.invalidate_all,
        lambda: board.flights.invalidate_tags("all"),
        lambda: _applied(board).removed,
    )
    for way in ways:
        query("JFK")
        assert way() == 1
        with _client(primary) as client, _client(replica) as copy:
            written = client.info("replication")["slave0"]["offset"]
            assert copy.info("replication")["slave_repl_offset"] >= written
            assert not copy.exists(query.bind("JFK").key)
    _put(board)
    with _client(replica) as copy:
        assert copy.exists(query.bind("JFK").key), "what it put is there, and so is the stamp before it"
    board.close()

    short = make(primary.url, settings={"invalidate_replicas": 1, "invalidate_timeout": 1})
    short.departures("JFK")
    replica.pause()
    with pytest.raises(InvalidationNotReplicated, match=r"0 of 1 replica") as raised:
        short.departures.invalidate("JFK")
    with pytest.raises(InvalidationNotReplicated):
        _put(short)
    assert _applied(short).removed == 1
    assert short.count("commits_not_replicated") == 1
    replica.resume()

    assert raised.value.args == (raised.value.names, 0, 1, 1.0)
    assert short.departures.bind("JFK").entry() is None


def test_an_open_connection_over_a_demotion_and_promotion_is_turned_away(
    primary: ValkeyServer, replica: ValkeyServer, make: Callable[..., Board]
) -> None:
    """It never broke: the first script on it says that the server's life is another."""
    board = make(primary.url)
    gate = board.hold(1)
    loading = threading.Thread(target=board.departures, args=("JFK",))
    loading.start()
    gate.wait_entered()
    _wait_copied(primary, replica)
    _follow(replica, None)
    make(replica.url).departures.invalidate("JFK")
    _follow(primary, replica)
    _follow(primary, None)

    gate.open()
    loading.join(20)

    assert board.departures("JFK") == 2


def test_an_old_snapshot_brings_nothing_back(
    tmp_path: Path, make: Callable[..., Board], namespace: str
) -> None:
    """Entries, leases and the fence are as they were: nothing is served or honoured, and stamps are later
    than any that the server gave after the snapshot.
    """
    with ValkeyServer(tmp_path / "data") as server:
        board = make(server.url)
        assert board.departures("JFK") == 1
        gate = board.hold(2)
        loading = threading.Thread(target=board.departures, args=("BOS",))
        loading.start()
        gate.wait_entered()
        with _client(server) as client:
            client.save()
        shutil.copy(tmp_path / "data" / "dump.rdb", tmp_path / "old.rdb")
        assert board.flights.invalidate_tags("all") == 1
        stamps = stamp(board.flights, "g:all")
        server.kill()
        shutil.copy(tmp_path / "old.rdb", tmp_path / "data" / "dump.rdb")
        server.start()
        wait_back(board.flights)
        with _client(server) as client:
            assert client.zscore(keyspace(namespace, 0).fence, "g:all") is None
            assert int(client.get(keyspace(namespace, 0).seq) or 0) < stamps[0]
        assert _still_stored(server, namespace)

        assert board.departures("JFK") == 3
        gate.open()
        loading.join(20)
        assert board.departures("BOS") == 4, "its lease was void, though the snapshot has it"
        assert stamp(board.flights, "g:all")[0] > stamps[0]
        board.close()


def _load_paused(url: str, namespace: str, pipe: Connection) -> None:
    """A process that is stopped in mid-load."""
    flights = Warmer(namespace, redis_url=url)

    def departures(airport: str) -> int:
        pipe.send("loading")
        pipe.recv()
        return -1

    query = flights.cached(ttl=60, name="departures", version="v", tags=("all",))(departures)
    pipe.send(query("JFK"))
    flights.close()


def test_a_process_that_was_paused_over_a_restart_stores_nothing(
    tmp_path: Path, make: Callable[..., Board], namespace: str
) -> None:
    """It wakes with a load from before the restart, and a lease that the restarted server has on disk."""
    with ValkeyServer(tmp_path / "data", args={"appendonly": "yes", "appendfsync": "always"}) as server:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        paused = context.Process(target=_load_paused, args=(server.url, namespace, there), daemon=True)
        paused.start()
        assert here.recv() == "loading"
        assert paused.pid is not None
        os.kill(paused.pid, signal.SIGSTOP)
        server.restart(kill=True)
        board = make(server.url)
        board.departures.invalidate("JFK")
        here.send("go on")
        os.kill(paused.pid, signal.SIGCONT)

        assert here.recv() == -1, "its own reader began before all that"
        paused.join(20)
        assert board.departures("JFK") == 1
        board.close()
