"""Reaping: what is over goes, bounded and bit by bit; what somebody may still come back for stays."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
import redis

from tests.working.inline import fleet
from warmer import Query, Warmer
from warmer.core.heat import heat_in
from warmer.core.keys import keyspace
from warmer.core.keyspace import ShardKeys
from warmer.errors import LoadFailed, UnknownRun
from warmer.runs import find_run, recent
from warmer.scheduler.reap import Reaper
from warmer.store.operations import Tally
from warmer.testing import Clock, wait_until

HOUR, DAY = 3600.0, 86_400.0


@pytest.fixture
def keys(namespace: str) -> ShardKeys:
    """The keys of the namespace's only shard."""
    return keyspace(namespace, 0)


@pytest.fixture
def client(redis_url: str) -> Any:
    """A look at what is stored."""
    return redis.Redis.from_url(redis_url, decode_responses=True)


def _query(flights: Warmer, name: str = "number", **options: Any) -> Query[[int], int]:
    @flights.cached(ttl=10, name=name, version="1", **options)
    def number(of: int) -> int:
        if of < 0:
            raise ValueError("no such number")
        return of

    made: Query[[int], int] = number
    return made


def _reap(flights: Warmer, steps: int = 30) -> None:
    reaper = Reaper(flights)
    for _ in range(steps):
        reaper.step()


def _expire(client: Any, *handles: Any) -> None:
    """What the server does when time has really passed: a moved clock does not make keys expire."""
    client.delete(*(handle.key for handle in handles))


def test_entries_that_have_expired_leave_the_index(
    flights: Warmer, clock: Clock, keys: ShardKeys, client: Any
) -> None:
    """Nobody keeps them, nobody reads them: their place in the index and among the names goes."""
    number = _query(flights, keep_warm=False, tags=("of:{of}",))
    for of in range(5):
        number(of)
    _expire(client, *(number.bind(of) for of in range(4)))
    clock.advance(HOUR)

    _reap(flights)

    assert client.zrange(keys.index("number"), 0, -1) == ["number@1:4"]
    assert sorted(client.keys("*members:*")) == [keys.members("g:of%3A4")] or client.keys("*members:*")
    assert client.smembers(keys.members(client.keys("*members:*")[0].partition("members:")[2])) == {
        "number@1:4"
    }


def test_what_is_kept_warm_stays_though_its_value_has_expired(
    flights: Warmer, clock: Clock, keys: ShardKeys, client: Any
) -> None:
    """Workers may have been away for a weekend: a due entry survives that."""
    number = _query(flights, keep_warm=True)
    number(1)
    _expire(client, number.bind(1))
    clock.advance(3 * DAY)

    _reap(flights)

    assert client.zscore(keys.index("number"), "number@1:1") < float("inf")


def test_kept_entries_of_a_version_that_is_gone_are_let_go(
    flights: Warmer, clock: Clock, keys: ShardKeys, client: Any
) -> None:
    """Once the new release stores its own, nobody refreshes what the last one kept warm."""
    number = _query(flights, keep_warm=True)
    client.zadd(keys.index("number"), {"number@0:1": 1.0, "number@0:2": 2.0})
    clock.advance(2 * HOUR)

    _reap(flights)
    assert client.zcard(keys.index("number")) == 2  # the new one has stored nothing yet
    number(1)
    _reap(flights)

    assert client.zrange(keys.index("number"), 0, -1) == ["number@1:1"]


def test_kept_entries_of_a_query_that_is_gone_are_let_go_after_a_week(
    flights: Warmer, clock: Clock, keys: ShardKeys, client: Any, namespace: str, redis_url: str
) -> None:
    """A scheduler does not know every query: only what nobody has refreshed for long goes."""
    number = _query(flights, keep_warm=True)
    number(1)
    _expire(client, number.bind(1))
    with closing(Warmer(namespace, redis_url=redis_url)) as another:
        clock.advance(6 * DAY)
        _reap(another)
        assert client.zcard(keys.index("number")) == 1
        clock.advance(2 * DAY)
        _reap(another)
        assert client.zcard(keys.index("number")) == 0


def test_leases_of_the_dead_go(flights: Warmer, clock: Clock, keys: ShardKeys, client: Any) -> None:
    """A lease that has long run out goes; one that is alive, or just over, stays."""
    number = _query(flights)
    store = flights.runtime().store
    for of in range(3):
        store.acquire(number.bind(of).entry_key, (), f"t{of}", timeout_us=10**9, newer_than=None)
        clock.advance(30)

    _reap(flights)

    assert client.hkeys(keys.leases) == ["number@1:1", "number@1:2"]


def test_failures_are_remembered_for_a_while(
    flights: Warmer, clock: Clock, keys: ShardKeys, client: Any
) -> None:
    """The next failure soon after backs off longer; after ten quiet minutes it is a first one again."""
    number = _query(flights)
    with pytest.raises(LoadFailed):
        number(-1)
    clock.advance(300)
    _reap(flights)
    assert client.hlen(keys.failures) == 1

    clock.advance(700)
    _reap(flights)

    assert client.hlen(keys.failures) == 0


