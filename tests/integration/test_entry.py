"""What an entry tells beside its value: the result's identity, its times, its names."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.seal_keys import KEY
from warmer import Entry, Query, Warmer
from warmer.core.payload import names_in
from warmer.testing import Clock


class Results:
    """A query whose result a test chooses."""

    def __init__(self, flights: Warmer, **options: Any) -> None:
        self.result = ["UA"]
        declared = {"ttl": 60, "grace": 40, "name": "carriers", "tags": ("month:{month}",), **options}

        def carriers(month: int) -> list[str]:
            self.flights.tag("found")
            return list(self.result)

        self.flights = flights
        self.query: Query[[int], list[str]] = flights.cached(**declared)(carriers)


@pytest.fixture
def results(flights: Warmer) -> Results:
    """With a result of one carrier."""
    return Results(flights)


def test_a_refresh_that_finds_the_same_keeps_the_etag(results: Results) -> None:
    """Loaded, hit or refreshed: one result has one identity, and another one another."""
    first = results.query.read(3)
    hit = results.query.read(3)
    results.query.refresh(3)
    refreshed = results.query.read(3)
    results.result = ["UA", "DL"]
    results.query.refresh(3)

    changed = results.query.read(3)

    assert first.etag == hit.etag == refreshed.etag
    assert first.etag is not None
    assert len(first.etag) == 16
    assert refreshed.stamp > first.stamp
    assert changed.etag not in (first.etag, None)


def test_the_etag_outlasts_an_invalidation_and_a_change_back(results: Results) -> None:
    """It is of the result, not of the load: a client's copy is good again when the result is."""
    first = results.query.read(3)
    results.query.invalidate(3)

    assert results.query.read(3).etag == first.etag


def test_a_sensitive_result_has_no_etag(namespace: str, redis_url: str) -> None:
    """Whoever can read Redis must not be able to confirm a guess at it."""
    flights = Warmer(namespace, redis_url=redis_url, seal_key=KEY)
    results = Results(flights, sensitive=True)

    assert results.query.read(3).etag is None
    assert results.query.read(3).etag is None
    assert results.query.read(3).value == ["UA"]
    flights.close()


def test_an_entry_says_how_long_it_is_good(results: Results, clock: Clock) -> None:
    """What is left of ttl and grace, as of the read."""
    results.query.read(3)
    hit = results.query.read(3)
    clock.advance(80)
    stale = results.query.read(3)

    assert 50 < hit.ttl_left <= 60
    assert 90 < hit.grace_left <= 100
    assert (stale.state, stale.ttl_left) == ("stale", 0.0)
    assert 10 < stale.grace_left <= 20


def test_an_entry_knows_its_names_and_tags(results: Results) -> None:
    """Those that the query declares and those that its load found, loaded or hit."""
    for entry in (results.query.read(3), results.query.read(3)):
        assert entry.tags == ("month:3", "found")
        assert entry.names == ("e:carriers:3", "q:carriers", "g:month:3", "g:found")


def test_only_further_names_are_stored_with_a_value(results: Results) -> None:
    """What a query declares is known to who reads it: the load's own are not written into each entry."""
    results.query.read(3)

    assert names_in(results.query.read(3).front) == ("g:found",)


def test_an_entry_is_listed_under_no_name_that_its_index_stands_for(
    flights: Warmer, namespace: str, redis_url: str
) -> None:
    """Who names a whole table takes the index of a query that depends on it by columns."""
    results = Results(flights, depends_on={"delays": ("month",)})
    results.query(3)

    with redis.Redis.from_url(redis_url) as client:
        lists = {key.partition(b"members:")[2] for key in client.scan_iter(f"w:{{{namespace}:0}}:members:*")}
    assert lists == {b"c:delays:month=n~3", b"g:month:3", b"g:found"}


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda entry: pickle.loads(pickle.dumps(entry))]
)
def test_an_entry_can_be_copied(results: Results, copied: Callable[[Entry[Any]], Entry[Any]]) -> None:
    """A copy, or one that crossed processes, tells the same."""
    results.query.read(3)
    entry = results.query.read(3)

    other = copied(entry)

    assert other == entry
    assert (other.etag, other.tags, other.ttl_left) == (entry.etag, entry.tags, entry.ttl_left)


def test_an_unchanged_result_is_counted(results: Results) -> None:
    """Of three commits, the one that found what was stored already."""
    results.query(3)
    results.query.refresh(3)
    results.result = []
    results.query.refresh(3)

    counts = results.flights.runtime().counts.snapshot()
    assert (counts["commits_stored"], counts["commits_unchanged"]) == (3, 1)
