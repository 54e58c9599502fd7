"""The race between reads, slow loads and invalidations, run on a query of one's own.

What must hold (promise 1): when a write and its invalidation have returned, no read that begins later gives
what was there before. Readers in threads, asyncio tasks and processes read as fast as they can while one
writes; loads are delayed at random, so that values read before a write are about to be stored after it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from warmer.handle import Handle
from warmer.query import Query
from warmer.testing.failures import ExpectationFailed
from warmer.testing.leftovers import remove, temporary_folder
from warmer.testing.namespaces import namespace_of, reading_of
from warmer.testing.processes import ChildProcess, python
from warmer.testing.readers import READY, Board, Course, Findings, Readers, place_of
from warmer.testing.wait import wait_until

R = TypeVar("R")

_START_S = 60.0


@dataclass(frozen=True)
class RaceReport:
    """What a race came to.

    reads: how many came back; hits: of these, from the cache. loads: runs of the function. stale_reads: reads
    that gave less than what had been written before they began; stale: the first ten in words. tolerated:
    errors by class. longest_wait_s: of one read for a load. elapsed_s: from the first write on.
    """

    writes: int
    reads: int
    hits: int
    loads: int
    stale_reads: int
    stale: tuple[str, ...]
    tolerated: Mapping[str, int]
    longest_wait_s: float
    elapsed_s: float
    seed: int

    def __str__(self) -> str:
        """One line of figures."""
        return (
            f"{self.writes} writes in {self.elapsed_s:.1f} s against {self.reads} reads ({self.hits} hits), "
            f"{self.loads} loads, longest wait {self.longest_wait_s * 1000:.0f} ms, {self.stale_reads} stale "
            f"(seed {self.seed})"
        )


@dataclass(eq=False, repr=False)
class RaceLost(ExpectationFailed):
    """A race found stale reads or errors, or could not have found any."""

    verdict: str
    details: tuple[str, ...]
    report: RaceReport

    def message(self) -> str:
        """Say what went wrong, and the figures."""
        return "\n  ".join((f"{self.verdict}: {self.report}", *self.details))


def race(
    what: Query[[], R] | Handle[R] | Sequence[Handle[R]],
    write: Callable[[], int],
    *,
    version: Callable[[R], int],
    writes: int = 200,
    readers: int = 8,
    async_readers: int = 4,
    processes: int = 0,
    load_delay_s: tuple[float, float] = (0.0, 0.01),
    write_pause_s: tuple[float, float] = (0.0, 0.01),
    seed: int = 0,
    tolerate: tuple[type[Exception], ...] = (),
) -> RaceReport:
    """Race readers of one or more entries against `write`; the figures, if no read was stale.

        race(board.bind("JFK"), write=bump_delay, version=lambda rows: rows[0].revision)

    what: the entries to read; a query without params will do. write: changes the source, invalidates (or
    commits a tracked transaction), and returns the version it wrote: an integer that only grows. version: how
    to read it from a value. writes: how often `write` is called, in this thread, with pauses of write_pause_s
    (least, most seconds). readers, async_readers: threads and asyncio tasks here, and in each of `processes`
    more, which import the queries and `version`: both must be at the top level of a module. load_delay_s:
    each load is delayed so long (least, most) before and again after the function. seed: of all dice; threads
    interleave as they like all the same. tolerate: errors of reads that do not fail the race.

    Raises RaceLost for a stale read or an error, and for a race that proved nothing (nothing was loaded
    again, or nothing came from the cache); ValueError if a version does not grow or an import can't be made.
    """
    handles = _handles(what)
    tolerated = tuple(kind.__name__ for kind in tolerate)
    folder = temporary_folder("warmer-race-")
    board = Board(folder / "board")
    course = Course(handles, version, board, f"{seed}/0", readers, async_readers, load_delay_s, tolerated)
    try:
        with _other_processes(course, processes, seed, folder) as others:
            here = Readers(course)
            here.start()
            try:
                _wait_reading(here, others)
                began = time.monotonic()
                _write(write, writes, board, write_pause_s, seed)
                elapsed_s = time.monotonic() - began
            finally:
                board.stop()
                found = here.finish()
            for child, report in others:
                child.wait(_START_S)
                found.add(Findings.from_json(report.read_text()))
    finally:
        board.close()
        remove(folder)
    return _judged(found, writes, elapsed_s, seed)


def _handles(what: Any) -> Sequence[Handle[Any]]:
    if isinstance(what, Query):
        return [what.bind()]
    handles = [what] if isinstance(what, Handle) else list(what)
    if not handles or len({namespace_of(handle).namespace for handle in handles}) != 1:
        raise ValueError("a race needs entries of one namespace: query.bind(...), or a list of these")
    return handles


def _write(
    write: Callable[[], int], writes: int, board: Board, pause_s: tuple[float, float], seed: int
) -> None:
    dice, last = random.Random(f"{seed}/writer"), -1
    for _ in range(writes):
        written = write()
        if not isinstance(written, int) or written <= last:
            raise ValueError(
                f"write() returned {written!r} after {last}; it must return a version that grows"
            )
        last = written
        board.raise_to(written)
        time.sleep(dice.uniform(*pause_s))


def _wait_reading(here: Readers, others: list[tuple[ChildProcess, Path]]) -> None:
    wait_until(lambda: here.all_reading, timeout_s=_START_S, description="every reader's first read")
    for child, _ in others:
        child.wait_for_line(READY, timeout_s=_START_S)


@contextlib.contextmanager
def _other_processes(
    course: Course, processes: int, seed: int, folder: Path
) -> Iterator[list[tuple[ChildProcess, Path]]]:
    children: list[tuple[ChildProcess, Path]] = []
    with contextlib.ExitStack() as stack:
        for number in range(1, processes + 1):
            spec, report = folder / f"spec-{number}.json", folder / f"findings-{number}.json"
            spec.write_text(
                json.dumps({**_spec(course, folder), "seed": f"{seed}/{number}", "findings": str(report)})
            )
            env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            child = python("-m", "warmer.testing.readers", spec, name=f"readers-{number}", env=env)
            stack.callback(child.close)
            children.append((child.start(), report))
        try:
            yield children
        finally:
            course.board.stop()  # whatever happened here, they are not to read on


def _spec(course: Course, folder: Path) -> dict[str, object]:
    handles = []
    for handle in course.handles:
        query = namespace_of(handle).queries[handle.query]
        handles.append((place_of(query), reading_of(query).keys.tokens(handle.params)))
    return {
        "handles": handles,
        "version": place_of(course.version),
        "board": str(folder / "board"),
        "redis_url": namespace_of(course.handles[0]).settings.redis_url,
        "threads": course.threads,
        "tasks": course.tasks,
        "load_delay_s": course.load_delay_s,
        "tolerated": course.tolerated,
    }


def _judged(found: Findings, writes: int, elapsed_s: float, seed: int) -> RaceReport:
    report = RaceReport(
        writes,
        found.reads,
        found.hits,
        found.loads,
        found.stale_reads,
        tuple(found.stale),
        dict(found.tolerated),
        found.longest_wait_s,
        elapsed_s,
        seed,
    )
    if found.stale_reads:
        raise RaceLost("stale reads", report.stale, report)
    if found.failures:
        raise RaceLost("reads failed", tuple(f"{n} x {text}" for text, n in found.failures.items()), report)
    if found.loads < 2 or found.hits == 0:
        why = "it needs values from the cache, and loads between the writes: does `write` invalidate?"
        raise RaceLost("the race proved nothing", (why,), report)
    return report
