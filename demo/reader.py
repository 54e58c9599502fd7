"""One reading process: `python -m demo.reader CONFIG`. Says that it is ready, waits for the beginning, reads.

Requests come when they come (an open loop): a read that waits does not put off those after it, as it would
not in front of a real terminal. Each read notes what it must see before it begins; see `ledger`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from demo import cue, entries
from demo.ledger import Ledger
from demo.messages import Batch, Errand, Out, Read, Side
from demo.plain import PlainCache
from demo.traffic import Arrival, Zipf, arrivals
from tasks import flights
from warmer import Entry

__all__ = ["Config", "main"]

#: How often a process tells what it has read. Often enough for a live table, seldom enough to cost nothing.
REPORT_EVERY_S = 0.25

#: For how long after the end a process still serves requests that came before it; later ones are dropped, and
#: counted. A cache whose loads pile up would go on for minutes.
OVERTIME_S = 3.0

#: A value, whether the read waited for it, and its lease stamp (0: it has none).
Got = tuple[Any, bool, int]


class Config(Errand, frozen=True, kw_only=True):
    """What a reading process is told."""

    side: Side
    reads_per_s: float
    threads: int
    zipf: float
    seed: int


class Reader:
    """The reads of one process, on several threads, and what has not been reported of them yet."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._population = entries.population()
        self._ledger = Ledger(Path(config.ledger))
        self._out = Out(Path(config.out))
        self._read = self._plain() if config.side == "plain" else self._warm()
        self._next: Iterator[Arrival] = arrivals(
            Random(config.seed),
            config.reads_per_s,
            config.seconds,
            Zipf(len(self._population), config.zipf),
        )
        self._lock = threading.Lock()
        self._reads: list[Read] = []
        self._errors: list[str] = []
        self._behind_s = 0.0
        self._dropped = 0

    def connect(self) -> None:
        """Looks for an entry, which loads nothing: so that no read of the play is the first to connect."""
        self._population[0].entry()

    def run(self, begins_at: float) -> None:
        """Reads until the play is over. begins_at: in this machine's monotonic seconds."""
        threads = [
            threading.Thread(target=self._serve, args=(begins_at,)) for _ in range(self._config.threads)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(REPORT_EVERY_S)
            self.report()
        self.report()

    def report(self) -> None:
        """Tells what has been read since the last report."""
        with self._lock:
            reads, self._reads = self._reads, []
            errors, self._errors = self._errors, []
            behind_s, self._behind_s = self._behind_s, 0.0
            dropped, self._dropped = self._dropped, 0
        self._out.tell(
            Batch(self._config.side, reads=reads, errors=errors, behind_s=behind_s, dropped=dropped)
        )

    def _serve(self, begins_at: float) -> None:
        while True:
            with self._lock:
                arrival = next(self._next, None)
            if arrival is None:
                return
            early_s = begins_at + arrival.at_s - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
            else:
                self._behind_s = max(self._behind_s, -early_s)
            if time.monotonic() > begins_at + self._config.seconds + OVERTIME_S:
                self._dropped += 1
            else:
                self._one(arrival.entry, begins_at)

    def _one(self, entry: int, begins_at: float) -> None:
        must_see = self._ledger[entry]
        began = time.monotonic()
        try:
            value, waited, stamp = self._read(entry)
        except Exception as failure:  # noqa: BLE001 - whatever a read raises is counted and shown
            with self._lock:
                self._errors.append(f"{type(failure).__name__}: {failure}")
            return
        took_s = time.monotonic() - began
        missing = max(0, must_see - entries.changes_in(value))
        read = Read(entry, began - begins_at, took_s, waited, stamp, missing)
        with self._lock:
            self._reads.append(read)

    def _warm(self) -> Callable[[int], Got]:
        calls = [(flights.queries[one.query], tuple(one.params.values())) for one in self._population]

        def read(entry: int) -> Got:
            query, params = calls[entry]
            got: Entry[Any] = query.read(*params)
            return got.value, got.state == "loaded", got.stamp

        return read

    def _plain(self) -> Callable[[int], Got]:
        cache = PlainCache(self._config.redis_url, self._population)

        def read(entry: int) -> Got:
            return *cache.read(entry), 0

        return read


def main() -> int:
    """Reads its configuration from the command line, gets ready, says so, and reads from the cue on."""
    config = msgspec.json.decode(sys.argv[1], type=Config)
    reader = Reader(config)
    reader.connect()
    reader.report()
    reader.run(cue.wait(Path(config.cue)))
    flights.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
