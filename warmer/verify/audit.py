"""Samples entries, holds them against the database, and looks again before it calls anything a divergence.

What differs may only be in flight: a writer has committed and its invalidation is on its way. So an entry
that differs is looked at again after a second, a minute and five; only what is still served then, under the
same stamp, and still differs, diverges. An entry of a query that nothing invalidates (no dependencies, no
tags) is old by its ttl alone, as declared: it is counted apart.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from warmer.errors import CorruptEntry, mask
from warmer.reading import Reading
from warmer.runtime.contract import MASKED
from warmer.runtime.process import Runtime
from warmer.store.report import EntryReport, inspect_entry
from warmer.verify.bound import in_words, most_diverging
from warmer.verify.comparing import NotLoaded, Served, agrees, served
from warmer.verify.sampling import Sample, Sampler

log = logging.getLogger("warmer")

RECHECKS_S = (1.0, 60.0, 300.0)
#: How many of the last failures and divergences are kept to be shown.
SHOWN = 20

Found = Literal["none", "gone", "same", "suspect", "failed"]


@dataclass(frozen=True, slots=True)
class Divergence:
    """An entry that was served all the while though the database said something else. entry: its history."""

    query: str
    params: str
    first_seen: float
    entry: EntryReport


@dataclass(slots=True)
class Report:
    """What an audit has found. first_seen: seconds since the epoch.

    samples: entries held against the database. diverging: of these, wrong ones. by_time: samples of queries
    that nothing invalidates, and which differ (they are not among `samples`). settling: that differ and are
    looked at again. failed: loads that gave nothing to compare with, the last ones in `failures`.
    """

    samples: int = 0
    diverging: int = 0
    by_time: int = 0
    settling: int = 0
    failed: int = 0
    divergences: list[Divergence] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The most that may diverge, as a share of all entries, at 95 %."""
        return most_diverging(self.diverging, self.samples)

    def in_words(self) -> str:
        """The consistency that these samples carry, and no more."""
        samples = "1 sample" if self.samples == 1 else f"{self.samples} samples"
        return f"{in_words(self.share)}, from {samples}, at 95 % confidence"


@dataclass(order=True, slots=True)
class _Suspect:
    """An entry that differed. at: when it is looked at next, on the monotonic clock."""

    at: float
    number: int
    sample: Sample = field(compare=False)
    stamp: int = field(compare=False)
    began: float = field(compare=False)
    looked: int = field(compare=False)
    seen: float = field(compare=False)


class Audit:
    """Looks at one entry a step. Not for several threads at once.

    rechecks_s: when an entry that differs is looked at again, in seconds since it was first seen to.
    """

    def __init__(
        self,
        runtime: Runtime,
        readings: Sequence[Reading[Any]],
        rechecks_s: Sequence[float] = RECHECKS_S,
        dice: random.Random | None = None,
    ) -> None:
        self.report = Report()
        self._runtime = runtime
        self._sampler = Sampler(runtime.store, readings, dice or random.Random())
        self._rechecks_s = tuple(rechecks_s)
        self._suspects: list[_Suspect] = []
        self._numbers = itertools.count()

    def step(self, *, sampling: bool = True) -> Found:
        """Look again at what is due for it, else (`sampling`) at another entry. Raises ServerError.

        "none": there was nothing to look at. "gone": it is not served, or was replaced meanwhile.
        """
        suspect = self._due()
        if suspect is not None:
            return self._look_again(suspect)
        sample = self._sampler.draw() if sampling else None
        if sample is None or any(other.sample.at == sample.at for other in self._suspects):
            return "none"
        return self._look(sample)

    def next_look_s(self) -> float | None:
        """Seconds until an entry is looked at again; None if none is."""
        return max(0.0, self._suspects[0].at - time.monotonic()) if self._suspects else None

    def _due(self) -> _Suspect | None:
        if self._suspects and self._suspects[0].at <= time.monotonic():
            return heapq.heappop(self._suspects)
        return None

    def _look(self, sample: Sample) -> Found:
        found, now = served(self._runtime, sample), time.monotonic()
        if found is None:
            return "gone"
        same = self._compared(sample, found)
        if same is None:
            return "failed"
        if same:
            self._sampled()
            return "same"
        if not _is_invalidated(sample.reading):
            self.report.by_time += 1
            self._runtime.counts.add("verify_by_time")
            return "suspect"
        self._runtime.counts.add("verify_suspects")
        self._wait(_Suspect(0.0, next(self._numbers), sample, found.stamp, now, 0, time.time()))
        return "suspect"

    def _wait(self, suspect: _Suspect) -> None:
        suspect.at = suspect.began + self._rechecks_s[suspect.looked]
        heapq.heappush(self._suspects, suspect)
        self.report.settling = len(self._suspects)

    def _look_again(self, suspect: _Suspect) -> Found:
        self.report.settling = len(self._suspects)
        found = served(self._runtime, suspect.sample)
        if found is None or found.stamp != suspect.stamp:
            self._sampled()  # it was in flight: what differed is not served any more
            return "gone"
        same = self._compared(suspect.sample, found)
        suspect.looked += 1
        if same:
            self._sampled()
            return "same"
        if suspect.looked < len(self._rechecks_s):
            self._wait(suspect)
            return "suspect"
        if same is None:
            return "failed"  # what it should be is not known: no sample, either way
        self._diverges(suspect)
        return "suspect"

    def _compared(self, sample: Sample, found: Served) -> bool | None:
        """Whether they agree; None when there was nothing to compare with."""
        try:
            return agrees(self._runtime, sample, found)
        except (NotLoaded, CorruptEntry) as error:
            self.report.failed += 1
            self._runtime.counts.add("verify_failed")
            private = sample.reading.is_private
            params, text = (MASKED, MASKED) if private else (sample.entry.params, mask(str(error)))
            shown = f"{sample.reading.name}({params}): {text}"
            self.report.failures = [*self.report.failures, shown][-SHOWN:]
            return None

    def _sampled(self) -> None:
        self.report.samples += 1
        self._runtime.counts.add("verify_samples")

    def _diverges(self, suspect: _Suspect) -> None:
        sample = suspect.sample
        self._sampled()
        self.report.diverging += 1
        self._runtime.counts.add("verify_divergences")
        history = inspect_entry(self._runtime.store, sample.reading, sample.args)
        divergence = Divergence(sample.reading.name, sample.entry.params, suspect.seen, history)
        self.report.divergences = [*self.report.divergences, divergence][-SHOWN:]
        log.error(
            "%s differs from the database and is still served after %.0f s. Something changed what it is"
            " loaded from without invalidating it: `warmer inspect` shows by which names it can be hit",
            history.key, self._rechecks_s[-1],
        )  # fmt: skip


def _is_invalidated(reading: Reading[Any]) -> bool:
    """Whether anything but time is said to end its entries."""
    depends = reading.dependencies
    return bool(depends.tables or depends.shapes or depends.tags)
