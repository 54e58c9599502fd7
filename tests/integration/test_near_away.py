"""Near copies while the server is away, refuses, hangs, or has been restarted."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.board import Board
from tests.near_board import copy_of, is_near, kill_tracking, read_until_near
from warmer.errors import InvalidationUnconfirmed
from warmer.testing import ValkeyServer, python, wait_until

QUICK = {"command_timeout": 0.3, "connect_timeout": 0.3, "lease": 2.0, "invalidate_timeout": 0.3}


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server of the test's own."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def board(server: ValkeyServer, namespace: str) -> Iterator[Board]:
    """A query whose entries are kept near for a minute."""
    board = Board(namespace, server.url, settings=QUICK, near=60)
    yield board
    board.close()


def _is_lost(board: Board) -> bool:
    return board.runtime.near._life is None


def test_copies_serve_while_the_server_is_away_for_their_seconds(board: Board, server: ValkeyServer) -> None:
    """A read that finds the server away gets the copy from before; past `near` it is loaded."""
    read_until_near(board)
    server.kill()

    assert [board.departures("JFK") for _ in range(3)] == [1, 1, 1]
    assert board.departures.read("JFK").state == "fresh"
    assert board.departures.get_many([("JFK",)]) == [1]
    assert board.loads == 1
    wait_until(lambda: _is_lost(board), description="the loss to be noticed")
    assert board.departures("JFK") == 1
    assert board.count("near_away") >= 1
    for copy in board.runtime.near.aside.values():
        copy.until = time.monotonic()
    assert board.departures("JFK") == 2


def test_nothing_from_before_is_served_when_the_server_is_back(board: Board, server: ValkeyServer) -> None:
    """The first read after it has come back is none of what was set aside, whoever asks first."""
    read_until_near(board)
    server.kill()
    wait_until(lambda: _is_lost(board), description="the loss to be noticed")
    assert board.runtime.near.aside
    server.start()
    wait_until(lambda: not _is_lost(board), description="the server to be heard of again")
    assert not board.runtime.near.aside

    wait_until(lambda: board.departures("JFK") == 2, description="a load")

    read_until_near(board)
    assert board.departures("JFK") >= 2


def test_a_read_that_reaches_the_server_lets_go_of_what_was_set_aside(
    board: Board, server: ValkeyServer
) -> None:
    """Only the tracking connection is gone: another's invalidation may be among what was not heard."""
    read_until_near(board)
    read_until_near(board, "EWR")
    connections = board.runtime.store.connections
    dedicated, allowed = connections.dedicated, threading.Event()

    def held_up(**options: object) -> object:
        allowed.wait(20)
        return dedicated(**options)

    connections.dedicated = held_up  # type: ignore[method-assign,assignment]
    with redis.Redis.from_url(server.url) as client:
        kill_tracking(client)
    wait_until(lambda: _is_lost(board), description="the loss to be noticed")
    assert len(board.runtime.near.aside) == 2

    assert board.departures("JFK") == 1
    assert not board.runtime.near.aside
    server.kill()
    assert board.departures("EWR") == 3
    allowed.set()


def test_who_invalidates_while_the_server_is_away_sees_no_copy(board: Board, server: ValkeyServer) -> None:
    """It raises, as it could not be confirmed; in this process nothing old is left all the same."""
    ways: list[Callable[[], int]] = [
        lambda: board.departures.invalidate("JFK"),
        lambda: board.flights.invalidate_tags("all"),
        board.departures.invalidate_all,
    ]
    for invalidate in ways:
        read_until_near(board)
        server.kill()
        before = board.loads
        assert board.departures("JFK") == before

        with pytest.raises(InvalidationUnconfirmed):
            invalidate()

        assert board.departures("JFK") == before + 1
        server.start()
        wait_until(lambda: not _is_lost(board) and board.departures("JFK"), description="it to be back")


def test_what_was_doubted_when_the_server_went_away_is_not_served(
    board: Board, server: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did what this process asked for, and died before it said which entries that took: none is served."""
    read_until_near(board)
    near = board.runtime.near
    for message in ("changed", "caught_up"):
        monkeypatch.setattr(near, message, lambda _: None)
    assert board.flights.invalidate_tags("all") == 1
    server.kill()
    wait_until(lambda: _is_lost(board), description="the loss to be noticed")

    assert not near.aside
    assert board.departures("JFK") == 2


def test_a_server_that_hangs_is_noticed(board: Board, server: ValkeyServer) -> None:
    """A connection that is only silent is asked for a sign of life; without one its copies are set aside."""
    read_until_near(board)
    server.pause()
    try:
        wait_until(lambda: _is_lost(board), description="the loss to be noticed")

        assert board.departures("JFK") == 1
        assert board.loads == 1
    finally:
        server.resume()


def test_a_change_of_life_drops_every_copy(board: Board) -> None:
    """Another server than before on the same connection: nothing is kept, and it is listened to anew."""
    old = read_until_near(board)

    board.runtime.near.renew()

    assert copy_of(board) is None
    assert not board.runtime.near.aside
    assert read_until_near(board) is not old


def test_a_reply_of_another_life_makes_no_copy(board: Board) -> None:
    """What was read from a server that the tracking connection is not to may change without a message."""
    read_until_near(board)
    near, key = board.runtime.near, board.departures.bind("JFK").key.encode()
    copy, turn = near.live[key], near._copies.turn(key)

    assert not near.put(copy, turn, b"another!")

    wait_until(lambda: near.live.get(key) is None, description="what is listened to to be looked at again")


def test_a_server_that_refuses_tracking_keeps_nothing_near_and_says_so_once(
    server: ValkeyServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An ACL without CLIENT: a warning, and reads go on as without `near`."""
    with redis.Redis.from_url(server.url) as client:
        client.execute_command(
            "ACL", "SETUSER", "narrow", "on", ">secret", "~*", "&*", "+@all", "-client|tracking"
        )
    url = server.url.replace("redis://", "redis://narrow:secret@")
    with caplog.at_level(logging.WARNING, "warmer"):
        board = Board(namespace, url, near=60)
        wait_until(
            lambda: board.departures("JFK") and "near copies are off" in caplog.text, description="a warning"
        )
        for _ in range(5):
            assert not is_near(board)
        board.close()

    assert caplog.text.count("near copies are off") == 1
    assert "secret" not in caplog.text
    assert board.loads == 1


def test_a_forked_child_serves_none_of_its_parents_copies(redis_url: str, namespace: str) -> None:
    """It hears of nothing on the connection of its parent, so it has copies of its own."""
    with python("-W", "ignore", "-m", "tests.near_board", redis_url, namespace) as child:
        code = child.wait(60)

        assert [line for line in child.output().splitlines() if line] == ["done"]
        assert code == 0
