"""How a performance stands at a moment: both caches' figures, and whether the promises hold. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from demo.figures import Figures, quantile
from demo.judging import Evidence
from demo.messages import Batch
from demo.setting import LEAST_EXPIRIES, LEAST_READS_PER_STATEMENT, Setting

__all__ = ["Column", "Promise", "Standing"]


@dataclass(frozen=True, slots=True)
class Column:
    """The figures of one cache. Times are in seconds; NaN where nothing was measured.

    refreshes: values that took the place of others, for whatever reason; of the plain cache, its loads.
    """

    reads: int
    reads_per_s: float
    dropped: int
    warm_share: float
    expired: int
    expired_p50_s: float
    expired_p99_s: float
    invalidated: int
    invalidated_p50_s: float
    invalidated_p99_s: float
    stale: int
    refreshes: int
    invalidations: int
    statements: int
    read_p50_s: float
    read_p99_s: float

    @property
    def avoided(self) -> int:
        """Statements that were not run: without a cache each read is one."""
        return self.reads - self.statements

    @property
    def reads_per_statement(self) -> float:
        """Reads for each SQL statement that was run; infinite if there was none."""
        return self.reads / self.statements if self.statements else math.inf


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that had to hold, what was measured, and whether it did."""

    what: str
    measured: str
    held: bool


@dataclass(slots=True)
class Standing:
    """Everything that has been told so far. Only `hear` changes it, and what counts statements."""

    setting: Setting
    entries: int
    evidence: Evidence
    warm: Figures = field(default_factory=Figures)
    plain: Figures = field(default_factory=Figures)
    writes: int = 0
    write_s: list[float] = field(default_factory=list)
    invalidations: int = 0
    warm_statements: int = 0
    plain_statements: int = 0
    behind_s: float = 0.0
    errors: list[str] = field(default_factory=list)
    last_flight: str = ""

    def hear(self, batch: Batch) -> None:
        """Takes in what a process tells."""
        figures = self.plain if batch.side == "plain" else self.warm
        figures.add(batch.reads)
        figures.dropped += batch.dropped
        if batch.side == "warmer":
            for read in batch.reads:
                self.evidence.saw(read.entry, read.stamp)
        for write in batch.writes:
            self.writes += 1
            self.write_s.append(write.took_s)
            self.last_flight = f"{write.flight} {_delay(write.delay_min)}"
            for entry, stamp in write.stamps.items():
                self.invalidations += 1
                self.evidence.invalidated(entry, stamp)
        self.errors += [f"{batch.side}: {error}" for error in batch.errors]
        if batch.side == "warmer":
            self.behind_s = max(self.behind_s, batch.behind_s)

    def columns(self, elapsed_s: float) -> tuple[Column, Column]:
        """The figures of Warmer and of the plain cache, after so many seconds of the play."""
        return (
            _column(
                self.warm,
                self.evidence,
                elapsed_s,
                refreshes=self.evidence.replaced(),
                invalidations=self.invalidations,
                statements=self.warm_statements,
            ),
            _column(
                self.plain,
                None,
                elapsed_s,
                refreshes=len(self.plain.waits),
                invalidations=0,
                statements=self.plain_statements,
            ),
        )

    def expiries(self) -> tuple[int, int]:
        """Of the entries that no write touched: how many there are, the fewest expiries one lived through."""
        counts = [
            self.evidence.expiries(entry)
            for entry in range(self.entries)
            if not self.evidence.was_invalidated(entry)
        ]
        return len(counts), min(counts, default=0)

    def promises(self, differing: list[str]) -> list[Promise]:
        """What had to hold. differing: entries that were not what the database says when all was over."""
        warm, _ = self.columns(self.setting.seconds)
        untouched, fewest = self.expiries()
        ratio = warm.reads_per_statement
        return [
            Promise(
                "reads that waited because an entry had expired: 0", f"{warm.expired:,}", not warm.expired
            ),
            Promise("stale reads: 0", f"{warm.stale:,}", not warm.stale),
            Promise(
                f"at least {LEAST_READS_PER_STATEMENT} times fewer SQL statements than reads",
                f"{ratio:,.0f} times",
                ratio >= LEAST_READS_PER_STATEMENT,
            ),
            Promise(
                f"every kept-warm entry that no write touched lived through {LEAST_EXPIRIES} expiries",
                f"{fewest} at least, of {untouched} entries",
                untouched > 0 and fewest >= LEAST_EXPIRIES,
            ),
            Promise(
                "when all was over, every entry was what the database says",
                f"{self.entries - len(differing)} of {self.entries}",
                not differing,
            ),
            Promise(
                "reads and writes that failed, or came too late to be served: 0",
                f"{len(self.errors) + warm.dropped:,}",
                not self.errors and not warm.dropped,
            ),
        ]


def _column(
    figures: Figures,
    evidence: Evidence | None,
    elapsed_s: float,
    *,
    refreshes: int,
    invalidations: int,
    statements: int,
) -> Column:
    expired, invalidated = figures.waits_by_cause(evidence)
    return Column(
        reads=figures.reads,
        reads_per_s=figures.reads / elapsed_s if elapsed_s > 0 else math.nan,
        dropped=figures.dropped,
        warm_share=figures.warm_share,
        expired=len(expired),
        expired_p50_s=quantile(expired, 0.5),
        expired_p99_s=quantile(expired, 0.99),
        invalidated=len(invalidated),
        invalidated_p50_s=quantile(invalidated, 0.5),
        invalidated_p99_s=quantile(invalidated, 0.99),
        stale=figures.stale,
        refreshes=refreshes,
        invalidations=invalidations,
        statements=statements,
        read_p50_s=quantile(figures.took_s, 0.5),
        read_p99_s=quantile(figures.took_s, 0.99),
    )


def _delay(delay_min: int | None) -> str:
    if delay_min is None:
        return "cancelled"
    return "on time" if delay_min <= 0 else f"{delay_min} min late"
