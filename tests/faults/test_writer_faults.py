"""Writers are killed between COMMIT and invalidation, or on either side of it: nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from tests.tracked import Tracked, tracked
from tests.working.project import Project
from tests.working.scheduling import scheduler
from warmer.outbox.schema import outbox
from warmer.testing import ChildProcess, python, wait_until

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
JANUARY = ("UA", 1)
WRITER = """
import sys
import threading

from sqlalchemy import create_engine

from tests.tracked import Flight, tracked
from warmer.capture.tracking import Tracker
from warmer.outbox.applying import Applying
from warmer.outbox.process import Outbox

url, namespace, redis_url, seam = sys.argv[1:]


def hang(*_, **__):
    print("reached", flush=True)
    threading.Event().wait()


def written(self, connection, write=Tracker._write):
    write(self, connection)
    hang()


owner, name, put = {
    "before COMMIT": (Tracker, "_write", written),
    "before invalidation": (Applying, "run", hang),
    "before marking": (Outbox, "applied", hang),
}[seam]
setattr(owner, name, put)
made = tracked(namespace, redis_url, create_engine(url))
with made.sessions.begin() as session:
    session.get_one(Flight, 1).delay = 5
    if seam == "before invalidation":
        made.delays.put(5, "UA", 1)
"""


@pytest.fixture
def made(engine: Engine, namespace: str, redis_url: str) -> Iterator[Tracked]:
    """The queries over it, filled, in a process that does not die."""
    made = tracked(namespace, redis_url, engine)
    made.fill()
    yield made
    made.flights.close()


def kill_writer(made: Tracked, redis_url: str, seam: str) -> None:
    """A process changes the delay of flight 1 from 0 to 5, and is killed at the seam."""
    url = made.engine.url.render_as_string(hide_password=False)
    writer: ChildProcess = python("-c", WRITER, url, made.flights.namespace, redis_url, seam, cwd=ROOT)
    with writer:
        writer.wait_for_line("^reached$", timeout_s=60)
        writer.kill()


def rows_and_pending(engine: Engine) -> tuple[Any, ...]:
    """How many rows the outbox has, and how many of them are not marked."""
    with engine.connect() as connection:
        marked = func.count(outbox.c.applied_at)
        return tuple(connection.execute(select(func.count(), func.count() - marked)).one())


def test_a_writer_killed_between_commit_and_invalidation(made: Tracked, redis_url: str) -> None:
    """kill -9 right after COMMIT: the change stands in the outbox, and a relay applies it, once."""
    kill_writer(made, redis_url, "before invalidation")
    assert rows_and_pending(made.engine) == (1, 1)
    assert made.delays(*JANUARY) == 0  # committed, and not invalidated: this is what the relay is for

    assert made.flights.relay() == 1
    assert made.gone() == {JANUARY}
    assert made.delays(*JANUARY) == 5
    assert (made.flights.relay(), rows_and_pending(made.engine)) == (0, (1, 0))


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_writer_killed_before_commit_leaves_nothing(made: Tracked, redis_url: str) -> None:
    """kill -9 with the outbox row written and not committed: neither the change nor its row is there."""
    kill_writer(made, redis_url, "before COMMIT")

    assert (made.flights.relay(), rows_and_pending(made.engine), made.gone()) == (0, (0, 0), set())
    made.delays.invalidate_all()
    assert made.delays(*JANUARY) == 0


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_writer_killed_before_marking_is_applied_twice(made: Tracked, redis_url: str) -> None:
    """kill -9 after the invalidation: it is done, and a relay does it once more, which only costs a load."""
    kill_writer(made, redis_url, "before marking")
    assert made.gone() == {JANUARY}

    assert made.delays(*JANUARY) == 5
    assert made.flights.relay() == 1
    assert rows_and_pending(made.engine) == (1, 0)
    assert made.delays(*JANUARY) == 5


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_scheduler_applies_what_a_killed_writer_left(
    made: Tracked, tmp_path: Path, redis_url: str, broker_url: str
) -> None:
    """A scheduler finds the row by itself, leaves it to its writer for a while, and applies it."""
    kill_writer(made, redis_url, "before invalidation")
    settings = {"command_timeout": 0.5, "invalidate_timeout": 0.5, "relay_interval": 0.1}
    with Project(tmp_path, made.flights.namespace, redis_url, broker_url, **settings) as project:
        url = made.engine.url.render_as_string()
        project.write(
            "db",
            f"""
            from sqlalchemy import create_engine

            from {{package}} import flights

            flights.track(create_engine({url!r}))
            """,
        )
        with scheduler(project):
            wait_until(lambda: made.gone() == {JANUARY}, "the change to be applied", timeout_s=60)
            wait_until(lambda: rows_and_pending(made.engine) == (1, 0), "it to be marked", timeout_s=60)
    assert made.delays(*JANUARY) == 5
