"""A scheduler's relay is woken by what triggers of PostgreSQL write."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import psycopg
import pytest

from tests.tracked import Tracked, prepare, tracked
from warmer import Warmer
from warmer.scheduler.process import run
from warmer.testing import wait_until
from warmer.triggers import install
from warmer.triggers.tables import wanted

LISTENING = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"


@pytest.fixture(params=["psycopg", "psycopg_async"])
def woken(
    request: pytest.FixtureRequest, pg_url: str, namespace: str, redis_url: str, broker_url: str
) -> Iterator[Tracked]:
    """Triggers, and a scheduler with the namespace's database that looks by itself once a minute only."""
    engine = prepare(pg_url)
    made = tracked(namespace, redis_url, engine)
    with engine.begin() as connection:
        install(connection, made.flights, wanted(made.flights)[0])
    url = engine.url.set(drivername=f"postgresql+{request.param}").render_as_string(False)
    scheduling = Warmer(
        namespace, redis_url=redis_url, broker_url=broker_url, database_url=url, relay_interval=60
    )
    stop = threading.Event()
    scheduler = threading.Thread(target=run, args=(scheduling,), kwargs={"stop": stop})
    scheduler.start()
    yield made
    stop.set()
    scheduler.join()
    made.flights.close()
    engine.dispose()


@pytest.fixture
def foreign(woken: Tracked) -> Iterator[psycopg.Connection]:
    """A connection that Warmer does not know; each statement commits by itself."""
    dsn = woken.engine.url.set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


def test_a_relay_is_woken_and_listens_again(woken: Tracked, foreign: psycopg.Connection) -> None:
    """A foreign commit takes effect at once; what came while the connection was lost, with the next one."""
    woken.fill()
    wait_until(lambda: foreign.execute(LISTENING).fetchone(), "the scheduler to listen", timeout_s=30)
    foreign.execute("UPDATE flights SET delay = 1 WHERE id = 1")
    wait_until(lambda: woken.gone() == {("UA", 1)}, "the relay to be woken", timeout_s=30)

    woken.fill()
    (lost,) = foreign.execute(LISTENING).fetchone() or (0,)
    foreign.execute("SELECT pg_terminate_backend(%s)", (lost,))
    foreign.execute("UPDATE flights SET delay = 2 WHERE id = 3")
    wait_until(lambda: woken.gone() == {("AA", 1)}, "a new connection's first look", timeout_s=30)

    foreign.execute("UPDATE flights SET delay = 3 WHERE id = 2")
    wait_until(lambda: woken.gone() == {("AA", 1), ("UA", 2)}, "the relay to be woken again", timeout_s=30)
