"""Trust that returns: what was stored before a restart is served after it, and never what was invalidated.

Each way in which it could go wrong has its test; docs/explanation/invalidation.md has them in a table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import update

from tests.tracked import CALLS, Flight, Tracked
from tests.trusting.fleet import Fleet, delay, set_back, stored
from warmer.errors import RedisRefused
from warmer.outbox import rows, through, trust
from warmer.outbox.recording import changes_of
from warmer.outbox.relay import Relay
from warmer.outbox.schema import outbox
from warmer.testing import ValkeyServer, wait_until

pytestmark = pytest.mark.faults
UA_JANUARY, UA_FEBRUARY, AA_JANUARY = CALLS
on_postgresql = pytest.mark.parametrize("fleet_engine", ["postgresql"], indirect=True)
on_both = pytest.mark.parametrize("fleet_engine", ["sqlite", "postgresql"], indirect=True)


@on_both
def test_what_no_write_has_hit_is_served_again(fleet: Fleet) -> None:
    """After a restart from an old snapshot: what was written, or invalidated by hand, since then is gone, and
    what was written before it is not invalidated once more.
    """
    made = fleet.filled()
    delay(made, 3, 1)
    fleet.marked()
    made.fill()
    old = fleet.snapshot()
    delay(made, 1, 5)
    assert made.delays.invalidate(*UA_FEBRUARY) == 1
    assert made.delays(*UA_JANUARY) == 5
    fleet.marked()

    fleet.restore(old)

    assert stored(made) == set(), "not before it is decided"
    assert fleet.decide(made).startswith("returned")
    assert stored(made) == {AA_JANUARY}
    assert made.delays(*UA_JANUARY) == 5
    delay(made, 3, 7)
    assert made.delays(*AA_JANUARY) == 7, "what is trusted can be invalidated"


def test_every_way_of_invalidating_is_in_the_outbox(fleet: Fleet) -> None:
    """By part, by query, by name, and what is put: none of it comes back with an old snapshot."""
    made = fleet.filled()
    old = fleet.snapshot()
    made.bags.invalidate_where(flight_id=1)
    made.crew.invalidate_all()
    with made.delays.writing(*UA_FEBRUARY) as writing:
        writing.put(9)
    assert writing.stored
    fleet.marked()

    fleet.restore(old)
    fleet.decide(made)

    assert stored(made) == {UA_JANUARY, AA_JANUARY}
    assert {call for call in made.gone() if call[0] in ("bags", "crew")} == {
        ("bags", 1),
        *(("crew", n) for n in (1, 2, 3)),
    }


def test_what_a_dead_writer_left_is_applied_first(fleet: Fleet) -> None:
    """It was committed before the crash and never applied; nobody waits for its writer. Rows that triggers
    write have negative ids.
    """
    made = fleet.filled()
    old = fleet.snapshot()
    with fleet.engine.begin() as connection:
        for month, number in ((1, 7), (2, -7)):
            changes = changes_of("flights", {"carrier": "UA", "month": month}, None)
            row = rows.write(connection, fleet.namespace, changes, own=True)
            connection.execute(update(outbox).where(outbox.c.id == row).values(id=number))

    fleet.restore(old)
    fleet.decide(made, Relay(made.flights, hold_s=3600))

    assert stored(made) == {AA_JANUARY}


def test_a_relay_that_dies_half_way_and_two_at_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one has applied and not marked, the others apply again; nothing is adopted before all is."""
    made, _ = set_back(fleet)
    monkeypatch.setattr(trust, "BATCH", 1)
    with monkeypatch.context() as patched:
        patched.setattr(rows, "mark", _dying)
        with pytest.raises(OSError, match="killed"):
            Relay(made.flights).step()
    assert (fleet.trust(), stored(made)) == ("", set())

    monkeypatch.setattr(trust, "STEP_S", 0.001)
    one, two = Relay(made.flights), Relay(fleet.process().flights)
    wait_until(lambda: (one.step(), two.step(), fleet.trust())[2] != "", description="a decision")

    assert stored(made) == {AA_JANUARY}


def _dying(*_: object, **__: object) -> None:
    raise OSError("killed")


