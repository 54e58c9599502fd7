"""From the commit of a program that never heard of Warmer to its entry gone, and what its statements pay.

`python -m benchmarks.triggers DATABASE REDIS INTERVAL` is the scheduler beside it.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from redis import Redis
from sqlalchemy import Connection, create_engine

from benchmarks.rounds import Record, compared, interleaved
from warmer import Query, Warmer
from warmer.outbox import schema
from warmer.scheduler.process import run
from warmer.testing import PostgresServer, wait_until
from warmer.triggers import install, remove
from warmer.triggers.tables import wanted

COMMITS, EVERY_S, BULK = 400, 0.02, 5_000
NAMESPACE = "bench-w"
_LISTENING = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"


def measure(url: str) -> list[Record]:
    """On PostgreSQL, which does not wait for its disk here: woken, and looking once a second."""
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer.kept(Path(folder), os.getpid())
        with server.database() as database:
            shop, spots = _prepared(url, database)
            dsn = database.replace("postgresql+psycopg://", "postgresql://")
            with psycopg.connect(dsn, autocommit=True) as writer:
                records = _delays(shop, spots, writer, database, url)
                return records + _costs(shop, writer, database)


def _prepared(url: str, database: str) -> tuple[Warmer, Query[[int], int]]:
    engine = create_engine(database)
    shop = Warmer(NAMESPACE, redis_url=url)

    @shop.cached(ttl=600, keep_warm=False, name="spots", version="1", depends_on={"spots": ("place",)})
    def spots(place: int) -> int:
        return place

    with engine.begin() as connection:
        schema.create(connection)
        connection.exec_driver_sql("CREATE TABLE spots (place int PRIMARY KEY, n int NOT NULL)")
        connection.exec_driver_sql(
            f"INSERT INTO spots SELECT i, 0 FROM generate_series(1, {BULK}) AS i",
        )
    engine.dispose()
    return shop, spots


def _delays(
    shop: Warmer, spots: Query[[int], int], writer: psycopg.Connection, database: str, url: str
) -> list[Record]:
    records = []
    for way, notify, interval in (("woken", "always", "60"), ("looking every second", "never", "1")):
        _install(Warmer(NAMESPACE, redis_url=url, triggers_notify=notify), shop, database)
        words = [sys.executable, "-m", "benchmarks.triggers", database, url, interval]
        scheduler = subprocess.Popen(words)
        try:
            wait_until(lambda: writer.execute(_LISTENING).fetchone(), "the scheduler to listen", timeout_s=30)
            took = _watched(spots, writer, url)
        finally:
            scheduler.terminate()
            scheduler.wait()
        group = f"commit to entry gone, {COMMITS} commits"
        cuts = statistics.quantiles(took, n=100)
        for name, seconds in (("p50", cuts[49]), ("p99", cuts[98]), ("most", max(took))):
            records.append(Record(group, f"{way}, {name}", round(seconds * 1000, 2), "ms"))
    return records


def _watched(spots: Query[[int], int], writer: psycopg.Connection, url: str) -> list[float]:
    """Seconds from each commit until its entry was seen to be gone."""
    client = Redis.from_url(url)
    places = list(range(1, COMMITS + 1))
    for place in places:
        spots(place)
    waiting: dict[str, float] = {}
    took: list[float] = []
    due = time.perf_counter()
    while places or waiting:
        if places and time.perf_counter() >= due:
            place = places.pop()
            writer.execute("UPDATE spots SET n = n + 1 WHERE place = %s", (place,))
            waiting[spots.bind(place).key] = time.perf_counter()
            due = time.perf_counter() + EVERY_S
        keys = list(waiting)
        found = client.mget(keys) if keys else []
        now = time.perf_counter()
        took += [now - waiting.pop(key) for key, value in zip(keys, found, strict=True) if value is None]
        time.sleep(0.0003)
    client.close()
    return took


def _costs(shop: Warmer, writer: psycopg.Connection, database: str) -> list[Record]:
    """A statement's own time, without triggers and with those that notify and that do not."""
    numbers = itertools.count()

    def one() -> None:
        writer.execute("UPDATE spots SET n = n + 1 WHERE place = %s", (next(numbers) % BULK + 1,))

    def bulk() -> None:
        writer.execute("UPDATE spots SET n = n + 1")
        writer.execute("DELETE FROM warmer_outbox")

    records = []
    for name, act, calls in (("a row", one, 200), (f"{BULK} rows", bulk, 2)):
        medians: dict[str, float] = {}
        for way, like in (("without triggers", None), ("triggers", _quiet(shop)), ("and notify", shop)):
            if like is None:
                _with(database, lambda connection: remove(connection, None))
            else:
                _install(like, shop, database)
            medians |= interleaved({way: act}, calls)
        records += compared(f"a foreign UPDATE of {name}", medians)
    return records


def _quiet(shop: Warmer) -> Warmer:
    return Warmer(NAMESPACE, redis_url=shop.settings.redis_url, triggers_notify="never")


def _install(like: Warmer, shop: Warmer, database: str) -> None:
    """As `like` has it in its settings, for the queries of `shop`."""
    _with(database, lambda connection: install(connection, like, wanted(shop)[0]))


def _with(database: str, act: Callable[[Connection], object]) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        act(connection)
    engine.dispose()


if __name__ == "__main__":
    run(
        Warmer(
            NAMESPACE,
            database_url=sys.argv[1],
            redis_url=sys.argv[2],
            broker_url=sys.argv[2],
            relay_interval=float(sys.argv[3]),
        )
    )
