"""What is kept warm stays warm: readers of an entry never wait for a load because time passes.

WARMER_TEST_EXPIRIES=20 makes these as long as the promise is written down.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.working.project import Project
from tests.working.scheduling import scheduler
from warmer import Handle
from warmer.testing import wait_until

EXPIRIES = int(os.environ.get("WARMER_TEST_EXPIRIES", "4"))

QUERIES = '''
    import time

    from celery import signals

    from {package} import flights
    from {package}.signs import count

    DELAYS = {}


    @flights.cached(ttl=4, keep_warm=True, name="delays")
    def delays(carrier: str) -> int:
        """How often it was loaded."""
        return count(carrier)


    @flights.cached(ttl=9, keep_warm=True, name="slow_delays")
    def slow_delays(carrier: str) -> int:
        """The same, through a queue that is slow."""
        return count(carrier)


    @flights.cached(ttl=2, idle_after=4, name="while_read")
    def while_read(carrier: str) -> int:
        """Kept warm while it is read."""
        return count(carrier)


    @signals.task_prerun.connect
    def delay(task=None, **_):
        if task.name.endswith("delays"):
            count("message:" + task.name)
        if task.name == "slow_delays":
            time.sleep(3)
'''


@pytest.fixture
def project(tmp_path: Path, namespace: str, redis_url: str, broker_url: str) -> Iterator[Project]:
    """A project with a worker and a scheduler at work."""
    settings = {"sweep_interval": 0.1, "tally_interval": 0.2}
    with Project(tmp_path, namespace, redis_url, broker_url, **settings) as project:
        project.write("queries", QUERIES)
        with project.worker("threads", 8), scheduler(project):
            yield project


class Reads:
    """What readers at a steady rate have got, by state, and those that waited."""

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.waited: list[float] = []

    @property
    def count(self) -> int:
        return self.states.total()


@contextmanager
def reading(one: Handle[int], per_s: float, threads: int = 2) -> Iterator[Reads]:
    """Read the entry so many times a second until the block ends."""
    reads, stop = Reads(), threading.Event()

    def read() -> None:
        gap_s = threads / per_s
        due_s = time.monotonic()
        while not stop.wait(max(0.0, due_s - time.monotonic())):
            entry = one.read()
            reads.states[entry.state] += 1
            if entry.waited or entry.state == "loaded":
                reads.waited.append(entry.waited)
            due_s += gap_s

    readers = [threading.Thread(target=read) for _ in range(threads)]
    for reader in readers:
        reader.start()
    try:
        yield reads
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def _wait_for_loads(project: Project, sign: str, loads: int, ttl: float) -> None:
    wait_until(
        lambda: project.counted(sign) >= loads,
        timeout_s=10 + (loads + 2) * ttl,
        description=lambda: f"{loads} loads of {sign}; there were {project.counted(sign)}",
    )


@pytest.mark.timeout(300)
def test_an_entry_that_is_read_all_the_time_is_loaded_once_an_expiry(project: Project) -> None:
    """Two hundred reads a second through all of its expiries: no read waits, and a load is for an expiry."""
    one = project.flights.queries["delays"].bind("UA")
    one.get()
    # The first messages find connections to be made; what is measured is the steady state.
    _wait_for_loads(project, "UA", 3, 4)

    with reading(one, 200) as reads:
        before, began = project.counted("UA"), time.monotonic()
        _wait_for_loads(project, "UA", before + EXPIRIES, 4)
        took_s = time.monotonic() - began

    assert reads.waited == []
    assert reads.count > 50 * took_s
    # So many loads in so much time: 20 to 22 in 20 expiries, and more room where one late message is much.
    assert took_s >= EXPIRIES * 4 * (0.9 if EXPIRIES >= 20 else 0.8)
    assert reads.states["stale"] < 0.05 * reads.count


@pytest.mark.timeout(300)
def test_a_slow_queue_gets_one_message_an_expiry(project: Project) -> None:
    """With messages three seconds under way and four hundred reads a second, no entry is asked for twice."""
    one = project.flights.queries["slow_delays"].bind("UA")
    one.get()
    expiries = max(2, EXPIRIES // 4)

    with reading(one, 400) as reads:
        _wait_for_loads(project, "UA", 2 + expiries, 9)

    assert reads.waited == []
    assert project.counted("message:slow_delays") <= 2 + expiries  # the last may be on its way again
    assert project.counted("UA") == 1 + project.counted("message:slow_delays")


def test_what_is_read_is_kept_and_what_is_not_is_dropped(project: Project) -> None:
    """Admitted by a second read in a later ttl, refreshed while it is read, left alone when nobody does."""
    one = project.flights.queries["while_read"].bind("UA")
    with reading(one, 20, threads=1):
        _wait_for_loads(project, "UA", 5, 2)

    with redis.Redis.from_url(project.redis_url) as client:
        # Not by looking at the entry: that is reading it.
        wait_until(lambda: not client.exists(one.key), timeout_s=30, description="the entry to expire unread")
    loads = project.counted("UA")
    assert one.read().state == "loaded"
    assert project.counted("UA") == loads + 1
