"""A server that answers and lets nobody in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import MovedError

from warmer import Warmer
from warmer.errors import RedisRefused
from warmer.store.operations import Store
from warmer.testing import ValkeyServer


@pytest.fixture
def refusing() -> Iterator[str]:
    """The URL of a user who may not ask who the server is."""
    with ValkeyServer() as server:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", "guest", "on", ">secret", "~*", "&*", "+@all", "-info")
        yield f"redis://guest:secret@127.0.0.1:{server.port}/0"


def test_a_connection_that_the_server_refuses_is_told_in_our_words(refusing: str) -> None:
    """Who asks for anything is told that the server refused the connection and why, without the password."""
    flights = Warmer("refused", redis_url=refusing)
    store = Store("refused", flights.settings)
    with pytest.raises(RedisRefused, match=r"refused the connection: .*info") as told:
        store.command("PING")
    assert "secret" not in str(told.value)
    with pytest.raises(RedisRefused):
        flights.runtime()
    flights.close()
    store.close()


def test_a_refused_connection_is_not_lost_to_the_bound(refusing: str) -> None:
    """However often the server refuses, each attempt is made anew, and none runs out of connections."""
    flights = Warmer("refused", redis_url=refusing, max_connections=2)
    store = Store("refused", flights.settings)
    for _ in range(5):
        with pytest.raises(RedisRefused):
            store.command("PING")
    store.close()


def test_a_node_of_a_cluster_is_told_from_other_refusals(redis_url: str) -> None:
    """Who points us at one of them alone is told how to list them, and not to mend an ACL."""
    store = Store("refused", Warmer("refused", redis_url=redis_url).settings)
    told = store.scripts.refused("GET", MovedError("3999 127.0.0.1:6381"))
    store.close()

    assert "refused GET: MOVED to 3999" in str(told)
    assert "It is a node of a Redis Cluster: set redis_url to redis+cluster://" in str(told)
