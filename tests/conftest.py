"""Fixtures and guards for all tests; README.md beside this says which folder a test belongs in.

The fixtures are those of warmer.testing.plugin under shorter names. The guards: no connection from unit/ and
property/, no process left behind, no setting taken from the environment of whoever runs the tests.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.guarding import guards
from tests.patience import patient
from warmer import Warmer
from warmer.testing import Clock, RedisServer, ValkeyServer

if TYPE_CHECKING:
    from sqlalchemy import Engine

# An example may have to wait for a CPU, however quick it is: that is no failure.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """Put the guards in place; as a plugin, because a conftest's hooks miss session-wide fixtures."""
    config.pluginmanager.register(guards, "warmer-guards")


@pytest.fixture
def redis_url(warmer_redis_url: str) -> str:
    """An empty logical database of a shared Valkey."""
    return warmer_redis_url


@pytest.fixture
def broker_url(warmer_broker_url: str) -> str:
    """Another one, for Celery."""
    return warmer_broker_url


@pytest.fixture
def namespace(warmer_namespace: str) -> str:
    """A name for `Warmer(...)` that nobody else uses."""
    return warmer_namespace


@pytest.fixture
def flights(namespace: str, redis_url: str) -> Iterator[Warmer]:
    """A namespace of the test's own on a server of its own, given back afterwards."""
    flights = Warmer(namespace, redis_url=redis_url, **patient({}))
    yield flights
    flights.close()


@pytest.fixture
def clock(flights: Warmer, warmer_clock: Callable[..., Clock]) -> Clock:
    """The clock of `flights`: `clock.advance(seconds)`."""
    return warmer_clock(flights)


@pytest.fixture
def long_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed load rests for most of a minute, not of a second: no test is slow enough to outlast that."""
    dice = SimpleNamespace(random=lambda: 100.0, expovariate=random.expovariate)
    monkeypatch.setattr("warmer.runtime.loading.random", dice)


@pytest.fixture
def pg_url(warmer_pg_url: str) -> str:
    """An empty PostgreSQL database."""
    return warmer_pg_url


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with three flights and an outbox (tests/tracked.py), of each kind in turn."""
    from tests.tracked import prepare

    sqlite = request.param == "sqlite"
    made = prepare(f"sqlite:///{tmp_path / 'flights.db'}" if sqlite else request.getfixturevalue("pg_url"))
    yield made
    made.dispose()


@pytest.fixture(scope="session", params=["valkey", "redis"])
def each_server(request: pytest.FixtureRequest) -> Iterator[ValkeyServer | RedisServer]:
    """Valkey and Redis in turn: what must hold on both. Without a redis-server: skipped, but failed in CI."""
    if request.param == "valkey":
        yield request.getfixturevalue("warmer_server")
        return
    with RedisServer(binary=request.getfixturevalue("redis_binary")) as server:
        yield server


@pytest.fixture
def each_redis_url(each_server: ValkeyServer | RedisServer) -> str:
    """An empty logical database of each kind of server in turn."""
    import redis

    with redis.Redis.from_url(each_server.url) as client:
        client.flushdb()
    return each_server.url


@pytest.fixture(scope="session")
def redis_binary() -> Path:
    """The redis-server on PATH; without one the test is skipped, but failed in CI."""
    from warmer.errors import ServerNotStarted

    try:
        return RedisServer.find_binary()
    except ServerNotStarted as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def varnish_binary() -> Path:
    """The varnishd here; without one the test is skipped, but failed in CI."""
    from tests.serving.varnish import find_binary
    from warmer.errors import ServerNotStarted

    try:
        return find_binary()
    except ServerNotStarted as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