def test_heat_of_what_nobody_reads_goes(flights: Warmer, clock: Clock, keys: ShardKeys) -> None:
    """Counts of reads are about now."""
    store = flights.runtime().store
    members = ["number@1:1", "number@1:2"]
    store.tally(0, 1_000_000, [Tally(members[0], 5, "while_read", 10_000_000, 20_000_000, 100)])
    clock.advance(30)
    store.tally(0, 1_000_000, [Tally(members[1], 5, "while_read", 10_000_000, 20_000_000, 100)])
    clock.advance(30)

    _reap(flights)

    records = store.command("HGET", keys.tallies, "0")
    assert [member for member in members if heat_in(records, member, store.now_us())] == members[1:]


def test_params_of_digested_keys_go_with_their_entries(
    flights: Warmer, clock: Clock, keys: ShardKeys, client: Any
) -> None:
    """The text of long params stands beside the index, and no longer than it."""

    @flights.cached(ttl=10, name="text", version="1", keep_warm=False)
    def text(of: str) -> str:
        return of

    text("a" * 400)
    text("b" * 400)
    _expire(client, text.bind("a" * 400))
    clock.advance(HOUR)

    _reap(flights)

    assert list(client.hvals(keys.params)) == ["b" * 400]


def test_waits_for_what_nobody_loads_go(flights: Warmer, clock: Clock, keys: ShardKeys, client: Any) -> None:
    """Who waits says so again every half second; those who died do not."""
    number = _query(flights)
    store = flights.runtime().store
    one = number.bind(1).entry_key
    store.acquire(one, (), "holder", timeout_us=10**9, newer_than=None)
    assert store.acquire(one, (), "waiter", timeout_us=10**9, newer_than=None).kind == "busy"
    _reap(flights)
    assert client.hkeys(keys.waiting) == [one.member]

    clock.advance(HOUR)
    _reap(flights)

    assert client.exists(keys.waiting) == 0


def test_runs_are_told_of_for_a_day(flights: Warmer, clock: Clock, client: Any) -> None:
    """What keeps a run from feeding twice goes soon after it ended, its record a day later."""
    number = _query(flights)
    with fleet(flights):
        run = number.warm([(1,), (2,)])
        run.wait(20)
    assert client.keys("*:seen") != []

    clock.advance(HOUR)
    _reap(flights, 1)
    assert client.keys("*:seen") == []
    assert find_run(flights.runtime(), run.id).progress().done == 2
    clock.advance(DAY)
    _reap(flights, 1)

    with pytest.raises(UnknownRun):
        find_run(flights.runtime(), run.id)
    assert (recent(flights.runtime()), client.keys("*run:*")) == ([], [])


def test_what_a_forgotten_run_waited_for_is_forgotten(
    flights: Warmer, clock: Clock, keys: ShardKeys, client: Any
) -> None:
    """A run that nobody ever worked on leaves no trace after a day."""
    _query(flights).warm([(1,)])
    clock.advance(2 * DAY)

    _reap(flights)

    assert client.hlen(keys.warming) == 0
    assert client.keys("*run:*") == []


def test_an_entry_that_a_run_waits_for_comes_back_into_the_index(
    flights: Warmer, keys: ShardKeys, client: Any
) -> None:
    """Whatever took it out, the run ends."""
    run = _query(flights).warm([(1,)])
    client.delete(keys.index("number"))

    _reap(flights)

    with fleet(flights):
        assert run.wait(20).done == 1


def test_many_records_go_bit_by_bit(flights: Warmer, clock: Clock, keys: ShardKeys, client: Any) -> None:
    """A step is bounded, so that no other client waits for it; the steps together clear all."""
    store = flights.runtime().store
    for start in range(0, 3000, 500):
        tallies = [
            Tally(f"number@1:{of}", 1, "while_read", 10_000_000, 20_000_000, 100)
            for of in range(start, start + 500)
        ]
        store.tally(0, 1_000_000, tallies)
    clock.advance(HOUR)
    reaper = Reaper(flights)
    before = client.hlen(keys.tallies)

    reaper.step()

    assert before - 20 <= client.hlen(keys.tallies) < before
    wait_until(
        lambda: reaper.step() == 0 and not client.exists(keys.tallies), description="all to be cleared"
    )


def test_what_earlier_releases_kept_of_reads_goes(flights: Warmer, keys: ShardKeys, client: Any) -> None:
    """Nothing reads it any more, and no entry's record is to be kept for good."""
    client.hset(keys.heat, "number@1:1", "1700000000000000 1.0 20000000 10000000 1700000000000000 1")
    client.hset(keys.reads, "0", bytes(17))

    _reap(flights)

    assert not client.exists(keys.heat, keys.reads)


def test_every_shard_is_cleared(namespace: str, redis_url: str, client: Any) -> None:
    """With many shards the steps go round."""
    with closing(Warmer(namespace, redis_url=redis_url, shards=16)) as flights:
        clock = Clock(flights)
        number = _query(flights, keep_warm=False)
        for of in range(60):
            number(of)
        _expire(client, *(number.bind(of) for of in range(60)))
        clock.advance(HOUR)

        _reap(flights, 60)

        assert client.keys("*index:*") == []
