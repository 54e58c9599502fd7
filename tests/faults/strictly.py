"""`python -m tests.faults.strictly --reads 1000000 [--without-barriers]`: readers read the database first.

Each of a few processes reads the delays of all flights from the database, and then each from the strict
query: none may be less than the database showed before, for they only grow. Others count delays up, one
commit each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from tests.tracked import Flight, prepare, tracked
from warmer.strict import registry, resolving
from warmer.strict.guarding import Guard
from warmer.testing import ChildProcess, ValkeyServer, python, wait_until
from warmer.testing.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
FLIGHTS = 12
NAMESPACE = "strictly"


@dataclass(frozen=True)
class Verdict:
    """What all processes saw. older: reads that were older than the database."""

    reads: int
    older: int
    hits: int
    commits: int
    errors: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.reads:,} reads ({self.hits:,} from the cache), {self.commits:,} commits, "
            f"{self.older} older than the database, {self.errors} errors, in {self.seconds:.0f} s"
        )


def _made(redis_url: str, database_url: str) -> tuple[Any, Any, list[int]]:
    """Tracked sessions, a strict query over a flight by its number, and how often that was loaded."""
    engine, loads = create_engine(database_url, pool_size=20), [0]
    made = tracked(NAMESPACE, redis_url, engine)

    def delay(carrier: str, month: int) -> int:
        loads[0] += 1
        with Session(engine) as session:
            return session.scalars(select(Flight.delay).filter_by(carrier=carrier, month=month)).one()

    query = made.flights.cached(
        ttl=60, name="delay", version="1", depends_on={Flight: ("carrier", "month")}, consistency="strict"
    )(delay)
    return made, query, loads


def read(redis_url: str, database_url: str, most: int, until_older: bool) -> None:
    """One reader: prints what it saw."""
    made, query, loads = _made(redis_url, database_url)
    reads = older = 0
    with made.engine.connect() as connection:
        while reads < most and not (until_older and older):
            rows = connection.execute(select(Flight.month, Flight.delay).where(Flight.carrier == "ZZ")).all()
            connection.rollback()
            random.shuffle(rows)
            one_trip = random.random() < 0.75
            found = (
                query.get_many(("ZZ", month) for month, _ in rows)
                if one_trip
                else (query("ZZ", month) for month, _ in rows)
            )
            reads += len(rows)
            older += sum(value < delay for value, (_, delay) in zip(found, rows, strict=True))
    made.flights.close()
    sys.stdout.write(json.dumps({"reads": reads, "older": older, "loads": loads[0]}) + "\n")


def write(redis_url: str, database_url: str, pause_s: float) -> None:
    """One writer, until its input ends: counts up the delay of one flight after another."""
    made, query, _ = _made(redis_url, database_url)
    query("ZZ", 0)
    wait_until(lambda: not made.flights.runtime().strict.survey().waiting, "to be in force", timeout_s=60)
    sys.stdout.write("in force\n")
    sys.stdout.flush()
    commits, pause = 0, threading.Event()
    while not Path(sys.argv[-1]).exists():
        with made.sessions.begin() as session:
            flight = session.scalars(
                select(Flight).filter_by(carrier="ZZ", month=random.randrange(FLIGHTS)).with_for_update()
            ).one()
            flight.delay += 1
        commits += 1
        pause.wait(pause_s)
    made.flights.close()
    sys.stdout.write(json.dumps({"commits": commits}) + "\n")


def run(
    redis_url: str,
    database_url: str,
    *,
    reads: int,
    readers: int = 3,
    writers: int = 2,
    pause_s: float = 0.01,
    limit_s: float = 600,
    barriers: bool = True,
    until_older: bool = False,
) -> Verdict:
    """The race over processes, on a database that is prepared here."""
    engine = prepare(database_url)
    with Session(engine) as session, session.begin():
        session.add_all(Flight(carrier="ZZ", month=number) for number in range(FLIGHTS))
    engine.dispose()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        over = Path(folder) / "over"
        common = [redis_url, database_url, str(int(barriers))]

        def start(role: str, *args: object) -> ChildProcess:
            said = ["-m", "tests.faults.strictly", "--role", role, *common, *map(str, args), str(over)]
            return stack.enter_context(python(*said, cwd=ROOT))

        writing = [start("write", pause_s) for _ in range(writers)]
        for writer in writing:
            writer.wait_for_line("^in force$", timeout_s=90)
        began = time.monotonic()
        reading = [start("read", reads // readers, int(until_older)) for _ in range(readers)]
        errors = sum(child.wait(limit_s) != 0 for child in reading)
        seconds = time.monotonic() - began
        over.touch()
        errors += sum(child.wait(30) != 0 for child in writing)
        said = [json.loads(child.output().splitlines()[-1]) for child in (*reading, *writing) if not errors]
    total = {key: sum(one.get(key, 0) for one in said) for key in ("reads", "older", "loads", "commits")}
    hits = total["reads"] - total["loads"]
    return Verdict(total["reads"], total["older"], hits, total["commits"], errors, seconds)


def child(role: str, redis_url: str, database_url: str, barriers: str, *rest: str) -> None:
    """One of its processes. What strict queries wait for at the start, these know already."""
    registry.KNOWN_S, resolving.KNOWN_BY_ALL_US = 1.0, 2_000_000
    if barriers == "0":
        Guard.before_commit = lambda *_: None  # type: ignore[method-assign]
    if role == "read":
        read(redis_url, database_url, int(rest[0]), rest[1] == "1")
    else:
        write(redis_url, database_url, float(rest[0]))


def main() -> int:
    """Run once; exit 0 if nothing older was read (without barriers: if something was)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--readers", type=int, default=3)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.01)
    parser.add_argument("--limit", type=float, default=900)
    parser.add_argument("--without-barriers", action="store_true")
    parser.add_argument("--role", default="")
    parser.add_argument("rest", nargs="*")
    asked = parser.parse_args()
    if asked.role:
        child(asked.role, *asked.rest)
        return 0
    with tempfile.TemporaryDirectory() as folder, ValkeyServer() as server:
        postgres = PostgresServer.kept(Path(folder), os.getpid())
        with postgres.database() as url:
            verdict = run(
                server.url, url, reads=asked.reads, readers=asked.readers, writers=asked.writers,
                pause_s=asked.pause, limit_s=asked.limit, barriers=not asked.without_barriers,
            )  # fmt: skip
    sys.stdout.write(f"{'without barriers' if asked.without_barriers else 'whole'}: {verdict}\n")
    return 0 if (verdict.older > 0) == asked.without_barriers and not verdict.errors else 1


if __name__ == "__main__":
    sys.exit(main())
