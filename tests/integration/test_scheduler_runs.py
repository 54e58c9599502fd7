"""Runs: warming by hand and by plan, their progress, their ends, and who is missing when nothing moves."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.working.inline import fleet, sweeper, work
from warmer import Handle, Query, Warmer, every
from warmer.errors import (
    NoScheduler,
    NoWorkers,
    PlanFailed,
    RunFailed,
    RunUnfinished,
    UnknownPlan,
    UnknownRun,
)
from warmer.runs import find_run, recent, start_plan
from warmer.runs import run as runs_run
from warmer.runs.records import Records
from warmer.runs.task import run_plan
from warmer.store.operations import Claim
from warmer.testing import Clock, wait_until


@pytest.fixture
def loads() -> list[int]:
    """What the query `number` was loaded for, in order."""
    return []


@pytest.fixture
def number(flights: Warmer, loads: list[int]) -> Query[[int], int]:
    """A query that is not kept warm, and fails for negative numbers."""

    @flights.cached(ttl=100, keep_warm=False, name="number")
    def number(of: int) -> int:
        loads.append(of)
        if of < 0:
            raise ValueError(f"no such number: password=secret {of}")
        return len(loads)

    return number


def _plan(
    flights: Warmer, entries: Callable[[], Iterator[Any]], rate: str | None = None, name: str = "morning"
) -> None:
    flights.plan(every(3600), rate=rate, name=name)(entries)


# -- by hand


def test_a_run_loads_each_entry_once(flights: Warmer, number: Query[[int], int], loads: list[int]) -> None:
    """What is given twice is loaded once; afterwards readers hit."""
    with fleet(flights):
        progress = number.warm([(1,), (2,), {"of": 1}, number.bind(3)]).wait(20)

    assert sorted(loads) == [1, 2, 3]
    assert (progress.total, progress.done, progress.failed, progress.state) == (3, 3, 0, "done")
    assert progress.over
    assert [number.read(of).state for of in (1, 2, 3)] == ["fresh"] * 3
    assert len(loads) == 3


def test_a_run_loads_anew_what_is_there(flights: Warmer, number: Query[[int], int]) -> None:
    """Warming is not reading: a fresh value is replaced."""
    before = number(1)

    with fleet(flights):
        number.warm([(1,)]).wait(20)

    assert number(1) > before


def test_a_load_that_was_under_way_is_not_the_runs(flights: Warmer) -> None:
    """A run waits for a load that began after it was asked for, and does not take an earlier one's value."""
    began, go_on, loaded = threading.Event(), threading.Event(), []

    @flights.cached(ttl=100, name="slow")
    def slow(of: int) -> int:
        loaded.append(of)
        if len(loaded) == 1:
            began.set()
            go_on.wait(20)
        return len(loaded)

    reader = threading.Thread(target=slow.read, args=(1,))
    reader.start()
    assert began.wait(20)
    with fleet(flights):
        run = slow.warm([(1,)])
        go_on.set()
        run.wait(20)
    reader.join()

    assert len(loaded) == 2
    assert slow(1) == 2


def test_what_is_not_kept_warm_is_loaded_once(
    flights: Warmer, number: Query[[int], int], clock: Clock, loads: list[int]
) -> None:
    """Warmed by hand, it expires like anything else that nobody keeps."""
    with fleet(flights):
        number.warm([(1,)]).wait(20)
    clock.advance(150)

    assert sweeper(flights, lambda *_: None).sweep() == 0
    assert loads == [1]


def test_a_run_of_nothing_is_done(flights: Warmer, number: Query[[int], int]) -> None:
    """No entries, no wait, and no scheduler needed."""
    progress = number.warm([]).wait(1)

    assert (progress.total, progress.state) == (0, "done")


def test_what_fails_is_counted_and_told(flights: Warmer, number: Query[[int], int]) -> None:
    """The others are warm; the first causes are told, without what must not be seen."""
    with fleet(flights):
        run = number.warm([(1,), (-1,), (2,)])
        with pytest.raises(RunFailed, match=r"1 of 3 entries.*number\(-1\): ValueError: no such number"):
            run.wait(20)

    progress = run.progress()
    assert (progress.done, progress.failed, progress.state) == (2, 1, "failed")
    [failure] = progress.failures
    assert (failure.query, failure.params) == ("number", "-1")
    assert "secret" not in failure.cause


