"""What a process tells of its reads, and over what time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from warmer.options import Options
from warmer.runtime.tallies import Tallies
from warmer.store.operations import Store, Tally

KEY = b"{flights:0}:e:departures@1:JFK"


class Told:
    """The server's side: the time that each report is said to cover."""

    def __init__(self) -> None:
        self.spans_us: list[int] = []

    def tally(self, shard: int, span_us: int, tallies: Sequence[Tally]) -> None:
        """One report."""
        self.spans_us.append(span_us)


def test_a_process_that_ends_at_once_has_not_read_often() -> None:
    """Its one read counts as one in a whole interval, not as one in the milliseconds that it lived."""
    told = Told()
    tallies = Tallies(cast(Store, told), lambda _: 0, interval_s=2.0)

    tallies.add(KEY, Options(60, 60))
    tallies.flush()

    assert told.spans_us[0] >= 2_000_000
