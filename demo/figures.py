"""Counts and quantiles of one cache, from its reads. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from demo.judging import Evidence
from demo.messages import Read

__all__ = ["Figures", "Seconds", "quantile"]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (nearest rank); NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(slots=True)
class Seconds:
    """What happened in each second of the play, for the chart: the slowest read, reads that waited."""

    slowest_s: dict[int, float] = field(default_factory=dict)
    waited: Counter[int] = field(default_factory=Counter)

    def add(self, read: Read) -> None:
        """Counts a read in the second in which it began."""
        second = int(read.began_s)
        self.slowest_s[second] = max(self.slowest_s.get(second, 0.0), read.took_s)
        self.waited[second] += read.waited


@dataclass(slots=True)
class Figures:
    """What readers of one cache saw. A wait is in seconds, from asking to having the value."""

    reads: int = 0
    dropped: int = 0
    stale: int = 0
    most_missing: int = 0
    took_s: list[float] = field(default_factory=list)
    waits: list[Read] = field(default_factory=list)
    seconds: Seconds = field(default_factory=Seconds)

    def add(self, reads: Iterable[Read]) -> None:
        """Counts some reads."""
        for read in reads:
            self.reads += 1
            self.took_s.append(read.took_s)
            self.seconds.add(read)
            if read.waited:
                self.waits.append(read)
            if read.missing > 0:
                self.stale += 1
                self.most_missing = max(self.most_missing, read.missing)

    @property
    def warm_share(self) -> float:
        """The share of reads that were served from the cache, 0 to 1; NaN before the first."""
        return (self.reads - len(self.waits)) / self.reads if self.reads else math.nan

    def waits_by_cause(self, evidence: Evidence | None) -> tuple[list[float], list[float]]:
        """Waits in seconds: (of what had expired, of what was invalidated). Without evidence: expired."""
        expired: list[float] = []
        invalidated: list[float] = []
        for read in self.waits:
            proven = evidence is not None and evidence.explains(read.entry, read.stamp)
            (invalidated if proven else expired).append(read.took_s)
        return expired, invalidated