def test_a_run_can_be_looked_at_while_it_goes_on(flights: Warmer, number: Query[[int], int]) -> None:
    """Its progress is what workers have done so far, from any process."""
    taken: list[Claim] = []
    run = number.warm([(of,) for of in range(10)])
    sweep = sweeper(flights, lambda _, claims: taken.extend(claims))
    sweep.sweep()
    work(flights, taken[:4])

    progress = find_run(flights.runtime(), run.id).progress()

    assert (progress.total, progress.done, progress.state) == (10, 4, "loading")
    assert progress.rate > 0
    assert not run.done
    with pytest.raises(RunUnfinished, match="4 of 10"):
        run.wait(0.05)


def test_a_run_over_many_shards_is_one_run(namespace: str, redis_url: str) -> None:
    """Each shard counts its own entries; the run is their sum."""
    with closing(Warmer(namespace, redis_url=redis_url, shards=8)) as flights:

        @flights.cached(ttl=100, name="number")
        def number(of: int) -> int:
            if of == 13:
                raise ValueError("unlucky")
            return of

        with fleet(flights):
            run = number.warm([(of,) for of in range(50)])
            with pytest.raises(RunFailed, match="1 of 50"):
                run.wait(20)

        assert run.progress().done == 49


def test_long_params_are_told_in_full(flights: Warmer) -> None:
    """An entry whose key is a digest is warmed like any other, and named by its params when it fails."""

    @flights.cached(ttl=100, name="text")
    def text(of: str) -> str:
        raise ValueError("no")

    with fleet(flights):
        run = text.warm([("x" * 400,)])
        with pytest.raises(RunFailed):
            run.wait(20)

    assert run.progress().failures[0].params == "x" * 400


def test_warming_from_a_script_does_not_import_celery(redis_url: str, namespace: str) -> None:
    """Queueing a run needs Redis only."""
    script = f"""
import sys
from warmer import Warmer
flights = Warmer({namespace!r}, redis_url={redis_url!r})
@flights.cached(ttl=60, name="number")
def number(of: int) -> int:
    return of
run = number.warm([(1,), (2,)])
assert run.progress().total == 2
assert not [name for name in sys.modules if name.partition(".")[0] in ("celery", "kombu", "apscheduler")]
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# -- who is missing


def test_without_a_scheduler_waiting_says_so(
    flights: Warmer, number: Query[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would ever do it: the wait ends with what to start, and the run stays queued."""
    monkeypatch.setattr(runs_run, "SCHEDULER_AWAY_S", 0.1)
    run = number.warm([(1,)])

    with pytest.raises(NoScheduler, match="warmer scheduler"):
        run.wait(20)
    assert "warmer scheduler" in run.progress().hint

    with fleet(flights):
        assert run.wait(20).done == 1
    assert run.progress().hint == ""


