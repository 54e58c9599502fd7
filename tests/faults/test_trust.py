"""Trust that returns: what was stored before a restart is served after it, and never what was invalidated.

Each way in which it could go wrong has its test; docs/explanation/invalidation.md has them in a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from tests.tracked import CALLS, Flight, Tracked, prepare
from tests.trusting.fleet import Fleet, delay, stored
from warmer.core.changes import Changes
from warmer.errors import RedisRefused
from warmer.outbox import applying, rows, through, trust
from warmer.outbox.lives import Lives
from warmer.outbox.recording import changes_of
from warmer.outbox.relay import Relay
from warmer.outbox.schema import outbox
from warmer.outbox.settling import settle
from warmer.scheduler.revive import Reviver
from warmer.store import removing
from warmer.testing import ValkeyServer, wait_until

pytestmark = pytest.mark.faults

UA_JANUARY, UA_FEBRUARY, AA_JANUARY = CALLS
on_postgresql = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
on_both = pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with three flights and an outbox; on SQLite where nothing else is said."""
    sqlite = getattr(request, "param", "sqlite") == "sqlite"
    made = prepare(f"sqlite:///{tmp_path / 'flights.db'}" if sqlite else request.getfixturevalue("pg_url"))
    yield made
    made.dispose()


@pytest.fixture
def fleet(tmp_path: Path, engine: Engine, namespace: str) -> Iterator[Fleet]:
    """One server with nothing in it."""
    with ValkeyServer(tmp_path / "data", args={"repl-diskless-sync-delay": 0}) as server:
        fleet = Fleet(server, engine, namespace)
        yield fleet
        fleet.close()


@pytest.fixture
def replica(fleet: Fleet) -> Iterator[ValkeyServer]:
    """A replica of the fleet's server."""
    following: dict[str, str | int] = {
        "replicaof": f"127.0.0.1 {fleet.server.port}",
        "repl-diskless-sync-delay": 0,
    }
    with ValkeyServer(args=following) as server:
        yield server


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
    made = fleet.filled()
    old = fleet.snapshot()
    delay(made, 1, 5)
    delay(made, 2, 5)
    fleet.marked()
    fleet.restore(old)
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
    made = fleet.filled()
    old = fleet.snapshot()
    delay(made, 1, 5)
    delay(made, 2, 5)
    fleet.marked()
    fleet.restore(old)
    monkeypatch.setattr(trust, "BATCH", 1)
    with monkeypatch.context() as patched:
        patched.setattr(trust, "STEP_S", 0.0001)
        relay = Relay(made.flights)
        wait_until(lambda: relay.step() > 0, description="the first row to be applied")
    assert fleet.trust() == ""

    fleet.restore(old)
    fleet.decide(made, relay)

    assert stored(made) == {AA_JANUARY}


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
    _in_step(fleet, replica, fleet.server)
    _follow(fleet, replica, None)
    behind = fleet.process(replica.url)
    assert fleet.decide(behind, server=replica).startswith("returned")
    assert stored(behind) == set(CALLS)

    delay(made, 1, 5)
    fleet.marked()
    Relay(behind.flights).step()

    assert stored(behind) == {UA_FEBRUARY, AA_JANUARY}
    assert behind.delays(*UA_JANUARY) == 5


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


def test_what_an_earlier_release_marked_is_applied_again(fleet: Fleet) -> None:
    """It did not say in which life of the server."""
    made = fleet.filled()
    old = fleet.snapshot()
    delay(made, 1, 5)
    fleet.marked()
    with fleet.engine.begin() as connection:
        connection.execute(update(outbox).values(life=None))

    fleet.restore(old)
    fleet.decide(made)

    assert stored(made) == {UA_FEBRUARY, AA_JANUARY}


def test_a_server_whose_clock_is_behind_its_data(fleet: Fleet) -> None:
    """By such a clock, everything would be fresh for longer than was said."""
    made = fleet.filled()
    with fleet.client() as client:
        client.set(fleet.keys.clock, -3_600_000_000)

    fleet.restore(fleet.snapshot())

    assert fleet.decide(made).startswith("denied: the clock")
    assert stored(made) == set()


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
