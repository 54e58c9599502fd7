"""What a restart, a wipe and a flushed script cache change, on Valkey and on Redis 7.0."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
import redis

from tests.board import Board
from tests.restarting import restart
from tests.stamping import stamp
from warmer import Warmer
from warmer.core.changes import Changes
from warmer.core.keyspace import keyspace
from warmer.testing import RedisServer, ValkeyServer, wait_until

Server = ValkeyServer | RedisServer


def _client(server: Server) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def test_scripts_come_back_after_their_cache_was_flushed(board: Board, own_server: Server) -> None:
    """A server that forgot the scripts is given them again, one by one, unseen by readers."""
    assert board.departures("JFK") == 1
    with _client(own_server) as client:
        client.script_flush()

    board.departures.invalidate("JFK")

    assert board.departures("JFK") == 2


def test_what_was_stored_before_a_restart_is_not_served(board: Board, own_server: Server) -> None:
    """Data on disk comes back with the server, and entries of its earlier life are loaded anew."""
    assert board.departures("JFK") == 1
    restart(own_server, board.flights)

    assert board.departures("JFK") == 2
    assert board.departures("JFK") == 2


def test_scripts_come_back_after_a_restart(board: Board, own_server: Server) -> None:
    """A restarted server knows no scripts; the first call of each loads it."""
    assert board.departures("JFK") == 1
    restart(own_server, board.flights, kill=True)

    assert board.departures.invalidate("JFK") in (0, 1)
    assert board.departures("JFK") == 2


def test_the_fence_outlives_a_restart(board: Board, own_server: Server) -> None:
    """A load that was begun before an invalidation is not stored, though the server was restarted in
    between.
    """
    gate = board.hold(1)
    reader = threading.Thread(target=board.departures, args=("JFK",))
    reader.start()
    gate.wait_entered()
    board.departures.invalidate("JFK")
    restart(own_server, board.flights)

    gate.open()
    reader.join(20)

    assert board.departures("JFK") == 2


def test_a_lease_of_the_earlier_life_keeps_nobody_waiting(board: Board, own_server: Server) -> None:
    """A load that runs over a restart is not waited for: the next reader loads, and the old one stores
    nothing.
    """
    gate = board.hold(1)
    reader = threading.Thread(target=board.departures, args=("JFK",))
    reader.start()
    gate.wait_entered()
    restart(own_server, board.flights)

    assert board.departures("JFK") == 2
    gate.open()
    reader.join(20)

    assert board.departures("JFK") == 2


def test_stamps_grow_over_a_restart(board: Board, own_server: Server) -> None:
    """The stamps after a restart are later than all before it, with the data kept and with the data gone."""
    stamps = stamp(board.flights, "g:a")
    restart(own_server, board.flights)
    stamps += stamp(board.flights, "g:a")
    with _client(own_server) as client:
        client.flushall()

    stamps += stamp(board.flights, "g:a")

    assert stamps == sorted(set(stamps))


def test_stamps_grow_over_a_restart_with_the_clock_set_back(board: Board, own_server: Server) -> None:
    """A machine that comes up with its clock an hour slow goes on from the last stamp on disk."""
    before = stamp(board.flights, "g:a")
    with _client(own_server) as client:
        client.set(keyspace(board.flights.namespace, 0).clock, -3_600_000_000)
    restart(own_server, board.flights)

    assert stamp(board.flights, "g:a") > before


def test_a_process_learns_of_a_restart_by_itself(board: Board, own_server: Server) -> None:
    """Connections that were idle over a restart are opened anew, and know the new life, without an error."""
    assert board.departures("JFK") == 1
    threads = [threading.Thread(target=board.departures, args=("JFK",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    before = board.runtime.store.get(b"x")[1]

    restart(own_server, board.flights)

    assert board.runtime.store.get(b"x")[1] != before
    assert board.departures("JFK") == 2


def test_a_wiped_server_is_filled_anew(board: Board, own_server: Server) -> None:
    """After a FLUSHALL everything works as in an empty namespace."""
    assert board.departures("JFK") == 1
    with _client(own_server) as client:
        client.flushall()

    assert board.departures("JFK") == 2
    assert board.departures.invalidate_all() == 1
    assert board.departures("JFK") == 3


def test_readers_go_on_while_the_server_restarts(board: Board, own_server: Server) -> None:
    """Reads during a restart load from the source, none of them fails, and afterwards they are hits again."""
    stop, errors = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                board.departures("JFK")
            except Exception as error:  # noqa: BLE001 - whatever a reader gets must be seen by the test
                errors.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    wait_until(lambda: board.loads >= 1, description="the first load")
    own_server.restart(kill=True)
    wait_until(lambda: board.departures.bind("JFK").entry(), description="a stored entry again")
    stop.set()
    for reader in readers:
        reader.join(10)

    assert errors == []


def test_what_queries_depend_on_is_registered_again_before_the_first_load(
    fast_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has lost everything is told with the first lease, whoever asks for it: no writer that
    looks while the load runs misses the entry.
    """
    seen: list[int] = []
    with closing(Warmer(namespace, redis_url=fast_server.url)) as flights:

        @flights.cached(ttl=60, name="departures", version="v", depends_on={"flights": ("airport",)})
        def departures(airport: str) -> int:
            with _client(fast_server) as client:
                seen.append(client.hlen(keyspace(namespace, 0).shapes))
            return 1

        departures("JFK")
        monkeypatch.setattr(flights.runtime().shapes, "look", lambda: None)  # what comes by every few seconds
        restart(fast_server, flights)
        departures("JFK")
        restart(fast_server, flights)
        departures.refresh("JFK")
        with _client(fast_server) as client:
            client.flushall()  # no new life, and yet nothing is left
        departures("JFK")

    assert seen == [1, 1, 1, 1]


def test_after_flushall_a_writer_learns_of_other_queries_though_they_are_as_many(
    fast_server: Server, namespace: str
) -> None:
    """Who applies changes goes by which record of the server's life it counted in, not by the count alone."""
    old, new, writer = (Warmer(namespace, redis_url=fast_server.url) for _ in range(3))

    @old.cached(ttl=60, name="departures", version="v", depends_on={"flights": ("airport",)})
    def departures(airport: str) -> str:
        return airport

    @new.cached(ttl=60, name="delays", version="v", depends_on={"flights": ("carrier",)})
    def delays(carrier: str) -> str:
        return carrier

    rows = {frozenset({("airport", "s~JFK"), ("carrier", "s~UA")})}
    departures("JFK")
    writer.outbox.apply(Changes({"flights": rows}))
    assert departures.bind("JFK").entry() is None
    with _client(fast_server) as client:
        client.flushall()
    delays("UA")
    writer.outbox.apply(Changes({"flights": rows}))

    assert delays.bind("UA").entry() is None
    for flights in (old, new, writer):
        flights.close()
