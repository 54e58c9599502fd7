"""Real scheduler processes: how they begin and end, beside each other, and while a server is away."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.working.project import Project
from tests.working.scheduling import described, scheduler
from warmer.core.keys import keyspace
from warmer.testing import ChildProcess, ValkeyServer, wait_until

QUERIES = '''
    from {package} import flights
    from {package}.signs import count
    from warmer import every


    @flights.cached(ttl=600, keep_warm=True, name="number", version="1")
    def number(of: int) -> int:
        """The number itself."""
        count(f"number:{of}")
        return of


    @flights.plan(every(1.0))
    def seconds():
        """One entry each second."""
        count("seconds")
        yield number.bind(1)
'''


@pytest.fixture
def project(tmp_path: Path, namespace: str, redis_url: str, broker_url: str) -> Iterator[Project]:
    """A project whose entries are due when a test says so."""
    with Project(tmp_path, namespace, redis_url, broker_url, sweep_interval=0.05) as project:
        project.write("queries", QUERIES)
        yield project


@pytest.fixture
def client(redis_url: str) -> Any:
    """A look at what is stored."""
    return redis.Redis.from_url(redis_url, decode_responses=True)


def _make_due(project: Project, client: Any, count: int) -> None:
    """Have so many entries fall due, that nobody has loaded yet."""
    keys = keyspace(project.flights.namespace, 0)
    client.zadd(keys.index("number"), {f"number@1:{of}": 1 for of in range(100, 100 + count)})


def _known(project: Project, client: Any) -> int:
    return int(client.zcard(keyspace(project.flights.namespace, 0).schedulers))


def _messages(project: Project) -> int:
    with redis.Redis.from_url(project.broker_url) as broker:
        lists = [key for key in broker.scan_iter() if broker.type(key) == b"list"]
        return sum(int(broker.llen(key)) for key in lists)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_scheduler_that_is_asked_to_stop_takes_leave(project: Project, client: Any, number: int) -> None:
    """It ends with code 0, and nobody counts on it any more."""
    with scheduler(project) as child:
        wait_until(lambda: _known(project, client) == 1, description="the scheduler to be known")

        child.signal(number)

        assert child.wait() == 0
        assert _known(project, client) == 0
        assert "Traceback" not in child.output()


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux sends a signal to one thread of another process"
)
def test_a_signal_ends_the_scheduler_whichever_thread_gets_it(project: Project) -> None:
    """The kernel may give SIGTERM to any thread, as after SIGCONT; the scheduler ends all the same."""
    with scheduler(project) as child:
        others = [int(task.name) for task in Path(f"/proc/{child.pid}/task").iterdir()]
        others.remove(child.pid)

        assert ctypes.CDLL(None).tgkill(child.pid, others[0], signal.SIGTERM) == 0

        assert child.wait(20) == 0


def test_a_scheduler_that_stops_has_sent_what_it_claimed(project: Project, client: Any) -> None:
    """A sweep that is under way is ended first: no claim is left without its message."""
    keys = keyspace(project.flights.namespace, 0)
    with scheduler(project) as child:
        _make_due(project, client, 200)
        wait_until(lambda: client.zcard(keys.claims), description="the first claims")

        assert child.terminate() == 0

        entries = client.zrange(keys.claims, 0, -1)
        runs = [run for run in client.zrange(keys.runs, 0, -1) if client.hget(keys.run(run), "sent")]
        assert entries
        assert _messages(project) >= len(entries) + len(runs)


def test_schedulers_beside_each_other_send_each_entry_once(project: Project, client: Any) -> None:
    """Two schedulers and a worker: every due entry is loaded once."""
    with project.worker("threads", 4), scheduler(project), scheduler(project):
        _make_due(project, client, 60)
        wait_until(
            lambda: all(project.counted(f"number:{of}") for of in range(100, 160)),
            timeout_s=60,
            description="all entries to be loaded",
        )

        assert sum(project.counted(f"number:{of}") for of in range(100, 160)) == 60


def test_a_firing_makes_one_run_beside_other_schedulers(project: Project, client: Any) -> None:
    """Three schedulers and a plan of every second: its generator runs once a second."""
    keys = keyspace(project.flights.namespace, 0)
    with project.worker("threads", 4), scheduler(project), scheduler(project), scheduler(project):
        wait_until(lambda: project.counted("seconds") >= 4, timeout_s=60, description="four runs")

        runs = client.zrange(keys.history, 0, -1, withscores=True)
        firings = {round(created / 1e6 - 0.5) for _, created in runs}
        assert len(runs) <= len(firings) + 1  # two within one second of the wall, where one was late


def test_a_scheduler_waits_for_its_servers(tmp_path: Path, namespace: str) -> None:
    """Redis and the broker away at the start: it goes on when they are there, and says each change once."""
    with ExitStack() as stack:
        server, broker = (stack.enter_context(ValkeyServer()) for _ in range(2))
        project = stack.enter_context(
            Project(tmp_path, namespace, server.url, broker.url, sweep_interval=0.05)
        )
        project.write("queries", QUERIES)
        client = stack.enter_context(closing(redis.Redis.from_url(server.url, decode_responses=True)))
        server.stop()
        broker.stop()
        child = stack.enter_context(described(project))
        child.wait_for_line("1 plans", timeout_s=60)
        wait_until(
            lambda: child.output().count("Redis at ") >= 2,
            description="the sweep to miss Redis",
            timeout_s=60,
        )
        server.start()
        child.wait_for_line("Redis answers again", timeout_s=60)
        _make_due(project, client, 3)
        child.wait_for_line("the broker at .* can't be reached", timeout_s=60)
        broker.start()
        child.wait_for_line("the broker takes messages again", timeout_s=60)
        wait_until(lambda: _messages(project) >= 3, description="the messages to be sent")

        assert child.terminate() == 0
        said = child.output()
        assert said.count("the broker at ") == 1
        assert said.count("Redis at ") <= 5  # each part of it says it once, and none at every sweep
        assert "Traceback" not in said


def test_a_scheduler_with_another_count_of_shards_refuses_to_work(project: Project, client: Any) -> None:
    """It would sweep other shards than the others fill: it ends, and says what to set."""
    client.hset(keyspace(project.flights.namespace, 0).conf, "shards", 8)

    with described(project) as child:
        assert child.wait(30) != 0
        assert "set shards=8" in child.output().lower()


def test_an_older_releases_queries_are_left_to_it(project: Project, client: Any) -> None:
    """What this scheduler does not know stays due for one that does."""
    keys = keyspace(project.flights.namespace, 0)
    due_at = project.flights.runtime().store.now_us() - 1_000_000
    client.zadd(keys.index("other"), {"other@1:1": due_at})
    client.sadd(keys.queries, "other")
    with scheduler(project) as child:
        _make_due(project, client, 1)
        wait_until(lambda: client.zcard(keys.claims) == 1, description="what it knows to be claimed")

        assert client.zrange(keys.claims, 0, -1) == ["number@1:100"]
        assert client.zscore(keys.index("other"), "other@1:1") == pytest.approx(due_at)
        assert running(child)


def running(child: ChildProcess) -> bool:
    """Whether it goes on."""
    return child.running and "Traceback" not in child.output()
