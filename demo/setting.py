"""The numbers of a performance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

__all__ = ["LEAST_EXPIRIES", "LEAST_READS_PER_STATEMENT", "Setting"]

#: Expiries that every kept-warm entry has to live through, so that "no read waited" says something.
LEAST_EXPIRIES = 5

#: How many times fewer SQL statements than reads there have to be.
LEAST_READS_PER_STATEMENT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is played. Rates are of all processes together, and of each of the two caches.

    The defaults keep two cores about a third busy, both caches, their loads and Flower included: what is
    shown is not how much a machine can do, but what happens to readers.
    """

    seconds: float = 60.0
    reads_per_s: float = 200.0
    writes_per_s: float = 0.25
    #: Reading processes, for each of the two caches.
    readers: int = 2
    #: Reads that a reader process can have in flight: a read that waits must not hold up those after it.
    threads: int = 6
    #: Exponent of the requests' distribution: the second most popular entry is asked for half as often.
    zipf: float = 1.0
    seed: int = 20130710
    #: A Wednesday with thunderstorms: half of its departures were late, or never left.
    day: date = date(2013, 7, 10)

    @property
    def ttl_s(self) -> float:
        """The longest ttl: more of them fit into the play than expiries are asked for."""
        return self.seconds / (LEAST_EXPIRIES + 1.5)
