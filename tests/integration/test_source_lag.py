"""Queries that load from a replica that lags behind: what it may not have known is not kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from warmer import Warmer
from warmer.errors import InvalidOption
from warmer.testing import Clock

LAG_S = 5


def test_what_a_replica_did_not_know_yet_goes_with_its_lag(
    flights: Warmer, warmer_clock: Callable[..., Clock]
) -> None:
    """A value that was loaded too early is read for the lag at most, and loaded anew then."""
    replica, loads = {"UA": 1}, []

    @flights.cached(ttl=600, name="delays", depends_on={"flights": ("carrier",)}, source_lag=LAG_S)
    def delays(carrier: str) -> int:
        loads.append(carrier)
        return replica[carrier]

    clock = warmer_clock(flights)
    assert delays("UA") == 1
    clock.advance(60)
    delays.refresh("UA")

    delays.invalidate("UA")  # the primary has 2
    assert delays("UA") == 1, "as the replica has it"
    clock.advance(LAG_S / 2)
    assert delays("UA") == 1
    assert len(loads) == 3
    clock.advance(LAG_S / 2)
    replica["UA"] = 2
    assert delays("UA") == 2
    clock.advance(60)
    assert delays("UA") == 2
    assert len(loads) == 4


def test_what_a_writer_puts_is_not_behind(flights: Warmer, warmer_clock: Callable[..., Clock]) -> None:
    """A value that its writer has at hand comes from no replica."""

    @flights.cached(ttl=600, name="delays", source_lag=LAG_S)
    def delays(carrier: str) -> int:
        return 1

    with delays.writing("UA") as writing:
        writing.put(2)
    warmer_clock(flights).advance(2 * LAG_S)

    assert delays("UA") == 2


def test_a_strict_query_loads_from_the_primary(flights: Warmer) -> None:
    """Never older than the database, and read from what lags behind it, can't both be meant."""
    with pytest.raises(InvalidOption, match="source_lag"):

        @flights.cached(ttl=60, name="delays", source_lag=1, consistency="strict")
        def delays(carrier: str) -> int:
            return 1
