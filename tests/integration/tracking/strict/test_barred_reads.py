"""Strict queries: from before COMMIT until the outcome is known, nobody is served what was stored."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.strict import JANUARY, OTHER, Strict, barred
from tests.tracked import Flight
from warmer.runtime.contract import Reader


def test_between_commit_and_invalidation_nobody_is_served_the_old_value(
    strict: Strict, seam: list[Callable[[], None]]
) -> None:
    """Who sees the new row in the database reads it from the query, too; and nothing of that is stored."""
    seen: list[Any] = []

    def read() -> None:
        seen.extend([strict.query(*JANUARY), strict.query.read(*JANUARY).state, strict.is_stored()])
        seen.append(strict.query.refresh(*JANUARY))
        seen.append(strict.is_stored())

    seam.append(read)
    strict.set_delay(5)
    assert seen == [5, "loaded", False, 5, False]

    assert strict.query(*JANUARY) == 5
    assert strict.is_stored()
    assert barred(strict.made.flights) == {}


def test_an_eventual_query_may_be_stale_there(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """Beside it, a query that is not strict shows what strict is for; its entries are not dropped before."""
    strict.made.fill()
    seen: list[Any] = []
    seam.append(lambda: seen.append(strict.made.delays(*JANUARY)))
    strict.set_delay(5)

    assert seen == [0]
    assert strict.made.delays(*JANUARY) == 5


def test_what_a_transaction_does_not_concern_is_not_barred(
    strict: Strict, seam: list[Callable[[], None]]
) -> None:
    """Rows of one carrier bar the entries of that one, and of no other."""
    strict.query(*OTHER)
    seen: list[Any] = []
    seam.append(lambda: seen.extend([strict.is_stored(OTHER), strict.query.read(*OTHER).state]))
    strict.set_delay(5)

    assert seen == [True, "fresh"]


def test_a_load_that_began_before_the_barrier_is_not_stored(
    strict: Strict, seam: list[Callable[[], None]]
) -> None:
    """Its lease is older than the barrier, whatever it has read."""
    flights, reading = strict.made.flights, strict.made.flights.readings["delay"]
    handle = strict.query.bind(*JANUARY)
    names = reading.names_of(handle.params, handle.entry_key).all()
    store = flights.runtime().store
    strict.query.invalidate(*JANUARY)
    lease = store.acquire(handle.entry_key, names, "before", timeout_us=10**7, newer_than=0)
    seam.append(lambda: None)
    strict.set_delay(5)
    assert lease.kind == "granted"
    assert store.acquire(handle.entry_key, names, "after", timeout_us=10**7, newer_than=0).stamp > lease.stamp


def test_readers_past_the_cache_share_a_load(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """While an entry is barred, those who ask at the same time wait for one load."""
    seen: list[int] = []

    def read() -> None:
        before = strict.loads

        async def many() -> list[int]:
            return await asyncio.gather(*(strict.query.aget(*JANUARY) for _ in range(50)))

        assert asyncio.run(many()) == [5] * 50
        seen.append(strict.loads - before)

    seam.append(read)
    strict.set_delay(5)
    assert seen[0] <= 3


def test_a_get_many_goes_past_the_cache_too(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """Of many entries, what is barred is loaded and not stored, and the rest is read."""
    strict.query(*OTHER)
    seen: list[Any] = []
    seam.append(lambda: seen.append((strict.query.get_many([JANUARY, OTHER]), strict.is_stored())))
    strict.set_delay(5)

    assert seen == [([5, 0], False)]


def test_a_message_for_a_barred_entry_is_put_off(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """A worker stores nothing then; the entry is due again soon."""
    flights, reading = strict.made.flights, strict.made.flights.readings["delay"]
    handle, seen = strict.query.bind(*JANUARY), []

    def message() -> None:
        reader = Reader(newer_than=None, servable=False, waits=False)
        seen.append(flights.runtime().join(reading, handle.entry_key, handle.params, reader).result(10).kind)

    seam.append(message)
    strict.set_delay(5)
    assert (seen, strict.is_stored()) == (["barred"], False)


def test_what_a_load_finds_is_barred_too(strict: Strict) -> None:
    """A strict query that calls another is not stored while what the other depends on is barred."""
    flights, write = strict.made.flights, threading.Event()
    begun = threading.Event()

    @flights.cached(ttl=60, name="outer", depends_on={"people": ()}, consistency="strict")
    def outer(n: int) -> int:
        delay = strict.query(*JANUARY)
        if write.is_set():
            begun.set()
            assert committed.wait(30)
        return delay

    committed = threading.Event()
    outer(1)
    strict.bring_into_force()
    assert flights._tracker is not None
    with strict.made.sessions() as session, ThreadPoolExecutor(1) as pool:
        session.get_one(Flight, 1).delay = 5
        session.flush()
        flights._tracker._write(session.connection())
        assert (outer(2), outer.bind(2).entry()) == (0, None)
        write.set()  # the load begins under the barrier, and reads the old row
        reading = pool.submit(outer, 1)
        assert begun.wait(30)
        session.commit()
        committed.set()
        reading.result(30)
        write.clear()
    assert outer(1) == 5
