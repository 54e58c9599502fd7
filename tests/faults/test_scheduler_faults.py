"""Schedulers, workers and servers are killed, wiped and restarted; what is due is done all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.working.project import Project
from tests.working.scheduling import described, dying, scheduler
from warmer.core.keys import keyspace
from warmer.runs import Run, start_plan
from warmer.testing import ValkeyServer, wait_until

pytestmark = pytest.mark.faults

CLAIM_S = 1.0
SETTINGS: dict[str, Any] = {
    "sweep_interval": 0.05, "claim": CLAIM_S, "lease": 1.0, "command_timeout": 0.5, "tally_interval": 0.2,
}  # fmt: skip

QUERIES = '''
    from {package} import flights
    from {package}.signs import count, tell, wait_for
    from warmer import every


    @flights.cached(ttl=1.5, grace=600, keep_warm=True, name="board", version="1")
    def board(airport: str) -> int:
        """How often it was loaded."""
        return count(f"board:{airport}")


    @flights.cached(ttl=600, name="number", version="1")
    def number(of: int) -> int:
        """Part of a long run."""
        return count(f"number:{of}")


    @flights.plan(every(3600), rate="25/s")
    def numbers():
        """A run that takes a few seconds."""
        count("begun")
        for of in range(80):
            yield number.bind(of)
'''


@pytest.fixture
def project(tmp_path: Path, namespace: str, redis_url: str, broker_url: str) -> Iterator[Project]:
    """A project whose claims and leases last a second."""
    with Project(tmp_path, namespace, redis_url, broker_url, **SETTINGS) as project:
        project.write("queries", QUERIES)
        yield project


def _loads_on(project: Project, airport: str = "JFK", *, times: int = 2, timeout_s: float = 30) -> None:
    """Wait until the board has been loaded so many times more, by nobody's reading."""
    before = project.counted(f"board:{airport}")
    wait_until(
        lambda: project.counted(f"board:{airport}") >= before + times,
        timeout_s=timeout_s,
        description=lambda: f"{times} loads after {before}; {project.counted(f'board:{airport}')} so far",
    )


def _more_than(client: Any, key: str, count: int) -> None:
    wait_until(lambda: client.zcard(key) > count, timeout_s=20, description=f"another run after {count}")


def _ends(run: Run, entries: int) -> None:
    progress = run.wait(60)
    assert (progress.total, progress.done, progress.failed) == (entries, entries, 0)


def test_a_claim_of_a_killed_scheduler_is_claimed_again(project: Project) -> None:
    """kill -9 between claim and message: another scheduler sends it when the claim has passed."""
    project.flights.queries["board"]("JFK")
    with dying(project) as victim:
        victim.wait_for_line("claimed board@1:JFK", timeout_s=60)
        assert victim.wait() == -9
        assert project.counted("board:JFK") == 1

    with project.worker("threads", 2), scheduler(project):
        _loads_on(project)


def test_one_of_two_schedulers_may_be_killed_at_any_time(project: Project) -> None:
    """The other one goes on; nothing has to be handed over."""
    project.flights.queries["board"]("JFK")
    with project.worker("threads", 2), scheduler(project) as victim, scheduler(project):
        _loads_on(project)

        victim.kill()

        _loads_on(project, times=3)


def test_a_run_whose_scheduler_was_killed_after_the_claim_completes(project: Project) -> None:
    """A run that was claimed and never sent is claimed again."""
    run = start_plan(project.flights, "numbers")
    store = project.flights.runtime().store
    assert store.scripts.run("claim_runs", store.roots[0], [round(CLAIM_S * 1e6), 10])[1] == [run.id.encode()]

    with project.worker("threads", 2), scheduler(project):
        _ends(run, 80)


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_run_whose_worker_was_killed_half_way_completes(project: Project, pool: str) -> None:
    """kill -9 of the worker that runs the plan: another feeds the rest, and little is loaded twice."""
    with scheduler(project), ExitStack() as stack:
        victim = stack.enter_context(project.worker(pool, 2))
        run = start_plan(project.flights, "numbers")
        wait_until(lambda: run.progress().done >= 20, timeout_s=60, description="a quarter of the run")

        victim.kill()
        assert run.progress().state == "feeding"
        stack.enter_context(project.worker(pool, 2))
        _ends(run, 80)

    assert project.counted("begun") == 2
    loads = [project.counted(f"number:{of}") for of in range(80)]
    assert min(loads) == 1
    assert sum(loads) <= 80 + 4  # what the victim had loaded and not yet stored, and messages it held


