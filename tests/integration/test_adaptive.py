"""A ttl that is learned: longer while loads find the same, shorter when they find another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from warmer import Query, Warmer, adaptive
from warmer.errors import InvalidOption
from warmer.store.report import inspect_entry
from warmer.testing import Clock


class Source:
    """A query whose result a test chooses."""

    def __init__(self, flights: Warmer, clock: Clock, **options: Any) -> None:
        self.result, self.clock, self.flights = 0, clock, flights
        declared = {"ttl": adaptive(10, 1000), "name": "source", "keep_warm": False, **options}

        def load(number: int) -> int:
            return self.result

        self.query: Query[[int], int] = flights.cached(**declared)(load)

    def ttl(self) -> float:
        """The ttl that the last load's result was given."""
        entry = self.query.bind(1).entry()
        assert entry is not None
        return entry.age + entry.ttl_left

    def load_again(self, *, changed: bool = False) -> float:
        """A load when the ttl is over; the next ttl."""
        self.clock.advance(self.ttl())
        self.result += changed
        self.query.refresh(1)
        return self.ttl()


@pytest.fixture
def source(flights: Warmer, clock: Clock) -> Source:
    """Between 10 s and 1000 s."""
    source = Source(flights, clock)
    source.query(1)
    return source


def test_the_ttl_grows_while_the_result_stays_the_same(source: Source) -> None:
    """From the least, by ever more, up to the most."""
    ttls = [source.ttl()] + [source.load_again() for _ in range(60)]

    assert ttls[0] == pytest.approx(10, abs=0.1)
    assert all(later >= earlier - 0.1 for earlier, later in pairwise(ttls))
    assert ttls[-1] == pytest.approx(1000, abs=0.1)


def test_the_ttl_shrinks_when_the_result_changes(source: Source) -> None:
    """Each change that is found takes from it."""
    for _ in range(30):
        source.load_again()
    before = source.ttl()
    ttls = [source.load_again(changed=True) for _ in range(4)]

    assert before > 2 * ttls[-1]
    assert ttls == sorted(ttls, reverse=True)


def test_what_was_told_of_is_not_learned_from(source: Source) -> None:
    """An invalidation takes the value: only changes that nobody tells of need a shorter ttl."""
    for _ in range(30):
        source.load_again()
    before = source.ttl()
    for _ in range(10):
        source.result += 1
        source.query.invalidate(1)
        source.query(1)

    assert source.ttl() == pytest.approx(before, rel=0.01)


def test_what_was_learned_is_kept_over_a_restart_of_the_process(
    source: Source, namespace: str, redis_url: str
) -> None:
    """It is beside the entry: a worker that starts now goes on where the last one was."""
    for _ in range(30):
        source.load_again()
    before = source.ttl()
    other = Warmer(namespace, redis_url=redis_url)
    again = Source(other, source.clock)
    other.runtime().clock_moved()

    again.query.refresh(1)

    assert again.query.read(1).ttl_left == pytest.approx(before, rel=0.05)
    other.close()


@pytest.mark.parametrize(("options", "grace"), [({}, 10), ({"grace": 77}, 77)])
def test_grace_follows_the_ttl_unless_it_is_said(
    flights: Warmer, clock: Clock, options: dict[str, Any], grace: float
) -> None:
    """As with a fixed ttl: as long again, or as long as it says."""
    source = Source(flights, clock, **options)
    source.query(1)

    entry = source.query.read(1)

    assert entry.grace_left - entry.ttl_left == pytest.approx(grace, abs=0.1)


def test_inspect_says_what_was_learned(source: Source) -> None:
    """Who wonders why an entry is loaded so seldom sees the ttl that its next load will give it."""
    for _ in range(20):
        source.load_again()
    store = source.flights.runtime().store
    told = inspect_entry(store, source.flights.readings["source"], (1,)).learned

    assert told.endswith(" s, of 10 s to 1000 s; about 0 changes seen lately")
    assert float(told.partition(" ")[0]) == pytest.approx(source.ttl(), rel=0.3)


def test_each_entry_learns_for_itself(flights: Warmer, clock: Clock) -> None:
    """What one entry of a query has learned says nothing about another."""
    source = Source(flights, clock)
    source.query(1)
    for _ in range(20):
        source.load_again()

    assert source.ttl() > 20
    assert source.query.read(2).ttl_left == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(
    ("ttl", "said"),
    [
        (lambda: adaptive(0, 10), "above 0"),
        (lambda: adaptive(10, 5), "at least least=10"),
        (lambda: adaptive(1, 10, stale=0.9), "from 0.001 to 0.5"),
        (lambda: adaptive(1, 10, stale=True), "from 0.001 to 0.5"),
        (lambda: adaptive(1, "10"), "a number of seconds"),  # type: ignore[arg-type]  # a mistake on purpose
    ],
)
def test_one_that_can_not_be_meant_is_an_error_where_it_is_declared(
    flights: Warmer, clock: Clock, ttl: Callable[[], Any], said: str
) -> None:
    """Like every option, with the values that would do."""
    with pytest.raises(InvalidOption, match=said):
        Source(flights, clock, ttl=ttl())


def test_a_sensitive_query_can_not_learn(flights: Warmer, clock: Clock) -> None:
    """Its results have no digest that they could be compared by."""
    with pytest.raises(InvalidOption, match="no digest"):
        Source(flights, clock, sensitive=True)


def test_timedeltas_will_do(flights: Warmer, clock: Clock) -> None:
    """As everywhere, bounds may be durations."""
    source = Source(flights, clock, ttl=adaptive(timedelta(seconds=5), timedelta(hours=1)))

    assert source.query.read(1).ttl_left == pytest.approx(5, abs=0.1)
