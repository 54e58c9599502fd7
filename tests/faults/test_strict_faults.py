"""Writers are killed on either side of COMMIT: their barriers come down when the database knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from tests.faults.strictly import run
from tests.faults.test_writer_faults import kill_writer
from tests.strict import JANUARY, Strict, barred
from tests.tracked import Flight, tracked
from warmer.testing import Clock, wait_until

pytestmark = pytest.mark.faults


@pytest.fixture
def strict(
    engine: Engine, namespace: str, redis_url: str, warmer_clock: Callable[..., Clock]
) -> Iterator[Strict]:
    """A strict query, in force and stored, in a process that does not die."""
    made = tracked(namespace, redis_url, engine)
    made.flights.track(engine)
    strict = Strict(made, warmer_clock(made.flights))
    assert strict.query(*JANUARY) == 0
    yield strict
    made.flights.close()


def test_a_writer_killed_after_its_barrier(strict: Strict, redis_url: str) -> None:
    """kill -9 before COMMIT: what it barred stays so until the database says that nothing was committed."""
    flights = strict.made.flights
    kill_writer(strict.made, redis_url, "before COMMIT")
    assert barred(flights)
    assert (strict.query(*JANUARY), strict.is_stored()) == (0, False)

    wait_until(
        lambda: flights.relay() == 0 and not barred(flights), "the barrier to be lowered", timeout_s=30
    )
    assert (strict.query(*JANUARY), strict.is_stored()) == (0, True)


def test_a_writer_killed_after_its_commit(strict: Strict, redis_url: str) -> None:
    """kill -9 right after COMMIT: nobody is served the old value; the relay applies, and lowers."""
    flights = strict.made.flights
    strict.made.fill()
    kill_writer(strict.made, redis_url, "before invalidation")
    assert barred(flights)
    assert (strict.query(*JANUARY), strict.is_stored()) == (5, False)
    assert strict.made.delays(*JANUARY) == 0  # what is not strict waits for the relay

    flights.relay()
    assert barred(flights) == {}
    assert strict.made.delays(*JANUARY) == 5
    assert (strict.query(*JANUARY), strict.is_stored()) == (5, True)


def test_a_barrier_that_was_left_is_resolved_by_a_process_with_the_database(
    strict: Strict, redis_url: str
) -> None:
    """Without a scheduler, a process that has strict queries and the database sees to it."""
    kill_writer(strict.made, redis_url, "before invalidation")
    wait_until(lambda: barred(strict.made.flights) == {}, "the barrier to be lowered", timeout_s=60)
    assert (strict.query(*JANUARY), strict.is_stored()) == (5, True)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_prepared_transaction_keeps_its_barrier(strict: Strict, end: str) -> None:
    """Prepared is not over, however long it takes and whoever looks."""
    flights, engine = strict.made.flights, strict.made.engine
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(update(Flight).where(Flight.id == 1).values(delay=5))
        transaction.prepare()
        flights.relay()
        assert barred(flights)
        assert (strict.query(*JANUARY), strict.is_stored()) == (0, False)
        getattr(transaction, end)()
    wait_until(lambda: barred(flights) == {}, "the barrier to be lowered", timeout_s=30)
    assert (strict.query(*JANUARY), strict.is_stored()) == (5 if end == "commit" else 0, True)


def test_a_race_of_readers_that_read_the_database_first(tmp_path: Path, redis_url: str, pg_url: str) -> None:
    """Over several processes, no read of a strict query is older than what the database showed before it."""
    verdict = run(redis_url, pg_url, reads=3_000, readers=2, writers=1, limit_s=60)
    assert (verdict.older, verdict.errors) == (0, 0), str(verdict)
    assert verdict.commits > 20, str(verdict)


def test_without_the_barrier_such_readers_see_what_is_old(redis_url: str, pg_url: str) -> None:
    """The same race without barriers reads what is older than the database: they are needed."""
    verdict = run(
        redis_url,
        pg_url,
        reads=1_000_000,
        readers=2,
        writers=1,
        limit_s=120,
        barriers=False,
        until_older=True,
    )
    assert verdict.older > 0, str(verdict)
