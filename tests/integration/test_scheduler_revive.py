"""After a restart or failover of the server, what is kept warm is due anew, by nobody's help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.restarting import restart
from tests.working.inline import fleet, sweeper
from warmer import Query, Warmer
from warmer.core.keys import keyspace
from warmer.scheduler import revive
from warmer.scheduler.revive import Reviver
from warmer.store.operations import Tally
from warmer.testing import Clock, ValkeyServer, wait_until


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    """A server that keeps its data over a restart."""
    with ValkeyServer(args={"appendonly": "yes", "appendfsync": "always"}) as server:
        yield server


@pytest.fixture
def kept(server: ValkeyServer, namespace: str) -> Iterator[Warmer]:
    """A namespace on it."""
    with closing(Warmer(namespace, redis_url=server.url, shards=2)) as flights:
        yield flights


def _query(flights: Warmer, keep_warm: bool = True) -> Query[[int], int]:
    name = "number" if keep_warm else "once"
    made: Query[[int], int] = flights.cached(ttl=1000, keep_warm=keep_warm, name=name)(_number)
    return made


def _number(of: int) -> int:
    return of


def _due(flights: Warmer) -> set[str]:
    """What a sweep would send within the next seconds."""
    taken: set[str] = set()
    sweeper(flights, lambda _, claims: taken.update(claim.member for claim in claims)).sweep()
    return {member.rpartition(":")[2] for member in taken}


def _revive(flights: Warmer, reviver: Reviver | None = None) -> int:
    """All steps that there are to be done, and how many entries they made due."""
    reviver, revived = reviver or Reviver(flights), 0
    store = flights.runtime().store

    def known() -> bool:
        nonlocal revived
        revived += reviver.step()
        for shard in range(store.settings.shards):
            current, seen = store.command(
                "HMGET", keyspace(store.namespace, shard).life, "current", "revived"
            )
            if current != seen:
                return False
        return True

    wait_until(known, description="the life of the server to be known in every shard")
    return revived


def test_what_was_stored_before_a_restart_is_due(server: ValkeyServer, kept: Warmer) -> None:
    """Nothing stored before is served, so what is kept warm is loaded anew at once."""
    number = _query(kept)
    for of in range(20):
        number(of)
    assert _revive(kept) == 0
    restart(server, kept, kill=True)
    _due(kept)  # the first script of the new life

    assert _revive(kept) == 20
    Clock(kept).advance(6)
    with fleet(kept):
        wait_until(
            lambda: all(number.bind(of).entry() is not None for of in range(20)),
            description="all entries to be warm again",
        )


def test_what_nobody_keeps_warm_is_left_alone(server: ValkeyServer, kept: Warmer) -> None:
    """It is loaded when it is read, as ever."""
    once = _query(kept, keep_warm=False)
    once(1)
    restart(server, kept)
    _due(kept)

    assert _revive(kept) == 0
    assert once.read(1).state == "loaded"


def test_what_was_loaded_since_is_left_alone(server: ValkeyServer, kept: Warmer) -> None:
    """A reader came before the scheduler: its value is of this life."""
    number = _query(kept)
    number(1)
    number(2)
    restart(server, kept)
    number(1)

    assert _revive(kept) == 1
    Clock(kept).advance(6)
    assert _due(kept) == {"2"}


def test_a_namespace_without_a_history_has_nothing_to_revive(kept: Warmer) -> None:
    """The first scheduler of a namespace makes nothing due that is fresh."""
    number = _query(kept)
    number(1)

    assert _revive(kept) == 0
    assert _due(kept) == set()


def test_what_is_read_most_is_due_first(server: ValkeyServer, kept: Warmer) -> None:
    """Over a few seconds: the database sees no burst, and most readers a short wait."""
    number = _query(kept)
    hot, cold = number.bind(1), number.bind(2)
    hot.get()
    cold.get()
    store = kept.runtime().store
    store.tally(hot.entry_key.shard, 1_000_000, [Tally(hot.entry_key.member, 4000, "always", 10**9, 0, 100)])
    restart(server, kept)
    _due(kept)

    _revive(kept)

    def score(handle: Any) -> float:
        key = keyspace(kept.namespace, handle.entry_key.shard).index("number")
        return float(store.command("ZSCORE", key, handle.entry_key.member))

    assert score(cold) - score(hot) > 4_000_000
    assert score(cold) <= store.now_us() + revive.SPREAD_US


def test_several_schedulers_revive_once(server: ValkeyServer, kept: Warmer) -> None:
    """They may do the same work; what one has claimed already is not made due by the other."""
    number = _query(kept)
    for of in range(10):
        number(of)
    restart(server, kept)
    _due(kept)
    slow = Reviver(kept)
    slow.step()
    clock = Clock(kept)
    clock.advance(6)
    assert len(_due(kept)) == 10

    for shard in range(2):
        kept.runtime().store.command("HDEL", keyspace(kept.namespace, shard).life, "revived")
    assert _revive(kept) == 0
    assert _due(kept) == set()


def test_many_entries_are_revived_in_bounded_steps(
    server: ValkeyServer, kept: Warmer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step ends after its time, and the next goes on where it ended."""
    monkeypatch.setattr(revive, "STEP_S", 0.002)
    number = _query(kept)
    number(1)
    store = kept.runtime().store
    members = [part for of in range(5000) for part in (10**18, f"number@v:{of}")]
    keys = keyspace(kept.namespace, 0)
    store.command("ZADD", keys.index("number"), *members)
    store.command("SADD", keys.queries, "number")
    restart(server, kept)
    _due(kept)
    reviver = Reviver(kept)

    first = reviver.step()

    assert first < 5000
    assert first + _revive(kept, reviver) == 5001