def test_a_second_restart_during_the_pass(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was applied in between is not in the snapshot that comes back once more."""
    made, old = set_back(fleet)
    monkeypatch.setattr(trust, "BATCH", 1)
    with monkeypatch.context() as patched:
        patched.setattr(trust, "STEP_S", 0.0001)
        relay = Relay(made.flights)
        wait_until(lambda: relay.step() > 0, description="the first row to be applied")
    assert fleet.trust() == ""

    fleet.restore(old)
    fleet.decide(made, relay)

    assert stored(made) == {AA_JANUARY}


@on_postgresql
def test_a_transaction_that_is_open_over_it_all(fleet: Fleet) -> None:
    """Its row's id is lower than those that were replayed; committed at last, it takes what was adopted."""
    made = fleet.filled()
    old = fleet.snapshot()
    with fleet.engine.connect() as late:
        late.execute(update(Flight).where(Flight.id == 3).values(delay=8))
        recorded = made.flights.record(late, Flight, old={"carrier": "AA", "month": 1})
        delay(made, 1, 5)
        fleet.marked()
        fleet.restore(old)
        fleet.decide(made)
        assert stored(made) == {UA_FEBRUARY, AA_JANUARY}
        late.commit()

    assert recorded.apply()
    assert stored(made) == {UA_FEBRUARY}
    assert made.delays(*AA_JANUARY) == 8


def test_a_writer_that_is_cut_off_with_the_old_primary(fleet: Fleet, replica: ValkeyServer) -> None:
    """It applies its change there, and marks it so, after the new one has been trusted: the relay sees it."""
    made = fleet.filled()
    fleet.copied(replica)
    fleet.promote(replica)
    behind = fleet.process(replica.url)
    assert fleet.decide(behind, server=replica).startswith("returned")
    assert stored(behind) == set(CALLS)

    delay(made, 1, 5)
    fleet.marked()
    Relay(behind.flights).step()

    assert stored(behind) == {UA_FEBRUARY, AA_JANUARY}
    assert behind.delays(*UA_JANUARY) == 5


def test_a_snapshot_older_than_the_replay_window(fleet: Fleet) -> None:
    """What was applied since is not in the outbox any more, so nothing is trusted; what is invalidated later
    is taken as ever.
    """
    made = fleet.filled()
    old = fleet.snapshot()
    delay(made, 1, 5)
    fleet.marked()
    newer = fleet.snapshot("newer")
    with fleet.engine.begin() as connection:
        assert rows.prune(connection, fleet.namespace, -10) == 1

    fleet.restore(old)
    assert fleet.decide(made) == "denied: its data is older than the replay window"
    assert stored(made) == set()
    fleet.restore(newer)
    assert fleet.decide(made).startswith("returned")
    assert stored(made) == {UA_FEBRUARY, AA_JANUARY}


def test_what_was_stored_before_it_was_said_where_invalidations_go(fleet: Fleet) -> None:
    """What was invalidated since the snapshot, by processes without the setting, is nowhere on record."""
    before = fleet.process(invalidate_through="direct")
    before.fill()
    old = fleet.snapshot()
    assert before.delays.invalidate(*UA_JANUARY) == 1
    made = fleet.filled()

    fleet.restore(old)

    assert fleet.decide(made) == "denied: what was invalidated before need not be in the outbox"
    assert stored(made) == set()


def test_a_process_without_the_setting_is_refused(fleet: Fleet) -> None:
    """In any way of invalidating, and before anything is removed; until `warmer db direct` ends it. What was
    stored before that is not trusted any more, and then the next snapshot is.
    """
    made, other = fleet.filled(), fleet.process(invalidate_through="direct")
    old = fleet.snapshot()
    ways: tuple[Callable[[], int], ...] = (
        partial(other.delays.invalidate, *UA_JANUARY),
        other.delays.invalidate_all,
        partial(other.flights.invalidate_tags, "any"),
        partial(_put, other),
    )
    for way in ways:
        with pytest.raises(RedisRefused, match="set invalidate_through to outbox"):
            way()
    assert stored(made) == set(CALLS)

    with fleet.engine.begin() as connection:
        assert through.end(connection, fleet.namespace)
    through.untell(other.flights.runtime().store)
    assert other.delays.invalidate(*UA_JANUARY) == 1
    fleet.restore(old)

    assert fleet.decide(made).startswith("denied: what was invalidated before")
    assert stored(made) == set()
    made.fill()
    fleet.restore(fleet.snapshot())
    assert fleet.decide(made).startswith("returned")


def _put(made: Tracked) -> int:
    with made.delays.writing(*UA_JANUARY) as writing:
        writing.put(1)
    return 0


def test_entries_of_strict_queries_are_not_adopted(fleet: Fleet) -> None:
    """What barred them is in no outbox."""
    made = fleet.filled()
    with fleet.client() as client:
        client.hset(fleet.keys.strict, "!q:delays#0123456789abcdef", "[]")

    fleet.restore(fleet.snapshot())

    assert fleet.decide(made).startswith("returned")
    assert stored(made) == set()
    assert {call[0] for call in made.gone() if call not in CALLS} == set()


def test_an_invalidation_from_before_must_be_finished(fleet: Fleet) -> None:
    """One that was begun directly, and left half-way, is in the data and in no outbox."""
    made = fleet.filled()
    with fleet.client() as client:
        client.hset(fleet.keys.unfinished, "one", "1 99999999999999999 {}")
    fleet.restore(fleet.snapshot())
    relay = Relay(made.flights)

    for _ in range(3):
        relay.step()
    assert (fleet.trust(), stored(made)) == ("", set())
    with fleet.client() as client:
        client.delete(fleet.keys.unfinished)

    assert fleet.decide(made, relay).startswith("returned")