def test_without_workers_waiting_says_so(
    namespace: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a scheduler alive and nothing moving, the wait ends with what to start."""
    monkeypatch.setattr(runs_run, "SCHEDULER_AWAY_S", 0.1)
    monkeypatch.setattr(runs_run, "WORKERS_AWAY_S", 0.3)
    with closing(Warmer(namespace, redis_url=redis_url, claim=0.2, sweep_interval=0.02)) as flights:

        @flights.cached(ttl=100, name="number")
        def number(of: int) -> int:
            return of

        stop = threading.Event()
        sweep = sweeper(flights, lambda *_: None)

        def idle() -> None:
            while not stop.wait(0.02):
                sweep.sweep()

        scheduler = threading.Thread(target=idle)
        scheduler.start()
        run = number.warm([(1,)])
        try:
            with pytest.raises(NoWorkers, match="warmer worker"):
                run.wait(20)
            assert "warmer worker" in run.progress().hint
        finally:
            stop.set()
            scheduler.join()


def test_a_slow_load_is_not_the_absence_of_workers(
    namespace: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as somebody loads, the wait goes on."""
    monkeypatch.setattr(runs_run, "SCHEDULER_AWAY_S", 0.05)
    monkeypatch.setattr(runs_run, "WORKERS_AWAY_S", 0.2)
    go_on = threading.Event()
    with closing(Warmer(namespace, redis_url=redis_url, claim=0.2, sweep_interval=0.02)) as flights:

        @flights.cached(ttl=100, name="slow")
        def slow(of: int) -> int:
            go_on.wait(20)
            return of

        with fleet(flights):
            run = slow.warm([(1,)])
            with pytest.raises(RunUnfinished):
                run.wait(1)
            go_on.set()
            assert run.wait(20).done == 1


# -- plans


def test_a_plan_warms_what_it_yields(flights: Warmer, number: Query[[int], int], loads: list[int]) -> None:
    """A run of a plan feeds what its generator yields, whatever the query, and ends when all is loaded."""
    _plan(flights, lambda: (number.bind(of) for of in range(40)))

    with fleet(flights):
        run = start_plan(flights, "morning")
        progress = run.wait(20)

    assert (progress.total, progress.done, progress.state) == (40, 40, "done")
    assert sorted(loads) == list(range(40))


def test_a_plan_goes_at_its_rate(flights: Warmer, number: Query[[int], int]) -> None:
    """Twenty a second are not twenty at once."""
    _plan(flights, lambda: (number.bind(of) for of in range(12)), rate="20/s")

    with fleet(flights):
        progress = start_plan(flights, "morning").wait(20)

    assert progress.seconds >= 11 / 20


def test_a_plan_waits_for_its_workers(flights: Warmer, number: Query[[int], int]) -> None:
    """Nothing is fed beyond what workers will do soon: a plan of thousands does not bury what is read."""
    yielded = []

    def many() -> Iterator[Handle[int]]:
        for of in range(1000):
            yielded.append(of)
            yield number.bind(of)

    _plan(flights, many)
    records = Records(flights.runtime().store)
    run = start_plan(flights, "morning")
    assert run_plan(flights, run.id) == "started"

    wait_until(lambda: records.counts(run.id).total >= 32, description="the first entries to be fed")
    assert len(yielded) <= 33
    with fleet(flights):
        assert run.wait(60).done == 1000


def test_a_plan_that_raises_ends_its_run(flights: Warmer, number: Query[[int], int]) -> None:
    """What it had yielded is warmed; the cause is told, masked; the next run begins anew."""

    def breaking() -> Iterator[Handle[int]]:
        yield number.bind(1)
        raise RuntimeError("no connection to postgresql://me:secret@db/flights")

    _plan(flights, breaking)
    with fleet(flights):
        run = start_plan(flights, "morning")
        with pytest.raises(PlanFailed, match=r"RuntimeError: no connection to postgresql://me:\*\*\*@db"):
            run.wait(20)
        progress = run.progress()
        assert (progress.total, progress.done, progress.state) == (1, 1, "failed")
        with pytest.raises(PlanFailed):
            start_plan(flights, "morning").wait(20)

    assert [info.error.partition(":")[0] for info in recent(flights.runtime())] == ["RuntimeError"] * 2


@pytest.mark.parametrize("wrong", [("UA", 3), "UA", None])
def test_a_plan_yields_handles(flights: Warmer, number: Query[[int], int], wrong: object) -> None:
    """Anything else ends the run with an error that shows the form that works."""
    _plan(flights, lambda: iter([number.bind(1), wrong]))

    with fleet(flights):
        run = start_plan(flights, "morning")
        with pytest.raises(PlanFailed, match=r"NotAnEntry.*yield query.bind"):
            run.wait(20)


def test_a_plan_yields_entries_of_its_own_namespace(flights: Warmer, namespace: str, redis_url: str) -> None:
    """An entry of another namespace is none that its workers could load."""
    other = Warmer(f"{namespace}-other", redis_url=redis_url)

    @other.cached(ttl=60, name="number")
    def number(of: int) -> int:
        return of

    _plan(flights, lambda: iter([number.bind(1)]))
    with fleet(flights):
        run = start_plan(flights, "morning")
        with pytest.raises(PlanFailed, match="of another namespace"):
            run.wait(20)


def test_a_plan_may_read_what_it_warms_by(flights: Warmer, number: Query[[int], int]) -> None:
    """A generator reads cached queries like anybody; a worker with one place does both."""

    @flights.cached(ttl=100, name="numbers")
    def numbers() -> list[int]:
        return [1, 2, 3]

    _plan(flights, lambda: (number.bind(of) for of in numbers()))

    with fleet(flights, workers=1):
        assert start_plan(flights, "morning").wait(20).done == 3


def test_a_plan_sees_nothing_of_who_started_it(flights: Warmer, number: Query[[int], int]) -> None:
    """Its generator runs in an empty context: no identity of a caller reaches what it warms."""
    seen = []

    @flights.cached(ttl=100, name="mine", scope="user_id")
    def mine(user_id: int) -> int:
        return user_id

    def both() -> Iterator[Handle[int]]:
        for user_id in (1, 2):
            seen.append(mine(user_id))
            yield mine.bind(user_id)

    _plan(flights, both)
    run = start_plan(flights, "morning")
    with flights.identity(user_id=1):
        run_plan(flights, run.id)
    with fleet(flights):
        assert run.wait(20).done == 2

    assert seen == [1, 2]


def test_a_run_is_begun_once(flights: Warmer, number: Query[[int], int], loads: list[int]) -> None:
    """Its message may come twice: the second finds it held, a late one finds it over."""
    _plan(flights, lambda: (number.bind(of) for of in range(5)))
    run = start_plan(flights, "morning")

    assert run_plan(flights, run.id) == "started"
    assert run_plan(flights, run.id) in ("held", "over")
    with fleet(flights):
        run.wait(20)
    assert run_plan(flights, run.id) == "over"
    assert run_plan(flights, "nosuchrun") == "over"
    assert sorted(loads) == list(range(5))


def test_a_resumed_run_feeds_the_rest(flights: Warmer, number: Query[[int], int], loads: list[int]) -> None:
    """A generator that is run again from its beginning loads only what was not fed before."""
    _plan(flights, lambda: (number.bind(of) for of in range(10)))
    run = start_plan(flights, "morning")
    records = Records(flights.runtime().store)
    records.take(run.id, "dies")
    for of in range(6):
        records.feed(run.id, 0, [number.bind(of).entry_key])
    records.release(run.id, "dies")

    with fleet(flights):
        progress = run.wait(20)

    assert (progress.total, progress.done) == (10, 10)
    assert sorted(loads) == list(range(10))


def test_a_worker_without_the_plan_leaves_the_run_to_others(flights: Warmer) -> None:
    """In a deployment of two releases, the one that has the plan runs it."""
    records = Records(flights.runtime().store)
    run = records.start("plan evening", "evening")

    assert run_plan(flights, run) == "unknown plan"
    assert records.read(run).state == "feeding"
    assert records.take(run, "newrelease") == ("granted", "evening")


def test_an_unknown_plan_makes_no_run(flights: Warmer, number: Query[[int], int]) -> None:
    """A wrong name is told with the one that was probably meant."""
    _plan(flights, lambda: iter([]))

    with pytest.raises(UnknownPlan, match="morning"):
        start_plan(flights, "mornin")
    assert recent(flights.runtime()) == []


# -- looking back


def test_recent_runs_are_listed_newest_first(flights: Warmer, number: Query[[int], int]) -> None:
    """Title, plan, state and counts of each."""
    _plan(flights, lambda: iter([number.bind(1)]))
    with fleet(flights):
        number.warm([(1,), (2,)]).wait(20)
        start_plan(flights, "morning").wait(20)

    newest, oldest = recent(flights.runtime())

    assert (newest.title, newest.plan, newest.progress.total) == ("plan morning, by hand", "morning", 1)
    assert (oldest.title, oldest.plan, oldest.progress.done) == ("by hand: number", "", 2)
    assert newest.created_at >= oldest.created_at
    assert [info.id for info in recent(flights.runtime(), newest=1)] == [newest.id]


def test_a_run_that_is_not_known_is_an_error(flights: Warmer) -> None:
    """It never was, or was forgotten a day after it ended."""
    with pytest.raises(UnknownRun):
        find_run(flights.runtime(), "0123456789ab")
