"""Readers check that they never read below what was invalidated before they began.

The source of truth is shared memory: a version for each row, raised by one writer each. A writer raises
the version, invalidates (by key, by part, by tag, the whole query, or by putting the new value), and only
then raises the row's *floor*.
A reader notes the floor, reads through the cache, and a value below the floor is a stale read: promise 1,
with nothing of Warmer's in the check. Loads read the version first and then take a random time, so that most
of them are overtaken.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.races.seams import SEAMS
from warmer import Warmer
from warmer.errors import ReadError, ServerError

HOW = ("key", "part", "tag", "all", "put")


@dataclass(frozen=True)
class Race:
    """One run's shape. reads: in all, at least. pace_s: a writer's pause; load_s: the longest load."""

    redis_url: str
    reads: int
    processes: int = 4
    threads: int = 6
    rows: int = 12
    writers: int = 2
    pace_s: float = 0.02
    load_s: float = 0.03
    without: str = ""
    seed: int = 1
    until_stale: bool = False


@dataclass(frozen=True)
class Verdict:
    """What came of it."""

    reads: int
    stale: int
    errors: int
    writes: int
    loads: int
    seconds: float
    first: str = ""

    def __str__(self) -> str:
        """In one line."""
        return (
            f"{self.reads} reads, {self.stale} stale, {self.errors} errors, {self.writes} writes, "
            f"{self.loads} loads, {self.seconds:.1f} s{': ' + self.first if self.first else ''}"
        )


class Shared:
    """What the processes share: versions, floors, counts."""

    def __init__(self, rows: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.versions: Any = context.Array("q", rows, lock=False)
        self.floors: Any = context.Array("q", rows, lock=False)
        self.counts: Any = context.Array("q", 5, lock=True)  # reads, stale, errors, writes, loads
        self.stop = context.Event()
        self.first: Any = context.Array("c", 400, lock=True)

    def add(self, at: int, n: int) -> None:
        """Count."""
        with self.counts.get_lock():
            self.counts[at] += n


READS, STALE, ERRORS, WRITES, LOADS = range(5)


def namespace(race: Race, shared: Shared) -> tuple[Warmer, Any]:
    """The query under test, in this process."""
    races = Warmer("race", redis_url=race.redis_url, lease=2, claim=2)
    dice = random.Random(f"{race.seed} {multiprocessing.current_process().name}")

    @races.cached(ttl=3, grace=3, name="row", version="1", tags=("group:{group}",), wait=20)
    def row(group: int, number: int) -> list[int]:
        version = shared.versions[number]
        shared.add(LOADS, 1)
        time.sleep(dice.random() ** 3 * race.load_s)
        return [number, version]

    return races, row


def read(race: Race, shared: Shared) -> None:
    """A reader process: many threads."""
    if race.without:
        SEAMS[race.without]()
    races, row = namespace(race, shared)
    threads = [threading.Thread(target=_read, args=(race, shared, row, n)) for n in range(race.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    races.close()


def _read(race: Race, shared: Shared, row: Any, seed: int) -> None:
    dice = random.Random(f"{race.seed} {multiprocessing.current_process().name} {seed}")
    done = 0
    while not shared.stop.is_set():
        number = dice.randrange(race.rows)
        floor = shared.floors[number]
        try:
            _, version = row(number % 3, number)
        except (ReadError, ServerError) as exc:
            shared.add(ERRORS, 1)
            shared.first.value = f"{type(exc).__name__}: {exc}".encode()[:399]
            continue
        if version < floor:
            shared.add(STALE, 1)
            if race.until_stale:
                shared.stop.set()
            shared.first.value = f"row {number} read at {version}, invalidated at {floor}".encode()
        done += 1
        if done % 100 == 0:
            shared.add(READS, 100)
            if shared.counts[READS] >= race.reads:
                shared.stop.set()


def write(race: Race, shared: Shared, rows: Sequence[int], seed: int) -> None:
    """A writer process: the only one for its rows."""
    if race.without:
        SEAMS[race.without]()
    races, row = namespace(race, shared)
    dice = random.Random(f"{race.seed} writer {seed}")
    while not shared.stop.wait(dice.random() * 2 * race.pace_s):
        number, how = dice.choice(rows), dice.choice(HOW)
        if how == "put":
            _put(shared, row, number)
            continue
        shared.versions[number] += 1
        version = shared.versions[number]
        if how == "key":
            row.invalidate(number % 3, number)
        elif how == "part":
            row.invalidate_where(number=number)
        elif how == "tag":
            races.invalidate_tags(f"group:{number % 3}")
        else:
            row.invalidate_all()
        shared.floors[number] = version
        shared.add(WRITES, 1)
    races.close()


def _put(shared: Shared, row: Any, number: int) -> None:
    """Raise a row's version, and put its new value."""
    with row.writing(number % 3, number) as writing:
        shared.versions[number] += 1
        version = shared.versions[number]
        writing.put([number, version])
    shared.floors[number] = version
    shared.add(WRITES, 1)


def run(race: Race, limit_s: float = 600) -> Verdict:
    """Run it to its number of reads, or until `limit_s`."""
    shared, context = Shared(race.rows), multiprocessing.get_context("spawn")
    began = time.monotonic()
    children = [context.Process(target=read, args=(race, shared), daemon=True) for _ in range(race.processes)]
    for n in range(race.writers):
        rows = list(range(n, race.rows, race.writers))
        children.append(context.Process(target=write, args=(race, shared, rows, n), daemon=True))
    for child in children:
        child.start()
    shared.stop.wait(limit_s)
    shared.stop.set()
    for child in children:
        child.join(30)
        if child.is_alive():
            child.kill()
    counts = list(shared.counts)
    failed = [child.exitcode for child in children if child.exitcode]
    first = shared.first.value.decode(errors="replace")
    return Verdict(
        counts[READS], counts[STALE], counts[ERRORS] + len(failed), counts[WRITES], counts[LOADS],
        time.monotonic() - began, first,
    )  # fmt: skip
