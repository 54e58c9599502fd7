"""The writing process: `python -m demo.writer CONFIG`. Reports the real delays of the day's flights, one by
one.

Each report is rows written in a tracked transaction, whose commit drops what shows the flight: `tasks.desk`,
unchanged. When that has returned, the change is counted in the ledger, and the stamps of the invalidation
are fetched from the server: they are the proof that a read waited because of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import redis

from demo import cue, entries
from demo.ledger import Ledger
from demo.messages import Batch, Delay, Errand, Out, Write
from tasks import desk, flights
from warmer import Handle
from warmer.core.keyspace import keyspace
from warmer.core.names import tag_name

__all__ = ["Config", "evenly", "main"]


class Config(Errand, frozen=True, kw_only=True):
    """What the writing process is told."""

    writes_per_s: float
    delays: list[Delay]


def evenly(delays: Sequence[Delay], wanted: int) -> list[Delay]:
    """So many of them, evenly spread and in their order; all of them if there are fewer."""
    if wanted >= len(delays):
        return list(delays)
    return [delays[at * len(delays) // wanted] for at in range(wanted)]


class Writer:
    """Reports delays at an even rate."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._population = entries.population()
        self._ledger = Ledger(Path(config.ledger))
        self.out = Out(Path(config.out))
        self._stamps = Stamps(config.redis_url, self._population)

    def run(self, begins_at: float) -> None:
        """Reports until the play, or the list of delays, is over. begins_at: in monotonic seconds."""
        delays = evenly(self._config.delays, int(self._config.seconds * self._config.writes_per_s))
        for number, delay in enumerate(delays):
            at = begins_at + (number + 0.5) / self._config.writes_per_s
            early_s = at - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
            write = self._write(delay, begins_at)
            self.out.tell(Batch("warmer", writes=[write], behind_s=max(0.0, -early_s)))

    def _write(self, delay: Delay, begins_at: float) -> Write:
        began = time.monotonic()
        report = desk.report_delay(delay.flight_id, delay.delay_min)
        took_s = time.monotonic() - began
        changed = entries.touched(self._population, report)
        for entry in changed:
            self._ledger.confirm(entry)
        stamps = {entry: self._stamps.newest(entry, delay.flight_id) for entry in changed}
        return Write(began - begins_at, took_s, delay.flight, delay.delay_min, stamps)


class Stamps:
    """The newest invalidation of an entry, as the server's fence has it."""

    def __init__(self, redis_url: str, population: Sequence[Handle[Any]]) -> None:
        """Reads the fence directly: what is measured does not pass through what measures it."""
        self._client = redis.Redis.from_url(redis_url, socket_timeout=30)
        self._places = []
        for one in population:
            names = flights.readings[one.query].names_of(one.params, one.entry_key).all()
            self._places.append((keyspace(flights.namespace, one.entry_key.shard).fence, names))

    def newest(self, entry: int, flight_id: int) -> int:
        """The newest stamp under any name of the entry, in the server's microseconds; 0 if there is none.

        flight_id: a flight that shows in it: lists of flights are tagged with them.
        """
        fence, names = self._places[entry]
        stamps: Any = self._client.zmscore(fence, [*names, tag_name(f"flight:{flight_id}")])
        return int(max((stamp for stamp in stamps if stamp is not None), default=0))


def main() -> int:
    """Reads its configuration from the command line, gets ready, says so, and reports from the cue on."""
    config = msgspec.json.decode(sys.argv[1], type=Config)
    writer = Writer(config)
    writer.out.tell(Batch("warmer"))
    writer.run(cue.wait(Path(config.cue)))
    flights.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
