"""The readers of a race: threads, asyncio tasks, and processes of these.

Each notes how new the source is known to be (the board), then reads, then looks at what it got. A process of
readers is started as `python -m warmer.testing.readers SPEC` and reports in JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import mmap
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from warmer.entry import Entry
from warmer.handle import Handle
from warmer.query import Query
from warmer.testing.namespaces import namespace_of, reading_of, using_server

KEPT_STALE = 10
READY = "readers are reading"
_BOARD_BYTES = 16
_AFTER_ERROR_S = 0.01  # errors that come at once are not to starve the writer


class Board:
    """Two numbers that the readers of a race see in all processes: how new a read must be, when to stop."""

    def __init__(self, path: Path | None = None) -> None:
        """path: a file to share them through; without one they are shared by threads only."""
        if path is None:
            self._memory = mmap.mmap(-1, _BOARD_BYTES)
        else:
            if not path.exists():
                path.write_bytes(bytes(_BOARD_BYTES))
            with path.open("r+b") as file:
                self._memory = mmap.mmap(file.fileno(), _BOARD_BYTES)
        # Aligned 8-byte cells: a reader sees a whole number, never half of one.
        self._cells = memoryview(self._memory).cast("Q")
        self._lock = threading.Lock()

    @property
    def newest(self) -> int:
        """The newest version whose write, invalidation included, has returned."""
        return self._cells[0]

    def raise_to(self, version: int) -> None:
        """A write of this version has returned. Only one process may call this."""
        with self._lock:
            self._cells[0] = max(self._cells[0], version)

    @property
    def stopped(self) -> bool:
        """Whether the readers are to end."""
        return self._cells[1] != 0

    def stop(self) -> None:
        """End the readers."""
        self._cells[1] = 1

    def close(self) -> None:
        """Give the memory back."""
        self._cells.release()
        self._memory.close()


@dataclass
class Findings:
    """What readers found. stale: the first few stale reads in words. failures, tolerated: errors of reads."""

    reads: int = 0
    hits: int = 0
    loads: int = 0
    stale_reads: int = 0
    stale: list[str] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    tolerated: Counter[str] = field(default_factory=Counter)
    longest_wait_s: float = 0.0

    def add(self, other: Findings) -> None:
        """Take another's findings in."""
        self.reads += other.reads
        self.hits += other.hits
        self.loads += other.loads
        self.stale_reads += other.stale_reads
        self.stale = (self.stale + other.stale)[:KEPT_STALE]
        self.failures += other.failures
        self.tolerated += other.tolerated
        self.longest_wait_s = max(self.longest_wait_s, other.longest_wait_s)

    def to_json(self) -> str:
        """The same as text, for the process that gathers them."""
        return json.dumps(vars(self))  # not asdict(): it makes of a Counter a count of its items

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` gave."""
        found = json.loads(text)
        counters = {name: Counter(found[name]) for name in ("failures", "tolerated")}
        return cls(**{**found, **counters})


@dataclass(frozen=True)
class Course:
    """What the readers of one process do."""

    handles: Sequence[Handle[Any]]
    version: Callable[[Any], int]
    board: Board
    seed: str
    threads: int
    tasks: int
    load_delay_s: tuple[float, float]
    tolerated: tuple[str, ...]


class Readers:
    """The readers of one process, from start to finish."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._found = [Findings() for _ in range(course.threads + course.tasks)]
        self._slow = SlowLoads(course.handles[0], course.seed, course.load_delay_s)
        self._threads = [
            threading.Thread(target=self._read, args=(index,), name=f"race-reader-{index}", daemon=True)
            for index in range(course.threads)
        ]
        if course.tasks:
            self._threads.append(threading.Thread(target=self._loop, name="race-tasks", daemon=True))

    def start(self) -> None:
        """Begin to read."""
        self._slow.start()
        for thread in self._threads:
            thread.start()

    @property
    def all_reading(self) -> bool:
        """Whether each reader has come back from at least one read."""
        return all(found.reads or found.failures or found.tolerated for found in self._found)

    def finish(self) -> Findings:
        """Wait for the readers, who end when the board says stop; what they found."""
        for thread in self._threads:
            thread.join()
        self._slow.stop()
        total = Findings(loads=self._slow.loads)
        for found in self._found:
            total.add(found)
        return total

    def _read(self, index: int) -> None:
        dice, found, board = self._dice(index), self._found[index], self._course.board
        while not board.stopped:
            handle, newest = dice.choice(self._course.handles), board.newest
            try:
                self._look(found, newest, handle, handle.read())
            except Exception as exc:  # noqa: BLE001 - counted by class; the race fails unless it is tolerated
                self._note(found, exc)
                time.sleep(_AFTER_ERROR_S)

    def _loop(self) -> None:
        async def main() -> None:
            first = self._course.threads
            await asyncio.gather(*(self._aread(first + task) for task in range(self._course.tasks)))

        asyncio.run(main())

    async def _aread(self, index: int) -> None:
        dice, found, board = self._dice(index), self._found[index], self._course.board
        while not board.stopped:
            handle, newest = dice.choice(self._course.handles), board.newest
            try:
                self._look(found, newest, handle, await handle.aread())
            except Exception as exc:  # noqa: BLE001 - as in _read
                self._note(found, exc)
                await asyncio.sleep(_AFTER_ERROR_S)

    def _dice(self, index: int) -> random.Random:
        return random.Random(f"{self._course.seed}/reader {index}")

    def _look(self, found: Findings, newest: int, handle: Handle[Any], entry: Entry[Any]) -> None:
        found.reads += 1
        found.hits += entry.state != "loaded"
        found.longest_wait_s = max(found.longest_wait_s, entry.waited)
        version = self._course.version(entry.value)
        if version < newest:
            found.stale_reads += 1
            told = (
                f"{handle!r} gave version {version} ({entry.state}, stamp {entry.stamp}) to a read that "
                f"began after the write of version {newest} had returned"
            )
            if len(found.stale) < KEPT_STALE and told not in found.stale:
                found.stale.append(told)

    def _note(self, found: Findings, exc: Exception) -> None:
        kinds = {kind.__name__ for kind in type(exc).__mro__}
        if kinds.isdisjoint(self._course.tolerated):
            found.failures[f"{type(exc).__name__}: {exc}"] += 1
        else:
            found.tolerated[type(exc).__name__] += 1


class SlowLoads:
    """Delays every load of a namespace in this process, before and after the function runs, and counts them.

    The delay after it is what races with an invalidation: the value has been read and is not stored yet.
    """

    def __init__(self, handle: Handle[Any], seed: str, delay_s: tuple[float, float]) -> None:
        self._runtime = namespace_of(handle).runtime()
        self._dice = random.Random(f"{seed}/loads")
        self._delay_s = delay_s
        self._lock = threading.Lock()
        self._around = self._runtime.around_load
        self.loads = 0

    def start(self) -> None:
        """Delay from now on."""
        self._runtime.around_load = self._delayed

    def stop(self) -> None:
        """Delay no more."""
        self._runtime.around_load = self._around

    @contextlib.contextmanager
    def _delayed(self) -> Iterator[None]:
        with self._lock:
            self.loads += 1
            before_s, after_s = self._dice.uniform(*self._delay_s), self._dice.uniform(*self._delay_s)
        time.sleep(before_s)
        with contextlib.nullcontext() if self._around is None else self._around():
            yield
        time.sleep(after_s)


def place_of(thing: Any) -> str:
    """Where another process can import a thing from, as "module:name". Raises ValueError if it can't."""
    place = f"{thing.__module__}:{thing.__qualname__}"
    try:
        found = found_at(place)
    except (ImportError, AttributeError):
        found = None
    if found is not thing or thing.__module__ == "__main__":
        raise ValueError(f"{place} can't be imported by another process; put it at the top level of a module")
    return place


def found_at(place: str) -> Any:
    """What is at a place."""
    module, _, name = place.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def handle_at(query: Query[..., Any], tokens: str) -> Handle[Any]:
    """The handle of a query on the entry with these params, as canonical text."""
    keys = reading_of(query).keys
    params = keys.params_of(tokens)
    positional, keywords = keys.call(tuple(params[name] for name in keys.names))
    return query.bind(*positional, **keywords)


def main(spec_path: Path) -> None:
    """One process of readers. The spec is written by warmer.testing.races."""
    spec = json.loads(spec_path.read_text())
    handles = [handle_at(found_at(place), tokens) for place, tokens in spec["handles"]]
    board = Board(Path(spec["board"]))
    with using_server(namespace_of(handles[0]), spec["redis_url"]):
        course = Course(
            handles, found_at(spec["version"]), board, spec["seed"], spec["threads"], spec["tasks"],
            tuple(spec["load_delay_s"]), tuple(spec["tolerated"]),
        )  # fmt: skip
        readers = Readers(course)
        readers.start()
        while not readers.all_reading and not board.stopped:
            time.sleep(0.01)
        print(READY, flush=True)  # noqa: T201 - told to the process that waits for it
        found = readers.finish()
    Path(spec["findings"]).write_text(found.to_json())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
