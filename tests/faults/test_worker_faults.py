"""Workers that are killed, paused, or run loads that never return or kill their process."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.working.project import Project
from warmer.testing import wait_until

pytestmark = pytest.mark.faults

LEASE_S = 1.0
TIMEOUT_S = 2.0
CLAIM_S = 0.3
# What a loaded machine adds; a load that nobody replaces has 30 s.
SLACK_S = 10.0
QUERIES = """
    import os
    import threading

    from {package} import flights
    from {package}.signs import count, read, tell, wait_for


    @flights.cached(ttl=600, timeout=30, name="price", version="1")
    def price(of: str) -> str:
        seen, slow = read("price"), read("slow")
        tell("price")
        if slow:
            wait_for("price")
        return seen


    @flights.cached(ttl=600, timeout=2, name="hang", version="1")
    def hang(of: str) -> int:
        hangs = read("hang")
        tell("hang")
        if hangs:
            threading.Event().wait()
        return 1


    @flights.cached(ttl=600, timeout=30, name="crash", version="1")
    def crash(of: str) -> int:
        count("crash")
        os._exit(3)


    @flights.cached(ttl=600, name="number", version="1")
    def number(of: str) -> int:
        return count("number")
"""


@pytest.fixture
def project(tmp_path: Path, namespace: str, redis_url: str, broker_url: str) -> Iterator[Project]:
    """A project with a short lease."""
    settings = {"lease": LEASE_S, "command_timeout": 0.4, "connect_timeout": 0.4, "invalidate_timeout": 0.5}
    with Project(tmp_path, namespace, redis_url, broker_url, **settings) as project:
        project.write("boards", QUERIES)
        yield project


def claim_until_warm(project: Project, query: str, value: object, timeout_s: float = 20.0) -> None:
    """Claim an entry again and again, as schedulers do, until it is stored with this value."""

    claimed = -1.0

    def again() -> bool:
        nonlocal claimed
        if project.value(query, "x") == value:
            return True
        if time.monotonic() - claimed > CLAIM_S:
            claimed = time.monotonic()
            project.send(project.claim(query, "x"))
        return False

    wait_until(again, timeout_s=timeout_s, description=f"{query} to be stored as {value!r}")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_an_entry_is_warm_again_after_a_kill_in_mid_load(project: Project, pool: str) -> None:
    """kill -9 of the worker in mid-load: another loads the entry when the lease is over."""
    project.put("price", "right")
    project.put("slow", "yes")
    with project.worker(pool) as doomed:
        project.send(project.claim("price", "x"))
        project.told("price")
        with project.worker(pool):
            project.put("slow", "")
            doomed.kill()
            killed = time.monotonic()
            claim_until_warm(project, "price", "right")
            took_s = time.monotonic() - killed

    assert took_s < LEASE_S + SLACK_S


def test_a_worker_that_was_paused_past_its_lease_writes_nothing(project: Project) -> None:
    """SIGSTOP past the lease, then SIGCONT: what the paused worker loaded is not stored over the newer."""
    project.put("price", "old")
    project.put("slow", "yes")
    with project.worker("threads") as paused:
        project.send(project.claim("price", "x"))
        project.told("price")
        paused.pause()
        project.put("price", "new")
        project.put("slow", "")
        assert project.flights.queries["price"].refresh("x") == "new"

        before = len(paused.output())
        paused.resume()
        project.open("price")
        paused.wait_for_line(r"succeeded in .*: 'loaded, not stored'", after=before)

        assert project.value("price", "x") == "new"


def test_a_worker_that_was_paused_after_an_invalidation_brings_nothing_back(project: Project) -> None:
    """What a paused worker loaded before an invalidation is not stored when it goes on, even if none is."""
    project.put("price", "old")
    project.put("slow", "yes")
    with project.worker("threads") as paused:
        project.send(project.claim("price", "x"))
        project.told("price")
        paused.pause()
        project.flights.queries["price"].invalidate("x")

        before = len(paused.output())
        paused.resume()
        project.open("price")
        paused.wait_for_line(r"succeeded in .*: 'loaded, not stored'", after=before)

        assert project.value("price", "x") is None


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_load_that_never_returns_gives_way_after_its_timeout(project: Project, pool: str) -> None:
    """A load that hangs loses its lease at its timeout, and the next holder loads, beside it."""
    project.put("hang", "yes")
    with project.worker(pool, 2):
        project.send(project.claim("hang", "x"))
        project.told("hang")
        began = time.monotonic()
        project.put("hang", "")
        claim_until_warm(project, "hang", 1)
        took_s = time.monotonic() - began

    # The failure is followed by a back-off of up to a second.
    assert TIMEOUT_S - 0.5 < took_s < TIMEOUT_S + 1 + SLACK_S


def test_the_process_of_a_load_that_never_returns_is_replaced(project: Project) -> None:
    """A prefork worker's child that hangs in a load is killed by the hard limit, and others go on."""
    project.put("hang", "yes")
    with project.worker("prefork") as worker:
        project.send(project.claim("hang", "x"))
        hanging = int(project.told("hang"))
        assert hanging in worker.children()

        wait_until(lambda: hanging not in worker.children(), timeout_s=20, description="it to be replaced")
        project.send(project.claim("number", "x"))
        project.warm("number", "x", value=1)


def test_a_load_that_kills_its_process_is_tried_a_bounded_number_of_times(project: Project) -> None:
    """A child that dies in a load is replaced, its message tried twice more, and then never again."""
    with project.worker("prefork") as worker:
        project.send(project.claim("crash", "x"))
        worker.wait_for_line(r"Task handler raised error: WorkerLostError", timeout_s=40)

        project.send(project.claim("number", "x"))
        project.warm("number", "x", value=1)
        assert project.counted("crash") == 3
        assert project.value("crash", "x") is None


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_is_asked_to_stop_ends_its_load_first(
    project: Project, pool: str, how: signal.Signals
) -> None:
    """A warm shutdown: the load at hand is stored, and nothing is left in the queue's hands."""
    project.put("price", "right")
    project.put("slow", "yes")
    with project.worker(pool) as worker:
        project.send(project.claim("price", "x"))
        project.told("price")
        worker.signal(how)
        worker.wait_for_line("Warm shutdown")
        project.open("price")

        assert worker.wait(20) == (0 if how is signal.SIGTERM else 1)  # Celery's own codes
    assert project.value("price", "x") == "right"


def test_a_worker_that_must_stop_at_once_leaves_its_load_to_others(project: Project) -> None:
    """A cold shutdown (SIGQUIT) in mid-load: the message is another worker's, and the entry is loaded."""
    project.put("price", "right")
    project.put("slow", "yes")
    with project.worker("prefork") as worker:
        project.send(project.claim("price", "x"))
        project.told("price")
        worker.signal(signal.SIGQUIT)
        worker.wait(20)
    project.put("slow", "")
    with project.worker("prefork"):
        claim_until_warm(project, "price", "right")