def test_a_worker_that_stops_hands_its_run_on(project: Project) -> None:
    """SIGTERM of the worker that runs the plan: another goes on without waiting for the lease to run out."""
    with scheduler(project), project.worker("threads", 2) as victim, project.worker("threads", 2):
        run = start_plan(project.flights, "numbers")
        wait_until(lambda: run.progress().done >= 10, timeout_s=60, description="the run to be under way")

        victim.terminate(30)
        _ends(run, 80)

    assert sum(project.counted(f"number:{of}") for of in range(80)) <= 80 + 4


def test_a_killed_scheduler_makes_no_run_twice(project: Project) -> None:
    """Schedulers come and go around a firing: it makes one run."""
    project.write("often", '''
        from {package} import flights
        from {package}.queries import board
        from {package}.signs import count
        from warmer import every

        @flights.plan(every(2.0))
        def often():
            """Each two seconds."""
            count("often")
            yield board.bind("EWR")
    ''')  # fmt: skip
    keys = keyspace(project.flights.namespace, 0)
    with project.worker("threads", 2), redis.Redis.from_url(project.redis_url) as client:
        for _ in range(4):
            with scheduler(project) as victim:
                _more_than(client, keys.history, client.zcard(keys.history))
                victim.kill()
        made = client.zrange(keys.history, 0, -1, withscores=True)

    firings = [int(created // 2e6) for _, created in made]
    assert len(firings) - len(set(firings)) <= 1  # a firing that was caught up, and the next one, share 2 s


def test_a_wiped_broker_loses_nothing(project: Project) -> None:
    """FLUSHDB on the broker with messages in it: the entries are due again."""
    for airport in ("JFK", "EWR", "LGA"):
        project.flights.queries["board"](airport)
    keys = keyspace(project.flights.namespace, 0)
    with scheduler(project), redis.Redis.from_url(project.redis_url) as client:
        wait_until(lambda: client.zcard(keys.claims) == 3, description="all three to be claimed")

        with redis.Redis.from_url(project.broker_url) as broker:
            broker.flushdb()

        with project.worker("threads", 2):
            for airport in ("JFK", "EWR", "LGA"):
                _loads_on(project, airport, times=1)
            with redis.Redis.from_url(project.broker_url) as broker:
                broker.flushdb()
            _loads_on(project)


def test_a_restarted_redis_is_warm_again_by_itself(tmp_path: Path, namespace: str, broker_url: str) -> None:
    """Nothing stored before is served after a restart, and all that is kept warm is loaded anew, unread."""
    with ExitStack() as stack:
        server = stack.enter_context(ValkeyServer(args={"appendonly": "yes", "appendfsync": "always"}))
        project = stack.enter_context(Project(tmp_path, namespace, server.url, broker_url, **SETTINGS))
        # A ttl at whose end nobody would wait for them.
        project.write("queries", QUERIES.replace("ttl=1.5", "ttl=600"))
        board = project.flights.queries["board"]
        for airport in ("JFK", "EWR", "LGA"):
            board(airport)
        stack.enter_context(project.worker("threads", 2))
        child = stack.enter_context(scheduler(project))

        server.restart(kill=True)

        def warm() -> bool:
            airports = ("JFK", "EWR", "LGA")
            stored = all(client.exists(board.bind(airport).key) for airport in airports)
            return stored and all(project.counted(f"board:{airport}") == 2 for airport in airports)

        with redis.Redis.from_url(server.url) as client:
            wait_until(warm, timeout_s=60, description="every board to be loaded anew, once")
        assert all(board.read(airport).state == "fresh" for airport in ("JFK", "EWR", "LGA"))
        assert child.terminate() == 0
        # In each of its words at most once: as it goes, and while it is probed.
        assert child.output().count("can't be reached") <= 2


def test_everything_at_once_may_be_restarted(tmp_path: Path, namespace: str) -> None:
    """Redis, broker, scheduler and worker are killed in turn; in the end the entry is refreshed as ever."""
    with ExitStack() as stack:
        server = stack.enter_context(ValkeyServer(args={"appendonly": "yes", "appendfsync": "always"}))
        broker = stack.enter_context(ValkeyServer())
        project = stack.enter_context(Project(tmp_path, namespace, server.url, broker.url, **SETTINGS))
        project.write("queries", QUERIES)
        project.flights.queries["board"]("JFK")
        stack.enter_context(project.worker("threads", 2))
        victim = stack.enter_context(scheduler(project))
        _loads_on(project)

        server.kill()
        broker.kill()
        victim.kill()
        server.start()
        broker.start()
        stack.enter_context(described(project))

        _loads_on(project, times=3, timeout_s=60)
