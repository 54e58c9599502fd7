"""Which strict queries are in use: who says so, and what goes with one that is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.strict import JANUARY, Strict, bring_into_force
from tests.tracked import Flight, Tracked
from warmer import Warmer
from warmer.core.keyspace import keyspace
from warmer.strict import registry
from warmer.testing import Clock


def _silence(flights: Warmer, names: frozenset[str]) -> None:
    """No process has said for eight days that it has these."""
    store, key = flights.runtime().store, keyspace(flights.namespace, 0).strict_since
    for name in names:
        record = store.command("HGET", key, name)
        since, seen = (int(part) for part in record[8:].split())
        store.command("HSET", key, name, record[:8] + b"%d %d" % (since, seen - round(8 * 86_400e6)))


def test_a_process_says_now_and_then_which_it_has(
    made: Tracked, warmer_clock: Callable[..., Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what is in use is not forgotten, though nothing of it was loaded for long."""
    strict = Strict(made, warmer_clock(made.flights))
    strict.query(*JANUARY)
    _silence(made.flights, made.flights.runtime().strict.survey().names)
    monkeypatch.setattr(registry, "REFRESH_S", 0.0)
    made.flights.runtime().resync()

    made.flights.relay()

    assert (len(made.flights.runtime().strict.survey().names), strict.is_stored()) == (1, True)


def test_what_depends_on_other_rows_now_stays_when_what_was_before_is_forgotten(
    made: Tracked, warmer_clock: Callable[..., Clock]
) -> None:
    """A query whose dependencies were changed is another strict query: only the old one's entries go."""
    clock = warmer_clock(made.flights)
    strict = Strict(made, clock)
    before = made.flights.runtime().strict.survey().names
    newer = Warmer(made.flights.namespace, redis_url=made.flights.settings.redis_url)

    @newer.cached(ttl=600, name="delay", version="1", depends_on={Flight: ()}, consistency="strict")
    def delay(carrier: str, month: int) -> int:
        return 7

    delay(*JANUARY)
    bring_into_force(made.flights, clock)
    assert (strict.query(*JANUARY), delay(*JANUARY)) == (0, 7)
    _silence(made.flights, before)

    made.flights.relay()

    assert delay.bind(*JANUARY).entry() is not None
    assert not strict.is_stored()
    newer.close()
