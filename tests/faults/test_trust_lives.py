"""Trust that returns, over more than one change of life: what is known of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.tracked import CALLS
from tests.trusting.fleet import Fleet, delay, stored
from warmer.core.changes import Changes
from warmer.outbox import applying, trust
from warmer.outbox.lives import Lives
from warmer.outbox.relay import Relay
from warmer.outbox.schema import outbox
from warmer.outbox.settling import settle
from warmer.scheduler.revive import Reviver
from warmer.store import removing
from warmer.testing import ValkeyServer, wait_until

pytestmark = pytest.mark.faults
UA_JANUARY, UA_FEBRUARY, AA_JANUARY = CALLS


def _follow(fleet: Fleet, server: ValkeyServer, other: ValkeyServer | None) -> None:
    with fleet.client(server) as client:
        if other is None:
            client.execute_command("REPLICAOF", "NO", "ONE")
            return
        client.execute_command("REPLICAOF", "127.0.0.1", other.port)
        _in_step(fleet, server, other)


def _in_step(fleet: Fleet, server: ValkeyServer, other: ValkeyServer) -> None:
    with fleet.client(server) as copy, fleet.client(other) as client:
        wait_until(
            lambda: (
                copy.info("replication").get("master_link_status") == "up"
                and client.info("replication")["master_repl_offset"]
                == copy.info("replication")["slave_repl_offset"]
            ),
            description="a replica in step",
        )


def test_what_was_adopted_is_trusted_over_the_next_restart(fleet: Fleet) -> None:
    """It is an entry of that life like any other; what is invalidated there stays gone."""
    made = fleet.filled()
    fleet.restore(fleet.snapshot())
    fleet.decide(made)
    assert stored(made) == set(CALLS)
    again = fleet.snapshot("again")
    delay(made, 1, 5)
    fleet.marked()

    fleet.restore(again)
    fleet.decide(made)

    assert stored(made) == {UA_FEBRUARY, AA_JANUARY}


def test_a_restart_between_the_decision_and_the_adoption(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided of one life says nothing about the next one, whose data lacks what was applied."""
    made = fleet.filled()
    old = fleet.snapshot()
    delay(made, 1, 5)
    fleet.marked()
    fleet.restore(old)
    adopt, restored = trust.Trust._adopt, list[Path]()

    def restart(self: trust.Trust, *about: Any) -> None:
        if restored:
            adopt(self, *about)
            return
        fleet.restore(old)
        restored.append(old)
        adopt(self, *about)
        assert stored(made) == set()

    monkeypatch.setattr(trust.Trust, "_adopt", restart)
    relay = Relay(made.flights)
    # What the snapshot says was decided is about the life that it is from.
    wait_until(lambda: (relay.step(), fleet.trust())[1].startswith("returned"), description="a decision")

    assert restored
    assert stored(made) == {UA_FEBRUARY, AA_JANUARY}


def test_entries_of_lives_before_the_last_one_stay_unserved(fleet: Fleet) -> None:
    """In which nothing was decided: what was invalidated before it began may be on no record."""
    made = fleet.filled()
    fleet.restore(fleet.snapshot())
    made.delays(*UA_JANUARY)
    fleet.restore(fleet.snapshot())

    assert fleet.decide(made).startswith("returned: 1 entries")

    assert stored(made) == {UA_JANUARY}


def test_a_primary_that_is_demoted_and_promoted_again(fleet: Fleet, replica: ValkeyServer) -> None:
    """It has the data of the one in between, which had not heard of the last writes."""
    made = fleet.filled()
    _in_step(fleet, replica, fleet.server)
    _follow(fleet, replica, None)
    delay(made, 1, 5)
    fleet.marked()
    _follow(fleet, fleet.server, replica)
    _follow(fleet, fleet.server, None)

    assert fleet.decide(fleet.process()).startswith("returned")

    assert stored(fleet.process()) == {UA_FEBRUARY, AA_JANUARY}


def test_a_connection_from_before_does_not_say_that_the_data_went_on(
    fleet: Fleet, replica: ValkeyServer
) -> None:
    """A server that lost the end of its data and was promoted again is asked who it is."""
    store = fleet.process().flights.runtime().store
    first = settle(store, ())
    _in_step(fleet, replica, fleet.server)
    _follow(fleet, replica, None)
    lost = settle(store, ())
    assert first is not None
    assert lost is not None
    _follow(fleet, fleet.server, replica)
    _follow(fleet, fleet.server, None)

    assert settle(store, {first.life.encode()}) is None
    with fleet.client() as client:
        lives = Lives.read(client.hgetall(fleet.keys.life))
    assert lives.earlier == first.life != lives.current
    assert lives.has(first.life, first.stamp)
    assert not lives.has(lost.life, lost.stamp)


def _in_the_middle(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Have something happen between the stamps of the next whole query's invalidation, and its removal."""
    remove = removing.remove_indexed
    done: list[object] = []

    def between(*args: Any) -> int:
        if not done:
            done.append(what())
        return remove(*args)

    monkeypatch.setattr(applying, "remove_indexed", between)


def test_a_snapshot_from_the_middle_of_an_invalidation(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the stamp, and still the entries: they are removed before any is trusted."""
    made = fleet.filled()
    _in_the_middle(monkeypatch, fleet.snapshot)
    assert made.delays.invalidate_all() == 3
    fleet.marked()

    fleet.restore(fleet.server.data_dir / "old.rdb")
    assert fleet.decide(made).startswith("returned")

    assert stored(made) == set()


def test_an_application_over_two_lives_counts_for_none(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun in one life and ended in the next, it is not marked as applied, and made again."""
    made = fleet.filled()
    one = made.flights.outbox.applying(Changes(queries={"delays"}))
    _in_the_middle(monkeypatch, lambda: fleet.restore(fleet.snapshot()))

    one.apply()

    assert len(one.lives) == 2
    assert settle(made.flights.runtime().store, one.lives) is None


def test_what_an_earlier_release_marked_is_applied_again(fleet: Fleet) -> None:
    """It did not say in which life of the server."""
    made = fleet.filled()
    old = fleet.snapshot()
    delay(made, 1, 5)
    fleet.marked()
    with fleet.engine.begin() as connection:
        connection.execute(update(outbox).values(life=None))

    fleet.restore(old)
    assert fleet.decide(made).startswith("returned")

    assert stored(made) == {UA_FEBRUARY, AA_JANUARY}


def test_a_server_whose_clock_is_behind_its_data(fleet: Fleet) -> None:
    """By such a clock, everything would be fresh for longer than was said."""
    made = fleet.filled()
    with fleet.client() as client:
        client.set(fleet.keys.clock, -3_600_000_000)

    fleet.restore(fleet.snapshot())

    assert fleet.decide(made).startswith("denied: the clock")
    assert stored(made) == set()


def test_what_may_be_served_again_is_not_made_due_before(fleet: Fleet) -> None:
    """A scheduler waits for the decision, for some seconds, before it has everything loaded anew."""
    made = fleet.filled()
    fleet.restore(fleet.snapshot())
    settle(made.flights.runtime().store, ())
    reviver = Reviver(made.flights)

    def revived() -> bool:
        reviver.step()
        with fleet.client() as client:
            current, said = client.hmget(fleet.keys.life, "current", "revived")
        return said is not None and bool(current == said)

    assert not any(revived() for _ in range(5))
    fleet.decide(made)
    wait_until(revived, description="what is left to be made due")
