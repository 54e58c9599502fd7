"""warmer.testing.servers: real servers that are started, stopped, killed, paused and brought back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import cast

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.guarding.processes import alive, command
from warmer.errors import ServerNotStarted
from warmer.testing import ChildEnded, RedisServer, ValkeyServer, wait_until

Server = type[ValkeyServer] | type[RedisServer]


@pytest.fixture(params=[ValkeyServer, RedisServer])
def kind(request: pytest.FixtureRequest) -> Server:
    """Each kind of server in turn."""
    server = cast("Server", request.param)
    if server is RedisServer:
        request.getfixturevalue("redis_binary")
    return server


def test_a_server_answers_and_is_gone_afterwards(kind: Server) -> None:
    """The block gives a running server of the product asked for, and ends it."""
    with kind() as server:
        with redis.Redis.from_url(server.url) as client:
            assert ("valkey_version" in client.info("server")) == (kind is ValkeyServer)
        pid, folder = server.pid, server.data_dir
        assert alive(pid)
    assert not alive(pid)
    assert not folder.exists()


def test_each_server_has_an_address_of_its_own(kind: Server) -> None:
    """Two servers run beside each other without anybody choosing ports."""
    with kind() as one, kind() as other:
        assert one.url != other.url
        with redis.Redis.from_url(one.url) as first, redis.Redis.from_url(other.url) as second:
            first.set("k", "v")
            assert second.get("k") is None


def test_only_loopback_is_listened_on(kind: Server) -> None:
    """A test server is not offered to the network."""
    with kind() as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_unix_socket_can_stand_alone(kind: Server) -> None:
    """With port 0 there is no TCP at all, and the URL is the socket's."""
    with kind(port=0, unix_socket=True) as server:
        assert server.url == f"unix://{server.socket_path}?db=0"
        with redis.Redis.from_url(server.url_of(3)) as client:
            assert client.ping()
            assert client.client_info()["db"] == 3
            assert client.config_get("port") == {"port": "0"}


def test_configuration_is_passed_on(kind: Server) -> None:
    """Arguments are the server's own configuration names; a password is in the URL, however odd."""
    args: dict[str, str | int] = {"maxmemory": "8mb", "maxmemory-policy": "noeviction", "databases": 2}
    with kind(args=args, password="p@ss:/?#") as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(8 * 2**20)}
        assert client.config_get("databases") == {"databases": "2"}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=server.port or 0, retry=Retry(NoBackoff(), 0)).ping()


def test_a_restart_keeps_address_and_persisted_data(kind: Server) -> None:
    """Stopping, killing and starting again is invisible but for the pid, given an append-only file."""
    with kind(args={"appendonly": "yes", "appendfsync": "always"}) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("k", "v")
            pids = {server.pid}
            server.restart()
            pids.add(server.pid)
            assert client.get("k") == b"v"
            server.restart(kill=True)
            pids.add(server.pid)
            assert client.get("k") == b"v"
        assert server.url == url
        assert len(pids) == 3


def test_nothing_is_persisted_unless_asked_for(kind: Server) -> None:
    """By default a restarted server is empty, as a cache may be."""
    with kind() as server, redis.Redis.from_url(server.url) as client:
        client.set("k", "v")
        server.restart()
        assert client.get("k") is None


def test_data_in_a_given_folder_outlive_the_server(kind: Server, tmp_path: Path) -> None:
    """A snapshot taken by one server is read by the next on the same folder."""
    with kind(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.set("k", "v")
        client.save()
    with kind(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        assert client.get("k") == b"v"


def test_a_paused_server_keeps_silent_and_catches_up(kind: Server) -> None:
    """SIGSTOP is a stall, not an end: connections stay, answers come after SIGCONT."""
    once = Retry(NoBackoff(), 0)
    with kind() as server, redis.Redis.from_url(server.url, socket_timeout=0.1, retry=once) as client:
        client.set("k", "v")
        server.pause()
        begun = time.monotonic()
        with pytest.raises(redis.TimeoutError):
            client.get("k")
        assert time.monotonic() - begun < 5
        assert server.running
        server.resume()
        server.wait_ready()
        assert client.get("k") == b"v"


def test_a_paused_server_can_be_closed(kind: Server) -> None:
    """A test that fails during the pause still leaves nothing behind."""
    with kind() as server:
        server.pause()
        pid = server.pid
    assert not alive(pid)


def test_a_killed_server_is_noticed(kind: Server) -> None:
    """After kill -9 the server is known not to run, and can be started again."""
    with kind() as server:
        server.kill()
        assert not server.running
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()


def test_starting_twice_does_nothing(kind: Server) -> None:
    """A running server stays as it is."""
    with kind() as server:
        pid = server.pid
        assert server.start().pid == pid


def test_a_server_that_refuses_its_configuration_shows_its_log(kind: Server) -> None:
    """The reason that the server gave is in the error, and nothing is left behind."""
    server = kind(args={"maxmemory-policy": "no-such-policy"})
    with pytest.raises(ChildEnded, match=r"before answering PING(.|\n)*maxmemory-policy"):
        server.start()
    assert not server.running
    server.close()


def test_a_port_that_is_taken_is_an_error_only_if_it_was_asked_for(kind: Server) -> None:
    """A port given by the test is not exchanged for another."""
    with kind() as first:
        second = kind(port=first.port)
        with pytest.raises(ChildEnded, match="Address already in use"):
            second.start()
        second.close()


def test_another_server_on_the_address_is_not_taken_for_this_one(kind: Server) -> None:
    """What answers must be the process that was started, or a test would work on somebody else's data."""
    with kind() as first:
        second = kind(port=first.port)
        with pytest.raises(ChildEnded):
            second.start()
        with redis.Redis.from_url(first.url) as client:
            assert client.info("server")["process_id"] == first.pid
        second.close()


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the program there is an error that says what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerNotStarted, match="redis-server did not start: not on PATH; install Redis"):
        RedisServer().start()


def test_a_server_that_was_never_started_says_so() -> None:
    """Asking for its pid or pausing it is a mistake of the test, told as such."""
    server = ValkeyServer()
    with pytest.raises(RuntimeError, match="never started"):
        server.pause()
    assert not server.running
    assert repr(server).endswith("not running>")
    server.close()


def test_the_servers_process_is_the_server_itself(kind: Server) -> None:
    """Signals to the pid reach the server, not something that started it."""
    with kind() as server:
        wait_until(lambda: "server" in command(server.pid), description="the program to be the server's")
        assert server.product in command(server.pid)
        assert "eady to accept connections" in server.log
