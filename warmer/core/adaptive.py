"""How long a result may be kept, learned from how often its loads found it changed.

    stale = 1 - (1 - exp(-x)) / x        x = rate * interval
    rate  = (changes + 1) / (unchanged time + changed time / 2 + least)

The first line is the share of an interval in which a result is out of date already, where changes come at
random with this rate: one minus the freshness of Cho and Garcia-Molina, "Synchronizing a Database to Improve
Freshness" (SIGMOD 2000). It is solved for x once. The second is their estimator for visits at irregular times
("Estimating Frequency of Change", ACM TOIT 3(3), 2003: the rate at which the sum of t / (exp(rate * t) - 1)
over the changed intervals is the sum of the unchanged ones), to the first order in rate * t: an interval that
ended in a change counts half, because when in it the change came is not known. One change in `least` is
counted beforehand: a result that was never seen to change begins near the least interval and grows by
measure, and the mean of 1 / rate is not biased.

Nothing here knows a clock or a die. Times are microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, expm1

#: What was seen counts less the longer ago it was: such a memory holds about so many changes, which keeps the
#: interval from jumping and lets it follow a rate that shifts.
CHANGES_REMEMBERED = 8
LEAST_STALE, MOST_STALE = 0.001, 0.5


def exposure(stale: float) -> float:
    """x = rate * interval at which a read at a random moment is out of date with the probability `stale`.

    0.2 gives 0.46. Raises ValueError outside of 0.001 to 0.5.
    """
    if not LEAST_STALE <= stale <= MOST_STALE:
        raise ValueError(f"expected {LEAST_STALE} <= stale <= {MOST_STALE}, got {stale}")
    low, high = 0.0, 4.0
    for _ in range(60):
        middle = (low + high) / 2
        if 1 + expm1(-middle) / middle < stale:
            low = middle
        else:
            high = middle
    return (low + high) / 2


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Bounds of an interval in microseconds, 0 < least <= most, and the probability that it aims at."""

    least_us: int
    most_us: int
    stale: float
    exposure: float = field(init=False)

    def __post_init__(self) -> None:
        if not 0 < self.least_us <= self.most_us:
            raise ValueError(f"expected 0 < least <= most, got {self.least_us} and {self.most_us}")
        object.__setattr__(self, "exposure", exposure(self.stale))


@dataclass(frozen=True, slots=True)
class History:
    """What the loads of one entry have found: changes, and time in intervals without and with one."""

    changes: float = 0.0
    same_us: float = 0.0
    changed_us: float = 0.0

    def record(self) -> str:
        """As it is stored: three numbers."""
        return f"{self.changes:.4f} {self.same_us:.0f} {self.changed_us:.0f}"

    @classmethod
    def read(cls, record: str) -> History:
        """From a record; a new history for one that can't be read, which then learns anew."""
        try:
            changes, same_us, changed_us = map(float, record.split())
        except ValueError:
            return cls()
        fits = all(0 <= number < 1e18 for number in (changes, same_us, changed_us))
        return cls(changes, same_us, changed_us) if fits else cls()

    def rate(self, rule: Adaptive) -> float:
        """Changes in a microsecond, estimated."""
        return (self.changes + 1) / (self.same_us + self.changed_us / 2 + rule.least_us)

    def interval_us(self, rule: Adaptive) -> int:
        """How long the next result is fresh."""
        return round(min(max(rule.exposure / self.rate(rule), rule.least_us), rule.most_us))

    def after(self, elapsed_us: float, changed: bool, rule: Adaptive) -> History:
        """With one more load, that began `elapsed_us` after the one before it.

        An unchanged result never shortens the interval. One that changed within the interval never lengthens
        it. Nothing is learned from no time.
        """
        if elapsed_us <= 0:
            return self
        memory_us = CHANGES_REMEMBERED / rule.exposure * self.interval_us(rule)
        kept = exp(-elapsed_us / memory_us)
        return History(
            self.changes * kept + changed,
            self.same_us * kept + (0.0 if changed else elapsed_us),
            self.changed_us * kept + (elapsed_us if changed else 0.0),
        )
