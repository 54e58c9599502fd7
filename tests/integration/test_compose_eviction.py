"""Filling the composed Valkey's memory: with its own eviction policy, nothing goes but values."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
import redis

from tests.composed.files import server_arguments, services
from tests.working.project import Project
from warmer.core.keys import keyspace
from warmer.core.keyspace import ENTRY, broker_prefix
from warmer.testing import ValkeyServer

#: Every part of the composed server's configuration but its size, so that the test need not fill 512 MB.
MEMORY = "12mb"
ENTRIES = 400

QUERIES = """
    import os
    import threading

    from {package} import flights

    begun, gate = threading.Event(), threading.Event()


    @flights.cached(ttl=3600, keep_warm=True, name="maps.tile", version="1", tags=("row:{{row}}",))
    def tile(row: int, column: int) -> bytes:
        return os.urandom(100_000)  # what no compression makes smaller


    @flights.cached(ttl=3600, name="maps.slow", version="1", timeout=300, wait=300)
    def slow(row: int) -> int:
        begun.set()
        gate.wait(100)
        return row
""".replace("{{row}}", "{row}")


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project on a server with the composed arguments."""
    arguments = server_arguments(services({"FLOWER_PASSWORD": "x"})["valkey"]) | {"maxmemory": MEMORY}
    folder = tmp_path_factory.mktemp("filled")
    with ValkeyServer(args=arguments) as server, Project(folder, "filled", server.url, server.url) as project:
        project.write("maps", QUERIES)
        yield project


@pytest.fixture
def client(project: Project) -> Iterator[redis.Redis]:
    """A connection of the test's own."""
    with redis.Redis.from_url(project.redis_url) as client:
        yield client


def _of_value(key: bytes) -> bool:
    return f":{ENTRY}".encode() in key


def _contents(client: redis.Redis) -> dict[bytes, bytes | None]:
    """Every key that is not a value's, with all that it holds."""
    keys = [key for key in client.scan_iter(count=1000) if not _of_value(key)]
    return {key: client.dump(key) for key in keys}


def _queued(client: redis.Redis) -> dict[bytes, int]:
    """The broker's queues (one a priority) and how many messages are in each."""
    found = client.scan_iter(match=f"{broker_prefix('filled')}*", count=1000, _type="list")
    return {key: client.llen(key) for key in found}


def _under_names(client: redis.Redis) -> set[bytes]:
    """Every member that is under some name."""
    prefix = keyspace("filled", 0).members("")
    found = (key for key in client.scan_iter(count=1000) if key.startswith(prefix.encode()))
    return {member for key in found for member in client.smembers(key) if isinstance(member, bytes)}


def _stored(client: redis.Redis) -> set[bytes]:
    """The members whose values are there."""
    keys = filter(_of_value, client.scan_iter(count=1000))
    return {key.partition(f":{ENTRY}".encode())[2] for key in keys}


@pytest.fixture
def loading(project: Project) -> Iterator[None]:
    """A load under its lease, for as long as the test takes."""
    slow = project.flights.queries["maps.slow"]
    module = sys.modules[f"{project.package}.maps"]
    thread = threading.Thread(target=slow, args=(1,))
    thread.start()
    assert module.begun.wait(20)
    yield
    module.gate.set()
    thread.join(20)


@pytest.mark.usefixtures("loading")
def test_memory_that_is_full_costs_values_and_nothing_else(project: Project, client: redis.Redis) -> None:
    """When memory fills several times over, index, fence, leases, members and the queue stay whole."""
    flights, keys = project.flights, keyspace("filled", 0)
    tile = flights.queries["maps.tile"]
    for column in range(20):
        tile(0, column)
        flights.invalidate_tags(f"row:{1000 + column}")
    project.send(*(project.claim("maps.tile", 0, column) for column in range(20)))
    before, queued = _contents(client), _queued(client)
    assert sum(queued.values()) == 20
    assert client.zcard(keys.fence) >= 20
    assert client.hlen(keys.leases) == 1

    for column in range(ENTRIES):
        tile(1 + column % 4, column)

    assert client.info("stats")["evicted_keys"] > ENTRIES / 2
    stored = _stored(client)
    assert 10 < len(stored) < ENTRIES / 2
    after = _contents(client)
    assert before.keys() <= after.keys()
    for key in (keys.fence.encode(), *queued):
        assert after[key] == before[key]
    assert client.hlen(keys.leases) == 1
    assert client.zcard(keys.index("maps.tile")) == 20 + ENTRIES
    # Who is evicted may be dropped from the names by the next commit; what is there must be under them.
    assert stored <= _under_names(client)


def test_only_values_have_a_ttl(project: Project, client: redis.Redis) -> None:
    """The policy may take values, and what an audit counts; nothing that promises hang on has a TTL."""
    flights = project.flights
    tile = flights.queries["maps.tile"]
    tile(1, 1)
    tile(1, 2)
    tile.invalidate(1, 2)
    tile.invalidate_where(row=1)
    tile(1, 3)
    project.send(project.claim("maps.tile", 1, 3))
    with project.worker("threads", 1):
        project.send(project.claim("maps.tile", 1, 4))
        project.flights.celery.control.ping(timeout=0.5)

        found = {key: client.ttl(key) for key in client.scan_iter(count=1000)}

    passing = {key for key, ttl in found.items() if ttl >= 0}
    assert passing
    spared = (b"unacked_mutex", b":outcomes:")
    assert [key for key in passing if not _of_value(key) and not any(s in key for s in spared)] == []


def test_a_reader_of_an_evicted_value_loads_it_again(project: Project, client: redis.Redis) -> None:
    """An evicted value is a miss: it is loaded again, and stored while other values go."""
    tile = project.flights.queries["maps.tile"]
    first = tile(1, 0)
    for column in range(1, ENTRIES):
        tile(1, column)

    again = tile(1, 0)

    assert again != first
    assert tile(1, 0) == again
