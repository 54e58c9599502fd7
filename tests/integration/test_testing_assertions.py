"""warmer.testing.assert_invalidates: passes over writes that invalidate, and says why others do not."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable

import pytest
import redis

from tests.stamping import stamp
from warmer import PUBLIC, Query, Warmer
from warmer.testing import Clock, NotInvalidated, assert_invalidates

Delays = Query[[str, int], int]


@pytest.fixture
def delays(flights: Warmer) -> Delays:
    """A query with every kind of name."""

    @flights.cached(
        ttl=60,
        name="delays",
        version="1",
        depends_on={"flight": ("carrier", "month"), "weather": ()},
        tags=("month:{month}",),
        keep_warm=False,
    )
    def delays(carrier: str, month: int) -> int:
        return month

    return delays


@pytest.fixture
def watched(flights: Warmer) -> Query[[int], int]:
    """A query that is private to a user."""

    @flights.cached(ttl=60, name="watched", version="1", scope="user_id", keep_warm=False)
    def watched(user_id: int) -> int:
        return user_id

    return watched


def test_every_way_to_invalidate_passes(flights: Warmer, delays: Delays, watched: Query[[int], int]) -> None:
    """By entry, by part, by query, by tag and by owner."""
    writes: list[Callable[[], int]] = [
        lambda: delays.invalidate("UA", 3),
        lambda: delays.invalidate_where(month=3),
        lambda: delays.invalidate_all(),
        lambda: flights.invalidate_tags("month:3"),
    ]
    for write in writes:
        with assert_invalidates(delays, "UA", 3):
            write()
    with assert_invalidates(watched, 42):
        flights.forget(user_id=42)


def test_a_handle_will_do(delays: Delays) -> None:
    """The entry may be given as it is bound elsewhere in the test."""
    one = delays.bind("UA", 3)
    with assert_invalidates(one):
        one.invalidate()


def test_a_value_that_was_loaded_again_meanwhile_passes(delays: Delays) -> None:
    """What is read after the invalidation, inside the block, is new and may stay."""
    with assert_invalidates(delays, "UA", 3):
        delays.invalidate("UA", 3)
        delays("UA", 3)
    assert delays.bind("UA", 3).entry() is not None


def test_a_write_that_hits_a_neighbour_is_reported_with_both_names(flights: Warmer, delays: Delays) -> None:
    """The message shows the names that were missed beside those that were hit."""

    def write() -> None:
        flights.invalidate_tags("month:4", "month:5")
        delays.invalidate("AA", 3)

    with pytest.raises(NotInvalidated) as failed, assert_invalidates(delays, "UA", 3):
        write()
    said = str(failed.value)
    assert said.startswith(
        "the write did not invalidate delays(carrier='UA', month=3): it is still served, and "
    )
    assert "names that were stamped: none\n" in said
    assert "c:flight:carrier=s~UA,month=n~3" in said.split("not stamped: ")[1].split("\n")[0]
    assert "g:month:3" in said.split("not stamped: ")[1].split("\n")[0]
    for other in ("g:month:4", "g:month:5", "e:delays:AA,3"):
        assert other in said.split("stamped meanwhile: ")[1]
    assert str(pickle.loads(pickle.dumps(failed.value))) == said


def test_a_write_that_does_nothing_is_reported(delays: Delays) -> None:
    """The commonest failure of all."""
    with pytest.raises(NotInvalidated, match="stamped meanwhile: none"), assert_invalidates(delays, "UA", 3):
        pass


def test_an_entry_that_was_only_deleted_is_reported(delays: Delays, redis_url: str) -> None:
    """DEL leaves no fence: a load that began before could still bring the old value back."""
    with (
        redis.Redis.from_url(redis_url) as client,
        pytest.raises(NotInvalidated, match=r"it has gone .* none of its names was stamped"),
        assert_invalidates(delays, "UA", 3),
    ):
        client.delete(delays.bind("UA", 3).key)


def test_an_entry_that_expired_meanwhile_is_no_success(delays: Delays, clock: Clock) -> None:
    """Time that passes during the write does not make up for an invalidation."""
    with pytest.raises(NotInvalidated, match="expired"), assert_invalidates(delays, "UA", 3):
        clock.advance(1000)


def test_an_entry_that_is_stamped_but_not_removed_is_reported(delays: Delays, flights: Warmer) -> None:
    """Half an invalidation (the fence without the removal) is none to a reader."""
    with (
        pytest.raises(NotInvalidated, match="its names were stamped, but it is still served") as failed,
        assert_invalidates(delays, "UA", 3),
    ):
        stamp(flights, "g:month:3")
    assert failed.value.stamped == ("g:month:3",)


def test_what_stale_after_write_lets_live_passes(flights: Warmer) -> None:
    """The query has chosen to serve it for a while; it is marked as invalidated all the same."""

    @flights.cached(ttl=60, name="lenient", version="1", stale_after_write=30, scope=PUBLIC, keep_warm=False)
    def lenient() -> int:
        return 1

    with assert_invalidates(lenient):
        lenient.invalidate()
    with assert_invalidates(lenient):
        lenient.invalidate_all()


def test_names_found_by_the_load_are_among_those_shown(flights: Warmer) -> None:
    """A tag that the load itself has given is a name like any other."""

    @flights.cached(ttl=60, name="tagging", version="1", keep_warm=False)
    def tagging(carrier: str) -> int:
        flights.tag(f"carrier:{carrier}")
        return 1

    with assert_invalidates(tagging, "UA"):
        flights.invalidate_tags("carrier:UA")
    with pytest.raises(NotInvalidated) as failed, assert_invalidates(tagging, "UA"):
        flights.invalidate_tags("carrier:AA")
    assert "g:carrier:UA" in failed.value.names


def test_the_writes_own_error_comes_through(delays: Delays) -> None:
    """A write that fails is reported by its own error, not by what it did not do."""
    with pytest.raises(ZeroDivisionError), assert_invalidates(delays, "UA", 3):
        raise ZeroDivisionError


def test_a_load_that_fails_comes_through(flights: Warmer) -> None:
    """Without a value there is nothing to invalidate: the load's error says why."""

    @flights.cached(ttl=60, name="broken", version="1")
    def broken() -> int:
        raise LookupError("no such table")

    with pytest.raises(Exception, match="no such table"), assert_invalidates(broken):
        pass


def test_it_works_in_asyncio(delays: Delays) -> None:
    """`async with` does not block the loop, and fails alike."""

    async def check(write: Callable[[], object]) -> None:
        async with assert_invalidates(delays, "UA", 3):
            write()

    asyncio.run(check(lambda: delays.invalidate("UA", 3)))
    with pytest.raises(NotInvalidated):
        asyncio.run(check(lambda: None))


def test_every_shard_count_works(namespace: str, redis_url: str) -> None:
    """The entry's own shard is the one that is looked at."""
    flights = Warmer(namespace, redis_url=redis_url, shards=4)

    @flights.cached(ttl=60, name="length", version="1", tags=("all",), keep_warm=False)
    def length(carrier: str) -> int:
        return len(carrier)

    for carrier in ("UA", "AA", "DL", "B6"):
        with assert_invalidates(length, carrier):
            flights.invalidate_tags("all")
    flights.close()
