"""Who asks for what, and when: Poisson arrivals, Zipf-distributed entries. Pure; the dice are given."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random

__all__ = ["Arrival", "Zipf", "arrivals"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request: `at_s` seconds after the play began, for the entry at `entry` in the population."""

    at_s: float
    entry: int


class Zipf:
    """The entry of rank k is asked for in proportion to 1 / k ** exponent; the first is the most popular."""

    def __init__(self, entries: int, exponent: float) -> None:
        """entries: at least 1. exponent: 0 asks for all alike. Raises ValueError."""
        if entries < 1:
            raise ValueError(f"expected at least one entry, got {entries}")
        weights = [rank**-exponent for rank in range(1, entries + 1)]
        total = sum(weights)
        self.shares = [weight / total for weight in weights]
        self._upto = list(accumulate(self.shares))

    def pick(self, u: float) -> int:
        """The entry for `u`, uniform in [0, 1)."""
        return min(bisect_right(self._upto, u), len(self._upto) - 1)


def arrivals(dice: Random, rate_per_s: float, seconds: float, zipf: Zipf) -> Iterator[Arrival]:
    """The requests of one process in order of time: independent of how long any of them takes to answer."""
    at_s = dice.expovariate(rate_per_s)
    while at_s < seconds:
        yield Arrival(at_s, zipf.pick(dice.random()))
        at_s += dice.expovariate(rate_per_s)
