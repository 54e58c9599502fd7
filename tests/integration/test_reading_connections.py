"""Connections of the read path: cut ones are replaced unseen, and their number is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
import redis

from tests.board import Board, value_of
from warmer import Warmer
from warmer.errors import RedisUnreachable, TooManyConnections
from warmer.testing import ValkeyServer, wait_until

Start = Callable[..., Future[Any]]

PING = b"*1\r\n$4\r\nPING\r\n"


def _ours(client: redis.Redis) -> list[dict[str, str]]:
    """The connections of the read path to this test's database; the one for wake-ups subscribes."""
    db = str(client.connection_pool.connection_kwargs["db"])
    everybody = client.client_list()
    return [one for one in everybody if (one["name"], one["db"], one["sub"]) == ("warmer", db, "0")]


def test_a_connection_that_was_cut_between_reads_is_not_noticed(board: Board, redis_url: str) -> None:
    """CLIENT KILL, an idle timeout, a restarted proxy: the next read connects again and is a hit."""
    board.departures("JFK")
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(3):
            killed = [client.client_kill_filter(_id=one["id"]) for one in _ours(client)]
            assert killed

            assert board.departures.read("JFK").state == "fresh"
    assert board.loads == 1
    assert board.count("reads_around") == 0


def test_a_connection_that_is_cut_under_a_script_is_not_noticed(board: Board, redis_url: str) -> None:
    """Invalidations and loads are repeated on a new connection, and take effect once."""
    board.departures("JFK")
    with redis.Redis.from_url(redis_url) as client:
        for load in (2, 3, 4):
            for one in _ours(client):
                client.client_kill_filter(_id=one["id"])
            assert board.departures.invalidate("JFK") == 1
            for one in _ours(client):
                client.client_kill_filter(_id=one["id"])
            assert board.departures("JFK") == load


def test_wake_ups_come_back_after_their_connection_was_cut(
    board: Board, make_board: Callable[..., Board], redis_url: str, start: Start
) -> None:
    """A process whose listening connection was killed hears of commits again."""
    other = make_board()
    with redis.Redis.from_url(redis_url) as client:
        for load in (1, 2):
            gate = other.hold(load)
            loading = start(other.departures, f"A{load}")
            gate.wait_entered()
            waiting = start(board.departures.read, f"A{load}")
            board.wait_joined(1)
            for one in client.client_list():
                if one["name"] == "warmer" and one["sub"] != "0":
                    client.client_kill_filter(_id=one["id"])
            gate.open()
            assert value_of(waiting).value == value_of(loading)
    assert board.loads == 0


def test_a_process_opens_no_more_connections_than_it_is_set_to(
    make_board: Callable[..., Board], redis_url: str, start: Start
) -> None:
    """Sixty threads that read and invalidate share eight connections."""
    board = make_board(settings={"max_connections": 8})

    def work(number: int) -> None:
        for turn in range(20):
            board.departures(f"A{(number + turn) % 7}")
            if turn % 5 == 0:
                board.departures.invalidate(f"A{number % 7}")

    with redis.Redis.from_url(redis_url) as client:
        working = [start(work, number) for number in range(60)]
        most = 0
        while not all(one.done() for one in working):
            most = max(most, len(_ours(client)))
        for one in working:
            value_of(one)

    assert 1 <= most <= 8 + 1, "and one that is about to listen for wake-ups"


def test_all_connections_busy_is_an_error_that_says_so(make_board: Callable[..., Board]) -> None:
    """An operation that finds no connection in time names the bound and its setting."""
    board = make_board(settings={"max_connections": 2, "command_timeout": 0.2, "lease": 2.0})
    connections = board.runtime.store.connections
    taken = [connections.take(), connections.take()]

    with pytest.raises(TooManyConnections, match="max_connections"):
        connections.take()

    connections.give(taken.pop())
    connections.give(connections.take())
    connections.give(taken.pop())


def test_who_waits_for_a_connection_gets_the_next_that_is_free(
    make_board: Callable[..., Board], start: Start
) -> None:
    """It does not wait out its time."""
    board = make_board(settings={"max_connections": 2})
    connections = board.runtime.store.connections
    taken = [connections.take(), connections.take()]
    waiting = start(connections.take)
    wait_until(lambda: connections._waiting == 1, description="one to wait")

    connections.give(taken[0])

    assert value_of(waiting) is taken[0]
    for link in taken:
        connections.give(link)


def test_no_connection_is_lost_when_the_server_goes_and_comes(namespace: str) -> None:
    """Failing to connect gives the place back: afterwards all of them can be used again."""
    with ValkeyServer() as server:
        board = Board(
            namespace, server.url, settings={"max_connections": 2, "command_timeout": 0.3, "lease": 2.0}
        )
        board.departures("JFK")
        connections = board.runtime.store.connections
        server.kill()
        for _ in range(10):
            with pytest.raises(RedisUnreachable):
                connections.get(PING)
        server.start()
        wait_until(
            lambda: board.departures("JFK") and board.departures.bind("JFK").entry(), description="a hit"
        )

        taken = [connections.take(), connections.take()]

        for link in taken:
            connections.give(link)
        board.close()


def test_while_the_server_is_away_reads_do_not_queue_up_to_find_out(namespace: str) -> None:
    """One attempt in half a second finds out that it is still away; the others are told at once."""
    with ValkeyServer() as server:
        board = Board(namespace, server.url)
        board.departures("JFK")
        server.kill()
        connections = board.runtime.store.connections
        with pytest.raises(RedisUnreachable):
            connections.get(PING)

        with pytest.raises(RedisUnreachable, match="a moment ago"):
            connections.get(PING)
        board.close()


@pytest.mark.parametrize("where", ["unix", "password"])
def test_servers_are_reached_in_every_way_that_a_url_says(namespace: str, where: str) -> None:
    """A unix socket, a password, a database number."""
    options: dict[str, Any] = {"unix_socket": True} if where == "unix" else {"password": "p@ss:word/1"}
    with ValkeyServer(**options) as server:
        board = Board(namespace, server.url_of(3))

        assert board.departures("JFK") == board.departures("JFK") == 1
        assert "p@ss" not in repr(board.flights.settings)
        board.close()


def test_making_a_namespace_connects_to_nothing(namespace: str) -> None:
    """Declaring and binding work without a server."""
    flights = Warmer(namespace, redis_url="redis://127.0.0.1:1/0")

    @flights.cached(ttl=60, name="plain")
    def plain(n: int) -> int:
        return n

    assert plain.bind(3).key.endswith(":3")
    assert threading.active_count() < 80
    assert flights._runtime is None


def test_both_kinds_of_server_serve_the_same_reads(each_redis_url: str, namespace: str) -> None:
    """A board on Valkey and on Redis 7.0: load, hit, invalidate, load."""
    board = Board(namespace, each_redis_url)

    assert (board.departures("JFK"), board.departures("JFK")) == (1, 1)
    assert board.departures.invalidate("JFK") == 1
    assert board.departures("JFK") == 2
    board.close()
