"""Servers of a test's own, of each kind: to be flushed, restarted and measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.board import Board
from warmer.testing import RedisServer, ValkeyServer

Server = ValkeyServer | RedisServer

# What was written is on disk before it is answered: a restart loses nothing.
PERSISTENT = {"appendonly": "yes", "appendfsync": "always"}


@pytest.fixture(params=["valkey", "redis"])
def kind(request: pytest.FixtureRequest) -> Callable[..., Server]:
    """Valkey and Redis 7.0 in turn: a function that makes a server of that kind."""
    if request.param == "valkey":
        return ValkeyServer
    return partial(RedisServer, binary=request.getfixturevalue("redis_binary"))


@pytest.fixture
def own_server(kind: Callable[..., Server], tmp_path: Path) -> Iterator[Server]:
    """A server that keeps its data over a restart."""
    with kind(tmp_path / "data", args=PERSISTENT) as server:
        yield server


@pytest.fixture
def fast_server(kind: Callable[..., Server]) -> Iterator[Server]:
    """A server that writes nothing to disk."""
    with kind() as server:
        yield server


@pytest.fixture
def board(own_server: Server, namespace: str) -> Iterator[Board]:
    """A query on a server of the test's own."""
    made = Board(namespace, own_server.url)
    yield made
    made.close()
