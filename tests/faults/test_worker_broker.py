"""The broker is away, wiped or restarted: nothing waits for it for long, and what is lost is sent again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from tests.working.project import Project
from warmer.errors import BrokerUnreachable, UnknownQuery
from warmer.testing import ValkeyServer

pytestmark = pytest.mark.faults

QUERIES = """
    from {package} import flights
    from {package}.signs import count, tell, wait_for


    @flights.cached(ttl=600, name="twice", version="1")
    def twice(n: int) -> int:
        count("twice")
        return 2 * n


    @flights.cached(ttl=600, name="slow", version="1")
    def slow(n: int) -> int:
        tell("slow")
        wait_for("slow")
        return n
"""


@pytest.fixture
def broker() -> Iterator[ValkeyServer]:
    """A broker that the test may stop."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, namespace: str, redis_url: str, broker: ValkeyServer) -> Iterator[Project]:
    """A project with that broker."""
    with Project(tmp_path, namespace, redis_url, broker.url) as project:
        project.write("boards", QUERIES)
        yield project


def queued(project: Project, broker: ValkeyServer) -> int:
    """How many messages wait in the namespace's queue."""
    with redis.Redis.from_url(broker.url) as client:
        return sum(client.llen(key) for key in client.scan_iter(f"w:broker:*:{project.flights.namespace}*"))


def test_all_claims_of_a_sweep_are_sent(project: Project, broker: ValkeyServer) -> None:
    """More claims than fit into one batch make as many messages, in one call."""
    claims = [project.claim("twice", n) for n in range(1201)]

    assert project.send(*claims) == 1201
    assert queued(project, broker) == 1201


def test_no_claim_needs_no_broker(project: Project, broker: ValkeyServer) -> None:
    """With nothing to send, nobody connects."""
    broker.stop()

    assert project.send() == 0


def test_a_claim_that_cannot_be_told_is_left_out(project: Project, broker: ValkeyServer) -> None:
    """A claim whose params are lost holds up none of the others."""
    told, lost = project.claim("twice", 1), project.claim("twice", 2)
    lost = replace(lost, member=lost.member.partition(":")[0] + ":#" + "0" * 40)

    assert project.send(lost, told) == 1
    assert queued(project, broker) == 1


def test_a_claim_of_an_unknown_query_is_an_error(project: Project, broker: ValkeyServer) -> None:
    """A process that does not know a query says so before it sends anything."""
    claim = project.claim("twice", 1)

    with pytest.raises(UnknownQuery):
        project.send(claim, replace(claim, member=claim.member.replace("twice@", "thrice@")))

    assert queued(project, broker) == 0


def test_a_broker_that_is_away_is_told_at_once(project: Project, broker: ValkeyServer) -> None:
    """Without a broker, sending fails within seconds, with an error that names it; later it works again."""
    claim = project.claim("twice", 1)
    broker.stop()

    began = time.monotonic()
    with pytest.raises(BrokerUnreachable) as caught:
        project.send(claim)
    assert time.monotonic() - began < 5
    assert str(broker.port) in caught.value.url

    broker.start()
    assert project.send(claim) == 1
    assert queued(project, broker) == 1


def test_a_broker_that_hangs_is_told_in_bounded_time(project: Project, broker: ValkeyServer) -> None:
    """A broker that takes connections and answers nothing keeps the sender for its timeouts only."""
    claim = project.claim("twice", 1)
    project.send(claim)
    broker.pause()
    try:
        began = time.monotonic()
        with pytest.raises(BrokerUnreachable):
            project.send(claim)
        assert time.monotonic() - began < 12
    finally:
        broker.resume()


def test_a_broker_that_was_restarted_is_used_again(project: Project, broker: ValkeyServer) -> None:
    """A connection that the broker's restart has cut is made anew unseen."""
    project.send(project.claim("twice", 1))
    broker.restart()

    assert project.send(project.claim("twice", 2)) == 1
    assert queued(project, broker) == 1


def test_a_wiped_broker_loses_only_time(project: Project, broker: ValkeyServer) -> None:
    """Messages that are wiped from the broker are sent again by the next claim, and the worker goes on."""
    project.send(project.claim("twice", 1), project.claim("twice", 2))
    with redis.Redis.from_url(broker.url) as client:
        client.flushall()

    with project.worker("threads", 2):
        project.send(project.claim("twice", 3))
        project.warm("twice", 3, value=6)
        with redis.Redis.from_url(broker.url) as client:
            client.flushall()
        project.send(project.claim("twice", 1), project.claim("twice", 2))
        project.warm("twice", 1, value=2)
        project.warm("twice", 2, value=4)

    assert project.counted("twice") == 3


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_outlives_its_broker(project: Project, broker: ValkeyServer, pool: str) -> None:
    """When the broker is back after a crash that took its messages, the worker takes new ones by itself."""
    with project.worker(pool, 2):
        project.send(project.claim("twice", 1))
        project.warm("twice", 1, value=2)
        broker.restart(kill=True)
        project.send(project.claim("twice", 2))
        project.warm("twice", 2, value=4, timeout_s=40)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_load_outlives_the_broker(project: Project, broker: ValkeyServer, pool: str) -> None:
    """A load that is at hand when the broker goes is stored, and the worker goes on when it is back."""
    with project.worker(pool, 2):
        project.send(project.claim("slow", 1))
        loading = project.told("slow")
        broker.kill()
        project.open("slow")
        project.warm("slow", 1, value=1)

        broker.start()
        project.send(project.claim("slow", 2), project.claim("slow", 3))
        project.open("slow", 2)
        project.warm("slow", 2, value=2, timeout_s=40)
        project.warm("slow", 3, value=3, timeout_s=40)

        assert loading in {project.told("slow"), project.told("slow")}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_load_outlives_a_cut_connection(project: Project, broker: ValkeyServer, pool: str) -> None:
    """A worker whose connections are cut in mid-load, as by a firewall, stores the load and goes on."""
    with project.worker(pool, 2):
        project.send(project.claim("slow", 1))
        project.told("slow")
        with redis.Redis.from_url(broker.url) as client:
            for kind in ("normal", "pubsub"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind)
        project.open("slow")
        project.warm("slow", 1, value=1)

        project.send(project.claim("twice", 4))
        project.warm("twice", 4, value=8, timeout_s=40)
